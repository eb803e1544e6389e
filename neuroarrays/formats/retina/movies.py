"""Movies that are rendered where they are indexed: images and fixations stay what they are."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from neuroarrays.errors import FormatError
from neuroarrays.files import outer
from neuroarrays.files.source import Key
from neuroarrays.formats.retina.arrays import Derived
from neuroarrays.lazy.arrays import LazyArray, cached

#: Bytes of frames rendered at a time.
_BATCH = 16 << 20


class Rendered(LazyArray):
    """Frames, (time, 1, y, x), that are made where they are indexed. Subclasses give `frames`."""

    @abstractmethod
    def frames(self, picked: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Frames at these positions in any order: their rows in `picked`, and (row, y, x)."""

    def outer(self, key: Key) -> np.ndarray:
        k, *rest = key
        picked = outer.positions(k)
        first = _pick(np.empty((0, *self.shape[1:]), self.dtype), rest)
        out = np.empty((picked.size, *first.shape[1:]), self.dtype)
        for rows, frames in self.frames(picked):
            out[rows] = _pick(frames[:, None], rest)
        return out[0] if isinstance(k, int) else out


@dataclass(frozen=True, repr=False, eq=False)
class FixationMovie(Rendered):
    """What the screen showed, (time, 1, y, x) float32, from images and fixations.

    Attributes
    ----------
    path, where : str
        The file, and the place of the fixations in it.
    images : (image, x, y) lazy array
        As stored.
    fixations : (time, 3) lazy array
        1-based image, and the column x and row y of it on the middle of the screen, pixels.
    screen, frame : (int, int), pixels
        Height and width of the screen and of the frames.
    wrap_edge : bool
        As open-retina: see `kernels.fixations.render`.
    """

    path: str
    where: str
    images: LazyArray
    fixations: LazyArray
    screen: tuple[int, int]
    frame: tuple[int, int]
    wrap_edge: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.fixations.shape[0], 1, *self.frame)

    @property
    def dtype(self) -> np.dtype:
        return np.dtype("f4")

    def frames(self, picked: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        return self._rendered(self._checked(picked))

    def _checked(self, picked: np.ndarray) -> np.ndarray:
        """Fixations of the frames, (frame, 3) int64."""
        from neuroarrays.kernels import fixations as kernel

        stored = self.fixations.outer((outer.compact(picked), slice(0, 3, 1)))
        count, across, down = self.images.shape
        whole = np.where(np.isfinite(stored), stored, 0)
        found = np.clip(whole, -(2**40), 2**40).astype(np.int64)
        bad = ~((found[:, 0] >= 1) & (found[:, 0] <= count)) | ~np.isfinite(stored).all(axis=1)
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise FormatError(
                self.path,
                f"{self.where}, frame {picked[row]}",
                f"an image from 1 to {count}, finite x and y",
                f"{stored[row].tolist()}",
            )
        off = ~kernel.inside((across, down), found[:, 1:], self.screen)
        if off.any():
            row = int(np.flatnonzero(off)[0])
            raise FormatError(
                self.path,
                f"{self.where}, frame {picked[row]}",
                "a fixation that leaves some of the image on the screen",
                f"x, y = {found[row, 1:].tolist()} of {(across, down)} pixels",
            )
        return found

    def _rendered(self, fixations: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Rows and their frames, image after image: one image in memory at a time."""
        from neuroarrays.kernels import fixations as kernel

        batch = max(1, _BATCH // (4 * self.frame[0] * self.frame[1]))
        whole = slice(None)
        for image in np.unique(fixations[:, 0]):
            rows = np.flatnonzero(fixations[:, 0] == image)
            pixels = self.images._raw((int(image) - 1, whole, whole))
            if pixels.dtype not in (np.uint8, np.float32):
                pixels = pixels.astype(np.float32)
            for start in range(0, rows.size, batch):
                some = rows[start : start + batch]
                yield (
                    some,
                    kernel.render(
                        pixels, fixations[some, 1:], self.screen, self.frame, self.wrap_edge
                    ),
                )


@dataclass(frozen=True, repr=False, eq=False)
class Checkers(LazyArray):
    """Black and white checkers drawn anew from their seed, (time, 1, y, x) uint8, 0 and 255.

    A frame is drawn column after column; blocks go on where the one before ended.

    Attributes
    ----------
    seed : int
        Of the stimulation program's generator.
    blocks, frames : int
        Blocks, and frames of each.
    height, width : int
        Checkers along y and x.
    """

    seed: int
    blocks: int
    frames: int
    height: int
    width: int

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.blocks * self.frames, 1, self.height, self.width)

    @property
    def dtype(self) -> np.dtype:
        return np.dtype("u1")

    def outer(self, key: Key) -> np.ndarray:
        from neuroarrays.kernels import ran1

        k, *rest = key
        picked = outer.positions(k)
        first = _pick(np.empty((0, *self.shape[1:]), np.uint8), rest)
        out = np.empty((picked.size, *first.shape[1:]), np.uint8)
        size = self.height * self.width
        for block in np.unique(picked // self.frames):
            rows = np.flatnonzero(picked // self.frames == block)
            within = picked[rows] % self.frames
            (states,) = cached(self.__dask_tokenize__(), self._states)
            drawn = ran1.bits(states[block].copy(), (int(within.max()) + 1) * size)
            white = drawn.reshape(-1, self.width, self.height)[within].swapaxes(1, 2)
            out[rows] = _pick(np.uint8(255) * white[:, None], rest)
        return out[0] if isinstance(k, int) else out

    def _states(self) -> tuple[np.ndarray]:
        """The generator at the beginning of each block."""
        from neuroarrays.kernels import ran1

        states = np.empty((self.blocks, 34), np.int64)
        now = ran1.seeded(self.seed)
        for block in range(self.blocks):
            states[block] = now
            if block + 1 < self.blocks:
                ran1.bits(now, self.frames * self.height * self.width)
        return (states,)


def _pick(frames: np.ndarray, rest: list[int | slice | np.ndarray]) -> np.ndarray:
    """Channels, rows and columns of frames."""
    return outer.take_after(frames, tuple(rest), 1)


@dataclass(frozen=True, repr=False, eq=False)
class Column(Derived):
    """A column of a lazy table (row, column), in a dtype of its own."""

    column: int
    to: np.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        return self.base.shape[:1]

    @property
    def dtype(self) -> np.dtype:
        return self.to

    def outer(self, key: Key) -> np.ndarray:
        values = np.asarray(self.base.outer((key[0], self.column)))
        if self.dtype.kind in "iu":
            values = np.where(np.isfinite(values), values, 0)
        return values.astype(self.dtype)
