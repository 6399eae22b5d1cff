"""Inference: runs engines over volumes tile by tile."""
