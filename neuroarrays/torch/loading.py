"""Loaders: batches of a dataset, or of several in turn, that go on where they stopped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch.utils.data import DataLoader, Dataset, default_collate

from neuroarrays.schema.given import check
from neuroarrays.torch.batched import Batch, Gathered
from neuroarrays.torch.samplers import Batches, Cycled


def collate(batch: Any) -> Any:
    """A batch as our datasets gather it, whole: for ``DataLoader(..., collate_fn=collate)``.

    Parameters
    ----------
    batch : what the loader has fetched
        From a dataset of this module, or a part of one (`torch.utils.data.Subset`); or a list of
        samples of several (`torch.utils.data.ConcatDataset`), which torch's default stacks.

    Returns
    -------
    dict of tensors
        What ``dataset.batch(indices)`` gives.
    """
    if isinstance(batch, Gathered):
        return batch.batch
    return default_collate(batch) if isinstance(batch, list) else batch


class Loader(DataLoader[Batch]):
    """A DataLoader that goes on where it stopped.

    Parameters
    ----------
    dataset : dataset
        One of this module.
    batches : Batches or Cycled
        Which samples make which batch.
    **options
        Of `torch.utils.data.DataLoader`: ``num_workers``, ``pin_memory``, ...

    Notes
    -----
    Every iteration is an epoch, the next one in another order. `state_dict` counts the batches
    that were handed out, not those that workers fetched ahead; after `load_state_dict` the very
    next batch follows.
    """

    def __init__(self, dataset: Dataset[Any], batches: Batches | Cycled, **options: Any):
        given: Any = batches
        if not isinstance(given, Batches | Cycled):
            msg = (
                f"batches: expected na.torch.Batches(len(data), 64, shuffle=True), found "
                f"{given!r:.60}"
            )
            raise TypeError(msg)
        options.setdefault("collate_fn", collate)
        super().__init__(dataset, batch_sampler=batches, **options)
        self.batches = batches
        self._epoch, self._done, self._begun = batches.epoch, batches.skip, False

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        if self._begun:  # the epoch before was left early
            self._epoch, self._done = self._epoch + 1, 0
        self._begun = True
        self.batches.load_state_dict({"epoch": self._epoch, "batch": self._done})
        if self.num_workers:  # those that are forked share what is in memory then
            _load(self.dataset)
        for batch in super().__iter__():
            self._done += 1
            yield batch
        self.load_state_dict({"epoch": self._epoch + 1, "batch": 0})

    def __repr__(self) -> str:
        return f"<Loader of {len(self):,} batches from {self.dataset!r}>"

    def state_dict(self) -> dict[str, int]:
        """Epoch, and how many of its batches were handed out."""
        return {"epoch": self._epoch, "batch": self._done}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Go on after a batch of an epoch."""
        self._epoch, self._done, self._begun = int(state["epoch"]), int(state["batch"]), False
        if self._done >= len(self):  # an epoch that was counted to its end, not run to it
            self._epoch, self._done = self._epoch + 1, 0

    def set_epoch(self, epoch: int) -> None:
        """Let the next iteration be this epoch."""
        self.load_state_dict({"epoch": epoch, "batch": 0})


def _load(dataset: Any) -> None:
    """Read what is kept in memory, also of the datasets that torch's `Subset` and others hold."""
    if hasattr(dataset, "load"):
        dataset.load()
        return
    held = [dataset.dataset] if hasattr(dataset, "dataset") else getattr(dataset, "datasets", [])
    for one in held:
        _load(one)


def cycle(
    loaders: Mapping[str, Loader], mode: str = "longest", seed: int = 0, **loading: Any
) -> Loader:
    """Batches of several sessions, one session at a time, from one pool of workers.

    Parameters
    ----------
    loaders : mapping of str to Loader
        One side of what `loaders` returns.
    mode : {"longest", "shortest", "weighted"}
        "longest": one batch of each in turn, short sessions start anew until the longest is
        through. "shortest": until the first is through. "weighted": every batch once, sessions at
        random in proportion to their batches.
    seed : int
        Of "weighted".
    **loading
        For `torch.utils.data.DataLoader`; ``num_workers`` is the most that any of the loaders asks
        for, unless given.

    Returns
    -------
    Loader
        Its batches are pairs ``(session, batch)``.

    Raises
    ------
    ValueError
        On a session without a batch, or no session.
    TypeError
        If these are not loaders, but sides of them.
    """
    check(loaders, Mapping, 'expected the loaders of one side, as loaders["train"]', TypeError)
    every: dict[str, Any] = dict(loaders)
    for key, loader in every.items():
        if not isinstance(loader, Loader):
            kind = type(loader).__name__
            msg = f'{key!r} is a {kind}: expected the loaders of one side, as loaders["train"]'
            raise TypeError(msg)
        if len(loader) == 0:
            msg = f"session {key!r} has no batch"
            raise ValueError(msg)
    loading.setdefault("num_workers", max((one.num_workers for one in every.values()), default=0))
    loading.setdefault("pin_memory", any(one.pin_memory for one in every.values()))
    data = _Sessions({key: one.dataset for key, one in every.items()})
    samplers: list[Any] = [one.batches for one in every.values()]
    return Loader(data, Cycled(samplers, mode, seed), **loading)


class _Sessions(Dataset[Any]):
    """Datasets by session; a batch is of one of them."""

    def __init__(self, datasets: Mapping[str, Any]):
        self.keys, self.datasets = list(datasets), list(datasets.values())

    def __repr__(self) -> str:
        return f"{len(self.keys)} sessions"

    def load(self) -> None:
        for dataset in self.datasets:
            dataset.load()

    def __getitems__(self, pairs: Sequence[tuple[int, int]]) -> tuple[str, Any]:
        session = pairs[0][0]
        return self.keys[session], self.datasets[session].batch([i for _, i in pairs])
