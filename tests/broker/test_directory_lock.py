"""One broker per data directory."""

from __future__ import annotations

import pytest

from cryomamba.endpoints import ConnectionFile
from cryomamba.errors import UnavailableError
from cryomamba.settings import Settings
from cryomamba_broker.server import Broker


async def test_a_second_broker_on_the_same_data_directory_is_refused(broker: Broker, settings: Settings) -> None:
    """A job store has one writer; the second broker does not start, and the first continues."""
    with pytest.raises(UnavailableError, match="Another broker"):
        async with Broker(settings):
            pass
    assert ConnectionFile.read(settings.connection_file).epoch == broker.envelopes.epoch
