"""The segmentation network: the grid it works on, normalization, contrast, and the network itself."""
