"""Aligned trees as torch datasets and loaders: index and gather, nothing else.

Alignment, masks and splits happened before. A sample is a dict of tensors under the names of the
tree's variables; a batch is the same dict with one more axis in front, gathered at once::

    data = na.torch.TrialDataset(area, ["stimulus"], ["responses"])
    loader = na.torch.Loader(data, na.torch.Batches(len(data), 64, shuffle=True))

What is not known is never a zero: targets are NaN where the masks of the area say so and the dtype
has one, and the masks come with every batch.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.batches import gathering, splits
from neuroarrays.errors import MissingDependency, NotInTree, SchemaError

try:
    import torch  # noqa: F401
except ImportError as error:
    raise MissingDependency("torch", "torch", "neuroarrays.torch") from error

from neuroarrays.torch.batched import Batched
from neuroarrays.torch.composites import OnDevice, RepeatDataset, Stack
from neuroarrays.torch.datasets import ClipDataset, Samples, TrialDataset
from neuroarrays.torch.loading import Loader, collate, cycle
from neuroarrays.torch.samplers import Batches, Cycled, Jittered, balanced
from neuroarrays.torch.scaling import Normalize
from neuroarrays.torch.windows import SpikeWindowDataset

__all__ = [
    "Batches",
    "ClipDataset",
    "Cycled",
    "Jittered",
    "Loader",
    "Normalize",
    "OnDevice",
    "RepeatDataset",
    "SpikeWindowDataset",
    "Stack",
    "TrialDataset",
    "balanced",
    "collate",
    "cycle",
    "loaders",
    "splits",
]

#: A side of a split whose name begins so gets every repeat, in order.
TEST = ("test", "final_test", "live_test")
_SPLIT_HINT = (
    "to split without one, split=lambda area: "
    "na.torch.splits.by_block(area.sizes['presentation_id'])"
)
#: From an area to the sides of its split: positions of presentations, or intervals of its clock.
SplitRule = Callable[[xr.DataTree], Mapping[str, Any]]


def loaders(  # noqa: PLR0913
    tree: xr.DataTree,
    inputs: Sequence[str] = (),
    targets: Sequence[str] = (),
    *,
    batch_size: int = 64,
    length: float | None = None,
    split: str | SplitRule = "tier",
    repeats: str | None = None,
    normalize: Sequence[str] = (),
    seed: int = 0,
    compat: str | None = None,
    options: Mapping[str, Any] | None = None,
    **loading: Any,
) -> dict[str, dict[str, Any]]:
    """Loaders of every session, by side of a split.

    Parameters
    ----------
    tree : xr.DataTree
        An aligned tree, from its root.
    inputs, targets : sequence of str
        Variables of each area; see `TrialDataset`. Areas without any of them are left out.
    batch_size : int
        Samples per batch.
    length : float, s, optional
        Windows of this length of a continuous clock; presentations unless given.
    split : str or callable
        "tier", or another column of `presentations` to split by; "block": by the tree's first
        level (``train/session/area``); or a function of the area's node that returns
        ``{"train": ..., ...}``, such as those of `na.torch.splits` make.
    repeats : str, optional
        Column of `presentations` that says what was shown: test sides then have a sample per
        stimulus, with the mean and every repeat of its targets. Continuous responses bring
        `responses_by_trial` where the tree has it.
    normalize : sequence of str
        Variables to normalise by mean and standard deviation (ddof=1) over the train side of
        their session.
    seed : int
        Of the order of training samples.
    compat : {"openretina", "neuralpredictors"}, optional
        Deliver what that library's loaders do; see `neuroarrays.torch.dropin`.
    options : mapping, optional
        For the datasets: ``dtype``, ``cache``, ``labels``, ``offsets``.
    **loading
        For `torch.utils.data.DataLoader`: ``num_workers``, ``pin_memory``, ...

    Returns
    -------
    dict of dict of Loader
        ``{"train": {session: loader}, "validation": ..., "test": ...}``; the key is
        ``session/area`` where a session has several areas. Training is shuffled, and windows
        start anywhere; the other sides come in order and whole.

    Raises
    ------
    NotInTree, SchemaError, ValueError
        What is missing or empty, in which session and area.
    """
    if compat is not None:
        from neuroarrays.torch.dropin import loaders as alike

        own: dict[str, Any] = {"length": length, "repeats": repeats, "normalize": normalize or None}
        own["split"] = None if split == "tier" else split
        if unused := [name for name, value in own.items() if value is not None]:
            msg = f"compat={compat!r} has ways of its own: it takes no {', '.join(unused)}"
            raise ValueError(msg)
        given = {"inputs": inputs, "targets": targets, "batch_size": batch_size, "seed": seed}
        return alike(tree, compat, **given, **(options or {}), **loading)
    if length is not None and repeats is not None:
        msg = "repeats= is of presentations; windows have responses_by_trial where the tree does"
        raise ValueError(msg)
    plan = _Plan(list(inputs), gathering.names(targets), length, dict(options or {}))
    parts = [
        _Part(key, area, name, side)
        for key, area in gathering.areas(tree, gathering.names(inputs, targets))
        for name, side in _sides(area, plan, split).items()
    ]
    sources = [plan.dataset(part) for part in parts]
    if normalize:  # over the loaders' own datasets, so that what these keep is read once
        scales = _scales(plan, parts, sources, normalize)
        for part, source in zip(parts, sources, strict=True):
            source.transform = scales[part.area.path]
    made: dict[str, dict[str, Any]] = {}
    for part, source in zip(parts, sources, strict=True):
        data: Batched = source
        if part.is_test and isinstance(data, TrialDataset) and repeats is not None:
            data = RepeatDataset(data, gathering.column(part.area, repeats))
        batches = plan.batches(data, part, batch_size, seed)
        of_side = made.setdefault(part.side, {})
        key = part.key if part.key not in of_side else part.area.path.strip("/")
        of_side[key] = Loader(data, batches, **loading)
    order = sorted(made, key=lambda name: [*splits.NAMES, name].index(name))
    return {name: made[name] for name in order}


@dataclass(frozen=True)
class _Part:
    """One side of the split of one area."""

    key: str
    area: xr.DataTree
    side: str
    #: Positions of presentations, intervals of the clock, or None for all of it.
    where: np.ndarray | None

    @property
    def is_test(self) -> bool:
        return self.side.startswith(TEST)


@dataclass(frozen=True)
class _Plan:
    """What is made of every part."""

    inputs: list[str]
    targets: list[str]
    length: float | None
    options: dict[str, Any]

    def dataset(self, part: _Part) -> Samples:
        """The samples of a part."""
        if self.length is None:
            return TrialDataset(part.area, self.inputs, self.targets, part.where, **self.options)
        targets, by_trial = list(self.targets), "responses_by_trial"
        if part.is_test and "responses" in targets and by_trial in part.area.data_vars:
            targets.append(by_trial)
        train = part.side == "train"
        bin_width = gathering.clock(part.area, [*self.inputs, *targets])[1]
        return ClipDataset(
            part.area,
            self.inputs,
            self.length,
            targets,
            window=part.where,
            stride=bin_width if train else None,
            pad=not train,
            **self.options,
        )

    def batches(self, data: Batched, part: _Part, batch_size: int, seed: int) -> Batches:
        """In which order, and how many at a time."""
        seed ^= zlib.crc32(part.key.encode())
        try:
            if part.side != "train":
                return Batches(len(data), batch_size)
            if isinstance(data, ClipDataset):
                return Jittered(data, batch_size, seed=seed, drop_last=True)
            return Batches(len(data), batch_size, shuffle=True, seed=seed, drop_last=True)
        except ValueError as error:
            msg = f"{data.place}: split {part.side!r} has {error}"
            raise ValueError(msg) from error


def _scales(
    plan: _Plan, parts: Sequence[_Part], sources: Sequence[Samples], names: Sequence[str]
) -> dict[str, Normalize]:
    """The normalisation of each area, by its train side, or that of its session in another block."""
    names = gathering.names(names)
    if unknown := [n for n in names if n not in [*plan.inputs, *plan.targets]]:
        known = gathering.names(plan.inputs, plan.targets)
        raise NotInTree("variable to normalise", unknown[0], known)
    trained = [part for part in parts if part.side == "train"]
    found = {
        part.area.path: Normalize.fit(source, names)
        for part, source in zip(parts, sources, strict=True)
        if part.side == "train"
    }
    for part in parts:
        if part.area.path not in found:
            other = next((one.area.path for one in trained if one.key == part.key), None)
            if other is None:
                sides = ", ".join(sorted({one.side for one in parts if one.key == part.key}))
                msg = f"{gathering.place(part.area)}: no side 'train' to normalise by, only {sides}"
                raise SchemaError(msg)
            found[part.area.path] = found[other]
    return found


def _sides(area: xr.DataTree, plan: _Plan, split: Any) -> dict[str, np.ndarray | None]:
    """The sides of an area's split, checked."""
    where = gathering.place(area)
    for name in [*plan.inputs, *plan.targets] if plan.length is None else []:
        dims = gathering.find(area, name).dims
        if schema.TIME in dims and schema.PRESENTATION not in dims:
            msg = f"{where}: {name} is along time: give length=, the seconds of a window"
            raise SchemaError(msg)
    if split == "block":
        return {area.path.strip("/").partition("/")[0]: None}
    if not isinstance(split, str) and not callable(split):
        msg = f"split={split!r}: expected a column, 'block' or a function of the area"
        raise TypeError(msg)
    found = (
        splits.by_tier(gathering.column(area, split, _SPLIT_HINT))
        if isinstance(split, str)
        else dict(split(area))
    )
    if not found:
        msg = f"{where}: the split has no side"
        raise SchemaError(msg)
    one = np.asarray(next(iter(found.values())))
    checked = (
        splits.intervals(found, where)
        if one.ndim == 2
        else splits.positions(found, area.sizes.get(schema.PRESENTATION, 0), where)
    )
    return dict(checked)
