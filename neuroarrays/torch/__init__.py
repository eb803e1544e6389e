"""Torch datasets and loaders from aligned trees and recordings.

Align and split the data first. A sample is a dict of tensors under the names of the tree's
variables. A batch is the same dict with one more axis in front, gathered at once::

    data = na.torch.TrialDataset(area, ["stimulus"], ["responses"])
    loader = na.torch.Loader(data, na.torch.Batches(len(data), 64, shuffle=True))

Unknown values never become 0. Targets are NaN where a mask of the area says so, if the dtype has
NaN; the masks come with every batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import xarray as xr

from neuroarrays.batches import gathering, splits
from neuroarrays.batches.cycling import Cycled
from neuroarrays.batches.plan import Kinds, LoaderPlan, SplitRule
from neuroarrays.batches.samplers import Batches, Jittered, balanced
from neuroarrays.batches.vocabulary import Vocabulary
from neuroarrays.errors import MissingDependency
from neuroarrays.schema.given import check

try:
    import torch  # noqa: F401
except ImportError as error:
    raise MissingDependency("torch", "torch", "neuroarrays.torch") from error

from neuroarrays.torch.datasets import (
    ClipDataset,
    RepeatDataset,
    SpikeEventDataset,
    SpikeWindowDataset,
    Stack,
    TrialDataset,
)
from neuroarrays.torch.device import OnDevice
from neuroarrays.torch.loading import Loader, collate, cycle
from neuroarrays.torch.scaling import Normalize

__all__ = [
    "Batches",
    "ClipDataset",
    "Cycled",
    "Jittered",
    "Loader",
    "Normalize",
    "OnDevice",
    "RepeatDataset",
    "SpikeEventDataset",
    "SpikeWindowDataset",
    "Stack",
    "TrialDataset",
    "Vocabulary",
    "balanced",
    "collate",
    "cycle",
    "loaders",
    "splits",
]


def __dir__() -> list[str]:
    return sorted(__all__)


#: The keyword arguments of `loaders` itself.
_ARGUMENTS = (
    "batch_size",
    "length",
    "split",
    "repeats",
    "normalize",
    "seed",
    "compat",
    "options",
    "prefetch",
)
#: The classes of datasets, and the normalisation, that `loaders` uses.
_KINDS = Kinds(TrialDataset, ClipDataset, RepeatDataset, Normalize.fit, Normalize.stored)


def loaders(  # noqa: PLR0913
    tree: xr.DataTree,
    inputs: Sequence[str] = (),
    targets: Sequence[str] = (),
    *,
    batch_size: int | None = None,
    length: float | None = None,
    split: str | SplitRule = "tier",
    repeats: str | None = None,
    normalize: Sequence[str] | str = (),
    seed: int | None = None,
    compat: str | None = None,
    options: Mapping[str, Any] | None = None,
    prefetch: int | None = None,
    **loading: Any,
) -> dict[str, dict[str, Any]]:
    """Make loaders for each session, by side of a split.

    Parameters
    ----------
    tree : xr.DataTree
        An aligned tree, from its root.
    inputs, targets : sequence of str
        Variables of each area; see `TrialDataset`. Areas that lack one of them are left out, with a
        warning.
    batch_size : int, optional
        Samples per batch (default: 64, or that of the library of `compat`).
    length : float, s, optional
        Length of windows of a continuous clock (default: none, samples are presentations).
    split : str or callable
        "tier", or another column of `presentations` to split by; "block": by the tree's first
        level (``train/session/area``); or a function of the area's node that returns
        ``{"train": ..., ...}``, such as those of `na.torch.splits` make.
    repeats : str, optional
        Column of `presentations` with the stimulus. Test sides then have a sample for each
        stimulus, with the mean and all repeats of its targets. Continuous responses have
        `responses_by_trial`, if the tree has it.
    normalize : sequence of str or "stored"
        Variables to normalise by mean and standard deviation (ddof=1) over the train side of their
        session. "stored" normalises all variables by the stored statistics, see `Normalize.stored`.
    seed : int, optional
        Seed of the order of training samples (default: 0, or that of the library of `compat`).
    compat : {"openretina", "neuralpredictors"}, optional
        Give the same batches as the loaders of that library; see `neuroarrays.torch.dropin`.
    options : mapping, optional
        Options of the datasets: ``dtype``, ``cache``, ``labels``, ``offsets``.
    prefetch : int, optional
        Number of batches that a thread gathers ahead; see `Loader` (default: 2 for training; 0 for
        the other sides, with `compat`, and with worker processes).
    **loading
        Options of `Loader`: ``device``, and those of `torch.utils.data.DataLoader`, such as
        ``num_workers``.

    Returns
    -------
    dict of dict of Loader
        ``{"train": {session: loader}, "validation": ..., "test": ...}``; the key is
        ``session/area`` if a session has several areas. Training samples are shuffled, and windows
        start anywhere; the other sides are in order and complete.

    Raises
    ------
    NotInTree, SchemaError, ValueError
        If something is missing or empty; the message names the session and area.

    Examples
    --------
    >>> import neuroarrays as na
    >>> clock = na.align(na.load_sample(), bin_width=0.1, window=(671, 900))
    >>> split = lambda area: na.batches.splits.by_time(area["time"], (0.8, 0.2))
    >>> found = na.torch.loaders(clock, ["spike_data"], length=1.0, batch_size=16, split=split)
    >>> list(found), list(found["train"])
    (['train', 'validation'], ['A2929-200711/adn', 'A2929-200711/ca1'])
    """
    from neuroarrays.torch import dropin

    if compat is not None:
        not_taken: dict[str, Any] = {
            "length": length,
            "repeats": repeats,
            "normalize": normalize or None,
            "split": None if split == "tier" else split,
        }
        if unused := [name for name, value in not_taken.items() if value is not None]:
            msg = f"compat={compat!r} does not take {', '.join(unused)}: that library decides it"
            raise ValueError(msg)
        check(options, Mapping | None, f"options of compat={compat!r}: expected a dict", TypeError)
        arguments = {
            "inputs": inputs,
            "targets": targets,
            "batch_size": batch_size,
            "seed": seed,
        }
        library_options = {**(options or {}), **loading}
        if prefetch is not None:
            library_options["prefetch"] = prefetch
        if twice := [name for name in library_options if name in arguments]:
            msg = f"options: {twice[0]} is an argument of loaders, give it there"
            raise ValueError(msg)
        arguments = {name: value for name, value in arguments.items() if value is not None}
        return dropin.loaders(tree, compat, **arguments, **library_options)
    dropin.check_loading(loading, _ARGUMENTS, "na.torch.loaders")
    plan = LoaderPlan(
        gathering.names(inputs),
        gathering.names(targets),
        batch_size=64 if batch_size is None else batch_size,
        length=length,
        split=split,
        repeats=repeats,
        normalize=normalize,
        seed=0 if seed is None else seed,
        options=options,
        prefetch=0 if prefetch is None and loading.get("num_workers") else prefetch,
        kinds=_KINDS,
    )
    return plan.loaders(
        tree,
        lambda dataset, batches, ahead: Loader(dataset, batches, prefetch=ahead, **loading),
    )
