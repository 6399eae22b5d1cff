"""What is done with a volume before anything is looked for in it: its grid, its padding, its slow gradients."""
