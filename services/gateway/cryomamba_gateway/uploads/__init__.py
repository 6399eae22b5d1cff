"""Uploads: files that arrive in parts, survive restarts, and become visible whole or not at all."""
