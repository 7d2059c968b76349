"""Texts in, results out."""
