"""YAML and its types: schemas, a strict reader, and the places where files lie."""
