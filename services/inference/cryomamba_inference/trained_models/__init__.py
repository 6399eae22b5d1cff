"""Engines that run trained models as their descriptions state: normalization, tensors, loaded networks, checks."""
