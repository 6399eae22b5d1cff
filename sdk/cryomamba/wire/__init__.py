"""The bus protocol: envelope, buffers, topics, preview frames and message bodies. No sockets, no clock, no disk."""
