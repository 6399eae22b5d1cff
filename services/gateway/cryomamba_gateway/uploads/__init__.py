"""Uploads: files that are sent in parts, survive restarts, and appear atomically."""
