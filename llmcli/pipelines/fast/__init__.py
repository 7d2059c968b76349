"""Shortcuts: each runs only where it is known to give what transformers gives, and one switch turns all of them off."""
