"""What is done to text without a model and without files: chunks, languages, ranking, prompts, code."""
