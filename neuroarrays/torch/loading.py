"""Loaders: torch's own, with batches as they were gathered, that go on where they stopped."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Mapping
from typing import Any

from torch.utils.data import DataLoader, Dataset, default_collate

from neuroarrays.batches.base import Batch, Gathered
from neuroarrays.batches.loading import Position, Resumable, check_batches, in_turn
from neuroarrays.batches.samplers import Batches, Cycled
from neuroarrays.lazy.arrays import is_behind_address


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


class Loader(Resumable, DataLoader[Batch]):
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

    Workers that have to read from behind an address (http, a bucket) are started by "forkserver",
    or "spawn" where there is none, unless ``multiprocessing_context`` says how: what reads there
    does not survive a fork. A script then begins with ``if __name__ == "__main__":``. Where all
    values fit into memory (``cache``), workers are forked and share them.
    """

    def __init__(self, dataset: Dataset[Any], batches: Batches | Cycled, **options: Any):
        check_batches(batches, "na.torch.Batches(len(data), 64, shuffle=True)")
        options.setdefault("collate_fn", collate)
        super().__init__(dataset, batch_sampler=batches, **options)
        self.batches, self._position = batches, Position(batches)

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        if self.num_workers:  # those that are forked share what is in memory then
            _each(self.dataset, "load")
            self._choose_start()
        return self._position.through(super().__iter__)

    def _choose_start(self) -> None:
        """Workers that read from behind an address are not forked: what carries the bytes has threads."""
        if self.multiprocessing_context is None and any(
            is_behind_address(array) for arrays in _each(self.dataset, "unread") for array in arrays
        ):
            known = multiprocessing.get_all_start_methods()
            self.multiprocessing_context = "forkserver" if "forkserver" in known else "spawn"

    def __repr__(self) -> str:
        return f"<Loader of {len(self):,} batches from {self.dataset!r}>"


def _each(dataset: Any, method: str) -> list[Any]:
    """What a method of our datasets returns, also of those that torch's `Subset` and others hold."""
    if hasattr(dataset, method):
        return [getattr(dataset, method)()]
    parts = [dataset.dataset] if hasattr(dataset, "dataset") else getattr(dataset, "datasets", [])
    return [result for part in parts for result in _each(part, method)]


def cycle(
    loaders: Mapping[str, Loader], mode: str = "longest", seed: int = 0, **loading: Any
) -> Loader:
    """Batches of several sessions, one session at a time, from one pool of workers.

    Parameters
    ----------
    loaders : mapping of str to Loader
        One side of what `loaders` returns.
    mode : {"longest", "shortest", "weighted", "in order"}
        "longest": one batch of each in turn, short sessions start anew until the longest is
        through. "shortest": until the first is through. "weighted": every batch once, sessions at
        random in proportion to their batches. "in order": every batch once, a session after the
        other, as for validation.
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
    sessions, batches = in_turn(loaders, Loader, mode, seed)
    loading.setdefault("num_workers", max(loader.num_workers for loader in loaders.values()))
    loading.setdefault("pin_memory", any(loader.pin_memory for loader in loaders.values()))
    return Loader(sessions, batches, **loading)  # type: ignore[arg-type]
