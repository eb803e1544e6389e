"""Aligned trees as torch datasets and loaders: index and gather, nothing else.

Alignment, masks and splits happened before. A sample is a dict of tensors under the names of the
tree's variables; a batch is the same dict with one more axis in front, gathered at once::

    data = na.torch.TrialDataset(area, ["stimulus"], ["responses"])
    loader = na.torch.Loader(data, na.torch.Batches(len(data), 64, shuffle=True))

What is not known is never a zero: targets of withheld presentations and invalid bins are NaN where
the dtype has one, and the masks `valid` and `withheld` come with every batch.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import gathering, schema, splits
from neuroarrays.errors import MissingDependency, NotInTree, SchemaError

try:
    from torch.utils.data import DataLoader, Dataset
except ImportError as error:
    raise MissingDependency("torch", "torch", "neuroarrays.torch") from error

from neuroarrays.batched import Batch, Batched
from neuroarrays.composites import OnDevice, RepeatDataset, SpikeWindowDataset, Stack
from neuroarrays.datasets import ClipDataset, Samples, TrialDataset
from neuroarrays.samplers import Batches, Cycled, Jittered, balanced
from neuroarrays.scaling import Normalize

__all__ = [
    "Batches", "ClipDataset", "Cycled", "Jittered", "Loader", "Normalize", "OnDevice",
    "RepeatDataset", "SpikeWindowDataset", "Stack", "TrialDataset", "balanced", "collate", "cycle",
    "loaders", "splits",
]  # fmt: skip

#: A side of a split whose name begins so gets every repeat, in order.
TEST = ("test", "final_test", "live_test")
#: From an area to the sides of its split: positions of presentations, or intervals of its clock.
SplitRule = Callable[[xr.DataTree], Mapping[str, Any]]


def collate(batch: Any) -> Any:
    """What `__getitems__` gives is a batch already: for ``DataLoader(..., collate_fn=collate)``.

    Parameters
    ----------
    batch : dict of tensors
        From a dataset of this module.

    Returns
    -------
    dict of tensors
        The same.
    """
    return batch


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
        options.setdefault("collate_fn", collate)
        super().__init__(dataset, batch_sampler=batches, **options)
        self.batches = batches
        self._epoch, self._done, self._begun = batches.epoch, batches.skip, False

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        if self._begun:  # the epoch before was left early
            self._epoch, self._done = self._epoch + 1, 0
        self._begun = True
        self.batches.load_state_dict({"epoch": self._epoch, "batch": self._done})
        for batch in super().__iter__():
            self._done += 1
            yield batch
        self.load_state_dict({"epoch": self._epoch + 1, "batch": 0})

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
        Deliver what that library's loaders do; see `neuroarrays.dropin`.
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
        from neuroarrays.dropin import loaders as alike

        own: dict[str, Any] = {"length": length, "repeats": repeats, "normalize": normalize or None}
        own["split"] = None if split == "tier" else split
        if unused := [name for name, value in own.items() if value is not None]:
            msg = f"compat={compat!r} has ways of its own: it takes no {', '.join(unused)}"
            raise ValueError(msg)
        given = {"inputs": inputs, "targets": targets, "batch_size": batch_size, "seed": seed}
        return alike(tree, compat, **given, **(options or {}), **loading)
    plan = _Plan(list(inputs), gathering.names(targets), length, dict(options or {}))
    parts = [
        _Part(key if split == "block" else area.path, key, area, name, side)
        for key, area in areas(tree, gathering.names(inputs, targets))
        for name, side in _sides(area, plan, split).items()
    ]
    scales = _scales(plan, parts, normalize) if normalize else {}
    made: dict[str, dict[str, Any]] = {}
    for part in parts:
        data: Batched = plan.dataset(part, scales.get(part.group))
        if part.is_test and repeats is not None:
            assert isinstance(data, TrialDataset)
            data = RepeatDataset(data, _column(part.area, repeats))
        batches = plan.batches(data, part, batch_size, seed)
        of_side = made.setdefault(part.side, {})
        key = part.key if part.key not in of_side else part.area.path.strip("/")
        of_side[key] = Loader(data, batches, **loading)
    order = sorted(made, key=lambda name: [*splits.NAMES, name].index(name))
    return {name: made[name] for name in order}


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

    def __getitems__(self, pairs: Sequence[tuple[int, int]]) -> tuple[str, Any]:
        session = pairs[0][0]
        return self.keys[session], self.datasets[session].__getitems__([i for _, i in pairs])


def areas(tree: xr.DataTree, names: Sequence[str]) -> list[tuple[str, xr.DataTree]]:
    """Areas that have some variables, by session, or by session/area.

    Parameters
    ----------
    tree : xr.DataTree
        An aligned tree, from its root.
    names : sequence of str
        Variables asked for.

    Returns
    -------
    list of (str, DataTree node)
        A block above the session is not part of the key.

    Raises
    ------
    SchemaError, NotInTree
        If it is not an aligned tree, or no area has them.
    """
    if schema.kind_of(tree) != schema.ALIGNED:
        msg = "this is a recording tree: na.align it first, or use SpikeWindowDataset on its areas"
        raise SchemaError(msg)
    found: dict[str, xr.DataTree] = {}
    missing = None
    for path in schema.area_paths(tree):
        area = tree[path]
        assert isinstance(area, xr.DataTree)
        try:
            for name in names:
                gathering.find(area, name)
        except NotInTree as error:
            missing = error
            continue
        found[path] = area
    if not found:
        raise missing or SchemaError("the tree has no area")
    parents = [path.rpartition("/")[0] for path in found]
    alone = len(set(parents)) == len(parents)
    keys = [
        parent.rpartition("/")[2] if alone else "/".join(path.split("/")[-2:])
        for path, parent in zip(found, parents, strict=True)
    ]
    return list(zip(keys, found.values(), strict=True))


@dataclass(frozen=True)
class _Part:
    """One side of the split of one area."""

    #: Parts of one group share their normalisation.
    group: str
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

    def dataset(self, part: _Part, transform: Normalize | None) -> Samples:
        """The samples of a part."""
        shared = {"transform": transform, **self.options}
        if self.length is None:
            return TrialDataset(part.area, self.inputs, self.targets, part.where, **shared)
        targets, by_trial = list(self.targets), "responses_by_trial"
        if part.is_test and "responses" in targets and by_trial in part.area.data_vars:
            targets.append(by_trial)
        train = part.side == "train"
        bin_width = gathering.clock(part.area, [*self.inputs, *targets])[1]
        return ClipDataset(part.area, self.inputs, self.length, targets, window=part.where,
                           stride=bin_width if train else None, pad=not train, **shared)  # fmt: skip

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


def _scales(plan: _Plan, parts: Sequence[_Part], names: Sequence[str]) -> dict[str, Normalize]:
    """The normalisation of each group, by its train side."""
    names = gathering.names(names)
    if unknown := [n for n in names if n not in [*plan.inputs, *plan.targets]]:
        known = gathering.names(plan.inputs, plan.targets)
        raise NotInTree("variable to normalise", unknown[0], known)
    found = {
        part.group: Normalize.fit(plan.dataset(part, None), names)
        for part in parts
        if part.side == "train"
    }
    for part in parts:
        if part.group not in found:
            msg = f"{gathering.place(part.area)}: there is no side 'train' to normalise by"
            raise SchemaError(msg)
    return found


def _sides(area: xr.DataTree, plan: _Plan, split: str | SplitRule) -> dict[str, np.ndarray | None]:
    """The sides of an area's split, checked."""
    where = gathering.place(area)
    for name in [*plan.inputs, *plan.targets] if plan.length is None else []:
        dims = gathering.find(area, name).dims
        if schema.TIME in dims and schema.PRESENTATION not in dims:
            msg = f"{where}: {name} is along time: give length=, the seconds of a window"
            raise SchemaError(msg)
    if split == "block":
        return {area.path.strip("/").partition("/")[0]: None}
    found = splits.by_tier(_column(area, split)) if isinstance(split, str) else dict(split(area))
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


def _column(area: xr.DataTree, name: str) -> np.ndarray:
    """A column of the presentations of an area."""
    table = area.children.get(schema.PRESENTATIONS)
    columns = [] if table is None else list(table.data_vars)
    if table is not None and name in columns:
        return np.asarray(table[name].values)
    if name in area.coords:
        return np.asarray(area.coords[name].values)
    hint = f"{gathering.place(area)}; give split= a function of the area"
    raise NotInTree("column of presentations", name, columns, hint=hint)
