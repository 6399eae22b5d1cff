"""Helpers for tests of CryoMamba and of programs that use it: a real stack of services, a faulty link, patient waiting.

Nothing here is needed to run CryoMamba; it uses the standard library alone.
"""

from cryomamba.testing.proxy import FaultProxy
from cryomamba.testing.stack import Service, Stack, free_ports
from cryomamba.testing.waiting import wait_until, wait_until_async

__all__ = ["FaultProxy", "Service", "Stack", "free_ports", "wait_until", "wait_until_async"]
