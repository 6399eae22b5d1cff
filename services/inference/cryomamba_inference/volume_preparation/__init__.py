"""What is done with a volume before anything is looked for in it: its scale, grid, padding, slow gradients."""
