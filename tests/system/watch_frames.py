"""Follow a job with several WebSockets to its end: ``python watch_frames.py URL TOKEN JOB WATCHERS``.

Prints a JSON list with an object for each watcher: its frames (number and digest), and the last message's type.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys

from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from cryomamba.wire.webframe import SUBPROTOCOL


async def follow(url: str, token: str, ready: asyncio.Barrier) -> dict[str, object]:
    """Follow a job, and return what was seen of it."""
    frames: dict[int, str] = {}
    last = ""
    headers = {"Authorization": f"Bearer {token}"}
    async with connect(
        url, subprotocols=[Subprotocol(SUBPROTOCOL)], additional_headers=headers, max_size=2**22, proxy=None
    ) as socket:
        async for message in socket:
            if isinstance(message, str):
                last = json.loads(message)["type"]
                if last == "connected":
                    await ready.wait()
                continue
            size = int.from_bytes(message[:4], "little")
            header = json.loads(message[4 : 4 + size])
            frames[header["seq"]] = hashlib.sha256(message[4 + size :]).hexdigest()
            await socket.send(json.dumps({"type": "ack", "seq": header["seq"]}))
    return {"frames": frames, "last": last}


async def main(gateway: str, token: str, job: str, watchers: str) -> None:
    """Print what all watchers have seen; none reads on before all are connected."""
    ready = asyncio.Barrier(int(watchers))
    url = f"{gateway.replace('http', 'ws', 1)}/v1/ws/jobs/{job}"
    seen = await asyncio.gather(*(follow(url, token, ready) for _ in range(int(watchers))))
    sys.stdout.write(json.dumps(seen))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
