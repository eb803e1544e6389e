"""Pictures in files of their own: png, jpg, gif and tif, decoded by Pillow where they are indexed."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from neuroarrays.errors import FormatError, MissingDependency
from neuroarrays.files import safety
from neuroarrays.files.location import Location, Stamp
from neuroarrays.files.probe import Probe

if TYPE_CHECKING:
    from PIL import Image

#: What Pillow may decode here, by its own names; other decoders are not asked.
FORMATS = ("PNG", "JPEG", "GIF", "TIFF")
SUFFIXES = (".png", ".jpg", ".jpeg", ".gif", ".tif", ".tiff")
#: Values of a pixel, by Pillow's names of what a picture has: dtype, and the axis of colours.
_MODES: dict[str, tuple[str, tuple[int, ...]]] = {
    "1": ("?", ()), "L": ("u1", ()), "I;16": ("u2", ()), "I;16B": ("u2", ()), "I;16L": ("u2", ()),
    "I": ("i4", ()), "F": ("f4", ()), "LA": ("u1", (2,)), "RGB": ("u1", (3,)), "RGBA": ("u1", (4,)),
}  # fmt: skip


def is_installed() -> bool:
    """Whether Pillow is there."""
    return find_spec("PIL") is not None


@dataclass(frozen=True)
class PictureFile:
    """A file with one or several pictures of one size.

    Attributes
    ----------
    location, stamp
        The file, and what tells that it is still the one that was looked at.
    frames : int
        Pictures in it.
    shape : tuple of int, pixels
        Of each: (y, x), or (y, x, colour).
    mode : str
        What a pixel has, by Pillow's name.
    """

    location: Location
    stamp: Stamp
    frames: int
    shape: tuple[int, ...]
    mode: str

    @property
    def dtype(self) -> np.dtype:
        """Of the values of a pixel, as the file has them."""
        return np.dtype(_MODES[self.mode][0])

    def read(self, frames: np.ndarray) -> Iterator[np.ndarray]:
        """The pictures at (n,) int64 places in the file, one at a time.

        Raises
        ------
        FormatError
            If the file has changed, or a picture is damaged or of another size.
        """
        with _opened(self.location, self.stamp) as image:
            for frame in frames.tolist():
                image.seek(frame)
                picture = image if image.mode == self.mode else image.convert(self.mode)
                values = np.asarray(picture)
                if values.shape != self.shape:
                    found = f"{values.shape} of picture {frame}"
                    raise FormatError(self.location.path, "", f"pictures of {self.shape}", found)
                yield values.astype(self.dtype, copy=False)


def picture_file(file: Probe) -> PictureFile:
    """The pictures of a file, of which only the header is read.

    Raises
    ------
    MissingDependency
        If Pillow is not there.
    FormatError
        If it is no picture of a kind that is read, is damaged, or declares more than it can hold.
    """
    if not is_installed():
        raise MissingDependency("PIL", "images", "reading pictures in files of their own")
    with _opened(file.location, file.stamp) as image:
        mode, (width, height) = image.mode, image.size
        if mode in ("P", "PA"):  # numbers of a palette
            mode = "RGBA" if "transparency" in image.info or mode == "PA" else "RGB"
        if mode not in _MODES:
            raise FormatError(
                file.given, "", "grey levels or colours (RGB)", f"a picture of {mode}"
            )
        frames = int(getattr(image, "n_frames", 1))
    dtype, colours = _MODES[mode]
    shape = (height, width, *colours)
    nbytes = int(np.prod(shape, dtype=object)) * np.dtype(dtype).itemsize
    safety.check_allocation(file.given, "", nbytes, file.size)
    return PictureFile(file.location, file.stamp, frames, shape, mode)


@contextmanager
def _opened(location: Location, stamp: Stamp) -> Iterator[Image.Image]:
    from PIL import Image, UnidentifiedImageError

    expected = f"a picture ({', '.join(FORMATS)})"
    with location.open(stamp) as file, safety.readable(location.path, "", "a whole picture"):
        with warnings.catch_warnings():  # sizes are checked here
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            try:
                image = Image.open(file.stream(), formats=FORMATS)
            except UnidentifiedImageError as error:
                raise FormatError(location.path, "", expected, "another kind of file") from error
        with image:
            yield image


@dataclass(frozen=True)
class Pictures:
    """The pictures of several files of one size, one after another: (frame, y, x[, colour]).

    Attributes
    ----------
    files : tuple of PictureFile
        At least one, of one shape and dtype.
    """

    files: tuple[PictureFile, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return (sum(file.frames for file in self.files), *self.files[0].shape)

    @property
    def dtype(self) -> np.dtype:
        return self.files[0].dtype

    def frames_at(self, picked: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Frames (1, y, x[, colour]) at (n,) int64 positions, file after file, one at a time."""
        ends = np.cumsum([file.frames for file in self.files])
        owner = np.searchsorted(ends, picked, side="right")
        for number in np.unique(owner):
            rows = np.flatnonzero(owner == number)
            file = self.files[number]
            within = picked[rows] - (ends[number] - file.frames)
            for i, values in enumerate(file.read(within)):
                yield rows[i : i + 1], values[None]


def one_size(files: list[PictureFile], path: str, where: str) -> Pictures:
    """Pictures of files that have one size.

    Raises
    ------
    FormatError
        If they differ in size or in what a pixel has.
    """
    kinds: dict[Any, str] = {}
    for file in files:
        kinds.setdefault((file.shape, file.dtype.str), file.location.name)
    if len(kinds) > 1:
        (first, one), (second, other) = list(kinds.items())[:2]
        found = f"{one}: {first[0]} {first[1]}, {other}: {second[0]} {second[1]}"
        raise FormatError(path, where, "pictures of one size and kind", found)
    return Pictures(tuple(files))
