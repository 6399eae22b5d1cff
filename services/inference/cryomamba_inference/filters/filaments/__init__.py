"""Line filters and tracing for filaments."""
