"""Jobs, files, events and servers as every client sees them, over the bus and over HTTP alike."""
