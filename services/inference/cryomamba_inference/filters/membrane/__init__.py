"""Membranes: ridge filters, tensor-voting-like grouping, profiles along the normal, lamella surfaces."""
