"""Gateway: HTTP and WebSocket in front of the bus."""
