"""What the services share: start and stop, logging, the data directory, tokens, keys, backup and retention."""
