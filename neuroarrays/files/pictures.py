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
#: Of these a pixel has a number of a palette.
_PALETTES = ("P", "PA")
#: Numbers of tags of TIFF: what kind of number a value is (1 unsigned, 2 signed).
_SAMPLE_FORMAT = 339


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
                values = self._values(image, f"picture {frame}")
                if values.shape != self.shape:
                    found = f"{values.shape} of picture {frame}"
                    raise FormatError(self.location.path, "", f"pictures of {self.shape}", found)
                yield values.astype(self.dtype, copy=False)

    def _values(self, image: Image.Image, which: str) -> np.ndarray:
        """The values of a picture as the first one has them, where that loses nothing."""
        _check_depth(image, self.location.path)
        kind = image.mode
        if kind in _PALETTES and kind != self.mode:
            image = image.convert("RGBA")
        same = image if image.mode == self.mode else image.convert(self.mode)
        values = np.asarray(same)
        known = np.asarray(image)
        is_changed = same is not image and not np.array_equal(
            np.asarray(same.convert(image.mode)), known
        )
        if self.mode == "I" and _is_unsigned(image) and np.any(values < 0):  # read as signed
            found = f"values of {which} above {np.iinfo(np.int32).max:,}"
            raise FormatError(self.location.path, "", "values that int32 holds", found)
        if is_changed:
            found = f"{kind} of {which}, which does not fit"
            raise FormatError(self.location.path, "", f"pictures of {self.mode}", found)
        return values


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
        if mode in _PALETTES:
            mode = "RGBA" if "transparency" in image.info or mode == "PA" else "RGB"
        if mode not in _MODES:
            raise FormatError(
                file.given, "", "grey levels or colours (RGB)", f"a picture of {mode}"
            )
        _check_depth(image, file.given)
        frames = int(getattr(image, "n_frames", 1))
    dtype, colours = _MODES[mode]
    shape = (height, width, *colours)
    nbytes = int(np.prod(shape, dtype=object)) * np.dtype(dtype).itemsize
    safety.check_allocation(file.given, "", nbytes, file.size)
    return PictureFile(file.location, file.stamp, frames, shape, mode)


def _check_depth(image: Image.Image, path: str) -> None:
    """Refuse values that Pillow would round to 8 bits, or read as other numbers than they are."""
    has_words = (
        any(";16" in str(part[3]) for part in getattr(image, "tile", ())) and image.mode[0] != "I"
    )
    is_signed = image.mode in ("L", "RGB", "RGBA") and 2 in _sample_formats(image)
    if has_words or is_signed:
        found = "16 bits of each colour" if has_words else "signed values"
        raise FormatError(path, "", "grey levels of up to 16 bits, colours of 8 bits", found)


def _sample_formats(image: Image.Image) -> tuple[int, ...]:
    """Kinds of numbers by the tags of a TIFF; () of other files."""
    return tuple(getattr(image, "tag_v2", {}).get(_SAMPLE_FORMAT, ()))


def _is_unsigned(image: Image.Image) -> bool:
    return hasattr(image, "tag_v2") and 2 not in _sample_formats(image)


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
