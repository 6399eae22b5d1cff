"""From probabilities to picks: particles and the centrelines of filaments. Pure; lengths are in nodes."""
