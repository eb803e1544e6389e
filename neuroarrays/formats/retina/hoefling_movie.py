"""The movie of Hoefling et al. 2024: clips that stay in their pickle, and the orders of clips."""

from __future__ import annotations

from typing import Any

import numpy as np

from neuroarrays.errors import FormatError
from neuroarrays.files.probe import Probe
from neuroarrays.formats.retina import containers
from neuroarrays.formats.retina.clips import Pickled
from neuroarrays.lazy.arrays import LazyArray
from neuroarrays.lazy.views import Arranged
from neuroarrays.schema.names import chosen

#: Frames of a clip.
CLIP = 150


class NaturalMovie:
    """The movie of one pickle.

    Attributes
    ----------
    train, test : (time, channel, y, x) lazy array
        Clips one after another, in grey levels as they are stored.
    orders : (clip, scan) int64
        Number of the clip that was shown at each place of each scan.
    """

    def __init__(self, pickled: Pickled):
        content, path = pickled.load(), pickled.path
        if not isinstance(content, dict):
            raise FormatError(path, expected="a dict", found=type(content).__name__)
        for name in ("train", "test", "random_sequences"):
            if name not in content:
                raise FormatError(
                    path, expected=f"the key {name!r}", found=", ".join(map(str, content))
                )
        self.pickled = pickled
        self.train, self.test = (self._movie(content[name], name) for name in ("train", "test"))
        self.orders = np.asarray(pickled.array(content["random_sequences"]).load()).astype(int)
        clips = self.train.shape[0] // CLIP
        if (
            self.orders.ndim != 2
            or self.orders.shape[0] != clips
            or (self.orders.size and not 0 <= self.orders.min() <= self.orders.max() < clips)
        ):
            raise FormatError(
                path,
                "random_sequences",
                f"(clip, scan), each of 0 to {clips - 1}",
                f"shape {self.orders.shape}",
            )

    def _movie(self, value: Any, name: str) -> LazyArray:
        """Return a movie as (time, channel, y, x)."""
        stored = self.pickled.array(value)
        if len(stored.shape) != 4 or stored.shape[1] % CLIP:
            raise FormatError(
                self.pickled.path,
                name,
                "(channel, clips of 150 frames, y, x)",
                f"shape {stored.shape}",
            )
        return Arranged(stored, (1, 0, 2, 3))

    @classmethod
    def find(cls, probe: Probe, wanted: str | None) -> NaturalMovie | None:
        """Find the movie beside the responses, unpacked or in its zip; None if there is none."""
        folder = probe if probe.is_folder else probe.parent
        movies = {
            name.rpartition("/")[2]: Pickled(packed.location, packed.stamp, name)
            for packed in folder.glob("*.zip")
            for name in containers.members(packed)
            if name.endswith(".pkl")
        }
        movies |= {file.name: Pickled(file.location, file.stamp) for file in folder.glob("*.pkl")}
        if wanted is not None:
            movies = {name: movies[name] for name in chosen(movies, wanted, "movie")}
        if len(movies) > 1:
            raise FormatError(
                folder.as_given,
                expected="one movie",
                found=", ".join(movies),
                hint="say which: movie=",
            )
        return cls(next(iter(movies.values()))) if movies else None
