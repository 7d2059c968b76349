"""From labelled rows to a better model, and proof that it is better."""
