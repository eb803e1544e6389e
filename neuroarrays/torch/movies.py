"""`MovieDataset`, a movie and the responses to it, which open-retina's programs can use."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch.utils.data import Dataset

from neuroarrays import schema
from neuroarrays.batches import gathering
from neuroarrays.batches.base import Gathered
from neuroarrays.batches.movies import MovieChunks, MovieFields, MovieStarts, frame_dim
from neuroarrays.errors import SchemaError, many

DataPoint = namedtuple("DataPoint", ["inputs", "targets"])
BY_TRIAL = "responses_by_trial"
#: Names of the sides of a split that are not tests.
SIDES = ("train", "validation", "val")


class MovieDataset(MovieChunks, Dataset[Any]):
    """A movie and responses to it, in chunks, like open-retina's `MovieDataSet`.

    ``data[k]`` is the chunk that begins at frame k, ``data[a:b]`` the frames from a to b, as a
    `DataPoint` of inputs (channel, time, y, x) and targets (time, unit_id).

    Attributes
    ----------
    chunk_size : int
        Number of frames of a chunk.
    test_responses_by_trial : (trial, unit_id, time) float32 tensor or None
        Responses to each repeat of a test, in counts or Hz.
    session_info : dict
        Facts about the session and its units.
    """

    test_responses_by_trial: torch.Tensor | None = None
    session_info: Mapping[str, Any] = {}

    @property
    def chunk_size(self) -> int:
        return self.chunk

    @property
    def movies(self) -> torch.Tensor:
        """The whole movie (channel, time, y, x) float32, normalised as in batches."""
        whole: torch.Tensor = self[:].inputs
        return whole

    @property
    def responses(self) -> torch.Tensor:
        """All responses (time, unit_id) float32, in counts or Hz."""
        out = np.empty((self.order.size, *self.source.response.shape[1:]), np.float32)
        self.source.response.rows(self.order, out)
        return torch.from_numpy(out / np.float32(self.source.fr_normalization))

    @property
    def mean_response(self) -> torch.Tensor:
        """The mean response of each unit, (unit_id,) float32, in counts or Hz."""
        return self.responses.mean(0)

    def __getattr__(self, name: str) -> Any:
        if name in ("roi_ids", "roi_coords", "group_assignment"):
            return self.session_info.get(name)
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def batch(self, indices: Sequence[int]) -> DataPoint:
        """Gather chunks by their first frames."""
        return DataPoint(*map(torch.from_numpy, self.chunks(indices)))

    def __getitem__(self, index: int | slice) -> DataPoint:
        if isinstance(index, slice):
            movie, responses = self.source.read(self.order[index])
            return DataPoint(
                torch.from_numpy(np.moveaxis(movie, 1, 0)), torch.from_numpy(responses)
            )
        return DataPoint(*(value[0] for value in self.batch([index])))

    def __getitems__(self, indices: Sequence[int]) -> Gathered:
        return Gathered(self.batch(indices), len(indices))

    def __repr__(self) -> str:
        shape = self.source.movie.shape
        return f"<MovieDataset of {self.location}: {self.order.size:,} frames {shape[1:]}>"


def by_trial(area: xr.DataTree, source: MovieFields) -> torch.Tensor | None:
    """Return the responses to each repeat, (trial, unit, time) float32, or None if there are none."""
    if BY_TRIAL not in area.data_vars:
        return None
    repeats: Any = area[BY_TRIAL]
    values = repeats.transpose(schema.TRIAL, schema.UNIT, frame_dim(repeats)).values
    by_trial = np.ascontiguousarray(values, np.float32) / np.float32(source.fr_normalization)
    return torch.from_numpy(by_trial)


def movie_fields(area: xr.DataTree, movie: str, response: str, cache: bool | str) -> MovieFields:
    """Return a movie and the responses to it.

    Raises
    ------
    SchemaError
        If they differ in their number of frames, or a response is NaN.
    """
    arrays = [gathering.find(area, name) for name in (movie, response)]
    dim = frame_dim(arrays[0])
    for name, array in zip((movie, response), arrays, strict=True):
        if dim not in array.dims:
            msg = f"{gathering.location(area, name)} is not along {dim}: it has dims {array.dims}"
            raise SchemaError(msg)
    frames, n_responses = (array.sizes[dim] for array in arrays)
    if frames != n_responses:
        shown = many(frames, "frame")
        msg = f"{gathering.location(area)}: {movie} has {shown}, {response} {n_responses}"
        raise SchemaError(msg)
    if np.isnan(arrays[1].values).any():
        msg = f"{gathering.location(area, response)} has NaN, which open-retina cannot train on"
        raise SchemaError(msg)
    return MovieFields(
        gathering.location(area),
        gathering.field(area, movie, dim, cache),
        gathering.field(area, response, dim, cache),
    )


@dataclass(frozen=True)
class ChunkPlan:
    """How chunks are drawn for batches.

    Attributes
    ----------
    batch_size : int
        Number of chunks of a batch.
    chunk : int
        Number of frames of a training chunk.
    seed : int
        Seed of the starts of training chunks.
    over : bool
        Whether chunks may run across clips.
    """

    batch_size: int
    chunk: int
    seed: int
    over: bool

    def side(
        self, source: MovieFields, side: str, order: np.ndarray, length: int
    ) -> tuple[MovieDataset, MovieStarts]:
        """Make the dataset and the sampler of "train", "validation" or a test block.

        Parameters
        ----------
        source : MovieFields
            Movie and responses of one area.
        side : str
            Name of the side.
        order : (frame,) int64
            The frames of the side, in order.
        length : int, frames
            Length of a clip.
        """
        is_test = side not in SIDES
        chunk, size = self.chunk if side == "train" else length, self.batch_size
        if is_test and self.over:
            chunk = order.size
        if is_test and chunk > self.chunk:
            size = max(1, self.batch_size * self.chunk // chunk)
        data = MovieDataset(source, order, chunk)
        seed = self.seed if side == "train" else None
        return data, MovieStarts(data, size, length, seed=seed, over=self.over)
