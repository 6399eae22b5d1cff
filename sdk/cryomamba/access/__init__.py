"""Who may do what: bearer tokens and signed URLs for the gateway, CURVE keys and roles for the bus.

All secrets lie below ``<home>/keys``, in files that only their owner can read.
"""
