"""Samplers decide which samples form each batch. They are seeded, resumable and shared among ranks.

The order of an epoch depends only on the seed and the number of the epoch. Samplers never use the
random state of numpy, Python or torch, and worker processes draw no random numbers.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np

from neuroarrays.batches.identity import Identity, checksum
from neuroarrays.errors import many, warn
from neuroarrays.kernels.seeding import draws, permutation
from neuroarrays.schema.given import whole_number


@runtime_checkable
class ManyWindows(Protocol):
    """A dataset whose windows have one length and lie in stretches of a clock; see `Jittered`."""

    #: Index of the first window of each stretch, then the number of windows: (stretch + 1,) int64.
    bounds: np.ndarray
    #: Number of windows from one window to the first one after it that does not overlap it.
    step: int

    def __len__(self) -> int: ...


#: What to do where another program replaces the samplers of a loader.
REPLACED = (
    "a program that replaces samplers, as Trainer.predict of Lightning does, needs torch's own loader: "
    "DataLoader(data, batch_size=64, collate_fn=na.torch.collate)"
)


class Resumed:
    """The state of a sampler: the epoch, and how many of its batches were returned."""

    epoch = skip = handed = 0

    def state_dict(self) -> dict[str, int]:
        """Return the epoch, and how many of its batches were returned."""
        return {"epoch": self.epoch, "batch": self.handed}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Continue with the batch that follows a saved state."""
        self.epoch = int(state["epoch"])
        self.skip = self.handed = int(state["batch"])

    def set_epoch(self, epoch: int) -> None:
        """Start an epoch, as `DistributedSampler.set_epoch` does."""
        self.load_state_dict({"epoch": epoch, "batch": 0})


class Batches(Resumed):
    """A sampler that returns the sample indices of each batch.

    Parameters
    ----------
    n : int
        Number of samples.
    batch_size : int
        Samples per batch and rank.
    shuffle : bool
        If True, each epoch has another order; if False, the order is always 0, 1, 2, ...
    seed : int
        Seed of the order.
    weights : (n,) float, optional
        Draw `n` samples per epoch with replacement, in proportion to these weights: see `balanced`.
    drop_last : bool
        If True, only full batches, the same number on each rank. If False, each sample is in one
        batch of one rank, and all ranks have the same number of batches, some with one sample less
        (with a `batch_size` of 1, ranks may differ by one batch).
    rank, world_size : int, optional
        Number of this process, and number of processes that share the samples, such as
        `jax.process_index()` and `jax.process_count()`. If they are not given, `torch.distributed`
        is asked when an epoch begins; if it does not run, there is one process.

    Notes
    -----
    `load_state_dict` with the `state_dict` of another process continues with the next batch.
    `epoch` increases by 1 after each complete epoch.

    Raises
    ------
    ValueError
        If there are no batches, because training on an empty epoch would never end; on all ranks,
        if there are fewer samples than ranks. If `n`, `batch_size` or `seed` is not a whole number.

    Examples
    --------
    >>> import neuroarrays as na
    >>> list(na.batches.Batches(5, batch_size=2))[0]
    [0, 1]
    """

    def __init__(
        self,
        n: int,
        batch_size: int,
        *,
        shuffle: bool = False,
        seed: int = 0,
        weights: Any = None,
        drop_last: bool = False,
        rank: int | None = None,
        world_size: int | None = None,
    ):
        if hasattr(n, "__iter__"):  # such as a sampler: Lightning's predict puts in its own
            msg = f"n: expected the number of samples, as len(data), found {n!r:.60}"
            raise ValueError(f"{msg}; {REPLACED}")
        self.n, self.shuffle = whole_number(n, "n", 0), shuffle
        self.batch_size = whole_number(batch_size, "batch_size", 1)
        self.seed = whole_number(seed, "seed")
        self.drop_last = drop_last
        self.weights = None if weights is None else checked_weights(weights, n)
        self._given = rank, world_size
        self._check(*_share(rank, world_size))

    @property
    def rank(self) -> int:
        """The number of this process among the ranks."""
        return _share(*self._given)[0]

    @property
    def world_size(self) -> int:
        """The number of ranks, looked up each time, because Lightning starts ranks after loaders are made."""
        return _share(*self._given)[1]

    def _check(self, rank: int, world_size: int) -> int:
        """Return the number of batches of one rank in an epoch.

        Raises
        ------
        ValueError
            If a rank has no batch. All ranks raise it, or the others would wait for ever.
        """
        if 0 < self._size() < world_size:
            msg = (
                f"{many(self._size(), 'sample')} for {world_size} ranks; expected at "
                "least one sample per rank: use fewer ranks"
            )
            raise ValueError(msg)
        number = self._number(rank, world_size)
        if number == 0:
            msg = (
                f"no batch: {many(self._size(), 'sample')} an epoch, batch_size={self.batch_size}, "
                f"{world_size} rank(s), drop_last={self.drop_last}"
            )
            if self.drop_last and (share := self._size() // world_size):
                msg = f"{msg}; give batch_size={share} or less"
            raise ValueError(msg)
        return number

    def order(self, epoch: int) -> np.ndarray:
        """Return the sample indices of an epoch, of all ranks, in order: (n,) int64."""
        if self.weights is not None:
            uniform = draws(self.n, self.seed, epoch, 1) / 2.0**64
            return np.minimum(np.searchsorted(self.weights, uniform, side="right"), self.n - 1)
        return permutation(self.n, self.seed, epoch) if self.shuffle else np.arange(self.n)

    def batches(self, epoch: int) -> list[np.ndarray]:
        """Return the sample indices of each batch of this rank in an epoch."""
        rank, world_size = _share(*self._given)
        n_batches = self._check(rank, world_size)
        order = self.order(epoch)
        if self.drop_last:
            order = order[: order.size // world_size * world_size]
        order = order[rank::world_size]
        stops = [min(i * self.batch_size, order.size) for i in range(1, n_batches + 1)]
        if world_size > 1 and n_batches > 1 and stops[-2] == order.size:
            stops[-2] -= 1  # keep a sample for the last batch, which other ranks also have
        return [order[begin:stop] for begin, stop in zip([0, *stops], stops, strict=False)]

    def __len__(self) -> int:
        return self._number(*_share(*self._given))

    def _number(self, rank: int, world_size: int) -> int:
        """The number of batches of one rank in an epoch."""
        share, over = divmod(self._size(), world_size)
        if self.drop_last:
            return share // self.batch_size
        most = share + (over > 0 if self.batch_size > 1 else rank < over)
        return -(-most // self.batch_size)

    def state_dict(self) -> dict[str, int]:
        """Return the epoch, its number of batches returned, and the number of ranks if several."""
        return super().state_dict() | self.ranks()

    def ranks(self) -> dict[str, int]:
        """Return the number of ranks as part of a state; the dict is empty if there is one rank."""
        return {"ranks": self.world_size} if self.world_size > 1 else {}

    def identity(self) -> Identity:
        """Return what the order of the batches depends on, except the number of ranks."""
        identity: Identity = {
            "samples": self._size(),
            "batch_size": self.batch_size,
            "shuffle": self.shuffle,
            "seed": self.seed,
            "drop_last": self.drop_last,
        }
        return identity | ({} if self.weights is None else {"weights": checksum(self.weights)})

    def for_ranks(self, state: Mapping[str, Any]) -> dict[str, int]:
        """Convert a state to this number of ranks.

        After b batches on each rank, the first ``b * batch_size * ranks`` samples of the epoch were
        used; the next ones follow. If this is not a whole number of batches, a warning tells how
        many samples are used a second time.
        """
        epoch, batch, ranks = int(state["epoch"]), int(state["batch"]), int(state.get("ranks", 1))
        if ranks == self.world_size:
            return {"epoch": epoch, "batch": batch}
        through, again = divmod(batch * ranks, self.world_size)
        if again:
            count = many(again * self.batch_size, "sample")
            warn(
                f"the state was saved with {ranks} ranks, but there are {self.world_size} now: "
                f"{count} of epoch "
                f"{epoch} are used a second time"
            )
        return {"epoch": epoch, "batch": through}

    def _size(self) -> int:
        """The number of samples in an epoch."""
        return self.n

    def __iter__(self) -> Iterator[list[int]]:
        self.handed = self.skip
        for batch in self.batches(self.epoch)[self.skip :]:
            self.handed += 1
            yield batch.tolist()
        self.load_state_dict({"epoch": self.epoch + 1, "batch": 0})


class Jittered(Batches):
    """A sampler of windows that tile each stretch of a clock, from another start in each epoch.

    Parameters
    ----------
    windows : dataset
        A dataset with one window that starts at each frame, such as `ClipSamples` with a stride of
        one bin.
    batch_size : int
        Windows per batch and rank.
    **options
        Options of `Batches`, except `shuffle` and `weights`.

    Notes
    -----
    A stretch of n frames gives ``n // length`` windows per epoch. The tiling starts up to half a
    window before or after the start of the stretch, and windows are kept inside it, so every frame
    is used, also the first and the last.

    Examples
    --------
    >>> import neuroarrays as na
    >>> tree = na.load_sample()
    >>> clock = na.align(tree, bin_width=0.1, window=(671, 900))
    >>> data = na.batches.ClipSamples(clock["A2929-200711/adn"], ["spike_data"], 1.0)
    >>> batches = na.batches.Jittered(data, 16, seed=0)
    >>> len(next(iter(batches)))
    16
    """

    def __init__(self, windows: Any, batch_size: int, **options: Any):
        if not isinstance(windows, ManyWindows):
            kind = type(windows).__name__
            msg = f"expected windows of a clock, such as ClipSamples, found a {kind}: use Batches"
            raise TypeError(msg)
        bounds = np.asarray(windows.bounds)
        self.first, self.room = bounds[:-1], np.diff(bounds)
        self.step = windows.step
        # A stretch with w windows, whose starts are one frame apart, has w + step - 1 frames.
        self.tiles = (self.room + self.step - 1) // self.step
        super().__init__(len(windows), batch_size, shuffle=True, **options)

    def _size(self) -> int:
        """The number of windows in an epoch."""
        return int(self.tiles.sum())

    def order(self, epoch: int) -> np.ndarray:
        """Return the window indices of an epoch, of all ranks, in order: (n,) int64."""
        half = self.step // 2
        n_left = (self.room + self.step - 1) % self.step
        reach = n_left + 2 * half + 1
        phase = (draws(self.room.size, self.seed, epoch, 2) % reach.astype(np.uint64)).astype(int)
        stretch = np.repeat(np.arange(self.room.size), self.tiles)
        tile = np.arange(stretch.size) - np.repeat(np.cumsum(self.tiles) - self.tiles, self.tiles)
        starts = (phase - half)[stretch] + tile * self.step
        windows = self.first[stretch] + np.clip(starts, 0, self.room[stretch] - 1)
        return np.asarray(windows[permutation(windows.size, self.seed, epoch)])


def balanced(labels: Any) -> np.ndarray:
    """Compute weights that draw each label (session, area, class) equally often.

    Parameters
    ----------
    labels : (sample,) array
        Label of each sample.

    Returns
    -------
    (sample,) float64
        Weights: 1 divided by the number of samples with the same label.

    Examples
    --------
    >>> import neuroarrays as na
    >>> na.batches.balanced(["left", "left", "left", "right"]).round(2)
    array([0.33, 0.33, 0.33, 1.  ])
    """
    _, number, counts = np.unique(np.asarray(labels), return_inverse=True, return_counts=True)
    return 1.0 / counts[number]


def checked_weights(weights: Any, n: int) -> np.ndarray:
    """Return the cumulative weights, (n,) float64 from above 0 to 1, after checking the weights."""
    values = np.asarray(weights, np.float64)
    if values.shape != (n,) or not np.isfinite(values).all() or (values < 0).any():
        msg = f"weights: expected {n} numbers of 0 or more, found shape {values.shape}"
        raise ValueError(msg)
    if not values.sum() > 0:
        msg = "weights: all are 0; expected at least one above 0"
        raise ValueError(msg)
    return np.cumsum(values / values.sum())


def _share(rank: int | None, world_size: int | None) -> tuple[int, int]:
    """Return the rank and the number of ranks, as given or else as `torch.distributed` has them."""
    if rank is None and world_size is None:
        # torch is not imported here: if nobody imported it, none of its processes run.
        distributed = getattr(sys.modules.get("torch"), "distributed", None)
        if distributed is None or not distributed.is_available():
            return 0, 1
        if not distributed.is_initialized():
            return 0, 1
        return distributed.get_rank(), distributed.get_world_size()
    if rank is None or world_size is None or not 0 <= rank < world_size:
        msg = f"rank={rank}, world_size={world_size}: expected both, and 0 <= rank < world_size"
        raise ValueError(msg)
    return int(rank), int(world_size)
