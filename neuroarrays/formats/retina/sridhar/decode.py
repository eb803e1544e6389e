"""The files of Sridhar et al. as lazy arrays: lines of fixations, windows of images, fields."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from neuroarrays.errors import FormatError
from neuroarrays.files import outer, state, store
from neuroarrays.files.headers import Header
from neuroarrays.files.location import FILE, Location, Stamp
from neuroarrays.files.outer import Key
from neuroarrays.files.probe import Probe
from neuroarrays.files.source import check_unchanged
from neuroarrays.formats.retina.arrays import npy_array
from neuroarrays.lazy.arrays import LazyArray, cached
from neuroarrays.lazy.computed import Computed

_IMAGE = re.compile(r"(\d+)_img_\w+\.npy")
#: Positions in a line of the words for the image, x, y, and whether the frame is shown as stored.
_WORDS = (0, 3, 4, -1)


@dataclass(frozen=True, repr=False, eq=False)
class Fixations(LazyArray):
    """Some lines of a text file, (line, 4) float64: image, x, y, and 0 where the frame is mirrored.

    Attributes
    ----------
    location : Location
        Location of the file.
    stamp : tuple of int
        Its size and time of change when it was opened.
    lines : int
        Number of lines of the file.
    start, stop : int
        First line, and one past the last line.
    """

    location: Location
    stamp: Stamp
    lines: int
    start: int
    stop: int

    @property
    def path(self) -> str:
        """The path of the file, for messages."""
        return self.location.path

    @classmethod
    def in_file(cls, file: Probe) -> Fixations:
        """Return all lines of a file, which are counted but not read."""
        file.check("file")
        lines = _counted.get_or_make((file.location, file.stamp), lambda: _count(file))
        return cls(file.location, file.stamp, lines, 0, lines)

    def part(self, start: int, stop: int) -> Fixations:
        """Return the lines from `start` up to `stop`, as far as they exist."""
        first = min(start, self.lines)
        return Fixations(
            self.location, self.stamp, self.lines, first, max(min(stop, self.lines), first)
        )

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.stop - self.start, len(_WORDS))

    @property
    def dtype(self) -> np.dtype:
        return np.dtype("f8")

    def outer(self, key: Key) -> np.ndarray:
        (table,) = cached(("fixations", self.location, self.stamp), lambda: (self._table(),))
        rows, words = key
        return np.array(table[self.start : self.stop][rows][..., words])

    def _table(self) -> np.ndarray:
        check_unchanged(self.location, self.stamp)
        if self.lines == 0:
            return np.empty(self.shape)
        try:
            with store.text_stream(self.location, "latin-1", known=self.stamp) as file:
                table = np.loadtxt(file, delimiter=" ", comments=None, usecols=_WORDS, ndmin=2)
        except ValueError as error:
            raise FormatError(
                self.path,
                expected="five or more numbers in each line",
                found=f"{error}".partition(".")[0],
            ) from error
        if len(table) != self.lines:
            raise FormatError(
                self.path,
                expected=f"a fixation in each of {self.lines:,} lines",
                found=f"{len(table):,}",
            )
        return table


#: Lines by file and stamp; names of images by folder.
_counted: state.Cache[int] = state.Cache(1 << 20, lambda _: state.ENTRY)
_names: state.Cache[tuple[str, ...]] = state.Cache(16 << 20, state.entries)


def _count(file: Probe) -> int:
    """Return the number of lines of a file."""
    text = file.read_bytes()
    return text.count(b"\n") + (text[-1:] not in (b"", b"\n"))


@dataclass(frozen=True)
class Images:
    """A folder of images of one shape and type, ``<order>_img_<number>.npy``, counted from 0.

    Attributes
    ----------
    folder : Location
        Location of the folder.
    changed : tuple of int
        Stamp of the folder when it was listed.
    size : (int, int), pixels
        Size of an image along x, which is its first axis, and y.
    dtype : np.dtype
        Dtype of the pixels.
    """

    folder: Location
    changed: Stamp
    size: tuple[int, int]
    dtype: np.dtype

    @classmethod
    def in_folder(cls, folder: Probe) -> Images | None:
        """Return the images of a folder, or None if there are none; the header of one is read.

        Raises
        ------
        FormatError
            If a number is missing or occurs twice, or a file is not an image.
        """
        names = _listed(folder.location, folder.stamp)
        if not names:
            return None
        first = _image(folder.location.child(names[0]))
        return cls(folder.location, folder.stamp, (first.shape[0], first.shape[1]), first.dtype)

    @property
    def count(self) -> int:
        """Number of images."""
        return len(_listed(self.folder, self.changed))

    def read(self, number: int) -> np.ndarray:
        """Read one image, (x, y), in grey levels as stored."""
        file = self.folder.child(_listed(self.folder, self.changed)[number])
        image = _image(file)
        if image.shape != self.size or image.dtype != self.dtype:
            raise FormatError(
                file.path,
                expected=f"{self.dtype} {self.size}, as the first image",
                found=f"{image.dtype} {image.shape}",
            )
        return image.load()


def _listed(folder: Location, changed: Stamp) -> tuple[str, ...]:
    return _names.get_or_make((folder, changed), lambda: _images(Probe(folder)))


def _images(folder: Probe) -> tuple[str, ...]:
    """Return the names of the images in order, after checking that their numbers have no gaps."""
    numbered = sorted((int(m[1]), m[0]) for name in folder.names if (m := _IMAGE.fullmatch(name)))
    for position, (order, name) in enumerate(numbered):
        if order != position:
            what = "two of one number" if order < position else f"no image {position:05d}"
            raise FormatError(folder.as_given, name, "images numbered from 0 without gaps", what)
    return tuple(name for _, name in numbered)


def _image(file: Location) -> LazyArray:
    image = npy_array(Header(file))
    if len(image.shape) != 2 or image.dtype.kind not in "uf":
        raise FormatError(
            file.path, expected="grey values (x, y)", found=f"{image.dtype} of shape {image.shape}"
        )
    return image


@dataclass(frozen=True)
class Windows:
    """The windows that were shown, (time, 1, y, x) in the dtype of the images, by fixation.

    Images have a border of `padding` pixels on every side, which fixations do not count. The window
    is three paddings smaller than an image. A frame whose fixation says 0 is mirrored top to bottom.
    """

    images: Images
    fixations: Fixations
    padding: int

    @property
    def shape(self) -> tuple[int, ...]:
        across, down = (n - 3 * self.padding for n in self.images.size)
        return (self.fixations.shape[0], 1, down, across)

    @property
    def dtype(self) -> np.dtype:
        return self.images.dtype

    def frames_at(self, picked: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Frames (m, 1, y, x) at these positions, image after image."""
        places = self._places(picked)
        down, across = self.shape[2:]
        order = np.argsort(places[:, 0], kind="stable")
        changes = np.flatnonzero(np.diff(places[order, 0])) + 1
        for rows in np.split(order, changes) if order.size else ():
            image = self.images.read(int(places[rows[0], 0]))
            out = np.empty((rows.size, down, across), self.dtype)
            for frame, (left, top, as_stored) in zip(out, places[rows, 1:], strict=True):
                shown = image[left : left + across, top : top + down].T
                frame[:] = shown if as_stored else shown[::-1]
            yield rows, out[:, None]

    def _places(self, picked: np.ndarray) -> np.ndarray:
        """Return (frame, 4) int64: image, first column and row of the window, and whether as stored."""
        stored = self.fixations.outer((outer.compact(picked), slice(0, len(_WORDS), 1)))
        image, x, y, flip = stored.T
        count = self.images.count
        known = (
            (image > -1)
            & (image < count)
            & np.isfinite(x)
            & np.isfinite(y)
            & ((flip == 0) | (flip == 1))
        )
        self._refuse(
            ~known, picked, stored, f"an image from 0 to {count - 1}, finite x and y, and 0 or 1"
        )
        down, across = self.shape[2:]
        windows: np.ndarray = np.clip(stored, -(2**40), 2**40).astype(np.int64)
        windows[:, 1:3] += self.padding - np.array([across, down]) // 2
        room = np.array(self.images.size) - (across, down)
        outside = (windows[:, 1:3] < 0) | (windows[:, 1:3] > room)
        self._refuse(
            outside[:, 0] | outside[:, 1],
            picked,
            stored,
            f"a window of {across} x {down} inside the image of {self.images.size}",
        )
        return windows

    def _refuse(
        self, bad: np.ndarray, picked: np.ndarray, stored: np.ndarray, expected: str
    ) -> None:
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            line = self.fixations.start + int(picked[row]) + 1
            raise FormatError(
                self.fixations.path, f"line {line}", expected, f"{stored[row].tolist()}"
            )


def fields(
    stem: tuple[Location, str],
    stored: tuple[bool, ...],
    axis: int,
    frame: tuple[int, int],
    mirrored: bool,
) -> LazyArray:
    """Return row or column of the frame where each unit's average varies most over its lags.

    Parameters
    ----------
    stem : (Location, str)
        The folder of the spike-triggered averages, and the beginning of their names, up to the
        number of the unit.
    stored : tuple of bool
        For each unit whether the folder has its average.
    axis : {0, 1}
        Whether to return rows (0) or columns (1).
    frame : (int, int), pixels
        Height and width of a frame; averages must have the same size.
    mirrored : bool
        Whether averages are upside down relative to the frames, as those of the natural movie are.

    Returns
    -------
    (unit,) lazy float64 array, pixels
        NaN for a unit without an average, and for one whose average is constant.
    """
    return Computed(_fields, (len(stored),), np.dtype("f8"), (stem, stored, axis, frame, mirrored))


def _fields(
    units: np.ndarray,
    stem: tuple[Location, str],
    stored: tuple[bool, ...],
    axis: int,
    frame: tuple[int, int],
    mirrored: bool,
) -> np.ndarray:
    folder, name = stem
    places = np.array(
        [
            _position(folder.child(f"{name}{u}.npy"), frame)[axis] if stored[u] else np.nan
            for u in units.tolist()
        ],
        np.float64,
    )
    return frame[0] - 1 - places if mirrored and axis == 0 else places


def _position(average: Location, frame: tuple[int, int]) -> np.ndarray:
    """Return row and column of one unit, (2,) float64 in pixels."""
    file = Header(average)
    file.check(FILE)
    (position,) = cached(("field", average, file.stamp), lambda: (_most_varying(file, frame),))
    return position


def _most_varying(file: Header, size: tuple[int, int]) -> np.ndarray:
    """Return row and column with the largest variation, (2,) float64."""
    average = npy_array(file)
    if len(average.shape) != 3 or average.shape[1:] != size:
        raise FormatError(
            file.path,
            expected=f"(lag, {size[0]}, {size[1]}), as the frames are",
            found=f"shape {average.shape}",
        )
    spread = np.var(average.load(), axis=0)
    if not spread.any() or not np.isfinite(spread).all():
        return np.full(2, np.nan)
    return np.array(np.unravel_index(np.argmax(spread), size), np.float64)
