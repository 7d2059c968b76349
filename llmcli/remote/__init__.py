"""A server that speaks OpenAI's protocol, as a model."""
