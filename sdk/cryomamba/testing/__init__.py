"""Helpers for tests of CryoMamba and of programs that use it: real services, a faulty network link, waiting.

They need only the standard library, and :class:`Stack` the ``server`` extra.
"""

from cryomamba.stack import Service, Stack, free_ports
from cryomamba.testing.proxy import FaultProxy
from cryomamba.testing.waiting import DEADLINE_S, wait_until, wait_until_async

__all__ = ["DEADLINE_S", "FaultProxy", "Service", "Stack", "free_ports", "wait_until", "wait_until_async"]
