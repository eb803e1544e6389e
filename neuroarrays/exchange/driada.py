"""Convert aligned trees to the arrays that DRIADA builds experiments from, and to its pickles."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.analysis.features import CONTINUOUS, DISCRETE, TYPE
from neuroarrays.errors import NotInTree, SchemaError, shorten
from neuroarrays.files.writing import written
from neuroarrays.formats.driada.experiments import BUILDER
from neuroarrays.schema import given

__all__ = ["to_driada", "write_experiment"]


def __dir__() -> list[str]:
    return sorted(__all__)


#: Variable of the neurons in a tree -> its name in DRIADA.
_NEURAL = {schema.RESPONSES: "calcium", schema.SPIKE_DATA: "spikes"}
#: Matrices of the neurons from which DRIADA does not delete bad frames.
_UNCUT = ("asp", "reconstructions")
#: Masks. They are not features.
_MASKS = (schema.VALID, schema.VALID_UNITS)
#: Attributes of a session, in s, that DRIADA's builder takes in addition to the frame rate.
_KINETICS = ("t_rise_sec", "t_off_sec")
#: Seed of the noise that the builder adds to calcium, so that each load gives the same values.
_SEED = 0
#: A time stamp may differ from a regular clock by this share of a frame.
_SLACK = 0.1


def to_driada(tree: xr.DataTree, area: str | None = None) -> dict[str, Any]:
    """Convert an area to the arrays that DRIADA's ``load_exp_from_aligned_data`` takes.

    Parameters
    ----------
    tree : xr.DataTree
        An aligned tree on a continuous clock.
    area : str, optional
        Path of the area; needed if there are several.

    Returns
    -------
    dict of str to numpy.ndarray
        ``calcium`` (unit, time) float64, and ``spikes`` (unit, time) if the area has spike counts.
        Every numeric signal along time is (time,) or (component, time), in the unit that it has in
        the tree. Bool and integers become int64. Signals that have fewer than two distinct values
        are left out, because DRIADA does not accept them.
        ``_metadata`` is a dict. It has ``fps`` (frames/s) if the area has a clock, ``bad_frames``
        (list of int) if some frames are not valid, and ``left_out``, the names of the signals that
        were left out, if there are any.

    Raises
    ------
    SchemaError
        If the area has no continuous responses, or a value is NaN (DRIADA refuses the session).
    NotInTree
        If there is no such area.

    Examples
    --------
    >>> import neuroarrays as na
    >>> from neuroarrays.synthetic import write_driada
    >>> tree = na.open_datatree(write_driada("session.npz"))
    >>> arrays = na.to_driada(tree)
    >>> arrays["calcium"].shape
    (20, 4000)
    >>> arrays["_metadata"]
    {'fps': 20.0, 'bad_frames': [3, 3999]}
    """
    path = _path(tree, area)
    arrays = _arrays(tree, path)
    metadata = _metadata(tree[path])
    left_out = []
    for name, values in list(arrays.items()):
        is_too_long = name in _UNCUT and "bad_frames" in metadata
        if is_too_long or (name not in _NEURAL.values() and _is_constant(values)):
            del arrays[name]
            left_out.append(name)
    _check_known(arrays, path)
    metadata |= {"left_out": left_out} if left_out else {}
    return arrays | ({"_metadata": metadata} if metadata else {})


def write_experiment(
    tree: xr.DataTree,
    path: str | os.PathLike[str],
    area: str | None = None,
    *,
    overwrite: bool = False,
) -> None:
    """Write an area as a pickled experiment, which DRIADA (1.2 or later) loads.

    DRIADA need not be installed to write the file. The pickle holds the arrays of `to_driada` and
    the name of DRIADA's builder. DRIADA's ``load_exp_from_pickle`` calls this builder, which makes
    the types of features, copies and masks. `neuroarrays.open_datatree` reads the file without
    calling anything.

    Parameters
    ----------
    tree : xr.DataTree
        An aligned tree on a continuous clock with one frame rate.
    path : str or path
        The file to write. DRIADA looks for ``Exp NAME.pickle`` in a folder ``NAME``.
    area : str, optional
        Path of the area; needed if there are several.
    overwrite : bool
        Replace an existing file.

    Notes
    -----
    Frames that are not valid become bad frames. Gaps of the clock are filled with the frame before
    the gap. The filled frames are bad frames too, so DRIADA deletes them and keeps the mask. Signals
    with fewer than two distinct values are in the file, and DRIADA leaves them out. The types of
    features that are stated in the tree (`feature_types`) are written; DRIADA determines the others.

    Raises
    ------
    SchemaError
        If the area has no continuous responses, no regular clock, or a value is NaN.
    NotInTree
        If there is no such area.
    PathExists, WriteFailed
        If there is something at `path`, or it cannot be written.

    Examples
    --------
    >>> import neuroarrays as na
    >>> from neuroarrays.synthetic import write_driada
    >>> tree = na.open_datatree(write_driada("session.npz"))
    >>> na.driada.write_experiment(tree, "Exp mouse1.pickle")
    >>> na.open_datatree("Exp mouse1.pickle").attrs["source"]
    'driada'
    """
    area_path = _path(tree, area)
    node, arrays = tree[area_path], _arrays(tree, area_path)
    metadata = _metadata(node)
    if "fps" not in metadata:
        msg = (
            f"{area_path} has no clock, and DRIADA would assume 20 Hz: open it with "
            "sampling_rate=, or assign time"
        )
        raise SchemaError(msg)
    session = node.parent if node.parent is not None else node
    frames, n_frames = _frames(node, session.attrs, area_path)
    bad = np.ones(n_frames, bool)
    bad[frames] = False
    bad[frames[metadata.pop("bad_frames", [])]] = True
    if bad.any():
        arrays = {name: values for name, values in arrays.items() if name not in _UNCUT}
    _check_known({n: v for n, v in arrays.items() if not _is_empty(v)}, area_path)
    if n_frames > frames.size:
        before = np.maximum(np.searchsorted(frames, np.arange(n_frames), side="right") - 1, 0)
        arrays = {name: values[..., before] for name, values in arrays.items()}
    name = str(session.name or session.attrs.get("session_id") or Path(path).stem)
    constants = {k: session.attrs[k] for k in _KINETICS if k in session.attrs}
    arguments: tuple[Any, ...] = (  # the arguments of DRIADA's builder, in their order
        "neuroarrays",
        {"name": name},
        arrays | {"_metadata": metadata},
        [],  # features that are forced to be continuous; the types below replace it
        _types(node, arrays) or None,
        np.flatnonzero(bad).tolist(),
        metadata | constants,
        False,  # nothing is printed
        None,  # no spikes are computed from calcium
        None,  # no aggregated features
        -1,
        True,
        not any(f"{feature}_2d" in arrays for feature in arrays),
        _SEED,
    )
    with written(Path(path), overwrite=overwrite) as new, open(new, "xb") as file:
        file.write(b"\x80\x04c" + f"{BUILDER.module}\n{BUILDER.name}\n".encode())
        pickle.Pickler(file, 4).dump(arguments)
        file.seek(-1, os.SEEK_END)  # The call replaces the opcode STOP, which is written after it.
        file.write(b"R.")


def _path(tree: xr.DataTree, area: str | None) -> str:
    """The path of the area of this name, or of the only area."""
    areas = schema.area_paths(tree)
    if not areas:
        msg = (
            f"expected an aligned tree, found {given.described(tree)}; give the whole tree, which "
            "is area.root, and area="
        )
        raise SchemaError(msg)
    if area is None and len(areas) != 1:
        msg = f"there are {len(areas)} areas, {shorten(areas)}; give area="
        raise SchemaError(msg)
    path = areas[0] if area is None else str(area).strip("/")
    if path not in areas:
        raise NotInTree("area", path, areas)
    return path


def _signals(area: Any) -> dict[str, xr.DataArray]:
    """The numeric variables along time of an area and the nodes below it, by DRIADA's names."""
    signals: dict[str, xr.DataArray] = {}
    # The reader of DRIADA renames arrays whose names have another meaning in a tree.
    is_from_driada = area.root.attrs.get("source") == "driada"
    for node in (area, *area.children.values()):
        for name, array in node.to_dataset(inherit=False).data_vars.items():
            along = array.dims[:1] == (schema.TIME,) and array.ndim <= 2
            if along and array.dtype.kind in "biuf" and name not in _MASKS:
                stored_name = str(array.attrs.get("stored_as", name) if is_from_driada else name)
                signals[_NEURAL.get(str(name), stored_name)] = array
    return signals


def _arrays(tree: xr.DataTree, path: str) -> dict[str, np.ndarray]:
    """The signals of an area by DRIADA's names, with time as the last dimension."""
    signals = _signals(tree[path])
    if "calcium" not in signals:
        msg = f"{path} has no responses along (time, unit_id), which DRIADA needs"
        if schema.kind_of(tree) != schema.ALIGNED:
            msg = f"{msg}: this is a recording tree, give na.align(tree, bin_width=0.05)"
        raise SchemaError(msg)
    return {name: _driada(array) for name, array in signals.items()}


def _types(area: Any, arrays: dict[str, np.ndarray]) -> dict[str, str]:
    """The types that the tree gives its features of one component."""
    types = {name: array.attrs.get(TYPE) for name, array in _signals(area).items()}
    return {
        name: kind
        for name, kind in types.items()
        if kind in (*DISCRETE, *CONTINUOUS) and arrays[name].ndim == 1
    }


def _frames(area: Any, attrs: Any, where: str) -> tuple[np.ndarray, int]:
    """The numbers of the frames on a clock without gaps, (time,) int64, and its length."""
    time = np.asarray(area.coords[schema.TIME].values, np.float64)
    step = float(np.median(np.diff(time)))
    deleted = int(attrs.get("frames_deleted", 0))
    exact = (time - (0.0 if deleted else time[0])) / step
    frames = np.rint(exact).astype(np.int64)
    size = max(int(frames[-1]) + 1, frames.size + deleted)
    if (np.abs(exact - frames) > _SLACK).any() or (np.diff(frames) < 1).any() or size > 2 * 10**9:
        msg = f"{where}: its clock is not regular, and an experiment of DRIADA has one frame rate"
        raise SchemaError(f"{msg}; na.align(tree, bin_width=...) gives it one")
    return frames, size


def _check_known(arrays: dict[str, np.ndarray], where: str) -> None:
    """Refuse arrays with NaN."""
    missing = [name for name, values in arrays.items() if np.isnan(values).any()]
    if missing:
        msg = (
            f"{shorten(missing)} of {where} have NaN, which DRIADA refuses; fill or leave them out"
        )
        raise SchemaError(msg)


def _metadata(area: Any) -> dict[str, Any]:
    """`fps`, the rate of the clock, and `bad_frames`, the frames that are not valid."""
    metadata: dict[str, Any] = {}
    time = area.coords.get(schema.TIME)
    if time is not None and time.size > 1:
        step = float(np.median(np.diff(np.asarray(time.values, np.float64))))
        if step > 0:
            metadata["fps"] = round(1 / step, 6)
    valid = area.data_vars.get(schema.VALID)
    if valid is not None and valid.dims == (schema.TIME,):
        bad = np.flatnonzero(~np.asarray(valid.values, bool)).tolist()
        metadata |= {"bad_frames": bad} if bad else {}
    return metadata


def _is_constant(values: np.ndarray) -> bool:
    """Whether an array has fewer than two distinct values; NaN does not count."""
    known = values[~np.isnan(values)]
    return bool(known.size == 0 or (known == known[0]).all())


def _is_empty(values: np.ndarray) -> bool:
    """Whether all values are NaN."""
    return bool(np.isnan(values).all())


def _driada(array: xr.DataArray) -> np.ndarray:
    """The values with time last, as float64 or int64, which are the types that DRIADA takes."""
    values = np.asarray(array.values).T
    return values.astype(np.float64 if values.dtype.kind == "f" else np.int64)
