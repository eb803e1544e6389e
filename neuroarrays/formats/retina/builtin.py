"""The HDF5 layout of open-retina itself (`openretina create-data`, `h5_dataset_reader`).

::

    FOLDER/stimuli/<stimulus>.npy                 (channel, time, y, x), shared by the sessions
    FOLDER/<session>.h5   /responses_<stimulus>   (unit, time)
                          /stimulus_<stimulus>    (channel, time, y, x), instead of the shared one
                          /session_info/<key>     anything

The files hold no rate, no split and no unit identifiers. A stimulus opens as a block of its own;
with ``test_names=`` all others come joined, in the order of their names, as open-retina has them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import FormatError, NeuroArraysError, NotInTree
from neuroarrays.files import opening, source
from neuroarrays.files.source import Source
from neuroarrays.formats.folders import find, sparing
from neuroarrays.formats.reader import Reader
from neuroarrays.formats.request import Request
from neuroarrays.formats.retina import arrays, containers
from neuroarrays.formats.retina import nodes as retina
from neuroarrays.formats.retina.nodes import Part
from neuroarrays.lazy.arrays import LazyArray, file_array
from neuroarrays.lazy.indexes import dataset
from neuroarrays.lazy.views import Arranged, transposed

_SUFFIXES = (".h5", ".hdf5")
_RESPONSES, _STIMULUS, _INFO = "responses_", "stimulus_", "session_info"
#: Attribute of a session: what could not be found.
_NOTE = "note"


class OpenRetinaReader(Reader):
    """Reads a folder (or one session file) in open-retina's own HDF5 layout."""

    name = "openretina"
    description = "open-retina's own HDF5 layout: sessions and a folder of stimuli"
    url = "https://github.com/open-retina/open-retina"
    only_area = retina.RETINA

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Whether there is a session file with `responses_*` at its root."""
        return containers.recognised(
            filename_or_obj, lambda path: containers.any_of(_files(path), _is_session)
        )

    def open_groups(
        self,
        filename_or_obj: Any,
        request: Request,
        *,
        test_names: str | Sequence[str] | None = None,
        sampling_rate: float | None = None,
        mismatch: str = "error",
        skip_damaged: bool = False,
    ) -> dict[str, xr.Dataset]:
        """Open sessions as the groups of an aligned tree.

        Parameters
        ----------
        filename_or_obj : str or path
            The folder, or one session file in it.
        request : Request
            What to open; the only area is "retina".
        test_names : str or list of str, optional
            Stimuli to test on: each session then has the block `test` (``test_<name>`` if there
            are several) and the block `train`, all others joined in the order of their names.
        sampling_rate : float, optional, Hz
            Frames per second, which the files do not hold; without it there is no `time`.
        mismatch : {"error", "cut"}
            Where responses and stimulus differ in length: refuse, or drop the end of the longer.
        skip_damaged : bool
            Leave out a session file that cannot be read, and say so in ``notes``.
        """
        retina.choice("mismatch", mismatch, ("error", "cut"))
        found = find(containers.existing(filename_or_obj), _is_session, _is_meant)
        notes, opened = found.notes(), {}
        wanted = [path.stem for path in found.paths]
        wanted = request.sessions(wanted) if wanted else []
        for path in found.paths:
            if path.stem not in wanted:
                continue
            with sparing(path.stem, path, notes, skip_damaged, len(found.paths) > 1):
                found.check(path)
                one = _Session(path)
                if one.names:
                    opened[path.stem] = one
        if not opened:
            raise FormatError(
                filename_or_obj,
                expected="session files with responses_<stimulus>",
                found=opening.describe(filename_or_obj),
            )
        picked = list(opened)
        every = sorted({name for one in opened.values() for name in one.names})
        tests = [test_names] if isinstance(test_names, str) else list(test_names or ())
        for name in tests:
            if name not in every:
                raise NotInTree("stimulus", name, every)
        made: dict[str, dict[str, xr.Dataset]] = {}
        for session in picked:
            for block, names in _blocks(opened[session].names, tests).items():
                part = opened[session].part(names, sampling_rate, mismatch)
                place = f"{schema.node_name(block)}/{schema.node_name(session)}"
                nodes = retina.part_nodes(place, part, mismatch)
                made.setdefault(block, {}).update(nodes | opened[session].info(place))
        blocks = sorted(made, key=lambda block: (block != retina.TRAIN, block))
        groups = {path: node for block in blocks for path, node in made[block].items()}
        return retina.assemble(groups, {"source": self.name, "notes": notes})


def _blocks(names: Iterable[str], tests: list[str]) -> dict[str, list[str]]:
    """Block -> the stimuli joined in it."""
    if not tests:
        return {name: [name] for name in names}
    held = {name: "test" if len(tests) == 1 else f"test_{name}" for name in tests}
    blocks = {held[name]: [name] for name in names if name in held}
    train = [name for name in names if name not in held]
    return ({retina.TRAIN: train} if train else {}) | blocks


def _files(path: str | os.PathLike[str]) -> list[Path]:
    path = containers.existing(path)
    if not path.is_dir():
        return [path]
    return sorted(p for p in path.iterdir() if p.suffix in _SUFFIXES and p.name[0] != ".")


def _is_session(path: Path) -> bool:
    if path.suffix not in _SUFFIXES or not opening.is_hdf5(path):
        return False
    try:
        names = opening.open_source(path).names("/")
    except FormatError:
        return False
    return any(n.startswith(_RESPONSES) for n in names)


def _is_meant(path: Path) -> bool:
    """Whether what is no session that can be read is called like one."""
    if path.suffix not in _SUFFIXES or path.is_dir():
        return False
    try:
        return not opening.is_hdf5(path) or not opening.open_source(path).names("/")
    except NeuroArraysError:
        return True


class _Session:
    """One session file and the folder of stimuli beside it."""

    def __init__(self, path: Path):
        self.path = path
        self.file: Source = opening.open_source(path)
        self.root = set(self.file.names("/"))
        found = (n.removeprefix(_RESPONSES) for n in self.root if n.startswith(_RESPONSES))
        self.names = sorted(found)

    def part(self, names: list[str], rate: float | None, mismatch: str) -> Part:
        """Stimuli of these names one after another."""
        attrs = retina.rate_attrs(rate, None) | {"session_id": self.path.stem, "stimuli": names}
        responses, movies, lengths, missing = [], [], [], []
        for name in names:
            stored, movie = self._responses(name), self._movie(name)
            one = Part(str(self.path), responses=stored, stimulus=movie)
            lengths.append(retina.check_lengths(one, _RESPONSES + name, mismatch))
            for key, dropped in one.attrs.items():
                attrs[key] = attrs.get(key, 0) + dropped
            responses.append(arrays.cut(stored, lengths[-1]))
            if movie is None:
                missing.append(name)
            else:
                movies.append(arrays.cut(movie, lengths[-1]))
        if missing:
            attrs[_NOTE] = (
                f"no stimulus {', '.join(missing)}: neither {_STIMULUS}<name> in the file nor "
                "stimuli/<name>.npy beside it"
            )
        labels = {}
        if len(names) > 1:
            order = np.repeat(np.arange(len(names)), lengths)
            labels = {schema.BLOCK: order, "stimulus_name": np.array(names, object)[order]}
        where = f"stimuli {', '.join(names)}"
        return Part(
            str(self.path),
            responses=(joined := arrays.joined(responses, self.path, f"responses to {where}")),
            stimulus=None if missing else arrays.joined(movies, self.path, where),
            time=retina.regular_clock(rate, sum(lengths)),
            frames=labels,
            units=self._units(joined.shape[1]),
            attrs=attrs,
        )

    def _responses(self, name: str) -> LazyArray:
        """Responses as (time, unit)."""
        stored = file_array(self.file, _RESPONSES + name)
        if len(stored.shape) != 2:
            raise FormatError(self.path, _RESPONSES + name, "(unit, time)", f"shape {stored.shape}")
        return transposed(arrays.floats(stored))

    def _movie(self, name: str) -> LazyArray | None:
        """The movie as (time, channel, y, x): the session's own, else the shared one."""
        beside = self.path.parent / "stimuli" / f"{name}.npy"
        if _STIMULUS + name in self.root:
            stored: LazyArray = file_array(self.file, _STIMULUS + name)
        elif beside.exists():
            stored = arrays.npy_array(beside)
        else:
            return None
        if len(stored.shape) != 4:
            raise FormatError(
                self.path, _STIMULUS + name, "(channel, time, y, x)", f"shape {stored.shape}"
            )
        return Arranged(arrays.pixels(stored), (1, 0, 2, 3))

    def _units(self, count: int) -> dict[str, np.ndarray]:
        """One value per unit: what `session_info` has of that length."""
        return {
            key: self.file.read(f"{_INFO}/{key}")
            for key in self.file.names(_INFO)
            if (info := self.file.info(f"{_INFO}/{key}")) is not None and info.shape == (count,)
        }

    def info(self, place: str) -> dict[str, xr.Dataset]:
        """The rest of `session_info`, as a node of arrays with dims of their own."""
        count = (self.file.info(_RESPONSES + self.names[0]) or _NO_INFO).shape[0]
        rest: dict[str, xr.Variable] = {}
        for key in self.file.names(_INFO):
            found = self.file.info(f"{_INFO}/{key}")
            if found is not None and found.shape != (count,):
                dims = [f"{key}_{axis}" for axis in range(len(found.shape))]
                rest[key] = file_array(self.file, f"{_INFO}/{key}").variable(dims)
        return {f"{place}/{_INFO}": dataset(rest)} if rest else {}


_NO_INFO = source.Info((0,), np.dtype("f8"), None)
