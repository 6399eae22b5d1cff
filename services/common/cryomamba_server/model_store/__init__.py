"""The folder of models in a data directory: add, describe, accept, remove."""
