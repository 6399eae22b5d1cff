"""WebSocket clients: what they are told, in which order, and how much of it waits for them."""
