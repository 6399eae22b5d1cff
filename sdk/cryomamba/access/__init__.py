"""What admits a client to the bus: key files, roles, and the visibility of jobs that follows from them."""
