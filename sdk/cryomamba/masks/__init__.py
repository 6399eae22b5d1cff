"""What is done with a mask once there is one: pieces, holes, splitting, measuring, meshes. Slab by slab."""
