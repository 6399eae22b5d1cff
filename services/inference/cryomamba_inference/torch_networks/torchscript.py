"""Networks saved as TorchScript.

A TorchScript file is a program of its own. PyTorch's interpreter runs it, which knows tensors and containers; it has no
access to Python. It can still read and write files (``torch.save``), so…
"""
