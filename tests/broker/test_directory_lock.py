"""One broker per data directory."""

from __future__ import annotations

import pytest

from cryomamba.endpoints import ConnectionFile
from cryomamba.errors import UnavailableError
from cryomamba.settings import Settings
from cryomamba_broker.server import Broker


async def test_a_second_broker_on_the_same_home_is_refused(broker: Broker, settings: Settings) -> None:
    """One job store has one writer; the second is told so, and the first goes on."""
    with pytest.raises(UnavailableError, match="Another broker"):
        async with Broker(settings):
            pass
    assert ConnectionFile.read(settings.connection_file).epoch == broker.envelopes.epoch
