"""Movies that are rendered when they are indexed, from images and fixations or from a seed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from neuroarrays.errors import FormatError
from neuroarrays.files import outer
from neuroarrays.lazy.arrays import LazyArray, cached, exact_token

#: Bytes of frames rendered at a time.
_BATCH = 16 << 20


@dataclass(frozen=True)
class FixationMovie:
    """The screen under eye movements, (time, 1, y, x) float32, from images and fixations.

    Attributes
    ----------
    path, where : str
        The file, and the place of the fixations in it.
    images : (image, x, y) lazy array
        Images in grey levels, as stored.
    fixations : (time, 3) lazy array
        For each frame the number of the image, counted from 1, and the column x and row y of the
        image that are at the middle of the screen, in pixels.
    screen, frame : (int, int), pixels
        Height and width of the screen and of the frames.
    wrap_edge : bool
        Whether opposite edges are repeated as open-retina does (see `kernels.fixations.render`).
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

    def frames_at(self, picked: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Frames (m, 1, y, x) at these positions, image after image."""
        return self._rendered(self._checked(picked))

    def _checked(self, picked: np.ndarray) -> np.ndarray:
        """Return fixations of the frames, (frame, 3) int64, after checking them."""
        from neuroarrays.kernels import fixations as kernel

        stored = self.fixations.outer((outer.compact(picked), slice(0, 3, 1)))
        count, across, down = self.images.shape
        whole = np.where(np.isfinite(stored), stored, 0)
        fixations = np.clip(whole, -(2**40), 2**40).astype(np.int64)
        bad = ~((fixations[:, 0] >= 1) & (fixations[:, 0] <= count)) | ~np.isfinite(stored).all(
            axis=1
        )
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise FormatError(
                self.path,
                f"{self.where}, frame {picked[row]}",
                f"an image from 1 to {count}, finite x and y",
                f"{stored[row].tolist()}",
            )
        off = ~kernel.inside((across, down), fixations[:, 1:], self.screen)
        if off.any():
            row = int(np.flatnonzero(off)[0])
            raise FormatError(
                self.path,
                f"{self.where}, frame {picked[row]}",
                "a fixation that leaves some of the image on the screen",
                f"x, y = {fixations[row, 1:].tolist()} of {(across, down)} pixels",
            )
        return fixations

    def _rendered(self, fixations: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield rows and their frames (row, 1, y, x), with one image in memory at a time."""
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
                places = fixations[some, 1:]
                frames = kernel.render(pixels, places, self.screen, self.frame, self.wrap_edge)
                yield some, frames[:, None]


@dataclass(frozen=True)
class Checkers:
    """Black and white checkers drawn from their seed, (time, 1, y, x) uint8, 0 and 255.

    A frame is drawn column after column. Each block continues the random sequence of the one before.

    Attributes
    ----------
    seed : int
        Seed of the random generator of the stimulation program.
    blocks, frames : int
        Number of blocks, and number of frames of each.
    height, width : int
        Number of checkers along y and x.
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

    def frames_at(self, picked: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Frames (m, 1, y, x) at these positions, block after block."""
        from neuroarrays.kernels import ran1

        size = self.height * self.width
        (states,) = cached(("checkers", exact_token(self)), self._states)
        for block in np.unique(picked // self.frames):
            rows = np.flatnonzero(picked // self.frames == block)
            within = picked[rows] % self.frames
            drawn = ran1.bits(states[block].copy(), (int(within.max()) + 1) * size)
            white = drawn.reshape(-1, self.width, self.height)[within].swapaxes(1, 2)
            yield rows, np.uint8(255) * white[:, None]

    def _states(self) -> tuple[np.ndarray]:
        """Return the state of the generator at the beginning of each block."""
        from neuroarrays.kernels import ran1

        states = np.empty((self.blocks, 34), np.int64)
        now = ran1.seeded(self.seed)
        for block in range(self.blocks):
            states[block] = now
            if block + 1 < self.blocks:
                ran1.bits(now, self.frames * self.height * self.width)
        return (states,)
