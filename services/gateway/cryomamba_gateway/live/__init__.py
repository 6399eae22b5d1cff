"""WebSocket clients: their sessions, messages, and send queues."""
