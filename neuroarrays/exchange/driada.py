"""Aligned trees as what DRIADA's builder of experiments takes, and as pickles that it loads."""

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


#: Our names of the neurons' matrices, and DRIADA's.
_NEURAL = {schema.RESPONSES: "calcium", schema.SPIKE_DATA: "spikes"}
#: Matrices of the neurons that DRIADA does not cut where it deletes bad frames.
_UNCUT = ("asp", "reconstructions")
#: Masks, which are no features.
_MASKS = (schema.VALID, schema.VALID_UNITS)
#: Constants of an experiment that its builder takes beside the rate, s.
_KINETICS = ("t_rise_sec", "t_off_sec")
#: Of the noise that the builder adds to calcium, so that each load gives the same values.
_SEED = 0
#: Share of a frame by which a time stamp may lie beside a regular clock.
_SLACK = 0.1


def to_driada(tree: xr.DataTree, area: str | None = None) -> dict[str, Any]:
    """The arrays that DRIADA's ``load_exp_from_aligned_data`` takes, of one area.

    Parameters
    ----------
    tree : xr.DataTree
        An aligned tree on a continuous clock.
    area : str, optional
        Path of the area; needed where there are several.

    Returns
    -------
    dict of str to numpy.ndarray
        ``calcium`` (unit, time) float, ``spikes`` where there are counts, and every numeric signal
        along time as (time,) or (component, time), in the units of the tree; bool and small
        integers as int64, which DRIADA takes. Signals with one value or none are left out, as it
        leaves them out.
        ``_metadata`` is a dict: ``fps`` (Hz), which the builder takes from there, where the clock
        tells it; ``bad_frames`` (list of int), where the tree has frames that are not valid, which
        the builder takes as the argument of that name; ``left_out``, the signals that are.

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
    facts = _facts(tree[path])
    kept, left_out = dict(arrays), []
    for name, values in arrays.items():
        cut_short = name in _UNCUT and "bad_frames" in facts
        if cut_short or (name not in _NEURAL.values() and _is_constant(values)):
            del kept[name]
            left_out.append(name)
    _check_known(kept, path)
    facts |= {"left_out": left_out} if left_out else {}
    return kept | ({"_metadata": facts} if facts else {})


def write_experiment(
    tree: xr.DataTree,
    path: str | os.PathLike[str],
    area: str | None = None,
    *,
    overwrite: bool = False,
) -> None:
    """Write an area as a pickled experiment, which DRIADA (1.2 or later) loads. It is not needed here.

    The pickle holds the arrays of `to_driada` and names DRIADA's builder. DRIADA's
    ``load_exp_from_pickle`` calls it with them: types of features, copies and masks are made then,
    by the DRIADA that loads it. `neuroarrays.open_datatree` reads the file without calling anything.

    Parameters
    ----------
    tree : xr.DataTree
        An aligned tree on a continuous clock with one frame rate.
    path : str or path
        The file; ``Exp NAME.pickle`` in a folder ``NAME`` is where DRIADA looks for it.
    area : str, optional
        Path of the area; needed where there are several.
    overwrite : bool
        Replace a file that is there.

    Notes
    -----
    Frames that are not valid are bad frames there. Gaps of the clock are filled with the frame
    before, and these are bad frames as well, so that DRIADA deletes them and keeps the mask. Signals
    with one value or none are in the file, and DRIADA leaves them out. Types of features that the
    tree has (`feature_types`) are given on; without any DRIADA finds its own.

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
    place = _path(tree, area)
    node, arrays = tree[place], _arrays(tree, place)
    facts = _facts(node)
    if "fps" not in facts:
        msg = f"{place} has no clock, and DRIADA would take 20 Hz: open it with sampling_rate=, or assign time"
        raise SchemaError(msg)
    session = node.parent if node.parent is not None else node
    frames, size = _frames(node, session.attrs, place)
    bad = np.ones(size, bool)
    bad[frames] = False
    bad[frames[facts.pop("bad_frames", [])]] = True
    if bad.any():
        arrays = {name: values for name, values in arrays.items() if name not in _UNCUT}
    _check_known({n: v for n, v in arrays.items() if not _is_empty(v)}, place)
    if size > frames.size:
        before = np.maximum(np.searchsorted(frames, np.arange(size), side="right") - 1, 0)
        arrays = {name: values[..., before] for name, values in arrays.items()}
    name = str(session.name or session.attrs.get("session_id") or Path(path).stem)
    constants = {k: session.attrs[k] for k in _KINETICS if k in session.attrs}
    arguments: tuple[Any, ...] = (
        "neuroarrays",
        {"name": name},
        arrays | {"_metadata": facts},
        [],  # features that are forced to be continuous: an older way to say the types
        _types(node, arrays) or None,
        np.flatnonzero(bad).tolist(),
        facts | constants,
        False,  # no printing
        None,  # no spikes made of calcium
        None,  # no aggregates
        -1,
        True,
        not any(f"{feature}_2d" in arrays for feature in arrays),
        _SEED,
    )
    with written(Path(path), overwrite=overwrite) as new, open(new, "xb") as file:
        file.write(b"\x80\x04c" + f"{BUILDER.module}\n{BUILDER.name}\n".encode())
        pickle.Pickler(file, 4).dump(arguments)
        file.seek(-1, os.SEEK_END)  # before the mark of the end, where the call belongs
        file.write(b"R.")


def _path(tree: xr.DataTree, area: str | None) -> str:
    """The path of the area that is meant."""
    areas = schema.area_paths(tree)
    if not areas:
        msg = f"expected an aligned tree, found {given.described(tree)}; give the whole, as area.root, and say area="
        raise SchemaError(msg)
    if area is None and len(areas) != 1:
        msg = f"there are {len(areas)} areas, {shorten(areas)}; say area="
        raise SchemaError(msg)
    path = areas[0] if area is None else str(area).strip("/")
    if path not in areas:
        raise NotInTree("area", path, areas)
    return path


def _signals(area: Any) -> dict[str, xr.DataArray]:
    """The numeric variables along time of an area and the nodes below it, by DRIADA's names."""
    signals: dict[str, xr.DataArray] = {}
    renamed = area.root.attrs.get("source") == "driada"  # names that a tree has for something else
    for node in (area, *area.children.values()):
        for name, array in node.to_dataset(inherit=False).data_vars.items():
            along = array.dims[:1] == (schema.TIME,) and array.ndim <= 2
            if along and array.dtype.kind in "biuf" and name not in _MASKS:
                own = str(array.attrs.get("stored_as", name) if renamed else name)
                signals[_NEURAL.get(str(name), own)] = array
    return signals


def _arrays(tree: xr.DataTree, path: str) -> dict[str, np.ndarray]:
    """The signals as DRIADA has them, time last."""
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
    """Numbers of the frames on a clock without gaps, (time,) int64, and how many that has."""
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
    missing = [name for name, values in arrays.items() if np.isnan(values).any()]
    if missing:
        msg = (
            f"{shorten(missing)} of {where} have NaN, which DRIADA refuses; fill or leave them out"
        )
        raise SchemaError(msg)


def _facts(area: Any) -> dict[str, Any]:
    """The rate of the clock, and the frames that are not to be trusted."""
    facts: dict[str, Any] = {}
    time = area.coords.get(schema.TIME)
    if time is not None and time.size > 1:
        step = float(np.median(np.diff(np.asarray(time.values, np.float64))))
        if step > 0:
            facts["fps"] = round(1 / step, 6)
    valid = area.data_vars.get(schema.VALID)
    if valid is not None and valid.dims == (schema.TIME,):
        bad = np.flatnonzero(~np.asarray(valid.values, bool)).tolist()
        facts |= {"bad_frames": bad} if bad else {}
    return facts


def _is_constant(values: np.ndarray) -> bool:
    """Whether there is one value or none, NaN aside."""
    known = values[~np.isnan(values)]
    return bool(known.size == 0 or (known == known[0]).all())


def _is_empty(values: np.ndarray) -> bool:
    """Whether there is no value, NaN aside."""
    return bool(np.isnan(values).all())


def _driada(array: xr.DataArray) -> np.ndarray:
    values = np.asarray(array.values).T
    return values.astype(np.float64 if values.dtype.kind == "f" else np.int64)
