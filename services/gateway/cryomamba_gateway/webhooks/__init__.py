"""Messages to webhooks: what they are, and their delivery."""
