"""One order over the batches of several samplers: in turn, one after another, or drawn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np

from neuroarrays.batches.identity import Identity, checksum
from neuroarrays.batches.samplers import Batches, Resumed, checked_weights
from neuroarrays.errors import option, warn
from neuroarrays.kernels.seeding import draws, permutation

MODES = ("longest", "shortest", "weighted", "in order", "sampled")


class Cycled(Resumed):
    """Batches of several sessions, one session at a time.

    Parameters
    ----------
    samplers : sequence of Batches
        Of each session.
    mode : {"longest", "shortest", "weighted", "in order", "sampled"}
        "longest": one batch of each in turn, short sessions start anew until the longest is
        through. "shortest": until the first is through. "weighted": every batch once, sessions at
        random in proportion to what they have left. "in order": every batch once, a session after
        the other. "sampled": as many batches as there are in all, the session of each drawn with
        replacement; one that is through starts anew.
    seed : int
        Of "weighted" and "sampled".
    weights : (session,) float, optional
        How often each is drawn by "sampled", in proportion; its number of batches unless given.
    temperature : float
        These weights to the power of one over it: 1 as they are, larger towards all alike.

    Raises
    ------
    ValueError
        On another mode, or no session; on weights or a temperature that "sampled" cannot draw by,
        or with another mode.

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
            msg = "there is no session to cycle over"
            raise ValueError(msg)
        if mode != "sampled" and (weights is not None or temperature != 1.0):
            msg = f"weights and temperature are of mode='sampled', not {mode!r}"
            raise ValueError(msg)
        if not (isinstance(temperature, int | float) and temperature > 0):
            msg = f"{option('temperature', temperature)}: expected a number above 0"
            raise ValueError(msg)
        self.samplers, self.mode, self.seed = list(samplers), mode, seed
        sizes = [len(sampler) for sampler in self.samplers]
        given = np.asarray(sizes if weights is None else weights, np.float64)
        checked_weights(given, len(sizes))  # which are none to draw by is said of what was given
        with np.errstate(divide="ignore"):  # 0 stays 0
            logs = np.log(given / given.max()) / temperature
        self.shares = checked_weights(np.exp(logs), len(sizes))

    def turns(self, epoch: int) -> np.ndarray:
        """Which session each batch of an epoch is of: (batch,) int64."""
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
        """What a state says of several ranks."""
        return self.samplers[0].ranks()

    def for_ranks(self, state: Mapping[str, Any]) -> dict[str, int]:
        """A state of any number of ranks as one of this number: of another one the epoch begins anew.

        Sessions have other numbers of batches then, and take turns in another order.
        """
        epoch, batch, ranks = int(state["epoch"]), int(state["batch"]), int(state.get("ranks", 1))
        now = self.ranks().get("ranks", 1)
        if ranks == now or not batch:
            return {"epoch": epoch, "batch": batch}
        warn(
            f"the state is of {ranks} ranks, there are {now} now, so that sessions take turns in "
            f"another order: epoch {epoch} begins anew, and what it had comes a second time"
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
