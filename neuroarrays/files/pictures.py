"""Read pictures from png, jpg, gif and tif files; Pillow decodes them when they are indexed."""

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

#: Pillow's names of the formats that are decoded; its other decoders are not used.
FORMATS = ("PNG", "JPEG", "GIF", "TIFF")
SUFFIXES = (".png", ".jpg", ".jpeg", ".gif", ".tif", ".tiff")
#: Pillow's mode of a picture -> dtype of its values, and shape of a pixel.
_MODES: dict[str, tuple[str, tuple[int, ...]]] = {
    "1": ("?", ()), "L": ("u1", ()), "I;16": ("u2", ()), "I;16B": ("u2", ()), "I;16L": ("u2", ()),
    "I": ("i4", ()), "F": ("f4", ()), "LA": ("u1", (2,)), "RGB": ("u1", (3,)), "RGBA": ("u1", (4,)),
}  # fmt: skip
#: Modes in which a pixel is the number of a colour in a palette.
_PALETTES = ("P", "PA")
#: TIFF's tag for the type of the values (TIFF 6.0): 1 for unsigned, 2 for signed integers.
_SAMPLE_FORMAT = 339


def is_installed() -> bool:
    """Whether Pillow is installed."""
    return find_spec("PIL") is not None


@dataclass(frozen=True)
class PictureFile:
    """A file with one or several pictures of one size.

    Attributes
    ----------
    location : Location
        The file.
    stamp : tuple of int
        The stamp of the file when it was opened.
    frames : int
        Number of pictures.
    shape : tuple of int, pixels
        Shape of each picture: (y, x), or (y, x, colour).
    mode : str
        Pillow's mode of the pictures.
    """

    location: Location
    stamp: Stamp
    frames: int
    shape: tuple[int, ...]
    mode: str

    @property
    def dtype(self) -> np.dtype:
        """Type of the values of a pixel, as in the file."""
        return np.dtype(_MODES[self.mode][0])

    def read(self, frames: np.ndarray) -> Iterator[np.ndarray]:
        """Read pictures one at a time.

        Parameters
        ----------
        frames : (n,) int64
            Positions of the pictures in the file.

        Yields
        ------
        (y, x) or (y, x, colour) array

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
                    difference = f"{values.shape} of picture {frame}"
                    raise FormatError(
                        self.location.path, "", f"pictures of {self.shape}", difference
                    )
                yield values.astype(self.dtype, copy=False)

    def _values(self, image: Image.Image, which: str) -> np.ndarray:
        """The values of a picture in the mode of the first one; an error if that changes them."""
        _check_depth(image, self.location.path)
        mode = image.mode
        if mode in _PALETTES and mode != self.mode:
            image = image.convert("RGBA")
        converted = image if image.mode == self.mode else image.convert(self.mode)
        values = np.asarray(converted)
        is_changed = converted is not image and not np.array_equal(
            np.asarray(converted.convert(image.mode)), np.asarray(image)
        )
        if self.mode == "I" and _is_unsigned(image) and np.any(values < 0):
            # Pillow reads unsigned values as signed ones.
            difference = f"values of {which} above {np.iinfo(np.int32).max:,}"
            raise FormatError(self.location.path, "", "values that int32 holds", difference)
        if is_changed:
            difference = f"{mode} of {which}, which does not fit"
            raise FormatError(self.location.path, "", f"pictures of {self.mode}", difference)
        return values


def picture_file(file: Probe) -> PictureFile:
    """Open a file of pictures; only its header is read.

    Raises
    ------
    MissingDependency
        If Pillow is not installed.
    FormatError
        If it is not a picture of a kind that is read, is damaged, or declares a size that it cannot
        have.
    """
    if not is_installed():
        raise MissingDependency("PIL", "images", "reading pictures in files of their own")
    with _opened(file.location, file.stamp) as image:
        mode, (width, height) = image.mode, image.size
        if mode in _PALETTES:
            mode = "RGBA" if "transparency" in image.info or mode == "PA" else "RGB"
        if mode not in _MODES:
            raise FormatError(
                file.as_given, "", "grey levels or colours (RGB)", f"a picture of {mode}"
            )
        _check_depth(image, file.as_given)
        frames = int(getattr(image, "n_frames", 1))
    dtype, colours = _MODES[mode]
    shape = (height, width, *colours)
    nbytes = int(np.prod(shape, dtype=object)) * np.dtype(dtype).itemsize
    safety.check_allocation(file.as_given, "", nbytes, file.size)
    return PictureFile(file.location, file.stamp, frames, shape, mode)


def _check_depth(image: Image.Image, path: str) -> None:
    """Refuse values that Pillow would round to 8 bits or read as other numbers."""
    has_words = (
        any(";16" in str(part[3]) for part in getattr(image, "tile", ())) and image.mode[0] != "I"
    )
    is_signed = image.mode in ("L", "RGB", "RGBA") and 2 in _sample_formats(image)
    if has_words or is_signed:
        difference = "16 bits of each colour" if has_words else "signed values"
        raise FormatError(path, "", "grey levels of up to 16 bits, colours of 8 bits", difference)


def _sample_formats(image: Image.Image) -> tuple[int, ...]:
    """The types of the values by the tags of a TIFF; () for other files."""
    return tuple(getattr(image, "tag_v2", {}).get(_SAMPLE_FORMAT, ()))


def _is_unsigned(image: Image.Image) -> bool:
    """Whether a picture is a TIFF without signed values."""
    return hasattr(image, "tag_v2") and 2 not in _sample_formats(image)


@contextmanager
def _opened(location: Location, stamp: Stamp) -> Iterator[Image.Image]:
    """A file as Pillow opens it."""
    from PIL import Image, UnidentifiedImageError

    expected = f"a picture ({', '.join(FORMATS)})"
    with location.open(stamp) as file, safety.readable(location.path, "", "a whole picture"):
        with warnings.catch_warnings():  # Our own checks refuse sizes that are too large.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            try:
                image = Image.open(file.stream(), formats=FORMATS)
            except UnidentifiedImageError as error:
                raise FormatError(location.path, "", expected, "another kind of file") from error
        with image:
            yield image


@dataclass(frozen=True)
class Pictures:
    """The pictures of several files, one after another: (frame, y, x) or (frame, y, x, colour).

    Attributes
    ----------
    files : tuple of PictureFile
        At least one; all have the same shape and dtype.
    """

    files: tuple[PictureFile, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return (sum(file.frames for file in self.files), *self.files[0].shape)

    @property
    def dtype(self) -> np.dtype:
        return self.files[0].dtype

    def frames_at(self, picked: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Read frames one at a time, file after file.

        Parameters
        ----------
        picked : (n,) int64
            Positions of the frames.

        Yields
        ------
        rows : (1,) int64
            The index in `picked` of the frame.
        values : (1, y, x) or (1, y, x, colour) array
        """
        ends = np.cumsum([file.frames for file in self.files])
        file_of = np.searchsorted(ends, picked, side="right")
        for number in np.unique(file_of):
            rows = np.flatnonzero(file_of == number)
            file = self.files[number]
            in_file = picked[rows] - (ends[number] - file.frames)
            for i, values in enumerate(file.read(in_file)):
                yield rows[i : i + 1], values[None]


def one_size(files: list[PictureFile], path: str, where: str) -> Pictures:
    """Join files of pictures that have the same size and dtype.

    Raises
    ------
    FormatError
        If they differ in size or dtype.
    """
    kinds: dict[Any, str] = {}
    for file in files:
        kinds.setdefault((file.shape, file.dtype.str), file.location.name)
    if len(kinds) > 1:
        texts = [f"{name}: {shape} {dtype}" for (shape, dtype), name in kinds.items()]
        difference = ", ".join(texts[:2])
        raise FormatError(path, where, "pictures of one size and kind", difference)
    return Pictures(tuple(files))
