"""Broker: knows every job and forwards every frame."""
