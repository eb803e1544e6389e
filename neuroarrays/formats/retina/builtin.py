"""The HDF5 layout of open-retina itself (`openretina create-data`, `h5_dataset_reader`).

::

    FOLDER/stimuli/<stimulus>.npy                 (channel, time, y, x), shared by the sessions
    FOLDER/<session>.h5   /responses_<stimulus>   (unit, time)
                          /stimulus_<stimulus>    (channel, time, y, x), instead of the shared one
                          /session_info/<key>     anything

The files state no rate, no split and no unit identifiers. Each stimulus opens as a block of its own.
With ``test_names=``, all other stimuli are joined in the order of their names, as open-retina does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import FormatError, NeuroArraysError, NotInTree
from neuroarrays.files import source
from neuroarrays.files.probe import Probe, asked
from neuroarrays.files.source import Source
from neuroarrays.formats.reader import Reader
from neuroarrays.formats.request import Request
from neuroarrays.formats.retina import arrays
from neuroarrays.formats.retina import nodes as retina
from neuroarrays.formats.retina.nodes import BlockData
from neuroarrays.formats.sessions import Sessions, find
from neuroarrays.lazy.arrays import LazyArray, file_array
from neuroarrays.lazy.indexes import dataset
from neuroarrays.lazy.views import Arranged, transposed

_SUFFIXES = (".h5", ".hdf5")
_RESPONSES, _STIMULUS, _INFO = "responses_", "stimulus_", "session_info"
#: The folder of stimuli that sessions share.
_STIMULI = "stimuli"
#: Attribute of a session: what could not be found.
_NOTE = "note"


class OpenRetinaReader(Reader):
    """Reads a folder (or one session file) in open-retina's own HDF5 layout."""

    name = "openretina"
    description = "open-retina's own HDF5 layout: sessions and a folder of stimuli"
    url = "https://github.com/open-retina/open-retina"
    only_area = retina.RETINA
    kind = schema.ALIGNED
    blocks = (retina.TRAIN,)

    def recognise(self, probe: Probe) -> bool:
        """Whether a path has a session file with `responses_*` at its root."""
        return any(asked(_is_session, file) for file in _files(probe))

    def list_sessions(
        self, probe: Probe, *, test_names: str | Sequence[str] | None = None
    ) -> Sessions:
        """List session files by their names without suffix.

        Parameters
        ----------
        probe : Probe
            The folder, or one session file in it.
        test_names : str or list of str, optional
            Names of the test stimuli. Each session then has a block for each of them, and a block
            `train` with all other stimuli, joined in the order of their names. Without it, each
            stimulus is a block.
        """
        sessions = find(probe, _is_session, _is_meant, shared=_STIMULI)
        good = [session for session in sessions.good.values() if asked(_is_session, session)]
        if not good and sessions.good:
            raise probe.unknown("session files with responses_<stimulus>", "")
        every = sorted({name for session in good for name in _stimuli(session)})
        for name in _listed(test_names):
            if name not in every:
                raise NotInTree("stimulus", name, every)
        return sessions

    def open_session(
        self,
        session: Probe,
        name: str,
        request: Request,
        *,
        test_names: str | Sequence[str] | None = None,
        sampling_rate: float | None = None,
        mismatch: str = "error",
    ) -> dict[str, xr.Dataset]:
        """Open a file as the blocks of an aligned tree, one for each stimulus.

        Parameters
        ----------
        session : Probe
            Path of the session's file.
        name : str
            Name of the session.
        request : Request
            The areas that the caller wants; the only area is "retina".
        test_names : str or list of str, optional
            Names of the test stimuli, as in `list_sessions`.
        sampling_rate : float, optional, Hz
            Frames per second, which the files do not state. Without it the tree has no `time`.
        mismatch : {"error", "cut"}
            What to do if responses and stimulus differ in length: raise an error, or drop the end
            of the longer one.
        """
        retina.choice("mismatch", mismatch, ("error", "cut"))
        opened = _OpenRetinaSession(session)
        nodes: dict[str, xr.Dataset] = {}
        for block, stimuli in _blocks(opened.names, _listed(test_names)).items():
            part = opened.part(stimuli, sampling_rate, mismatch)
            node = schema.node_name(block)
            nodes |= retina.part_nodes(node, part, mismatch) | opened.info(node)
        return nodes


def _listed(names: str | Sequence[str] | None) -> list[str]:
    return [names] if isinstance(names, str) else list(names or ())


def _blocks(names: Iterable[str], tests: list[str]) -> dict[str, list[str]]:
    """Return the stimuli that are joined in each block."""
    if not tests:
        return {name: [name] for name in names}
    test_blocks = {name: _block_name(name) for name in tests}
    blocks = {test_blocks[name]: [name] for name in names if name in test_blocks}
    train = [name for name in names if name not in test_blocks]
    return ({retina.TRAIN: train} if train else {}) | blocks


def _block_name(test: str) -> str:
    """Return the name of a test's block: that of the stimulus, unless it is a side of a split."""
    return f"test_{test}" if test in (retina.TRAIN, "validation") else test


def _files(probe: Probe) -> list[Probe]:
    if not probe.is_folder:
        return [probe]
    return [child for child in probe.children if child.suffix in _SUFFIXES]


def _stimuli(probe: Probe) -> list[str]:
    """Return the names of the stimuli with responses in a file."""
    names = (name for name in probe.names if name.startswith(_RESPONSES))
    return sorted(name.removeprefix(_RESPONSES) for name in names)


def _is_session(probe: Probe) -> bool:
    return probe.suffix in _SUFFIXES and probe.container == "hdf5" and bool(_stimuli(probe))


def _is_meant(probe: Probe) -> bool:
    """Whether a path that cannot be read as a session has the name of one."""
    if probe.suffix not in _SUFFIXES or probe.kind == "folder":
        return False
    try:
        return probe.container != "hdf5" or not probe.names
    except NeuroArraysError:
        return True


class _OpenRetinaSession:
    """One session file and the folder of stimuli beside it."""

    def __init__(self, probe: Probe):
        self.path, self.id = probe.path, probe.stem
        self.file: Source = probe.source
        self.root, self.names = set(probe.names), _stimuli(probe)
        #: The folder of stimuli that sessions share.
        self.shared = probe.parent.child(_STIMULI)

    def part(self, names: list[str], rate: float | None, mismatch: str) -> BlockData:
        """Return stimuli of these names one after another."""
        attrs = retina.rate_attrs(rate, None) | {"session_id": self.id, "stimuli": names}
        responses, movies, lengths, missing = [], [], [], []
        for name in names:
            stored, movie = self._responses(name), self._movie(name)
            stimulus_data = BlockData(self.path, responses=stored, stimulus=movie)
            lengths.append(retina.check_lengths(stimulus_data, _RESPONSES + name, mismatch))
            for key, dropped in stimulus_data.attrs.items():
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
        return BlockData(
            self.path,
            responses=(joined := arrays.joined(responses, self.path, f"responses to {where}")),
            stimulus=None if missing else arrays.joined(movies, self.path, where),
            time=retina.regular_clock(rate, sum(lengths)),
            frames=labels,
            units=self._units(joined.shape[1]),
            attrs=attrs,
        )

    def _responses(self, name: str) -> LazyArray:
        """Return responses as (time, unit)."""
        stored = file_array(self.file, _RESPONSES + name)
        if len(stored.shape) != 2:
            raise FormatError(self.path, _RESPONSES + name, "(unit, time)", f"shape {stored.shape}")
        return transposed(arrays.floats(stored))

    def _movie(self, name: str) -> LazyArray | None:
        """Return the movie as (time, channel, y, x): that of the session, or else the shared one."""
        beside = self.shared.child(f"{name}.npy")
        if _STIMULUS + name in self.root:
            stored: LazyArray = file_array(self.file, _STIMULUS + name)
        elif beside.exists:
            stored = arrays.npy_array(beside.path)
        else:
            return None
        if len(stored.shape) != 4:
            raise FormatError(
                self.path, _STIMULUS + name, "(channel, time, y, x)", f"shape {stored.shape}"
            )
        return Arranged(arrays.pixels(stored), (1, 0, 2, 3))

    def _units(self, count: int) -> dict[str, np.ndarray]:
        """Return the entries of `session_info` with one value per unit."""
        return {
            key: self.file.read(f"{_INFO}/{key}")
            for key in self.file.names(_INFO)
            if (info := self.file.info(f"{_INFO}/{key}")) is not None and info.shape == (count,)
        }

    def info(self, node: str) -> dict[str, xr.Dataset]:
        """Return the other entries of `session_info`, as a node of arrays."""
        count = (self.file.info(_RESPONSES + self.names[0]) or _NO_INFO).shape[0]
        rest: dict[str, xr.Variable] = {}
        for key in self.file.names(_INFO):
            info = self.file.info(f"{_INFO}/{key}")
            if info is not None and info.shape != (count,):
                dims = [f"{key}_{axis}" for axis in range(len(info.shape))]
                rest[key] = file_array(self.file, f"{_INFO}/{key}").variable(dims)
        return {f"{node}/{_INFO}": dataset(rest)} if rest else {}


_NO_INFO = source.Info((0,), np.dtype("f8"), None)
