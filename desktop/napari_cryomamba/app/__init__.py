"""Controllers: what the window does, apart from how it looks."""
