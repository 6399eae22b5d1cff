"""Access control: tokens, host names, rate limits, limits on connections."""
