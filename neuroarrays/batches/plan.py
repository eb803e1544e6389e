"""Make the loaders of each session of an aligned tree, one for each side of a split."""

from __future__ import annotations

import inspect
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.batches import encoding, gathering, splits
from neuroarrays.batches.aligned import AlignedSamples, ClipSamples, TrialSamples
from neuroarrays.batches.base import Batch, Samples, check_units
from neuroarrays.batches.composites import RepeatSamples
from neuroarrays.batches.loading import NumpyLoader
from neuroarrays.batches.prefetch import TRAINING, check_prefetch
from neuroarrays.batches.samplers import Batches, Jittered
from neuroarrays.batches.scaling import Scaling
from neuroarrays.batches.split_checks import check_intervals, check_positions
from neuroarrays.errors import NotInTree, SchemaError
from neuroarrays.schema.given import check, whole_number

#: A side of a split whose name begins with one of these gets every repeat, in order.
TEST = ("test", "final_test", "live_test")
#: How to split trials, or a continuous clock, without a column of presentations.
_SPLIT_HINT = (
    "to split without one, split=lambda area: "
    "na.batches.splits.by_block(area.sizes['presentation_id'])"
)
_CLOCK_HINT = "to split a clock, split=lambda area: na.batches.splits.by_time(area['time'])"
#: Arguments of `LoaderPlan`, and of the datasets, that the functions here set themselves.
_GIVEN = ("inputs", "targets", "kinds")
_MADE = ("self", "area", "inputs", "targets", "rows", "length", "window", "stride", "pad")
#: A function from an area to the sides of its split, by name: positions of presentations (n,), or
#: intervals of its clock (n, 2) in s.
SplitRule = Callable[[xr.DataTree], Mapping[str, Any]]


def loaders(
    tree: xr.DataTree,
    inputs: Sequence[str] = (),
    targets: Sequence[str] = (),
    **options: Any,
) -> dict[str, dict[str, NumpyLoader]]:
    """Make loaders of numpy batches for each session, by side of a split.

    Parameters
    ----------
    tree : xr.DataTree
        An aligned tree, from its root.
    inputs, targets : sequence of str
        Variables of each area; see `TrialSamples`. Areas that lack one of them are left out, with a
        warning.
    **options
        ``batch_size``, ``length``, ``split``, ``repeats``, ``normalize``, ``seed``, ``options``
        and ``prefetch``, all as in `na.torch.loaders`.

    Returns
    -------
    dict of dict of NumpyLoader
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
    >>> found = na.batches.loaders(clock, ["spike_data"], length=1.0, batch_size=16, split=split)
    >>> list(found), list(found["train"])
    (['train', 'validation'], ['A2929-200711/adn', 'A2929-200711/ca1'])
    """
    known = [name for name in inspect.signature(LoaderPlan).parameters if name not in _GIVEN]
    check_options(options, known, "na.batches.loaders")
    return LoaderPlan(gathering.names(inputs), gathering.names(targets), **options).loaders(
        tree, NumpyLoader
    )


def _sides_of(split: SplitRule, area: xr.DataTree) -> dict[str, Any]:
    """Return the sides of a split that a function makes of an area, after checking that they are a dict."""
    sides = split(area)
    where = gathering.location(area)
    check(sides, Mapping, f"{where}: split: expected a dict of sides from the function", TypeError)
    return dict(sides)


def check_options(options: Any, known: Sequence[str], where: str, hint: str = "") -> None:
    """Check that all options are known.

    Raises
    ------
    NotInTree
        If one is not; the message names it and the known ones.
    TypeError
        If the options are not a mapping.
    """
    if not isinstance(options, Mapping):
        msg = f"options of {where}: expected a dict, found {options!r:.60}"
        raise TypeError(msg)
    unknown = [name for name in options if name not in known]
    if unknown:
        raise NotInTree("option", unknown[0], sorted(known), hint, where)


@dataclass(frozen=True)
class Kinds:
    """The classes of datasets, and the functions that normalise, of numpy here and of torch there."""

    trials: type[TrialSamples] = TrialSamples
    clips: type[ClipSamples] = ClipSamples
    repeats: type[RepeatSamples] = RepeatSamples
    fit: Callable[[Any, Sequence[str]], Callable[[Batch], Batch]] = Scaling.fit
    stored: Callable[[xr.DataTree, Sequence[str]], Callable[[Batch], Batch]] = Scaling.stored


@dataclass(frozen=True)
class SplitSide:
    """One side of the split of one area."""

    key: str
    area: xr.DataTree
    side: str
    #: Positions of presentations (n,), intervals of the clock (n, 2) in s, or None for a whole block.
    where: np.ndarray | None

    @property
    def is_test(self) -> bool:
        """Whether the side gets every repeat, in order, as a test set; whole blocks that do not train do."""
        whole_block = self.where is None and self.side not in ("train", "validation")
        return whole_block or self.side.startswith(TEST)


@dataclass(frozen=True)
class LoaderPlan:
    """What to load from every area of a tree; see `na.torch.loaders`."""

    inputs: list[str]
    targets: list[str]
    batch_size: int = 64
    length: float | None = None
    split: str | SplitRule = "tier"
    repeats: str | None = None
    normalize: Sequence[str] | str = ()
    seed: int = 0
    options: Mapping[str, Any] | None = None
    prefetch: int | None = None
    kinds: Kinds = field(default_factory=Kinds)

    def loaders(
        self, tree: xr.DataTree, loader: Callable[[Any, Batches, int], Any]
    ) -> dict[str, dict[str, Any]]:
        """Make the loaders, by side and session, each with `loader(dataset, batches, prefetch)`."""
        if self.length is not None and self.repeats is not None:
            msg = (
                "repeats= is of presentations; windows have responses_by_trial where the tree does"
            )
            raise ValueError(msg)
        parts = [
            SplitSide(key, area, name, side)
            for key, area in gathering.areas(tree, gathering.names(self.inputs, self.targets))
            for name, side in self._sides(area).items()
        ]
        sources = [self._dataset(part) for part in parts]
        for part, source in zip(parts, sources, strict=True):
            source.side = part.side
        encoding.check_alike(sources)
        check_units(sources)
        if self.normalize:  # computed from the loaders' own datasets, so that data is read once
            scales = self._scales(parts, sources)
            for part, source in zip(parts, sources, strict=True):
                source.transform = scales[part.area.path]
        by_side: dict[str, dict[str, Any]] = {}
        for part, source in zip(parts, sources, strict=True):
            data: Samples = source
            if part.is_test and isinstance(source, TrialSamples) and self.repeats is not None:
                data = self.kinds.repeats(source, gathering.column(part.area, self.repeats))
            sessions = by_side.setdefault(part.side, {})
            key = part.key if part.key not in sessions else part.area.path.strip("/")
            sessions[key] = loader(data, self._batches(data, part), self._ahead(part))
        order = sorted(by_side, key=lambda name: [*splits.NAMES, name].index(name))
        return {name: by_side[name] for name in order}

    def _sides(self, area: xr.DataTree) -> dict[str, np.ndarray | None]:
        """Return the sides of an area's split, after checking them."""
        split: Any = self.split
        where = gathering.location(area)
        for name in [*self.inputs, *self.targets] if self.length is None else []:
            dims = gathering.find(area, name).dims
            if schema.TIME in dims and schema.PRESENTATION not in dims:
                msg = f"{where}: {name} is along time: give length=, the seconds of a window"
                raise SchemaError(msg)
        if split == "block":
            return {area.path.strip("/").partition("/")[0]: None}
        if not isinstance(split, str) and not callable(split):
            msg = (
                f"split={split!r}: expected the name of a column, 'block' or a function of the area"
            )
            raise TypeError(msg)
        hint = _SPLIT_HINT if schema.PRESENTATION in area.dims else _CLOCK_HINT
        sides = (
            splits.by_tier(gathering.column(area, split, hint))
            if isinstance(split, str)
            else _sides_of(split, area)
        )
        if not sides:
            msg = f"{where}: the split has no side"
            raise SchemaError(msg)
        first = np.asarray(next(iter(sides.values())))
        checked = (
            check_intervals(sides, where)
            if first.ndim == 2
            else check_positions(sides, area.sizes.get(schema.PRESENTATION, 0), where)
        )
        return dict(checked)

    def _dataset(self, part: SplitSide) -> AlignedSamples:
        """Make the dataset of one side of one area."""
        kind: Any = self.kinds.trials if self.length is None else self.kinds.clips
        options = {} if self.options is None else self.options
        known = [name for name in inspect.signature(kind.__init__).parameters if name not in _MADE]
        check_options(options, known, kind.__name__)
        if self.normalize and options.get("transform") is not None:
            msg = "normalize= is also a transform; give one function that does both as transform="
            raise ValueError(msg)
        if self.length is None:
            return self.kinds.trials(part.area, self.inputs, self.targets, part.where, **options)
        targets, by_trial = list(self.targets), "responses_by_trial"
        if part.is_test and schema.RESPONSES in targets and by_trial in part.area.data_vars:
            targets.append(by_trial)
        train = part.side == "train"
        bin_width = gathering.clock(part.area, [*self.inputs, *targets])[1]
        return self.kinds.clips(
            part.area,
            self.inputs,
            self.length,
            targets,
            window=part.where,
            stride=bin_width if train else None,
            pad=not train,
            **options,
        )

    def _ahead(self, part: SplitSide) -> int:
        """Return how many batches a thread gathers ahead."""
        if self.prefetch is None:
            return TRAINING if part.side == "train" else 0
        return check_prefetch(self.prefetch)

    def _batches(self, data: Samples, part: SplitSide) -> Batches:
        """Make the sampler of one side of one area: shuffled for training, in order otherwise."""
        seed = whole_number(self.seed, "seed") ^ zlib.crc32(part.key.encode())
        try:
            if part.side != "train":
                return Batches(len(data), self.batch_size)
            if isinstance(data, ClipSamples):
                return Jittered(data, self.batch_size, seed=seed, drop_last=True)
            return Batches(len(data), self.batch_size, shuffle=True, seed=seed, drop_last=True)
        except ValueError as error:
            msg = f"{data.location}: split {part.side!r} has {error}"
            raise ValueError(msg) from error

    def _scales(
        self, parts: Sequence[SplitSide], sources: Sequence[AlignedSamples]
    ) -> dict[str, Callable[[Batch], Batch]]:
        """Return the normalisation of each area, by its path.

        It is fitted to the train side of the area, or, if it has none, to that of another area (a
        block) with the same key.
        """
        if self.normalize == "stored":
            every = gathering.names(self.inputs, self.targets)
            return {part.area.path: self.kinds.stored(part.area, every) for part in parts}
        if isinstance(self.normalize, str) or not isinstance(self.normalize, Sequence):
            msg = f'normalize={self.normalize!r}: expected a list of variables or "stored"'
            raise ValueError(msg)
        names = gathering.names(self.normalize)
        if unknown := [n for n in names if n not in [*self.inputs, *self.targets]]:
            known = gathering.names(self.inputs, self.targets)
            raise NotInTree("variable to normalise", unknown[0], known)
        trained = [part for part in parts if part.side == "train"]
        scales = {
            part.area.path: self.kinds.fit(source, names)
            for part, source in zip(parts, sources, strict=True)
            if part.side == "train"
        }
        for part in parts:
            if part.area.path not in scales:
                other = next((p.area.path for p in trained if p.key == part.key), None)
                if other is None:
                    sides = ", ".join(sorted({p.side for p in parts if p.key == part.key}))
                    where = gathering.location(part.area)
                    msg = f"{where}: no side 'train' to normalise by, only {sides}"
                    raise SchemaError(msg)
                scales[part.area.path] = scales[other]
        return scales
