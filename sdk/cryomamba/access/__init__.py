"""What a client needs to be admitted to the bus: key files, roles, and the visibility of jobs that follows from them."""
