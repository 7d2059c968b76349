"""A Unix text filter over Hugging Face models."""

__version__ = "0.2.0"
