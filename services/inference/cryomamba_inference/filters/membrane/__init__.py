"""Oriented filters, grouping and calibration for membranes."""
