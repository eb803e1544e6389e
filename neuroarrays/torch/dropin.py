"""Loaders that deliver what two other libraries' loaders do, for models written for them.

``na.torch.loaders(tree, compat="openretina")``
    `DataPoint(inputs (B, C, T, H, W), targets (B, T, N))` float32: that library's validation clips
    (`RandomState(42)`), its chunks across clip joins and removed clips, and its starts: those of
    an epoch equal what ``np.random.seed(seed)`` gives its sampler, one session by itself.
``na.torch.loaders(tree, compat="neuralpredictors")``
    Its `DataPoint(images, responses[, behavior[, pupil_center]])` with its normalisation: images
    z-scored by one mean and deviation, responses divided by each neuron's deviation (by 1 % of the
    mean deviation where that is larger), behaviour divided, pupil position z-scored; by the
    statistics that are stored beside the data, which are of the train tier.

Some of what they do is not what one would choose: a window may run across a removed clip. Without
`compat` none of it happens.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch.utils.data import Dataset

from neuroarrays import schema
from neuroarrays.batches import gathering
from neuroarrays.batches.aligned import TrialSamples
from neuroarrays.batches.movies import MovieChunks, MovieStarts, validation_clips
from neuroarrays.batches.samplers import Batches
from neuroarrays.batches.samples import Gathered
from neuroarrays.batches.scaling import Scaling, scale
from neuroarrays.batches.splits import by_tier
from neuroarrays.errors import NotInTree, SchemaError
from neuroarrays.torch.loading import Loader

DataPoint = namedtuple("DataPoint", ["inputs", "targets"])
ImagePoint = namedtuple("ImagePoint", ["images", "responses"])
BehaviorPoint = namedtuple("BehaviorPoint", ["images", "responses", "behavior"])
PupilPoint = namedtuple("PupilPoint", ["images", "responses", "behavior", "pupil_center"])
POINTS: dict[int, Any] = {2: ImagePoint, 3: BehaviorPoint, 4: PupilPoint}


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
    ways = {"openretina": openretina, "neuralpredictors": neuralpredictors}
    if compat not in ways:
        msg = f"compat={compat!r}: expected one of {tuple(ways)}"
        raise ValueError(msg)
    options = {k: v for k, v in options.items() if k not in ("inputs", "targets") or v}
    return ways[compat](tree, **options)


# ------------------------------------------------------------------------------------ openretina


def openretina(  # noqa: PLR0913  its own options
    tree: xr.DataTree,
    inputs: Sequence[str] = ("stimulus",),
    targets: Sequence[str] = ("responses",),
    *,
    batch_size: int = 32,
    seed: int = 42,
    train_chunk_size: int = 50,
    clip_length: int = 100,
    num_val_clips: int = 10,
    allow_over_boundaries: bool = True,
    cache: bool | str = "auto",
    **loading: Any,
) -> dict[str, dict[str, Any]]:
    """`openretina.data_io.base_dataloader.multiple_movies_dataloaders` on a tree.

    Parameters
    ----------
    tree : xr.DataTree
        Areas on one clock. In blocks, ``train/...`` is the training movie and every other block a
        test; without blocks all of it trains and validates.
    inputs, targets : sequence of one str
        The movie ``(time, channel, y, x)`` and the responses ``(time, unit_id)``.
    batch_size : int
        Chunks per batch; fewer for whole test movies, as there.
    seed : int
        Of the starts of training chunks. The validation clips are those of `RandomState(42)`.
    train_chunk_size, clip_length : int, frames
        Length of a chunk and of a clip.
    num_val_clips : int
        How many clips validate.
    allow_over_boundaries : bool
        Whether training chunks may run across clips.
    cache : {"auto", True, False}
        As for `TrialDataset`.
    **loading
        For `torch.utils.data.DataLoader`.

    Returns
    -------
    dict of dict of Loader
        "train", "validation" and each test block, by session.

    Raises
    ------
    SchemaError
        If responses are NaN (there, the session is lost without an error), which session and area.
    NotInTree
        If there are blocks, but none that trains.
    """
    (movie,), (response,) = inputs, targets
    by_side: dict[str, dict[str, Any]] = {"train": {}, "validation": {}}
    for _, area in gathering.areas(tree, [movie, response]):
        parts = area.path.strip("/").split("/")
        block = parts[0] if len(parts) > 2 else "train"
        frames, others = (gathering.find(area, n).sizes[schema.TIME] for n in (movie, response))
        if frames != others:
            msg = f"{gathering.location(area)}: {movie} has {frames} frames, {response} {others}"
            raise SchemaError(msg)
        if np.isnan(gathering.find(area, response).values).any():
            msg = f"{gathering.location(area, response)} has NaN, which open-retina cannot train on"
            raise SchemaError(msg)
        sides: dict[str, np.ndarray] = {block: np.arange(frames)}
        if block == "train":
            training, validation = validation_clips(
                gathering.location(area), frames, clip_length, num_val_clips
            )
            sides = {"train": training, "validation": validation}
        for side, order in sides.items():
            chunk = train_chunk_size if side == "train" else clip_length
            if side not in ("train", "validation") and allow_over_boundaries:
                chunk = order.size
            size = batch_size
            if side not in ("train", "validation") and chunk > train_chunk_size:
                size = max(1, batch_size * train_chunk_size // chunk)
            train = side == "train"
            data = _Movie(area, movie, response, order, chunk, cache, by_start=train)
            batches: Batches = Batches(len(data), size)
            if train:
                batches = MovieStarts(data, size, seed, clip_length, allow_over_boundaries)
            by_side.setdefault(side, {})[parts[-2]] = Loader(data, batches, **loading)
    if not by_side["train"]:
        blocks = [name for name in by_side if by_side[name]]
        raise NotInTree("block", "train", blocks, hint="that is where its training movie is")
    return by_side


class _Movie(MovieChunks, Dataset[Any]):
    """Chunks as that library's namedtuples of tensors."""

    def batch(self, indices: Sequence[int]) -> DataPoint:
        """Chunks by number."""
        return DataPoint(*map(torch.from_numpy, self.chunks(indices)))

    def __getitem__(self, index: int) -> DataPoint:
        return DataPoint(*(value[0] for value in self.batch([index])))

    def __getitems__(self, indices: Sequence[int]) -> Gathered:
        return Gathered(self.batch(indices), len(indices))


# ------------------------------------------------------------------------------ neuralpredictors


def neuralpredictors(  # noqa: PLR0913  its own options
    tree: xr.DataTree,
    inputs: Sequence[str] = ("stimulus",),
    targets: Sequence[str] = ("responses",),
    *,
    behavior: Sequence[str] = (),
    pupil_center: Sequence[str] = (),
    batch_size: int = 64,
    seed: int = 0,
    normalize: bool | str = True,
    cache: bool | str = "auto",
    **loading: Any,
) -> dict[str, dict[str, Any]]:
    """`static_loaders` with `NeuroNormalizer` and `ToTensor` on a tree.

    Parameters
    ----------
    tree : xr.DataTree
        Areas along presentations, with a column `tier`.
    inputs, targets : sequence of one str
        The images ``(presentation_id, channel, y, x)`` and the responses
        ``(presentation_id, unit_id)``.
    behavior, pupil_center : sequence of str
        Variables ``(presentation_id,)`` of the fields `behavior` and `pupil_center`.
    batch_size : int
        Presentations per batch; a last smaller one is delivered.
    seed : int
        Of the order of training presentations, which that library takes from torch.
    normalize : {True, "train", False}
        True: by the statistics that are stored beside the data, as that library does. "train":
        by those of the train tier (ddof=1, without what is withheld), where none are stored.
    cache : {"auto", True, False}
        As for `TrialDataset`.
    **loading
        For `torch.utils.data.DataLoader`.

    Returns
    -------
    dict of dict of Loader
        By tier and session. What a competition withheld is zero, as there.

    Raises
    ------
    NotInTree
        If there is no column `tier`, or a statistic is missing.
    """
    groups = {
        "images": list(inputs),
        "responses": list(targets),
        "behavior": list(behavior),
        "pupil_center": list(pupil_center),
    }
    if groups["pupil_center"] and not groups["behavior"]:
        msg = "pupil_center= needs behavior=: the field comes after it"
        raise ValueError(msg)
    names = [name for group in groups.values() for name in group]
    by_side: dict[str, dict[str, Any]] = {}
    for key, area in gathering.areas(tree, names):
        scales = (
            _neuro_normalizer(groups, _statistics(area, groups, normalize, cache))
            if normalize
            else {}
        )
        for tier, rows in by_tier(gathering.column(area, "tier")).items():
            data = _Points(TrialSamples(area, names, rows=rows, cache=cache), groups, scales)
            batches = Batches(len(data), batch_size, shuffle=tier == "train", seed=seed)
            by_side.setdefault(tier, {})[key] = Loader(data, batches, **loading)
    return by_side


class _Points(Dataset[Any]):
    """Presentations as that library's namedtuples of tensors."""

    def __init__(
        self,
        trials: TrialSamples,
        groups: Mapping[str, list[str]],
        scales: Mapping[str, tuple[np.ndarray, np.ndarray]],
    ):
        self.trials, self.scales = trials, dict(scales)
        self.groups = {name: group for name, group in groups.items() if group}

    def load(self) -> None:
        self.trials.load()

    def __len__(self) -> int:
        return len(self.trials)

    def __getitem__(self, index: int) -> Any:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> Gathered:
        return Gathered(self.batch(indices), len(indices))

    def batch(self, indices: Sequence[int]) -> Any:
        """Presentations by number."""
        arrays = self.trials.batch(indices)
        values = []
        for name, group in self.groups.items():
            one_variable = name in ImagePoint._fields
            value = arrays[group[0]] if one_variable else np.stack([arrays[n] for n in group], 1)
            if name in self.scales:
                scale(value, *self.scales[name])
            values.append(torch.from_numpy(value))
        return POINTS[len(values)](*values)


def _neuro_normalizer(
    groups: Mapping[str, list[str]], by: Scaling
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """What is subtracted from each field, and what it is multiplied by then: float32.

    What is constant is divided by 0, as there.
    """
    scales = {}
    for field, names in groups.items():
        if not names:
            continue
        deviations = by.std if field == "responses" else by.raw
        mean, std = (
            np.stack([np.squeeze(table[name]) for name in names])
            if field in ("behavior", "pupil_center")
            else table[names[0]]
            for table in (by.mean, deviations)
        )
        if field == "behavior":
            mean = np.zeros_like(mean)
        with np.errstate(divide="ignore"):
            scales[field] = (mean.astype(np.float32), (1 / std).astype(np.float32))
    return scales


def _statistics(
    area: xr.DataTree, groups: Mapping[str, list[str]], normalize: bool | str, cache: bool | str
) -> Scaling:
    """The statistics to normalise by: those stored, or those of the train tier."""
    if normalize is True:
        if schema.STATISTICS not in area.children:
            hint = 'normalize="train" takes those of the train tier, normalize=False none'
            raise NotInTree(
                "node", schema.STATISTICS, area.children, hint, gathering.location(area)
            )
        return Scaling.stored(area, [name for names in groups.values() for name in names])
    if normalize != "train":
        msg = f'normalize={normalize!r}: expected True, "train" or False'
        raise ValueError(msg)
    tiers = by_tier(gathering.column(area, "tier"))
    if "train" not in tiers:
        raise NotInTree("tier", "train", tiers, "to normalise by", gathering.location(area))
    by = Scaling({}, {}, "train tier, ddof=1; responses not centred")
    for field, names in groups.items():
        for name in names:
            known = TrialSamples(area, (), [name], rows=tiers["train"], cache=cache)
            responses = field == "responses"
            fit = Scaling.fit(known, [name], per_unit=responses, center=not responses)
            deviation = fit.raw[name]
            by.mean[name], by.raw[name] = fit.mean[name], deviation
            least = 0.01 * np.nanmean(deviation) if responses else 0.0
            by.std[name] = np.maximum(deviation, least)
    return by
