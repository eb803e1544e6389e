"""The properties of ROIs in stat.npy of suite2p, as columns. No code in the pickle is run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from neuroarrays import schema
from neuroarrays.errors import FormatError
from neuroarrays.files import safety
from neuroarrays.files.members import MemberSource
from neuroarrays.files.placed import Member
from neuroarrays.files.probe import Probe
from neuroarrays.formats.npy import npy, objects
from neuroarrays.lazy.arrays import LazyArray, file_array
from neuroarrays.lazy.computed import missing
from neuroarrays.lazy.views import Joined, Taken

#: Keys with a value for each pixel of an ROI; the key of its centre, (y, x).
_OF_PIXELS, _CENTRE, _AXES = ("ypix", "xpix", "lam", "overlap", "soma_crop"), "med", ("y", "x")
#: Names in the tree of keys that have another name there.
_RENAMED = {"iplane": "plane"}
_CLASSES = ("iscell", "redcell")


@dataclass(frozen=True)
class StatSource(MemberSource):
    """The source of the columns of stat.npy: numbers (ROI,), and values of pixels (ROI, pixel).

    Values of pixels are float32, with NaN after the last pixel of an ROI.
    """

    def _scan(self) -> dict[str, Member]:
        rois = self._rois()
        columns = _columns(rois)
        self._keep(columns)
        members = {name: Member(column.dtype, column.shape) for name, column in columns.items()}
        width = max((np.size(roi.get("ypix", ())) for roi in rois), default=0)
        for name in {key: None for roi in rois for key in roi if isinstance(key, str)}:
            if name in _OF_PIXELS:
                members[name] = Member(np.dtype("f4"), (len(rois), width))
                safety.check_allocation(self.path, name, members[name].nbytes, self.stamp[1])
            elif schema.node_name(_RENAMED.get(name, name)) not in members and name != _CENTRE:
                members[name] = Member(np.dtype(object), ())
        return members

    def left_out(self) -> dict[str, str]:
        return {
            name: "values of another kind"
            for name, member in self.members().items()
            if member.dtype == object
        }

    def _unpack(self, name: str, member: Member) -> np.ndarray:
        rois = self._rois()
        if name not in _OF_PIXELS:
            return _columns(rois)[name]
        padded = np.full(member.shape, np.nan, member.dtype)
        for row, roi in enumerate(rois):
            pixels, size = np.asarray(roi.get(name, ())), np.size(roi.get("ypix", ()))
            if name in roi and (pixels.shape != (size,) or pixels.dtype.kind not in "iufb"):
                expected, other = (
                    f"{size} numbers, as ypix",
                    f"{pixels.dtype} of shape {pixels.shape}",
                )
                raise FormatError(self.path, f"ROI {row}/{name}", expected, other)
            padded[row, : pixels.size] = pixels
        return padded

    def _rois(self) -> Sequence[Mapping[Any, Any]]:
        """Read the dict of each ROI."""
        stored = objects(Probe(self.location))
        rois = list(stored.flat if isinstance(stored, np.ndarray) else [stored])
        for row, roi in enumerate(rois):
            if not isinstance(roi, dict):
                expected = "a dict of its properties"
                raise FormatError(self.path, f"ROI {row}", expected, f"{roi!r:.80}")
        return rois


def _columns(rois: Sequence[Mapping[Any, Any]]) -> dict[str, np.ndarray]:
    """Return the numbers of ROIs by name, (ROI,) each; NaN for ROIs that do not have one."""
    columns: dict[str, list[Any]] = {}
    for row, roi in enumerate(rois):
        centre = roi.get(_CENTRE, ())
        centre = np.asarray(centre).tolist() if np.shape(centre) == (2,) else ()
        for key, value in {**roi, **dict(zip(_AXES, centre, strict=False))}.items():
            if isinstance(key, str) and isinstance(value, int | float | np.number | np.bool_):
                values = columns.setdefault(schema.node_name(_RENAMED.get(key, key)), [])
                values += [np.nan] * (row - len(values)) + [value]
    padded = {
        name: np.asarray(values + [np.nan] * (len(rois) - len(values)))
        for name, values in columns.items()
    }
    return {name: column for name, column in padded.items() if column.dtype.kind in "biuf"}


def labels_of_rois(folder: Probe, count: int, notes: list[str]) -> dict[str, LazyArray]:
    """Return the labels of the ROIs of a plane.

    Parameters
    ----------
    folder : Probe
        Folder of the plane.
    count : int
        Number of ROIs.
    notes : list of str
        Notes are added about missing files, and values that are not read.

    Returns
    -------
    dict of str to LazyArray
        Numbers (ROI,), in pixels if they are lengths or positions, and values of pixels (ROI, pixel)
        float32, with NaN after the last pixel.

    Raises
    ------
    FormatError
        If a file is damaged, or has another number of ROIs.
    """
    labels: dict[str, LazyArray] = {}
    if not folder.has("iscell.npy"):
        notes.append(f"{folder.name}: no iscell.npy, so nothing says which ROIs are cells")
    for name in filter(lambda name: folder.has(f"{name}.npy"), _CLASSES):
        file = folder.child(f"{name}.npy")
        values = npy(file, 2)
        if values.shape != (count, 2):
            expected = f"shape ({count}, 2): a class and a probability"
            raise _other_count(file, expected, f"{values.shape}", count)
        labels |= {name: Taken(values, 0, 1), f"{name}_probability": Taken(values, 1, 1)}
    stat = folder.child("stat.npy")
    if not stat.is_file:
        notes.append(f"{folder.name}: no stat.npy, so nothing is known of the shapes of ROIs")
        return labels
    source = StatSource(stat.location, stat.stamp)
    unread = source.left_out()
    notes += [f"{folder.name}/stat.npy: not read: {', '.join(sorted(unread))}"] if unread else []
    columns = {name: file_array(source, name) for name in source.members() if name not in unread}
    for column in columns.values():
        if column.shape[0] != count:
            raise _other_count(stat, f"{count} ROIs", f"{column.shape[0]}", count)
    if twice := sorted(labels.keys() & columns.keys()):
        notes.append(f"{folder.name}/stat.npy: not read: {', '.join(twice)}, which have files")
    return columns | labels


def _other_count(file: Probe, expected: str, shape: str, count: int) -> FormatError:
    """Return the error for a file with another number of ROIs than F.npy."""
    hint = f"F.npy has {count} ROIs: the files are of two runs, or one is cut short"
    return FormatError(file.as_given, "", expected, shape, hint)


def side_by_side(
    parts: Sequence[Mapping[str, LazyArray]], sizes: Sequence[int], axis: int, frames: int = 0
) -> dict[str, LazyArray]:
    """Join the arrays of planes along the axis of ROIs, with NaN for missing and shorter arrays.

    Parameters
    ----------
    parts : sequence of dict of str to LazyArray
        Arrays of each plane by name, (ROI,) or with two axes.
    sizes : sequence of int
        Number of ROIs of each plane.
    axis : {0, 1}
        The axis of ROIs, for arrays with two axes.
    frames : int, default 0
        The least length of the other axis.

    Returns
    -------
    dict of str to LazyArray
        Arrays of all planes by name.
    """
    joined: dict[str, LazyArray] = {}
    for name in {name: None for part in parts for name in part}:
        arrays = [part.get(name) for part in parts]
        others = {
            array.shape[1 - axis] for array in arrays if array is not None and len(array.shape) == 2
        }
        pieces = []
        for array, size in zip(arrays, sizes, strict=True):
            shape = [size]
            if others:
                shape.insert(1 - axis, max(frames, *others))
            pieces.append(_padded(array, tuple(shape)))
        roi_axis = axis if others else 0
        joined[name] = pieces[0] if len(pieces) == 1 else Joined(tuple(pieces), roi_axis)
    return joined


def _padded(array: LazyArray | None, shape: tuple[int, ...]) -> LazyArray:
    """Return an array in a larger shape, with NaN after its values; all NaN for None."""
    if array is None:
        return missing(shape)
    for axis, size in enumerate(shape):
        if n_missing := size - array.shape[axis]:
            padding = missing((*shape[:axis], n_missing, *shape[axis + 1 :]))
            array = Joined((array, padding), axis)
    return array
