"""Models: names, sources, the local store, loading."""
