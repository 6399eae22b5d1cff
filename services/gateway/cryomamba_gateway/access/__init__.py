"""Who may use the gateway: tokens, names of hosts, limits."""
