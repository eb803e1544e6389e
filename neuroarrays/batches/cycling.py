"""Combine the batches of several samplers: in turn, one after another, or at random."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np

from neuroarrays.batches.identity import Identity, checksum
from neuroarrays.batches.samplers import Batches, Resumed, checked_weights
from neuroarrays.errors import option, warn
from neuroarrays.kernels.seeding import draws, permutation
from neuroarrays.schema.given import whole_number

MODES = ("longest", "shortest", "weighted", "in order", "sampled")


class Cycled(Resumed):
    """Batches of several sessions, one session at a time.

    Parameters
    ----------
    samplers : sequence of Batches
        The batches of each session.
    mode : {"longest", "shortest", "weighted", "in order", "sampled"}
        "longest": one batch of each session in turn; short sessions start again until the longest
        is finished. "shortest": in turn, until the first session is finished. "weighted": each
        batch once, sessions drawn in proportion to their remaining batches. "in order": each batch
        once, one session after the other. "sampled": the total number of batches, the session of
        each drawn with replacement; a finished session starts again.
    seed : int
        Seed of "weighted" and "sampled".
    weights : (session,) float, optional
        Relative frequency of each session for "sampled" (default: its number of batches).
    temperature : float
        Weights are raised to the power of 1 / `temperature`: 1 keeps them, larger values make them
        more equal.

    Raises
    ------
    ValueError
        If the mode is unknown, there is no session, or weights or a temperature are not possible or
        are given with another mode. If `seed` is not a whole number.

    Examples
    --------
    >>> import neuroarrays as na
    >>> few, many = na.batches.Batches(4, 2), na.batches.Batches(8, 2)
    >>> len(na.batches.Cycled([few, many]))
    8
    """

    def __init__(
        self,
        samplers: Sequence[Batches],
        mode: str = "longest",
        seed: int = 0,
        weights: Any = None,
        temperature: float = 1.0,
    ):
        if mode not in MODES:
            msg = f"mode={mode!r}: expected one of {MODES}"
            raise ValueError(msg)
        if not samplers:
            msg = "expected at least one session to cycle over, found none"
            raise ValueError(msg)
        if mode != "sampled" and (weights is not None or temperature != 1.0):
            msg = f"weights and temperature need mode='sampled', found mode={mode!r}"
            raise ValueError(msg)
        if not (isinstance(temperature, int | float) and temperature > 0):
            msg = f"{option('temperature', temperature)}: expected a number above 0"
            raise ValueError(msg)
        self.samplers, self.mode = list(samplers), mode
        self.seed = whole_number(seed, "seed")
        sizes = [len(sampler) for sampler in self.samplers]
        given = np.asarray(sizes if weights is None else weights, np.float64)
        checked_weights(given, len(sizes))  # errors are about the given weights
        with np.errstate(divide="ignore"):  # 0 stays 0
            logs = np.log(given / given.max()) / temperature
        self.shares = checked_weights(np.exp(logs), len(sizes))

    def turns(self, epoch: int) -> np.ndarray:
        """The session of each batch of an epoch, (batch,) int64."""
        sizes = np.array([len(sampler) for sampler in self.samplers])
        every = np.repeat(np.arange(sizes.size), sizes)
        if self.mode == "in order":
            return every
        if self.mode == "sampled":
            uniform = draws(every.size, self.seed, epoch, 4) / 2.0**64
            places = np.searchsorted(self.shares, uniform, side="right")
            return np.minimum(places, sizes.size - 1)
        if self.mode == "weighted":
            return every.take(permutation(every.size, self.seed, epoch, 3))
        rounds = sizes.max() if self.mode == "longest" else sizes.min()
        return np.tile(np.arange(sizes.size), int(rounds))

    def __len__(self) -> int:
        return self.turns(0).size

    def batches(self, epoch: int) -> Iterator[list[tuple[int, int]]]:
        """Pairs (session, sample) of each batch of an epoch."""
        turns = self.turns(epoch)
        taken = np.bincount(turns, minlength=len(self.samplers)).tolist()
        rounds = [-(-n // len(s)) for n, s in zip(taken, self.samplers, strict=True)]
        streams = [
            _rounds(sampler, epoch * n, n) for n, sampler in zip(rounds, self.samplers, strict=True)
        ]
        for session in turns.tolist():
            yield [(session, i) for i in next(streams[session]).tolist()]

    def identity(self) -> Identity:
        """What the order of the batches depends on, but for the number of ranks."""
        identity: Identity = {"mode": self.mode, "seed": self.seed}
        if self.mode == "sampled":
            identity["weights"] = checksum(self.shares)
        return identity | {"sessions": [sampler.identity() for sampler in self.samplers]}

    def ranks(self) -> dict[str, int]:
        """The part of a state about ranks, if there are several."""
        return self.samplers[0].ranks()

    def for_ranks(self, state: Mapping[str, Any]) -> dict[str, int]:
        """Convert a state to this number of ranks; if the number differs, the epoch starts again.

        Sessions then have other numbers of batches, and another order.
        """
        epoch, batch, ranks = int(state["epoch"]), int(state["batch"]), int(state.get("ranks", 1))
        now = self.ranks().get("ranks", 1)
        if ranks == now or not batch:
            return {"epoch": epoch, "batch": batch}
        warn(
            f"the state was saved with {ranks} ranks, but there are {now} now, so the order of "
            "sessions "
            f"differs: epoch {epoch} starts again, and its samples are used a second time"
        )
        return {"epoch": epoch, "batch": 0}

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        self.handed = self.skip
        for batch in islice(self.batches(self.epoch), self.skip, None):
            self.handed += 1
            yield batch
        self.load_state_dict({"epoch": self.epoch + 1, "batch": 0})


def _rounds(sampler: Batches, first: int, n: int) -> Iterator[np.ndarray]:
    """The batches of one session in `n` of its own epochs, which are numbered on; drawn when needed."""
    for epoch in range(first, first + n):
        yield from sampler.batches(epoch)
