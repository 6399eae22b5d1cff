"""Makes the network that the wheel carries; see README.md."""
