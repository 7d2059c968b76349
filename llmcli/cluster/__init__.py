"""The same run over many processes and machines: shards, what puts them together, and Ray."""
