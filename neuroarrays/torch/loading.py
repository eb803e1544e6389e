"""`Loader`: torch's DataLoader with whole batches, prefetching and an epoch that can be resumed."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, default_collate

from neuroarrays.batches.base import Batch, Gathered
from neuroarrays.batches.cycling import Cycled
from neuroarrays.batches.loading import Position, Resumable, check_batches, in_turn
from neuroarrays.batches.prefetch import check_prefetch, gathered
from neuroarrays.batches.samplers import REPLACED, Batches
from neuroarrays.lazy.arrays import is_behind_address
from neuroarrays.torch.datasets import each
from neuroarrays.torch.rings import Rings
from neuroarrays.torch.transfer import Transfer, mapped


def collate(batch: Any) -> Any:
    """Return a batch as the dataset gathered it, for ``DataLoader(..., collate_fn=collate)``.

    Parameters
    ----------
    batch : object
        What the loader fetched: a batch from a dataset of `na.torch`, or from a part of one
        (`torch.utils.data.Subset`); or a list of samples of several datasets
        (`torch.utils.data.ConcatDataset`), which are stacked as torch does.

    Returns
    -------
    dict of tensors
        The result of ``dataset.batch(indices)``.

    Raises
    ------
    ValueError
        If samples of several datasets differ in length.

    Examples
    --------
    >>> import neuroarrays as na
    >>> ripples = na.align(na.load_sample(), "sleep_ripples", bin_width=0.01, window=(-0.1, 0.2))
    >>> from torch.utils.data import DataLoader
    >>> data = na.torch.TrialDataset(ripples["A2929-200711/ca1"], ["spike_data"])
    >>> loader = DataLoader(data, batch_size=32, collate_fn=na.torch.collate)
    >>> tuple(next(iter(loader))["spike_data"].shape)
    (32, 8, 30)
    """
    if isinstance(batch, Gathered):
        return batch.batch
    if not isinstance(batch, list):
        return batch
    try:
        return default_collate(batch)
    except RuntimeError as error:
        if "equal size" not in str(error):
            raise
        msg = (
            "samples differ in length and cannot be stacked; combine the datasets "
            "with na.torch.Stack, which pads, or give tokens a width="
        )
        raise ValueError(msg) from error


class Loader(Resumable, DataLoader[Batch]):
    """A DataLoader that gathers whole batches, ahead if wanted, and can resume where it stopped.

    Parameters
    ----------
    dataset : dataset
        A dataset of `na.torch`.
    batches : Batches or Cycled
        The sampler, which decides the samples of each batch.
    prefetch : int
        Number of batches that a thread gathers ahead, with transforms and ``pin_memory``, while the
        loop works on another. 0 gathers each batch when it is needed. Use 2 for training.
    device : str or torch.device, optional
        Device for the batches; the thread sends them ahead, on a separate stream.
    **options
        Options of `torch.utils.data.DataLoader`: ``num_workers``, ``pin_memory``, ...

    Notes
    -----
    Each iteration is an epoch; the next one has another order. `state_dict` counts the batches that
    the loop received, not those gathered ahead; after `load_state_dict` the next batch follows.
    Errors of the thread are raised in the loop, with their traceback. The thread uses the current
    device and the gradient mode of the loop.

    Workers that read from an address (http, a bucket) are started with "forkserver", or "spawn" if
    it does not exist, because network connections do not survive a fork;
    ``multiprocessing_context`` changes this. A script then needs ``if __name__ == "__main__":``. If
    all values fit into memory (``cache``), workers are forked and share them.

    Raises
    ------
    ValueError
        If both a thread and worker processes are given, ``timeout`` without workers, or
        ``batch_sampler``.

    Examples
    --------
    >>> import neuroarrays as na
    >>> tree = na.load_sample()
    >>> clock = na.align(tree, bin_width=0.1, window=(671, 900))
    >>> data = na.torch.ClipDataset(clock["A2929-200711/adn"], ["spike_data"], 1.0)
    >>> batches = na.torch.Batches(len(data), 32, shuffle=True)
    >>> loader = na.torch.Loader(data, batches, prefetch=2)
    >>> tuple(next(iter(loader))["spike_data"].shape)
    (32, 10, 7)
    """

    def __init__(
        self,
        dataset: Dataset[Any],
        batches: Batches | Cycled,
        *,
        prefetch: int = 0,
        device: str | torch.device | None = None,
        **options: Any,
    ):
        check_batches(batches, "na.torch.Batches(len(data), 64, shuffle=True)")
        self.prefetch = check_prefetch(prefetch)
        if "batch_sampler" in options:
            msg = f"batch_sampler: the sampler of this loader is batches=; {REPLACED}"
            raise ValueError(msg)
        options.setdefault("collate_fn", collate)
        super().__init__(dataset, batch_sampler=batches, **options)
        if self.prefetch and self.num_workers:
            msg = (
                f"prefetch={prefetch} uses a thread and num_workers={self.num_workers} uses "
                "processes: "
                "give only one (prefetch_factor= is the number of batches that a worker "
                "gathers ahead)"
            )
            raise ValueError(msg)
        if self.timeout and not self.num_workers:
            msg = f"timeout={self.timeout} is for worker processes: leave it out, or give num_workers="
            raise ValueError(msg)
        self.batches, self._position = batches, Position(batches)
        self.device = None if device is None else torch.device(device)

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        if self.num_workers:  # data read before workers are forked is shared by all of them
            each(self.dataset, "load")
            self._choose_start()
        if not self.num_workers:  # torch's own loop costs 50 µs a batch, and draws a random number
            return self._position.through(self._ahead)
        if self.device is not None:
            transfer, workers = Transfer(self.device), super().__iter__
            return self._position.through(
                lambda: map(transfer.receive, map(transfer.send, workers()))
            )
        return self._position.through(super().__iter__)

    def _get_iterator(self) -> Any:
        """Return torch's iterator of an epoch; worker processes get memory that is used again."""
        own_functions = self.collate_fn, self.worker_init_fn
        try:
            rings = Rings(self.num_workers, *own_functions) if self.num_workers else None
        except OSError:  # torch then takes new memory for every batch
            rings = None
        if rings is None:
            return super()._get_iterator()
        self.collate_fn, self.worker_init_fn = rings, rings.begin
        try:
            return super()._get_iterator()
        finally:
            self.collate_fn, self.worker_init_fn = own_functions
            rings.close()

    def _ahead(self) -> Iterator[Any]:
        """Return the batches of an epoch, gathered by a thread and sent to their device."""
        to_gpu = self.device is not None and self.device.type == "cuda"
        pin = (self.pin_memory and _can_pin()) or to_gpu
        if pin:  # batches are gathered into pinned memory, so that nothing is copied twice
            each(self.dataset, "pin")
        fetch = _fetcher(self.dataset, self.collate_fn, pin)
        if self.device is None:
            return gathered(fetch, self.batches, self.prefetch)
        transfer = Transfer(self.device)
        sent = gathered(lambda numbers: transfer.send(fetch(numbers)), self.batches, self.prefetch)
        return map(transfer.receive, sent)

    def _choose_start(self) -> None:
        """Choose how workers start; those that read from an address are not forked.

        Network clients use threads and locks, which do not survive a fork.
        """
        if self.multiprocessing_context is None and any(
            is_behind_address(array) for arrays in each(self.dataset, "unread") for array in arrays
        ):
            known = multiprocessing.get_all_start_methods()
            self.multiprocessing_context = "forkserver" if "forkserver" in known else "spawn"

    def __repr__(self) -> str:
        return f"<Loader of {len(self):,} batches from {self.dataset!r}>"


def _fetcher(
    dataset: Any, collate_fn: Callable[[Any], Any], pin: bool
) -> Callable[[list[Any]], Any]:
    """Return a function for another thread that fetches a batch by its numbers as torch's loader does."""
    grad = torch.is_grad_enabled()
    # The gradient mode and the current device belong to a thread. CUDA is not initialized for this.
    device = torch.cuda.current_device() if torch.cuda.is_initialized() or pin else -1
    by_batch = hasattr(dataset, "__getitems__")

    def fetch(numbers: list[Any]) -> Any:
        """Fetch one batch, with the gradient mode and device of the loop."""
        with torch.set_grad_enabled(grad), torch.cuda.device(device):
            fetched = dataset.__getitems__(numbers) if by_batch else [dataset[i] for i in numbers]
            batch = collate_fn(fetched)
            return mapped(batch, torch.Tensor.pin_memory) if pin else batch

    return fetch


def _can_pin() -> bool:
    """Whether there is a GPU to pin memory for; without one torch's own loader pins none, either."""
    return torch.cuda.is_available()


def cycle(
    loaders: Mapping[str, Loader],
    mode: str = "longest",
    seed: int = 0,
    *,
    weights: Mapping[str, float] | None = None,
    temperature: float = 1.0,
    **loading: Any,
) -> Loader:
    """Combine the loaders of several sessions, with one thread or one pool of workers.

    Parameters
    ----------
    loaders : mapping of str to Loader
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
    **loading
        ``prefetch``, ``device``, and options of `torch.utils.data.DataLoader`. Unless given,
        ``prefetch`` and ``num_workers`` are the largest of those of the loaders.

    Returns
    -------
    Loader
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
    >>> found = na.torch.loaders(clock, ["spike_data"], length=1.0, batch_size=16, split=split)
    >>> session, batch = next(iter(na.torch.cycle(found["validation"], "in order")))
    >>> session, tuple(batch["spike_data"].shape)
    ('A2929-200711/adn', (16, 10, 7))
    """
    sessions, batches = in_turn(loaders, Loader, mode, seed, weights, temperature)
    if not loading.get("prefetch"):
        loading.setdefault("num_workers", max(loader.num_workers for loader in loaders.values()))
    if not loading.get("num_workers"):
        loading.setdefault("prefetch", max(loader.prefetch for loader in loaders.values()))
    loading.setdefault("device", next(iter(loaders.values())).device)
    loading.setdefault("pin_memory", any(loader.pin_memory for loader in loaders.values()))
    return Loader(sessions, batches, **loading)  # type: ignore[arg-type]
