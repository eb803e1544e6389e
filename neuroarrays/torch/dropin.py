"""Loaders that deliver what two other libraries' loaders do, for models written for them.

``na.torch.loaders(tree, compat="openretina")``
    `DataPoint(inputs (B, C, T, H, W), targets (B, T, N))` float32: that library's validation clips
    (`RandomState(seed)`, 42 unless given), its chunks across clip joins and removed clips, and its starts: those of
    an epoch equal what ``np.random.seed(seed)`` gives its sampler, one session by itself.
``na.torch.loaders(tree, compat="neuralpredictors")``
    Its `DataPoint(images, responses[, behavior[, pupil_center]])` with its normalisation: images
    z-scored by one mean and deviation, responses divided by each neuron's deviation (by 1 % of the
    mean deviation where that is larger), behaviour divided, pupil position z-scored; by the
    statistics that are stored beside the data, which are of the train tier. Of movies, `videos`
    instead of `images`, whole or in windows. `loader.dataset` has `neurons`, `trial_info` and
    `tiers`, which SENSORIUM's models and scores read.

Some of what they do is not what one would choose: a window may run across a removed clip. Without
`compat` none of it happens.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any

import xarray as xr
from torch.utils.data import DataLoader

from neuroarrays.errors import NotInTree
from neuroarrays.torch.neuralpredictors import neuralpredictors
from neuroarrays.torch.openretina import openretina

#: The two libraries.
WAYS: dict[str, Callable[..., dict[str, dict[str, Any]]]] = {
    "openretina": openretina,
    "neuralpredictors": neuralpredictors,
}
#: Options of torch's DataLoader that are not made here.
_LOADING = set(inspect.signature(DataLoader).parameters) - {
    "dataset", "batch_size", "shuffle", "sampler", "batch_sampler", "drop_last",
}  # fmt: skip


def check_loading(options: Mapping[str, Any], known: Collection[str], where: str) -> None:
    """Refuse options that are neither known nor of torch's DataLoader.

    Raises
    ------
    NotInTree
        Names the first, those there are, and the library of `compat` that has it.
    """
    for name in options:
        if name not in {*known, *_LOADING}:
            ways = [way for way, make in WAYS.items() if name in inspect.signature(make).parameters]
            hint = " and ".join(f"compat={way!r} has it" for way in ways)
            raise NotInTree("option", name, sorted(known), hint, where)


def loaders(tree: xr.DataTree, compat: str, **options: Any) -> dict[str, dict[str, Any]]:
    """The loaders of one of the two libraries; see `openretina` and `neuralpredictors`.

    Parameters
    ----------
    tree : xr.DataTree
        An aligned tree, from its root.
    compat : {"openretina", "neuralpredictors"}
        Which.
    **options
        Theirs, and those of `torch.utils.data.DataLoader`.

    Returns
    -------
    dict of dict of Loader
        By side and session.
    """
    if compat not in WAYS:
        msg = f"compat={compat!r}: expected one of {tuple(WAYS)}"
        raise ValueError(msg)
    known = set(inspect.signature(WAYS[compat]).parameters) - {"tree", "loading"}
    check_loading(options, known, f"compat={compat!r}")
    given = {k: v for k, v in options.items() if k not in ("inputs", "targets") or v}
    return WAYS[compat](tree, **given)
