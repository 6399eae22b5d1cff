"""Filaments: line filters, centreline points, mean shift, tracing."""
