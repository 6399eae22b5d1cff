"""The network side of the desktop: one thread, one loop; what it learns comes out as messages."""
