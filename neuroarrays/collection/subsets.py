"""Parts of archives: `subset` and `export_npy`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import xarray as xr

from neuroarrays import schema
from neuroarrays.archive.saving import HDF5_SUFFIXES, ZARR_SUFFIX, save
from neuroarrays.errors import NeuroArraysError, NotInTree, PathExists
from neuroarrays.files import npy
from neuroarrays.files.blocks import blocks
from neuroarrays.files.probe import probe_of
from neuroarrays.files.writing import written
from neuroarrays.formats.door import open_datatree
from neuroarrays.formats.reader import Reader
from neuroarrays.lazy.trees import tree_of
from neuroarrays.schema.names import chosen

#: Order of the dimensions of exported arrays.
AXES = {
    schema.SPIKE_DATA: (schema.UNIT, schema.PRESENTATION, schema.TIME),
    "speed": (schema.PRESENTATION, schema.TIME),
}


def subset(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str],
    stimuli: str | Sequence[str] | None = None,
    sessions: str | Sequence[str] | None = None,
    areas: str | Sequence[str] | None = None,
    layout: str | None = None,
    engine: str | type[Reader] | None = None,
) -> Path:
    """Save chosen parts of an archive as a new archive.

    Parameters
    ----------
    path : path
        An archive, or a folder with one per stimulus.
    out : path
        The new archive. If it ends with ``.h5`` or ``.zarr``, it is one archive with all chosen
        parts, else a folder with an archive per stimulus.
    stimuli, sessions, areas : str or sequence of str, optional
        Names or patterns (default: all).
    layout : str, optional
        As for `neuroarrays.save`.
    engine : str or type of Reader, optional
        As for `neuroarrays.open_datatree`.

    Returns
    -------
    Path
        `out`.

    Raises
    ------
    NotInTree
        If no session has a given name.
    PathExists
        If `out` exists.
    WriteFailed
        On a full disk, or if the system does not let it be written.
    """
    out = Path(out).expanduser().absolute()
    if os.path.lexists(out):
        msg = f"{out}: it exists already; give another name"
        raise PathExists(msg)
    tree = open_datatree(path, engine, sessions=sessions, areas=areas)
    trees = stimuli_of(tree, path)
    names = chosen(trees, stimuli, "stimulus")
    prefixes = {name: "" if trees[name] is tree else f"{trees[name].name}/" for name in names}
    if out.suffix in (*HDF5_SUFFIXES, ZARR_SUFFIX):
        return save(_part(tree, tuple(prefixes.values())), out, layout=layout)
    with written(out) as work:
        work.mkdir()
        for name, prefix in prefixes.items():
            save(_part(tree, (prefix,), prefix), work / f"{name}.h5", layout=layout)
    return out


def _part(tree: xr.DataTree, prefixes: tuple[str, ...], root: str = "") -> xr.DataTree:
    """Return the tree of the areas below some blocks, with all nodes above and below them.

    The node `root` becomes the root of the new tree.
    """
    areas = [path for path in schema.area_paths(tree) if path.startswith(prefixes)]
    groups = {}
    for path, node in tree.subtree_with_keys:
        is_kept = any(
            f"{area}/".startswith(f"{path}/") or path.startswith(f"{area}/") for area in areas
        )
        if path != "." and is_kept:
            inner_path = path.removeprefix(root) if f"{path}/" != root else "/"
            groups[inner_path] = node.to_dataset(inherit=False)
    top = groups.setdefault("/", xr.Dataset())
    mark = {"neuroarrays_schema": tree.attrs["neuroarrays_schema"]}
    top.attrs = mark | dict(top.attrs if root else tree.attrs)
    return tree_of(groups)


def stimuli_of(tree: xr.DataTree, path: str | os.PathLike[str]) -> dict[str, xr.DataTree]:
    """Return the stimuli of an aligned tree: its blocks, or the tree itself under the file's name."""
    depths = {area.count("/") for area in schema.area_paths(tree)}
    if depths <= {2} and depths:
        return dict(tree.children)
    return {str(tree.attrs.get("stimulus") or probe_of(path).stem): tree}


def export_npy(
    path: str | os.PathLike[str],
    stimulus: str,
    area: str,
    folder: str | os.PathLike[str],
    data: str = schema.SPIKE_DATA,
    engine: str | type[Reader] | None = None,
) -> list[Path]:
    """Write the responses to one stimulus in one area, an NPY file per session.

    ``session_<id>-<stimulus>-<area>-<data>.npy``: spikes per bin as units x presentations x time,
    or running speed in the unit of the archive as presentations x time. Read them with
    ``numpy.load(..., mmap_mode="r")``.

    Parameters
    ----------
    path : path
        An archive, or a folder with one per stimulus.
    stimulus, area : str
        Names of the stimulus and the area.
    folder : path
        Folder for the files; it is created if needed. Files of the same names are replaced.
    data : {"spike_data", "speed"}
        The array to write.
    engine : str or type of Reader, optional
        As for `neuroarrays.open_datatree`.

    Returns
    -------
    list of Path
        The files, in the order of sessions.

    Raises
    ------
    NotInTree
        If no session has the stimulus or area.
    NeuroArraysError
        If no session has the data.
    WriteFailed
        On a full disk, or if the system does not let it be written.
    """
    if data not in AXES:
        msg = f"data={data!r}: expected one of {tuple(AXES)}"
        raise ValueError(msg)
    tree = open_datatree(path, engine)
    trees = stimuli_of(tree, path)
    if stimulus not in trees:
        raise NotInTree("stimulus", stimulus, trees)
    sessions = trees[stimulus].children
    if not any(area in session.children for session in sessions.values()):
        areas = dict.fromkeys(p.rpartition("/")[2] for p in schema.area_paths(tree))
        raise NotInTree("area", area, areas)
    folder = Path(folder).expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, session in sessions.items():
        node = session.children.get(area)
        if node is None or data not in node.data_vars:
            continue
        label = name if name.startswith("session_") else f"session_{name}"
        target = folder / f"{label}-{stimulus}-{area}-{data}.npy"
        _export(node[data].variable, AXES[data], target)
        files.append(target)
    if not files:
        msg = f"no session has {data} of {stimulus} in {area}"
        raise NeuroArraysError(msg)
    return files


def _export(variable: xr.Variable, axes: tuple[str, ...], target: Path) -> None:
    """Write one array in blocks of presentations; the file appears only when it is complete."""
    arranged = variable.transpose(*axes)
    first = axes.index(schema.PRESENTATION)
    rows = tuple(1 if axis == first else n for axis, n in enumerate(arranged.shape))
    cover = blocks(arranged.shape, rows, variable.dtype.itemsize) if arranged.size else ()
    with written(target, overwrite=True, needed=arranged.nbytes) as work:
        # The file is not memory-mapped, as a full disk would then crash the interpreter.
        contents = ((key, arranged[key].values) for key in cover)
        npy.write(work, arranged.shape, variable.dtype, contents)
