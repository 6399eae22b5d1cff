"""Volumes: opening, statistics, downsampling, measuring a mask, and an upload.

Statistics are extremes, mean, spread, percentiles, histogram and the count of voxels that are not finite, in one pass
of a float32 file that is in the page cache; ``memmap.sum()`` is one number of the same file. Downsampling keeps every
label, also those of two voxels. The mask has 40 vesicles, and measuring gives volume, surface, thickness, centroid and
bounding box of each component. The upload goes to a real gateway, which hashes what it receives, by one connection in
parts of 8 MiB; nginx receives the same PUT requests and writes them to the same disk.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from benchmarks.measure import measure_here, measure_skimage, write_vesicles
from benchmarks.report.figures import Figure
from benchmarks.report.turns import ratio, seconds_in_turns

from cryomamba.engines.api import Labels
from cryomamba.testing import Stack, free_ports, wait_until
from cryomamba.volumes import blank_header, open_volume, stream_statistics, write_volume
from cryomamba.volumes.header_encoder import encode_header
from cryomamba_inference.downsample import PreviewCanvas, fold
from cryomamba_inference.tiling import plan_tiles

FACTOR, PARTICLES = 4, 2000
CHUNK = 8 * 1024 * 1024
Mask = npt.NDArray[np.uint8]


def measure(*, quick: bool) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(prefix="cryomamba-volumes-") as name:
        folder = Path(name)
        yield from opening(folder)
        yield from statistics_of(folder, depth=256 if quick else 1024)
        yield from downsampling(256 if quick else 512)
        yield from measuring(folder, sides=(64, 128) if quick else (128, 256, 512))
        if shutil.which("nginx") and shutil.which("sh"):
            yield from uploading(folder, count=8 if quick else 32, rounds=5)


def opening(folder: Path) -> Iterator[Figure]:
    """Open a volume of 4 GB, a hole on disk, and read its metadata."""
    path, shape = folder / "large.mrc", (1024, 1024, 1024)
    header = encode_header(blank_header(shape, 10.0), ("benchmark",))
    with path.open("wb") as file:
        file.write(header)
        file.truncate(len(header) + 4 * int(np.prod(shape)))

    def opened() -> None:
        with open_volume(path) as volume:
            assert volume.shape == shape

    times = seconds_in_turns({"open": opened, "read": lambda: path.open("rb").read(1024)}, 50)
    path.unlink()
    yield Figure("open 4 GB and its metadata", statistics.median(times["open"]) * 1e3, "ms", target=5)


def statistics_of(folder: Path, *, depth: int) -> Iterator[Figure]:
    path, shape = folder / "tomogram.mrc", (depth, 512, 512)
    slab = np.random.default_rng(0).normal(3, 2, (16, *shape[1:])).astype(np.float32)
    write_volume(path, (slab for _ in range(depth // 16)), 10.0, shape=shape)

    def one_pass() -> None:
        with open_volume(path) as volume:
            stream_statistics(volume)

    def mapped() -> npt.NDArray[np.float32]:
        return np.memmap(path, np.float32, "r", offset=1024)

    def four_calls() -> None:
        voxels = mapped()
        voxels.min(), voxels.max(), voxels.mean(), voxels.std()

    times = seconds_in_turns({"one pass": one_pass, "sum": lambda: mapped().sum(), "four calls": four_calls}, 3)
    path.unlink()
    yield Figure("statistics in one pass", ratio(times, "one pass", "sum"), "×", 1.7, "memmap.sum() of the same file")
    yield Figure(
        "statistics in one pass, against the usual calls",
        ratio(times, "one pass", "four calls"),
        "×",
        1,
        "min, max, mean and std of the memmap",
    )


def mask_with_particles(side: int) -> tuple[Mask, npt.NDArray[np.int64]]:
    """Return a mask of particles of two voxels a side, and their corners."""
    corners = np.random.default_rng(3).integers(0, side - 2, (PARTICLES, 3))
    mask = np.zeros((side, side, side), np.uint8)
    for z, y, x in corners:
        mask[z : z + 2, y : y + 2, x : x + 2] = 1
    return mask, corners


def by_tiles(mask: Mask) -> Labels:
    """Downsample as the runner does, tile by tile."""
    canvas = PreviewCanvas(mask.shape, (FACTOR, FACTOR, FACTOR))
    for tile in plan_tiles(mask.shape, tile_bytes=16 << 20):
        canvas.put(tile.start, mask[tile.target])
    return canvas.over(canvas.layer())


def lost(small: Labels, corners: npt.NDArray[np.int64]) -> float:
    """Return the percentage of the particles that are not in a downsampled mask at all."""
    places = zip(corners // FACTOR, (corners + 1) // FACTOR, strict=True)
    seen = [small[tuple(slice(a, b + 1) for a, b in zip(low, high, strict=True))].any() for low, high in places]
    return 100 * float(1 - np.mean(seen))


def downsampling(side: int) -> Iterator[Figure]:
    mask, corners = mask_with_particles(side)
    small = side // FACTOR
    times = seconds_in_turns(
        {
            "fold": lambda: fold(mask, (0, 0, 0), (FACTOR,) * 3),
            "tiles": lambda: by_tiles(mask),
            "reshape": lambda: mask.reshape(small, FACTOR, small, FACTOR, small, FACTOR).max(axis=(1, 3, 5)),
            "copy": mask.copy,
        },
        5,
    )
    name, copy = f"downsample {side}³ by {FACTOR}", "a copy of the memory"
    yield Figure(name, ratio(times, "fold", "copy"), "×", 3.5, copy)
    yield Figure(f"{name}, tile by tile", ratio(times, "tiles", "copy"), "×", None, copy)
    yield Figure(f"{name}, against numpy", ratio(times, "fold", "reshape"), "×", None, "reshape(...).max(...)")
    yield Figure(f"{name}: small particles lost", lost(by_tiles(mask), corners), "%", 0)
    stride = lost(mask[::FACTOR, ::FACTOR, ::FACTOR], corners)
    yield Figure(f"{name}: lost by a plain stride", stride, "%")


def measuring(folder: Path, sides: tuple[int, ...]) -> Iterator[Figure]:
    for side in sides:
        path = folder / "mask.mrc"
        write_vesicles(path, (side, side, side))
        ways = {"here": lambda path=path: measure_here(path)}
        # The peer takes 15 s and 2 GB at 512³.
        peer = side == max(one for one in sides if one <= 256)
        if peer:
            ways["scikit-image"] = lambda path=path: measure_skimage(path)
        times = seconds_in_turns(ways, 1 if side > 256 else 3)
        here = min(times["here"])
        yield Figure(
            f"measure a mask of {side}³",
            here,
            "s",
            4 if side == 512 else None,
            plot="volumes",
            series="measure a mask",
            x=side**3 / 1e6,
        )
        if peer:
            yield Figure(
                f"measure a mask of {side}³, against scikit-image",
                ratio(times, "here", "scikit-image"),
                "×",
                1,
                "label, regionprops and marching cubes of scikit-image",
            )


@contextmanager
def nginx(folder: Path) -> Iterator[int]:
    """Run nginx that accepts PUT, and give its port."""
    (port,) = free_ports(1)
    for each in ("put", "temporary"):
        (folder / each).mkdir(parents=True, exist_ok=True)
    configuration = folder / "nginx.conf"
    configuration.write_text(
        f"{'user root;' if os.geteuid() == 0 else ''} pid {folder}/nginx.pid; error_log {folder}/error.log;\n"
        "daemon off; worker_processes 1;\nevents {}\nhttp { access_log off; client_max_body_size 0; "
        f"client_body_temp_path {folder}/temporary;\n"
        f"server {{ listen 127.0.0.1:{port}; root {folder}/put; location / {{ dav_methods PUT; }} }} }}\n"
    )
    process = subprocess.Popen(["nginx", "-c", str(configuration)], stderr=subprocess.DEVNULL)
    try:
        wait_until((folder / "nginx.pid").exists, what="nginx")
        yield port
    finally:
        process.terminate()
        process.wait()


def put_parts(port: int, paths: list[str], parts: list[bytes]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    for path, part in zip(paths, parts, strict=True):
        connection.request("PUT", path, body=part, headers={"Content-Type": "application/octet-stream"})
        reply = connection.getresponse()
        reply.read()
        assert reply.status < 300, reply.status
    connection.close()


def ask(port: int, method: str, path: str, body: object = None) -> dict[str, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    text = None if body is None else json.dumps(body)
    connection.request(method, path, body=text, headers={"Content-Type": "application/json"})
    reply = connection.getresponse()
    content = reply.read()
    connection.close()
    assert reply.status < 300, content
    found: dict[str, Any] = json.loads(content) if content else {}
    return found


def parts_of_a_volume(count: int) -> list[bytes]:
    """Return a volume of so many parts in 8 bits, and its last bytes as one more."""
    header = encode_header(blank_header((count * CHUNK >> 20, 1024, 1024), 10.0, mode=0), ("benchmark",))
    content = header + np.random.default_rng(0).bytes(count * CHUNK)
    return [content[start : start + CHUNK] for start in range(0, len(content), CHUNK)]


def uploading(folder: Path, *, count: int, rounds: int) -> Iterator[Figure]:
    parts = parts_of_a_volume(count)
    size = sum(map(len, parts))
    with Stack(folder / "home") as stack, nginx(folder / "nginx") as port:
        stack.start("broker", "gateway")
        wait_until((stack.home / "gateway.json").exists, what="the gateway")
        gateway = stack.ports["gateway"]

        def upload() -> None:
            # Contents differ, because a file that is already there would not be stored again.
            parts[-1] = os.urandom(len(parts[-1]))
            body = {"filename": "tomogram.mrc", "total_size_bytes": size, "chunk_size_bytes": CHUNK}
            begun = ask(gateway, "POST", "/v1/uploads/init", body)
            put_parts(gateway, list(begun["chunk_urls"]), parts)
            ask(gateway, "POST", f"/v1/uploads/{begun['upload_id']}/complete")

        ways = {"here": upload, "nginx": lambda: put_parts(port, [f"/{n}" for n in range(len(parts))], parts)}
        times = seconds_in_turns(ways, rounds)
    yield Figure("upload by one connection", size / 1e6 / statistics.median(times["here"]), "MB/s", at_least=True)
    yield Figure(
        "upload, with its hash", ratio(times, "here", "nginx"), "×", 2, "nginx receiving the same PUT requests"
    )
