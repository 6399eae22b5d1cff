"""What the services share: settings of a process, logging, start and stop, the data directory, tokens and keys."""
