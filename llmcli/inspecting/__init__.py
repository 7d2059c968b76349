"""What goes on inside a model: tokens, probabilities, attention, layers, word embeddings."""
