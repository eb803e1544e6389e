"""Loaders that deliver what open-retina's loaders do; see `neuroarrays.torch.dropin`."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch.utils.data import Dataset

from neuroarrays import schema
from neuroarrays.batches import gathering
from neuroarrays.batches.base import Gathered
from neuroarrays.batches.movies import MovieChunks, MovieStarts, pixel_statistics, split_clips
from neuroarrays.batches.samplers import Batches
from neuroarrays.errors import NotInTree, SchemaError
from neuroarrays.torch.loading import Loader

DataPoint = namedtuple("DataPoint", ["inputs", "targets"])
#: Datasets whose movies that library's readers normalise by default.
_NORMALIZED = ("maheswaranathan_2023", "karamanlis_2024", "goldin_2022")


def openretina(  # noqa: PLR0913  its own options
    tree: xr.DataTree,
    inputs: Sequence[str] = ("stimulus",),
    targets: Sequence[str] = ("responses",),
    *,
    batch_size: int = 32,
    seed: int = 42,
    train_chunk_size: int = 50,
    clip_length: int | None = None,
    num_val_clips: int | None = None,
    val_clip_indices: Sequence[int] | None = None,
    allow_over_boundaries: bool = True,
    normalize_stimuli: bool | None = None,
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
        Of the draw of validation clips, as there, and of the starts of training chunks.
    train_chunk_size, clip_length : int, frames
        Length of a chunk and of a clip: 100, or that of clips that the tree labels by `clip_id`.
    num_val_clips : int, optional
        How many clips validate, drawn at random; 10. Without it, and without `val_clip_indices`,
        those that the tree labels `validation`: the published ones of Hoefling et al. 2024.
    val_clip_indices : sequence of int, optional
        The clips that validate, in this order.
    allow_over_boundaries : bool
        Whether training chunks may run across clips.
    normalize_stimuli : bool, optional
        Subtract the mean of all pixels of the session's training movie, and divide by their
        deviation (ddof=1). Unless given, as that library's own reader of the dataset does: of
        maheswaranathan_2023, karamanlis_2024 and goldin_2022.
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
        If there are blocks, but none that trains; or no such clip.
    ValueError
        If a side gets no clip.
    """
    movie, response = _one("inputs", inputs), _one("targets", targets)
    by_side: dict[str, dict[str, Any]] = {"train": {}, "validation": {}}
    areas = [area for _, area in gathering.areas(tree, [movie, response])]
    if normalize_stimuli is None:
        normalize_stimuli = tree.root.attrs.get("source") in _NORMALIZED
    scales = {
        area.path.split("/")[-2]: pixel_statistics(area, movie)
        for area in areas
        if normalize_stimuli and _block(area) == "train"
    }
    for area in areas:
        block, session = _block(area), area.path.split("/")[-2]
        frames = _frames(area, movie, response)
        sides: dict[str, np.ndarray] = {block: np.arange(frames)}
        length = 100 if clip_length is None else clip_length
        if block == "train":
            clips = split_clips(
                area,
                frames,
                length=clip_length,
                number=num_val_clips,
                clips=val_clip_indices,
                seed=seed,
            )
            sides, length = {"train": clips.training, "validation": clips.validation}, clips.length
        for side, order in sides.items():
            train, test = side == "train", side not in ("train", "validation")
            chunk = train_chunk_size if train else length
            if test and allow_over_boundaries:
                chunk = order.size
            size = batch_size
            if test and chunk > train_chunk_size:
                size = max(1, batch_size * train_chunk_size // chunk)
            scale_by = scales.get(session)
            data = _Movie(area, movie, response, order, chunk, cache, train, scale_by)
            batches: Batches = Batches(len(data), size)
            if train:
                batches = MovieStarts(data, size, seed, length, allow_over_boundaries)
            by_side.setdefault(side, {})[session] = Loader(data, batches, **loading)
    if not by_side["train"]:
        blocks = [name for name in by_side if by_side[name]]
        raise NotInTree("block", "train", blocks, hint="that is where its training movie is")
    return by_side


def _one(what: str, names: Sequence[str]) -> str:
    """The one variable of a list."""
    if isinstance(names, str) or len(names) != 1:
        msg = f"{what}: expected a list of one variable, found {names!r}"
        raise ValueError(msg)
    return names[0]


def _block(area: xr.DataTree) -> str:
    """The block that an area is in; "train" in a tree without blocks."""
    parts = area.path.strip("/").split("/")
    return parts[0] if len(parts) > 2 else "train"


def _frames(area: xr.DataTree, movie: str, response: str) -> int:
    """Frames of a movie; its responses have as many, and none is NaN."""
    arrays = [gathering.find(area, name) for name in (movie, response)]
    for name, array in zip((movie, response), arrays, strict=True):
        if schema.TIME not in array.dims:
            msg = f"{gathering.location(area, name)} is not along time: it has dims {array.dims}"
            raise SchemaError(msg)
    frames, others = (array.sizes[schema.TIME] for array in arrays)
    if frames != others:
        msg = f"{gathering.location(area)}: {movie} has {frames} frames, {response} {others}"
        raise SchemaError(msg)
    if np.isnan(arrays[1].values).any():
        msg = f"{gathering.location(area, response)} has NaN, which open-retina cannot train on"
        raise SchemaError(msg)
    return int(frames)


class _Movie(MovieChunks, Dataset[Any]):
    """Chunks as that library's namedtuples of tensors."""

    def batch(self, indices: Sequence[int]) -> DataPoint:
        """Chunks by number."""
        return DataPoint(*map(torch.from_numpy, self.chunks(indices)))

    def __getitem__(self, index: int) -> DataPoint:
        return DataPoint(*(value[0] for value in self.batch([index])))

    def __getitems__(self, indices: Sequence[int]) -> Gathered:
        return Gathered(self.batch(indices), len(indices))
