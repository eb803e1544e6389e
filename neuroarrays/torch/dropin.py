"""Loaders that deliver what two other libraries' loaders do, for models written for them.

``na.torch.loaders(tree, compat="openretina")``
    `DataPoint(inputs (B, C, T, H, W), targets (B, T, N))` float32: that library's validation clips
    (`RandomState(42)`), its chunks across clip joins and removed clips, and its starts: those of
    an epoch equal what ``np.random.seed(seed)`` gives its sampler, one session by itself.
``na.torch.loaders(tree, compat="neuralpredictors")``
    Its `DataPoint(images, responses[, behavior[, pupil_center]])` with its normalisation: images
    z-scored by one mean and deviation, responses divided by each neuron's deviation (by 1 % of the
    mean deviation where that is larger), behaviour divided, pupil position z-scored; statistics of
    all presentations, ddof=0.

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
from neuroarrays.batches import fields, gathering
from neuroarrays.batches.splits import by_tier
from neuroarrays.errors import NotInTree, SchemaError
from neuroarrays.torch import scaling
from neuroarrays.torch.batched import Gathered
from neuroarrays.torch.datasets import TrialDataset
from neuroarrays.torch.loading import Loader
from neuroarrays.torch.samplers import Batches

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
    made: dict[str, dict[str, Any]] = {"train": {}, "validation": {}}
    for _, area in gathering.areas(tree, [movie, response]):
        parts = area.path.strip("/").split("/")
        block = parts[0] if len(parts) > 2 else "train"
        frames, others = (gathering.find(area, n).sizes[schema.TIME] for n in (movie, response))
        if frames != others:
            msg = f"{gathering.place(area)}: {movie} has {frames} frames, {response} {others}"
            raise SchemaError(msg)
        if np.isnan(gathering.find(area, response).values).any():
            msg = f"{gathering.place(area, response)} has NaN, which open-retina cannot train on"
            raise SchemaError(msg)
        sides: dict[str, np.ndarray] = {block: np.arange(frames)}
        if block == "train":
            kept, held = _clips(gathering.place(area), frames, clip_length, num_val_clips)
            sides = {"train": kept, "validation": held}
        for side, order in sides.items():
            chunk = train_chunk_size if side == "train" else clip_length
            if side not in ("train", "validation") and allow_over_boundaries:
                chunk = order.size
            size = batch_size
            if side not in ("train", "validation") and chunk > train_chunk_size:
                size = max(1, batch_size * train_chunk_size // chunk)
            data = _Movie(area, movie, response, order, chunk, cache)
            batches: Batches = Batches(len(data), size)
            if side == "train":
                batches = _Starts(data, size, seed, clip_length, allow_over_boundaries)
            made.setdefault(side, {})[parts[-2]] = Loader(data, batches, **loading)
    if not made["train"]:
        blocks = [name for name in made if made[name]]
        raise NotInTree("block", "train", blocks, hint="that is where its training movie is")
    return made


def _clips(where: str, frames: int, length: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Frames that train, and those of the validation clips in the order they were drawn."""
    n_clips = frames // length
    if not 0 < n < n_clips:
        msg = f"{where}: num_val_clips={n} of {n_clips} clips of {length} frames"
        raise ValueError(msg)
    drawn = np.random.RandomState(42).choice(n_clips, n, replace=False)
    every = np.arange(n_clips * length).reshape(n_clips, length)
    return np.delete(every, drawn, axis=0).ravel(), every[drawn].ravel()


class _Movie(Dataset[Any]):
    """Chunks of a movie whose frames were put in a new order."""

    def __init__(
        self,
        area: xr.DataTree,
        movie: str,
        response: str,
        order: np.ndarray,
        chunk: int,
        cache: Any,
    ):
        fields.check_cache(cache)
        self.place, self.order, self.chunk = gathering.place(area), order, chunk
        self.movie = gathering.field(area, movie, schema.TIME, cache)
        self.response = gathering.field(area, response, schema.TIME, cache)
        self.buffers = fields.Buffers()
        if order.size < chunk:
            msg = f"{self.place}: {movie} has {order.size} frames, fewer than a chunk of {chunk}"
            raise ValueError(msg)

    def load(self) -> None:
        self.movie.load()
        self.response.load()

    def __len__(self) -> int:
        return self.order.size // self.chunk

    def __getitem__(self, index: int) -> DataPoint:
        return DataPoint(*(value[0] for value in self.batch([index])))

    def __getitems__(self, indices: Sequence[int]) -> Gathered:
        return Gathered(self.batch(indices), len(indices))

    def batch(self, indices: Sequence[int]) -> DataPoint:
        """Chunks by number."""
        return self.from_starts(np.asarray(indices) * self.chunk)

    def from_starts(self, starts: np.ndarray) -> DataPoint:
        """The chunks from any frames on."""
        inputs = self._gather(self.movie, starts).permute(0, 2, 1, 3, 4)
        return DataPoint(inputs.contiguous(), self._gather(self.response, starts))

    def _gather(self, field: fields.Field, starts: np.ndarray) -> torch.Tensor:
        shape = (starts.size, self.chunk, *field.shape[1:])
        out = self.buffers.get(shape, np.dtype(np.float32))
        for i, start in enumerate(starts.tolist()):
            rows = self.order[start : start + self.chunk]
            for run in np.split(np.arange(rows.size), np.flatnonzero(np.diff(rows) != 1) + 1):
                field.clips(rows[run[:1]], out[i : i + 1, run[0] : run[-1] + 1])
        return torch.from_numpy(out)


class _Chunks(_Movie):
    """A `_Movie` indexed by start frames."""

    def batch(self, indices: Sequence[int]) -> DataPoint:
        return self.from_starts(np.asarray(indices))


class _Starts(Batches):
    """The starts of that library's `MovieSampler`, for a given state of numpy's generator."""

    def __init__(self, data: _Movie, batch_size: int, seed: int, scene: int, over: bool):
        data.__class__ = _Chunks
        self.frames, self.chunk, self.scene, self.over = data.order.size, data.chunk, scene, over
        if not over and self.chunk > scene:
            msg = f"{data.place}: a chunk of {self.chunk} frames is longer than a clip of {scene}"
            raise ValueError(msg)
        n = -(-self.frames // self.chunk)
        super().__init__(n, batch_size, shuffle=True, seed=seed, drop_last=True)

    def order(self, epoch: int) -> np.ndarray:
        """Start frames of an epoch: (n,) int64."""
        starts = np.arange(0, self.frames, self.chunk)
        if self.scene == self.chunk:
            return starts
        state = np.random.RandomState(self.seed)
        for _ in range(epoch + 1):
            reach = self.chunk if self.over else self.chunk // 2
            shifts = state.randint(0, reach, starts.size)
            shuffled = state.permutation(starts.size)
        if self.over:
            moved = np.minimum(starts + shifts, self.frames - self.chunk)
        else:
            moved = self._inside(starts, shifts)
        return np.asarray(moved[shuffled], np.int64)

    def _inside(self, starts: np.ndarray, shifts: np.ndarray) -> np.ndarray:
        bounds = np.arange(0, self.frames + 1, self.scene)
        following = bounds[np.minimum(np.searchsorted(bounds, starts, "right"), bounds.size - 1)]
        moved = np.where(starts + self.chunk > following, following - self.chunk, starts)
        moved = np.where(starts + shifts + self.chunk < following, starts + shifts, moved)
        moved[-1] = min(moved[-1], bounds[-1] - self.chunk)
        return moved


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
    normalize: bool = True,
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
    normalize : bool
        Whether to normalise.
    cache : {"auto", True, False}
        As for `TrialDataset`.
    **loading
        For `torch.utils.data.DataLoader`.

    Returns
    -------
    dict of dict of Loader
        By tier and session.
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
    made: dict[str, dict[str, Any]] = {}
    for key, area in gathering.areas(tree, names):
        every = TrialDataset(area, names, cache=cache)
        scale = _neuro_normalizer(every, groups) if normalize else {}
        for tier, rows in by_tier(gathering.column(area, "tier")).items():
            data = _Points(TrialDataset(area, names, rows=rows, cache=cache), groups, scale)
            batches = Batches(len(data), batch_size, shuffle=tier == "train", seed=seed)
            made.setdefault(tier, {})[key] = Loader(data, batches, **loading)
    return made


class _Points(Dataset[Any]):
    """Presentations as that library's namedtuples."""

    def __init__(
        self,
        trials: TrialDataset,
        groups: Mapping[str, list[str]],
        scale: Mapping[str, tuple[torch.Tensor, torch.Tensor]],
    ):
        self.trials, self.scale = trials, dict(scale)
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
        batch = self.trials.batch(indices)
        values = []
        for name, group in self.groups.items():
            value = batch[group[0]] if name in ImagePoint._fields else _columns(batch, group)
            if name in self.scale:
                scaling.scale(value, *self.scale[name])
            values.append(value)
        return POINTS[len(values)](*values)


def _columns(batch: Mapping[str, torch.Tensor], names: Sequence[str]) -> torch.Tensor:
    return torch.stack([batch[name] for name in names], dim=1)


def _neuro_normalizer(
    every: TrialDataset, groups: Mapping[str, list[str]]
) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """What is subtracted from each field, and what it is multiplied by then."""
    scale = {}
    for field, group in groups.items():
        per_unit = field == "responses"
        fits = [scaling.Normalize.fit(every, [name], per_unit=per_unit, ddof=0) for name in group]
        if not fits:
            continue
        mean = torch.stack([f.mean[n].squeeze() for f, n in zip(fits, group, strict=True)])
        std = torch.stack([f.raw[n].squeeze() for f, n in zip(fits, group, strict=True)])
        if field in ("images", "responses"):
            mean, std = mean[0], std[0]
        if field == "responses":
            std = torch.maximum(std, 0.01 * torch.nanmean(std))
        if field in ("responses", "behavior"):
            mean = torch.zeros_like(mean)
        scale[field] = (mean.float(), (1 / std).float())
    return scale
