"""From probabilities to picks. Pure; lengths are in nodes."""
