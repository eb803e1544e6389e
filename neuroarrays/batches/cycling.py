"""`Cycled` combines the batches of several samplers: in turn, one after another, or at random."""

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
    """A sampler of several sessions; each batch is of one session.

    Parameters
    ----------
    samplers : sequence of Batches
        The sampler of each session.
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
        If the mode is unknown, there is no session, weights or temperature are not valid or given
        with another mode than "sampled", or `seed` is not a whole number.

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
        frequencies = np.asarray(sizes if weights is None else weights, np.float64)
        checked_weights(frequencies, len(sizes))  # so that errors are about the weights as given
        with np.errstate(divide="ignore"):  # the logarithm of 0 becomes 0 again below
            logs = np.log(frequencies / frequencies.max()) / temperature
        self.shares = checked_weights(np.exp(logs), len(sizes))

    def turns(self, epoch: int) -> np.ndarray:
        """Return the number of the session of each batch of an epoch, (batch,) int64."""
        sizes = np.array([len(sampler) for sampler in self.samplers])
        in_order = np.repeat(np.arange(sizes.size), sizes)
        if self.mode == "in order":
            return in_order
        if self.mode == "sampled":
            uniform = draws(in_order.size, self.seed, epoch, 4) / 2.0**64
            sessions = np.searchsorted(self.shares, uniform, side="right")
            return np.minimum(sessions, sizes.size - 1)
        if self.mode == "weighted":
            return in_order.take(permutation(in_order.size, self.seed, epoch, 3))
        rounds = sizes.max() if self.mode == "longest" else sizes.min()
        return np.tile(np.arange(sizes.size), int(rounds))

    def __len__(self) -> int:
        return self.turns(0).size

    def batches(self, epoch: int) -> Iterator[list[tuple[int, int]]]:
        """Yield each batch of an epoch as a list of pairs (session number, sample number)."""
        turns = self.turns(epoch)
        counts = np.bincount(turns, minlength=len(self.samplers)).tolist()
        streams = []
        for n_batches, sampler in zip(counts, self.samplers, strict=True):
            n_rounds = -(-n_batches // len(sampler))
            streams.append(_rounds(sampler, epoch * n_rounds, n_rounds))
        for session in turns.tolist():
            yield [(session, i) for i in next(streams[session]).tolist()]

    def identity(self) -> Identity:
        """Return what the order of the batches depends on, except the number of ranks."""
        identity: Identity = {"mode": self.mode, "seed": self.seed}
        if self.mode == "sampled":
            identity["weights"] = checksum(self.shares)
        return identity | {"sessions": [sampler.identity() for sampler in self.samplers]}

    def ranks(self) -> dict[str, int]:
        """Return the number of ranks as part of a state; the dict is empty if there is one rank."""
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
            f"sessions differs: epoch {epoch} starts again, and its samples are used a second time"
        )
        return {"epoch": epoch, "batch": 0}

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        self.handed = self.skip
        for batch in islice(self.batches(self.epoch), self.skip, None):
            self.handed += 1
            yield batch
        self.load_state_dict({"epoch": self.epoch + 1, "batch": 0})


def _rounds(sampler: Batches, first: int, n: int) -> Iterator[np.ndarray]:
    """Yield the batches of one session in `n` epochs of its own, from epoch `first` on."""
    for epoch in range(first, first + n):
        yield from sampler.batches(epoch)
