"""CryoMamba: segment cryo-electron tomograms anywhere and watch the mask grow."""
