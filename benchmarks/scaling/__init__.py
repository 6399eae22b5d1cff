"""A simulation of the services, checked against measurements: ``python -m benchmarks.scaling``."""
