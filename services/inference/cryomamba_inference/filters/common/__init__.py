"""Shared by the filters of particles and of filaments: samples, borders, gold fiducials, drawing."""
