"""Loaders return the batches of one or several datasets and can resume where they stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from neuroarrays.batches.base import Samples, check_samples, share_buffers
from neuroarrays.batches.cycling import Cycled
from neuroarrays.batches.identity import Identity, check_same, identity_of, plain
from neuroarrays.batches.prefetch import check_prefetch, gathered
from neuroarrays.batches.samplers import Batches
from neuroarrays.errors import SchemaError, many, shorten, warn
from neuroarrays.files.state import cached_property
from neuroarrays.lazy.arrays import LazyArray
from neuroarrays.schema.given import check, whole_number


class Position:
    """The position of a loader: the epoch, and the number of batches it has returned."""

    def __init__(self, batches: Batches | Cycled):
        self.batches = batches
        self.epoch, self.done, self.begun = batches.epoch, batches.skip, False

    def through(self, epoch: Callable[[], Iterable[Any]]) -> Iterator[Any]:
        """Yield the rest of this epoch, or the next epoch if the loop left this one early.

        `epoch` is called without arguments when the epoch begins; it returns the batches that are left.
        """
        if self.begun:
            self.epoch, self.done = self.epoch + 1, 0
        self.begun = True
        self.batches.load_state_dict(self.state())
        for batch in epoch():
            self.done += 1
            yield batch
        self.go_to({"epoch": self.epoch + 1, "batch": 0})

    def state(self) -> dict[str, int]:
        """Return the epoch and the number of batches done, for a checkpoint."""
        return {"epoch": self.epoch, "batch": self.done}

    def go_to(self, state: Mapping[str, int]) -> None:
        """Continue with the batch that follows a saved state."""
        self.epoch, self.done, self.begun = int(state["epoch"]), int(state["batch"]), False
        if self.done >= len(self.batches):  # the saved epoch was complete
            self.epoch, self.done = self.epoch + 1, 0


class Resumable:
    """The base of loaders, whose position in an epoch can be saved and restored."""

    dataset: Any
    _position: Position

    def state_dict(self) -> dict[str, Any]:
        """Return the position of the loader, and which data and order it belongs to.

        Returns
        -------
        dict
            `epoch`; `batch`, the number of its batches that were returned; `ranks`, if there are
            several; `encodings`, the labels of encoded variables, if there are any; `data` and
            `order`, which identify the dataset and the order of its batches. The values are
            numbers, text, lists and dicts, so the state can be saved as JSON.
        """
        encodings = self._encodings
        state = self._position.state() | self._position.batches.ranks()
        return state | ({"encodings": encodings} if encodings else {}) | self._identity

    @cached_property
    def _identity(self) -> dict[str, Any]:
        """What the batches depend on: the dataset and the order of the batches."""
        batches = self._position.batches
        return {"data": plain(identity_of(self.dataset)), "order": plain(batches.identity())}

    @property
    def _encodings(self) -> dict[str, Any]:
        """The labels of each encoded variable; {} if there are none."""
        return dict(plain(getattr(self.dataset, "encodings", None) or {}))

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue with the batch that follows a saved state.

        A warning tells how many samples are used a second time, if the number of ranks changed.

        Parameters
        ----------
        state : mapping
            The result of `state_dict`.

        Raises
        ------
        SchemaError
            If the state belongs to another dataset (session, number of samples, variables, split or
            labels), to another order of batches (batch size, seed or mode), or to an epoch with
            more batches; the message names what differs. Also if it is not a state of a loader.
        """
        if not isinstance(state, Mapping) or not {"epoch", "batch"} <= set(state):
            msg = (
                "expected what state_dict() of a loader gave, with epoch and batch, found "
                f"{state!r:.60}"
            )
            raise SchemaError(msg)
        try:
            for key, least in (("epoch", 0), ("batch", 0), ("ranks", 1)):
                whole_number(state.get(key, least), key, least)
        except ValueError as error:
            msg = f"the state was not saved by a loader, or is damaged: {error}"
            raise SchemaError(msg) from error
        expected, present = state.get("encodings"), self._encodings
        if expected is not None and expected != present:
            msg = (
                f"the state is of encodings {expected}, this dataset has {present or None}: give it the "
                "same encode= or vocabulary="
            )
            raise SchemaError(msg)
        check_same(
            {key: state.get(key, present) for key, present in self._identity.items()},
            self._identity,
        )
        position = self._position.batches.for_ranks(state)
        if position["batch"] > len(self._position.batches):
            msg = (
                f"the state is after batch {position['batch']:,} of an epoch, here an epoch has "
                f"{len(self._position.batches):,}: it is of another dataset, or batch_size"
            )
            raise SchemaError(msg)
        self._position.go_to(position)

    def set_epoch(self, epoch: int) -> None:
        """Start the next iteration at this epoch."""
        self._position.go_to({"epoch": epoch, "batch": 0})


class NumpyLoader(Resumable):
    """A loader of batches as dicts of numpy arrays, one epoch per iteration.

    Parameters
    ----------
    dataset : dataset
        A dataset of `na.batches`.
    batches : Batches or Cycled
        The sampler, which decides the samples of each batch.
    prefetch : int
        Number of batches that a thread gathers ahead, with transforms, while the loop works on
        another. 0 gathers each batch when it is needed. Use 2 for training.

    Notes
    -----
    Each iteration is an epoch; the next one has another order. After `load_state_dict`, the batch
    after the saved one follows, even if batches were gathered ahead. The memory of a batch is
    reused when no variable refers to it any more.

    Raises
    ------
    TypeError, ValueError
        If an argument is not valid; the message tells what to give.

    Examples
    --------
    >>> import neuroarrays as na
    >>> tree = na.load_sample()
    >>> ripples = na.align(tree, "sleep_ripples", bin_width=0.01, window=(-0.1, 0.2))
    >>> data = na.batches.TrialSamples(ripples["A2929-200711/ca1"], ["spike_data"])
    >>> loader = na.batches.NumpyLoader(data, na.batches.Batches(len(data), 64))
    >>> next(iter(loader))["spike_data"].shape
    (64, 8, 30)
    """

    def __init__(
        self, dataset: Samples | SessionBatches, batches: Batches | Cycled, prefetch: int = 0
    ):
        example = 'na.batches.TrialSamples(area, ["spike_data"])'
        check_samples(dataset, Samples | SessionBatches, example)
        check_batches(batches, "na.batches.Batches(len(data), 64, shuffle=True)")
        self.dataset: Any = dataset
        self.batches, self._position = batches, Position(batches)
        self.prefetch = check_prefetch(prefetch)

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Any]:
        fetch = self.dataset.batch
        return self._position.through(lambda: gathered(fetch, self.batches, self.prefetch))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self):,} batches from {self.dataset!r}>"


def check_batches(batches: Any, example: str) -> None:
    """Check that `batches` of a loader is a sampler.

    Raises
    ------
    TypeError
        If it is not; the message contains `example`.
    """
    if not isinstance(batches, Batches | Cycled):
        msg = f"batches: expected {example}, found {batches!r:.60}"
        raise TypeError(msg)


class SessionBatches:
    """Datasets of several sessions; each batch is from one session and comes with its name.

    Parameters
    ----------
    datasets : mapping of str to dataset
        Dataset of each session.
    """

    def __init__(self, datasets: Mapping[str, Any]):
        self.keys, self.datasets = list(datasets), list(datasets.values())
        share_buffers(self.datasets)

    def __len__(self) -> int:
        return sum(map(len, self.datasets))

    def __repr__(self) -> str:
        return many(len(self.keys), "session")

    @property
    def encodings(self) -> dict[str, Any]:
        """The labels of encoded variables, by session."""
        by_session = {
            k: getattr(d, "encodings", None) for k, d in zip(self.keys, self.datasets, strict=True)
        }
        return {key: labels for key, labels in by_session.items() if labels}

    def identity(self) -> Identity:
        """Return what identifies the dataset of each session."""
        return {k: identity_of(d) for k, d in zip(self.keys, self.datasets, strict=True)}

    def load(self) -> None:
        """Read now the data that is kept in memory, not with the first batch."""
        for dataset in self.datasets:
            dataset.load()

    def unread(self) -> list[LazyArray]:
        """Return the arrays that are read for each batch, even after `load`."""
        return [array for dataset in self.datasets for array in dataset.unread()]

    def batch(self, pairs: Sequence[tuple[int, int]]) -> tuple[str, Any]:
        """Gather samples by pairs (session, number), all of one session."""
        session = pairs[0][0]
        return self.keys[session], self.datasets[session].batch([i for _, i in pairs])

    def __getitems__(self, pairs: Sequence[tuple[int, int]]) -> tuple[str, Any]:
        return self.batch(pairs)


def cycle(
    loaders: Mapping[str, NumpyLoader],
    mode: str = "longest",
    seed: int = 0,
    *,
    weights: Mapping[str, float] | None = None,
    temperature: float = 1.0,
    prefetch: int | None = None,
) -> NumpyLoader:
    """Combine the loaders of several sessions; each batch is from one session.

    Parameters
    ----------
    loaders : mapping of str to NumpyLoader
        Loaders of one side, as in the result of `loaders`.
    mode : {"longest", "shortest", "weighted", "in order", "sampled"}
        "longest": one batch of each session in turn; short sessions start again until the longest
        is finished. "shortest": in turn, until the first session is finished. "weighted": each
        batch once, sessions drawn in proportion to their batches. "in order": each batch once, one
        session after the other, as for validation. "sampled": the total number of batches, the
        session of each drawn with replacement.
    seed : int
        Seed of "weighted" and "sampled".
    weights : mapping of str to float, optional
        Relative frequency of each session for "sampled" (default: its number of batches).
    temperature : float
        Weights are raised to the power of 1 / `temperature`: 1 keeps them, larger values make them
        more equal.
    prefetch : int, optional
        Number of batches that a thread gathers ahead (default: the most of any of the loaders).

    Returns
    -------
    NumpyLoader
        A loader whose batches are pairs ``(session, batch)``.

    Raises
    ------
    ValueError
        If a session has no batch, there is no session, or the weights are not valid or not for
        these sessions.
    TypeError
        If all sides were given instead of one.

    Examples
    --------
    >>> import neuroarrays as na
    >>> clock = na.align(na.load_sample(), bin_width=0.1, window=(671, 900))
    >>> split = lambda area: na.batches.splits.by_time(area["time"], (0.8, 0.2))
    >>> found = na.batches.loaders(clock, ["spike_data"], length=1.0, batch_size=16, split=split)
    >>> session, batch = next(iter(na.batches.cycle(found["validation"], "in order")))
    >>> session, tuple(batch["spike_data"].shape)
    ('A2929-200711/adn', (16, 10, 7))
    """
    in_turns = in_turn(loaders, NumpyLoader, mode, seed, weights, temperature)
    if prefetch is None:
        prefetch = max(loader.prefetch for loader in loaders.values())
    return NumpyLoader(*in_turns, prefetch)


def in_turn(
    loaders: Mapping[str, Any],
    kind: Any,
    mode: str,
    seed: int,
    weights: Mapping[str, float] | None,
    temperature: float,
) -> tuple[SessionBatches, Cycled]:
    """Return the dataset and the sampler of a loader that combines loaders; see `cycle`."""
    check(loaders, Mapping, 'expected the loaders of one side, as loaders["train"]', TypeError)
    for key, loader in loaders.items():
        if not isinstance(loader, kind):
            what = type(loader).__name__
            msg = f'{key!r} is a {what}: expected the loaders of one side, as loaders["train"]'
            raise TypeError(msg)
        if len(loader) == 0:
            msg = f"session {key!r} has no batch"
            raise ValueError(msg)
    _warn_of_clocks({key: getattr(loader.dataset, "clock", "") for key, loader in loaders.items()})
    datasets = SessionBatches({key: loader.dataset for key, loader in loaders.items()})
    if weights is not None:
        check(weights, Mapping, "weights: expected a number by session", TypeError)
        if wrong := set(weights) ^ set(loaders):
            msg = f"weights: expected one for each session and no other: {shorten(sorted(wrong))}"
            raise ValueError(msg)
    values = None if weights is None else [weights[key] for key in loaders]
    samplers = [loader.batches for loader in loaders.values()]
    return datasets, Cycled(samplers, mode, seed, values, temperature)


def _warn_of_clocks(clocks: Mapping[str, str]) -> None:
    """Warn about sessions whose bins differ, because a shared model would not notice it."""
    sessions: dict[str, list[str]] = {}
    for key, clock in clocks.items():
        sessions.setdefault(clock, []).append(key)
    if len(sessions) > 1:
        each = "; ".join(
            f"{clock or 'no bins'}: {shorten(keys, 3)}" for clock, keys in sessions.items()
        )
        warn(f"sessions have different bins, which a shared model does not notice: {each}")
