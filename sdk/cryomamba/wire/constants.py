"""The numbers of bus version 1; a test compares them with ``docs/reference/bus.md``."""

from typing import Final

PROTOCOL_VERSION: Final = 1

HEADER_MAX_BYTES: Final = 64 * 1024
PAYLOAD_MAX_BYTES: Final = 16 * 1024 * 1024
# Frame and header together stay below 1 MiB, the default limit of WebSocket clients.
PREVIEW_WIRE_MAX_BYTES: Final = 1024 * 1024 - 8 * 1024
BUFFERS_MAX: Final = 8

JOBS_HWM: Final = 1000
PREVIEW_IN_HWM: Final = 8
PREVIEW_OUT_HWM: Final = 4
EVENTS_HWM: Final = 10_000

LEASE_S: Final = 30.0
RENEWALS_PER_LEASE: Final = 6
MAX_ATTEMPTS: Final = 3

HEARTBEAT_MS: Final = 2000
HEARTBEAT_TIMEOUT_MS: Final = 6000
