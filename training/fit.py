"""Fits the network to boxes that another process writes into a folder meanwhile."""

from __future__ import annotations

import math
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from training.boxes import CROP, Box
from training.network import Network
from training.start import calibrate, load_onnx

PRIOR_LOGITS = (2.0, 0.0, -1.5, -2.0, -3.0)  # about the shares of the classes in the boxes
DICE_WEIGHTS = {1: 0.4, 2: 0.1, 3: 0.15}  # of membranes, particles, filaments
FIRST_STEPS = 240  # whose boxes are waited for at the start, so that the first crops differ
CALIBRATION_CROPS = 24  # on which the normalizations of a network from a file are measured
DICE_NODES = 300  # of a structure in a crop, from which its Dice coefficient says something


@dataclass(frozen=True, slots=True)
class Schedule:
    """How to fit.

    Attributes
    ----------
    steps : int
    rate : float
        Highest learning rate; it rises for `warm_up` steps and then falls as a half cosine.
    batch, crop : int
        Crops a step, and their side in nodes.
    kept, uses : int
        Boxes in memory, the newest, and how many crops are taken of each on average.
    """

    steps: int = 5500
    rate: float = 5e-3
    warm_up: int = 60
    batch: int = 4
    crop: int = 64
    kept: int = 1500
    uses: int = 16
    seed: int = 0
    threads: int = 2

    def rate_at(self, step: int) -> float:
        """Return the learning rate of a step."""
        return self.rate * min(1, (step + 1) / self.warm_up) * (0.51 + 0.49 * np.cos(np.pi * step / self.steps))


@dataclass
class Buffer:
    """The newest boxes of a folder."""

    folder: Path
    kept: int
    boxes: deque[Box] = field(default_factory=deque)

    read: int = 0

    def refresh(self, wanted: float) -> bool:
        """Read boxes until `wanted` have been read since the beginning; return whether there are as many."""
        for path in sorted(self.folder.glob("*.npz"))[: max(0, math.ceil(wanted) - self.read)]:
            self.boxes.append(Box.load(path))
            path.unlink()
            self.read += 1
        while len(self.boxes) > self.kept:
            self.boxes.popleft()
        return self.read >= wanted

    def draw(self, rng: np.random.Generator, batch: int, side: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return densities (b, 1, z, y, x), classes (b, z, y, x) and plate maps of random crops."""
        crops = [_crop(rng, self.boxes[rng.integers(len(self.boxes))], side) for _ in range(batch)]
        density, classes, sheets = (torch.from_numpy(np.stack(parts)) for parts in zip(*crops, strict=True))
        return density[:, None], classes, sheets


def _crop(rng: np.random.Generator, box: Box, side: int) -> list[np.ndarray]:
    corner = 2 * rng.integers(0, (CROP - side) // 2 + 1, 3)
    where = tuple(slice(a, a + side) for a in corner)
    small = (slice(None), *(slice(a // 2, (a + side) // 2) for a in corner))
    gain = np.float32(np.exp(rng.normal(0, 0.08)))
    arrays = [box.density[where].astype(np.float32) * gain, box.classes[where].astype(np.int64), box.sheets[small]]
    flips = [axis for axis in (-3, -2, -1) if rng.random() < 0.5]
    # The tilt axis is y or x.
    swap = rng.random() < 0.3
    turned = [np.swapaxes(np.flip(a, flips), -1, -2) if swap else np.flip(a, flips) for a in arrays]
    return [np.ascontiguousarray(a, np.float32 if a.dtype == np.float16 else None) for a in turned]


def loss_of(scores: Tensor, classes: Tensor) -> Tensor:
    """Return the cross-entropy, and the soft Dice loss of what is in each crop.

    Entropy alone leaves probabilities below one half wherever noise makes the place of a membrane uncertain; Dice
    decides for each crop as its score does.
    """
    loss = functional.cross_entropy(scores, classes)
    probabilities = scores.softmax(1)
    for label, weight in DICE_WEIGHTS.items():
        found, true = probabilities[:, label].flatten(1), (classes == label).flatten(1).float()
        there = true.sum(1) >= DICE_NODES
        if there.any():
            dice = 1 - 2 * (found * true).sum(1)[there] / (found.sum(1) + true.sum(1))[there]
            loss = loss + weight * dice.mean()
    return loss


class Fit:
    """The state of a fit; it survives in a checkpoint."""

    def __init__(self, schedule: Schedule) -> None:
        torch.manual_seed(schedule.seed)
        torch.set_num_threads(schedule.threads)
        self.schedule = schedule
        self.network = Network().to(memory_format=torch.channels_last_3d)
        with torch.no_grad():
            self.network.last.bias.copy_(torch.tensor(PRIOR_LOGITS).repeat_interleave(8))
            self.network.last.weight.mul_(0.3)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), schedule.rate, betas=(0.9, 0.98), weight_decay=1e-3
        )
        self.average = {name: value.clone() for name, value in self.network.state_dict().items()}
        self.step = 0
        # Processors without instructions for it would be slower.
        self.half = bool(torch.cpu.get_capabilities().get("avx512_bf16"))

    def start_from(self, path: Path, buffer: Buffer, rng: np.random.Generator) -> None:
        """Begin with the weights of an ONNX file instead of random ones."""
        load_onnx(self.network, path)
        density, _, sheets = buffer.draw(rng, CALIBRATION_CROPS, self.schedule.crop)
        calibrate(self.network, density, sheets)
        self.average = {name: value.clone() for name, value in self.network.state_dict().items()}

    def save(self, path: Path) -> None:
        """Write a checkpoint."""
        part = path.with_suffix(".part")
        state = {"network": self.network.state_dict(), "average": self.average, "step": self.step}
        torch.save({**state, "optimizer": self.optimizer.state_dict()}, part)
        part.rename(path)

    def load(self, path: Path) -> None:
        """Continue from a checkpoint."""
        state = torch.load(path, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average, self.step = state["average"], state["step"]

    def advance(self, buffer: Buffer, rng: np.random.Generator) -> float:
        """Take one step; return the loss."""
        for group in self.optimizer.param_groups:
            group["lr"] = float(self.schedule.rate_at(self.step))
        density, classes, sheets = buffer.draw(rng, self.schedule.batch, self.schedule.crop)
        self.network.train()
        with torch.autocast("cpu", torch.bfloat16, enabled=self.half):
            scores = self.network(density.contiguous(memory_format=torch.channels_last_3d), sheets)
        loss = loss_of(scores.float(), classes)
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        self._average()
        return float(loss.detach())

    @torch.no_grad()
    def _average(self) -> None:
        keep = min(0.995, 1 - 5 / (self.step + 5))
        for name, value in self.network.state_dict().items():
            if value.dtype.is_floating_point:
                self.average[name].mul_(keep).add_(value, alpha=1 - keep)
            else:
                self.average[name].copy_(value)


def run(fit: Fit, folder: Path, checkpoint: Path, start: Path | None = None) -> None:
    """Fit to the end of the schedule, from the weights in `start` if given; writes a checkpoint every two minutes."""
    schedule = fit.schedule
    rng = np.random.default_rng([schedule.seed, fit.step])
    buffer = Buffer(folder, schedule.kept)
    losses: deque[float] = deque(maxlen=100)
    begun = saved = time.monotonic()
    first = fit.step
    while fit.step < schedule.steps:
        if not buffer.refresh((fit.step - first + FIRST_STEPS) * schedule.batch / schedule.uses):
            time.sleep(0.5)
            continue
        if start is not None and fit.step == 0:
            fit.start_from(start, buffer, rng)
            start = None
        losses.append(fit.advance(buffer, rng))
        if fit.step % 50 == 0:
            spent = time.monotonic() - begun
            print(f"{spent:7.0f} s  step {fit.step}  loss {np.mean(losses):.4f}  boxes {buffer.read}", flush=True)
        if time.monotonic() - saved > 120:
            saved = time.monotonic()
            fit.save(checkpoint)
    fit.save(checkpoint)
