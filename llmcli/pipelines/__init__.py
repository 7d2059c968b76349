"""Wrappers around the pipelines of transformers."""
