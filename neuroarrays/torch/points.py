"""Datasets of presentations whose batches are the namedtuples of tensors of neuralpredictors."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from neuroarrays import schema
from neuroarrays.batches.aligned import TrialSamples
from neuroarrays.batches.base import Gathered
from neuroarrays.batches.identity import Identity, checksum
from neuroarrays.batches.samplers import Batches
from neuroarrays.batches.scaling import scale
from neuroarrays.kernels.resize import shrink
from neuroarrays.kernels.seeding import draws

ImagePoint = namedtuple("ImagePoint", ["images", "responses"])
BehaviorPoint = namedtuple("BehaviorPoint", ["images", "responses", "behavior"])
CenterPoint = namedtuple("CenterPoint", ["images", "responses", "pupil_center"])
PupilPoint = namedtuple("PupilPoint", ["images", "responses", "behavior", "pupil_center"])
VideoPoint = namedtuple("VideoPoint", ["videos", "responses"])
BehaviorVideo = namedtuple("BehaviorVideo", ["videos", "responses", "behavior"])
CenterVideo = namedtuple("CenterVideo", ["videos", "responses", "pupil_center"])
PupilVideo = namedtuple("PupilVideo", ["videos", "responses", "behavior", "pupil_center"])
#: The namedtuples of neuralpredictors by their fields; workers can pickle classes of a module only.
POINTS: dict[tuple[str, ...], Any] = {
    point._fields: point
    for point in (
        *(ImagePoint, BehaviorPoint, CenterPoint, PupilPoint),
        *(VideoPoint, BehaviorVideo, CenterVideo, PupilVideo),
    )
}


class BatchesOf(Batches):
    """A sampler of some samples of a dataset.

    Parameters
    ----------
    rows : (n,) int64
        Numbers of the samples.
    batch_size, **options
        Arguments of `Batches`.
    """

    def __init__(self, rows: np.ndarray, batch_size: int, **options: Any):
        self.rows = rows
        super().__init__(rows.size, batch_size, **options)

    def identity(self) -> Identity:
        return super().identity() | {"chosen samples": checksum(self.rows)}

    def batches(self, epoch: int) -> list[np.ndarray]:
        return [self.rows[batch] for batch in super().batches(epoch)]


class WindowsOf(BatchesOf):
    """A sampler of windows of movies, which begin at another frame in each epoch; see `MoviePoints`.

    Parameters
    ----------
    rows : (n,) int64
        Numbers of the movies.
    room : (n,) int64
        The last frame at which a window may begin; the first is 0.
    total : int
        Number of movies of the dataset.
    batch_size, **options
        Arguments of `Batches`.
    """

    def __init__(
        self, rows: np.ndarray, room: np.ndarray, total: int, batch_size: int, **options: Any
    ):
        self.room, self.total = room, total
        super().__init__(rows, batch_size, **options)

    def order(self, epoch: int) -> np.ndarray:
        self.starts = draws(self.room.size, self.seed, epoch, 4) % (self.room + 1).astype(np.uint64)
        return super().order(epoch)

    def batches(self, epoch: int) -> list[np.ndarray]:
        numbers = Batches.batches(self, epoch)
        starts = self.starts.astype(np.int64) * self.total
        return [self.rows[batch] + starts[batch] for batch in numbers]


class Points(Dataset[Any]):
    """A dataset of the presentations of all tiers, as namedtuples of tensors.

    Parameters
    ----------
    trials : TrialSamples
        The presentations, with the variables in `groups`.
    groups : mapping of str to list of str
        The variables of each field.
    scales : mapping of str to (array, array)
        For each field the mean to subtract, and the factor to multiply by after that.
    as_channels : sequence of str
        Fields whose values become channels of the images.
    size : float, optional
        Size of the images in batches divided by the stored size.

    Attributes
    ----------
    neurons, trial_info : Labels
        Columns of (unit_id,) and of (presentation_id,), such as ``neurons.cell_motor_coordinates``.
    tiers : (presentation_id,) str
        The tier of each presentation.
    data_keys : tuple of str
        The names of the fields.
    """

    def __init__(
        self,
        trials: TrialSamples,
        groups: Mapping[str, list[str]],
        scales: Mapping[str, tuple[np.ndarray, np.ndarray]],
        as_channels: Sequence[str] = (),
        size: float | None = None,
    ):
        if missing := [field for field in as_channels if field not in groups]:
            option = {"behavior": "include_behavior", "pupil_center": "include_eye_position"}
            msg = f"{missing[0]} as channels needs the field: say {option[missing[0]]}=True"
            raise ValueError(msg)
        self.trials, self.groups, self.scales = trials, dict(groups), dict(scales)
        self.as_channels, self.size = list(as_channels), size
        self.data_keys = tuple(self.groups)
        self.neurons, self.trial_info = trials.neurons, trials.trial_info
        if size is not None:  # raises an error if images cannot have this size
            shrink(np.zeros(trials.fields[groups["images"][0]].shape[-2:], np.float32), size)

    @property
    def tiers(self) -> np.ndarray:
        """The tier of each presentation, (presentation_id,) str."""
        return self.trials.tiers

    @property
    def n_neurons(self) -> int:
        """Number of units."""
        return int(self.trials.fields[self.groups["responses"][0]].shape[-1])

    @property
    def img_shape(self) -> tuple[int, ...]:
        """Shape of a batch of one image: (1, channel, y, x)."""
        return (1, *self[0].images.shape)

    def identity(self) -> Identity:
        """Return what identifies these presentations."""
        return self.trials.identity()

    def load(self) -> None:
        """Read now what is kept in memory, not with the first batch."""
        self.trials.load()

    def __len__(self) -> int:
        return len(self.trials)

    def __iter__(self) -> Iterator[Any]:
        return map(self.__getitem__, range(len(self)))

    def __getitem__(self, index: int) -> Any:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> Gathered:
        return Gathered(self.batch(indices), len(indices))

    def batch(self, indices: Sequence[int]) -> Any:
        """Gather presentations by number."""
        values = self._values(indices)
        images = values["images"]
        if self.size is not None:
            images = shrink(images, self.size)
        values["images"] = self._with_planes(images, values)
        return POINTS[self.data_keys](*map(torch.from_numpy, values.values()))

    def _values(self, indices: Sequence[int]) -> dict[str, np.ndarray]:
        """Return the fields of presentations, (n, ...) each, normalised."""
        arrays = self.trials.batch(indices)
        values = {}
        for field, group in self.groups.items():
            stacked = field in ("behavior", "pupil_center")
            value = np.stack([arrays[n] for n in group], 1) if stacked else arrays[group[0]]
            if field in self.scales:
                scale(value, *self.scales[field])
            values[field] = value
        return values

    def _with_planes(self, images: np.ndarray, values: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return images or movies ``(n, channel, ..., y, x)`` with signals as further channels."""
        if not self.as_channels:
            return images
        planes = np.concatenate([values[field] for field in self.as_channels], axis=1)
        shape = (*planes.shape, *images.shape[-2:])  # a plane has the same value in all pixels
        return np.concatenate([images, np.broadcast_to(planes[..., None, None], shape)], axis=1)

    def __repr__(self) -> str:
        fields = ", ".join(self.data_keys)
        return f"<{type(self).__name__} of {self.trials.location}: {len(self):,} samples, {fields}>"


class MoviePoints(Points):
    """A dataset of the movies of all tiers, as namedtuples of tensors.

    In a batch, the axis of time follows that of channels or units. The number of a window is the
    number of its movie plus the number of movies times the first frame of the window.

    Parameters
    ----------
    trials, groups, scales, as_channels, size
        As for `Points`; `groups` has the movies as "images".
    frames : int, optional
        Length of a window (default: whole movies, without their padding).
    most : int, optional
        Movies end before this frame.
    """

    def __init__(self, *arguments: Any, frames: int | None = None, most: int | None = None):
        super().__init__(*arguments)
        self.frames = frames
        self.data_keys = ("videos", *self.data_keys[1:])
        ends = [self.trials.fields[self.groups["images"][0]].shape[1]]
        ends += [] if most is None else [most]
        if "images" in self.scales:  # statistics are NaN for frames that no training movie has
            mean = np.atleast_1d(self.scales["images"][0])
            unknown = np.isnan(mean).reshape(len(mean), -1).any(1)
            ends += np.flatnonzero(unknown)[:1].tolist()
        self._length = min(ends)

    @property
    def n_neurons(self) -> int:
        return int(self.trials.fields[self.groups["responses"][0]].shape[1])

    @property
    def img_shape(self) -> tuple[int, ...]:
        """Shape of a batch of one movie: (1, channel, time, y, x)."""
        return (1, *self[0].videos.shape)

    def lengths(self, rows: np.ndarray) -> np.ndarray:
        """Return the number of frames of each movie in batches, without padding: (n,) int64."""
        mask = self.trials.masks.get(schema.VALID)
        if mask is None:
            return np.full(rows.size, self._length, np.int64)
        known = np.empty((rows.size, *mask.field.shape[1:]), bool)
        mask.field.rows(self.trials.rows[rows], known)
        ends = np.where(known.all(1), known.shape[1], (~known).argmax(1))
        return np.minimum(ends, self._length)

    def batch(self, indices: Sequence[int]) -> Any:
        """Gather windows by number."""
        start, rows = np.divmod(np.asarray(indices, np.int64), len(self))
        start = np.maximum(start, 0)  # negative numbers count movies from the end
        if self.frames is None and start.any():
            msg = f"{self.trials.location}: sample {max(indices)} of {len(self)}"
            raise IndexError(msg)
        lengths = self.lengths(rows) - start
        frames = int(lengths[0]) if self.frames is None else self.frames
        if (lengths < frames).any() or (self.frames is None and (lengths != frames).any()):
            msg = (
                f"{self.trials.location}: movies of a batch have {sorted(set(lengths.tolist()))} "
                "frames; give frames= or batch_size=1"
            )
            raise ValueError(msg)
        values = self._values(rows.tolist())
        times = (start[:, None] + np.arange(frames))[:, None]
        for field in values:
            if field == "images":  # (n, time, channel, y, x) -> (n, channel, time, y, x)
                movies = [v[t[0]] for v, t in zip(values[field], times, strict=True)]
                values[field] = np.stack(movies).swapaxes(1, 2)
            else:
                values[field] = np.take_along_axis(values[field], times, axis=2)
        images = values["images"]
        images = images if self.size is None else shrink(images, self.size)
        values["images"] = np.ascontiguousarray(self._with_planes(images, values))
        return POINTS[self.data_keys](*map(torch.from_numpy, values.values()))
