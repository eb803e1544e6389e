"""Loaders: batches of a dataset, or of several in turn, that go on where they stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from neuroarrays.batches.base import Samples, check_samples
from neuroarrays.batches.cycling import Cycled
from neuroarrays.batches.identity import Identity, check_same, identity_of
from neuroarrays.batches.prefetch import check_prefetch, gathered
from neuroarrays.batches.samplers import Batches
from neuroarrays.errors import SchemaError, many, shorten, warn
from neuroarrays.files.state import cached_property
from neuroarrays.lazy.arrays import LazyArray
from neuroarrays.schema.given import check


class Position:
    """How far a loader is: the epoch, and how many of its batches were handed out."""

    def __init__(self, batches: Batches | Cycled):
        self.batches = batches
        self.epoch, self.done, self.begun = batches.epoch, batches.skip, False

    def through(self, epoch: Callable[[], Iterable[Any]]) -> Iterator[Any]:
        """The rest of this epoch, or the next one if this one was left early."""
        if self.begun:
            self.epoch, self.done = self.epoch + 1, 0
        self.begun = True
        self.batches.load_state_dict(self.state())
        for batch in epoch():
            self.done += 1
            yield batch
        self.go_to({"epoch": self.epoch + 1, "batch": 0})

    def state(self) -> dict[str, int]:
        """Epoch and batch, for a checkpoint."""
        return {"epoch": self.epoch, "batch": self.done}

    def go_to(self, state: Mapping[str, int]) -> None:
        """Go on after a batch of an epoch."""
        self.epoch, self.done, self.begun = int(state["epoch"]), int(state["batch"]), False
        if self.done >= len(self.batches):  # an epoch that was counted to its end, not run to it
            self.epoch, self.done = self.epoch + 1, 0


class Resumable:
    """What loaders share: their position in an epoch can be saved in a checkpoint and restored."""

    dataset: Any
    _position: Position

    def state_dict(self) -> dict[str, Any]:
        """How far the loader is, and of which data.

        Returns
        -------
        dict
            `epoch`, and `batch`, how many of its batches were handed out; `ranks` if there are
            several; `encodings`, the labels of encoded variables, if there are any; `data` and
            `order`, what tells the dataset and its batches from others. Numbers, text, lists and
            dicts, so that it can be kept as JSON.
        """
        encodings = getattr(self.dataset, "encodings", None)
        state = self._position.state() | self._position.batches.ranks()
        return state | ({"encodings": encodings} if encodings else {}) | self._identity

    @cached_property
    def _identity(self) -> dict[str, Any]:
        batches = self._position.batches
        return {"data": identity_of(self.dataset), "order": batches.identity()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on after a batch of an epoch, also with another number of ranks: a warning says what comes twice.

        Raises
        ------
        SchemaError
            If the state is of another dataset (its session, number of samples, variables, split,
            labels), of batches in another order (their size, seed, mode), or of an epoch of more
            batches than there are; names what differs. If it is no state of a loader.
        """
        if not isinstance(state, Mapping) or not {"epoch", "batch"} <= set(state):
            msg = f"expected what state_dict() of a loader gave, with epoch and batch, found {state!r:.60}"
            raise SchemaError(msg)
        expected, found = state.get("encodings"), getattr(self.dataset, "encodings", None) or None
        if expected is not None and expected != found:
            msg = f"the state is of encodings {expected}, this dataset has {found}: give it the same encode= or vocabulary="
            raise SchemaError(msg)
        check_same(
            {key: state.get(key, here) for key, here in self._identity.items()}, self._identity
        )
        here = self._position.batches.for_ranks(state)
        if here["batch"] > len(self._position.batches):
            msg = (
                f"the state is after batch {here['batch']:,} of an epoch, here an epoch has "
                f"{len(self._position.batches):,}: it is of another dataset, or batch_size"
            )
            raise SchemaError(msg)
        self._position.go_to(here)

    def set_epoch(self, epoch: int) -> None:
        """Let the next iteration be this epoch."""
        self._position.go_to({"epoch": epoch, "batch": 0})


class NumpyLoader(Resumable):
    """Batches of a dataset as dicts of numpy arrays, one epoch per iteration.

    Parameters
    ----------
    dataset : dataset
        One of this module.
    batches : Batches or Cycled
        Which samples make which batch.
    prefetch : int
        How many batches a thread gathers ahead, transforms included, while the loop has another;
        0 gathers each when it is asked for. 2 is the choice for training.

    Notes
    -----
    Every iteration is an epoch, the next one in another order. After `load_state_dict` the very
    next batch follows, whatever was gathered ahead. The memory of a batch is used again once you
    have let go of it.

    Raises
    ------
    TypeError, ValueError
        If an argument is of no use; says what to give.

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


def check_batches(given: Any, example: str) -> None:
    """Raise an error if something does not say which samples make which batch.

    Raises
    ------
    TypeError
        Says what to give.
    """
    if not isinstance(given, Batches | Cycled):
        msg = f"batches: expected {example}, found {given!r:.60}"
        raise TypeError(msg)


class SessionBatches:
    """Datasets by session; a batch is of one of them, and comes with its session's name.

    Parameters
    ----------
    datasets : mapping of str to dataset
        By session.
    """

    def __init__(self, datasets: Mapping[str, Any]):
        self.keys, self.datasets = list(datasets), list(datasets.values())

    def __len__(self) -> int:
        return sum(map(len, self.datasets))

    def __repr__(self) -> str:
        return many(len(self.keys), "session")

    @property
    def encodings(self) -> dict[str, Any]:
        """The labels of encoded variables, by session."""
        kept = {
            k: getattr(d, "encodings", None) for k, d in zip(self.keys, self.datasets, strict=True)
        }
        return {key: labels for key, labels in kept.items() if labels}

    def identity(self) -> Identity:
        """What tells the dataset of each session from others."""
        return {k: identity_of(d) for k, d in zip(self.keys, self.datasets, strict=True)}

    def load(self) -> None:
        """Read now what is kept in memory."""
        for dataset in self.datasets:
            dataset.load()

    def unread(self) -> list[LazyArray]:
        """The arrays that are read for every batch, also once `load` was called."""
        return [array for dataset in self.datasets for array in dataset.unread()]

    def batch(self, pairs: Sequence[tuple[int, int]]) -> tuple[str, Any]:
        """Samples by pairs (session, number), all of one session."""
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
    """Batches of several sessions, one session at a time.

    Parameters
    ----------
    loaders : mapping of str to NumpyLoader
        One side of what `loaders` returns.
    mode : {"longest", "shortest", "weighted", "in order", "sampled"}
        "longest": one batch of each in turn, short sessions start anew until the longest is
        through. "shortest": until the first is through. "weighted": every batch once, sessions at
        random in proportion to their batches. "in order": every batch once, a session after the
        other, as for validation. "sampled": as many batches as there are in all, the session of each
        drawn with replacement.
    seed : int
        Of "weighted" and "sampled".
    weights : mapping of str to float, optional
        How often "sampled" draws each session, in proportion; its number of batches unless given.
    temperature : float
        These weights to the power of one over it: 1 as they are, larger towards all alike.
    prefetch : int, optional
        How many batches a thread gathers ahead; the most that any of the loaders does, unless given.

    Returns
    -------
    NumpyLoader
        Its batches are pairs ``(session, batch)``.

    Raises
    ------
    ValueError
        On a session without a batch, no session, or weights that are none or not of these sessions.
    TypeError
        If these are not loaders, but sides of them.

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
    """The dataset and batches of a loader that takes some loaders in turn; see `cycle`."""
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
    """Say which sessions have other bins than the rest: one model would take them for the same."""
    sessions: dict[str, list[str]] = {}
    for key, clock in clocks.items():
        sessions.setdefault(clock, []).append(key)
    if len(sessions) > 1:
        each = "; ".join(
            f"{clock or 'no bins'}: {shorten(keys, 3)}" for clock, keys in sessions.items()
        )
        warn(f"sessions of different bins, which a model that all share takes for the same: {each}")
