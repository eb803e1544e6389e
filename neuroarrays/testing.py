"""The conformance suite that every reader inherits, ours and yours.

Write a tiny golden file, read some of its values with another tool, and state three attributes::

    from neuroarrays.testing import ReaderTests


    class TestMyReader(ReaderTests):
        reader = MyReader  # or its name in FORMATS
        path = "tests/golden/mine/session.h5"
        values = {
            ("session/V1/spikes", "spike_times", 0): 0.0125,
            ("session/V1/spikes", "spike_times", -1): 59.97,
            ("session/presentations/gratings", "orientation", 3): 45.0,
        }

The first and the last element of every kind of variable belong in `values`: a rotated or lost
sample, or milliseconds taken for seconds, shows nowhere else. Needs pytest; nothing of
neuroarrays imports this module.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import random
import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import xarray as xr

from neuroarrays import schema, source
from neuroarrays.backend import Reader
from neuroarrays.errors import NeuroArraysError, NotInTree
from neuroarrays.formats import FORMATS
from neuroarrays.lazy import LazyArray, unwrap
from neuroarrays.validation import validate

#: Seconds after which a thread or process that reads counts as hanging.
PATIENCE = 120
#: Dimensions of samples: values along them are never read on opening.
SAMPLES = (schema.SPIKE, schema.TIME, schema.FRAME, "event")


class ReaderTests:
    """What any reader must do, as tests to inherit.

    Attributes
    ----------
    reader : Reader, type of Reader or str
        The reader, its class, or its name in ``FORMATS``.
    path : str, Path or method
        The golden file or folder; a method gets a temporary folder and returns the path.
    values : mapping of (node, variable, index) to value
        Values read by hand; node is a path from the root, index an int or a tuple of int.
        Compared exactly (in the variable's own dtype).
    options : mapping of str to object
        For each option of the reader a value that changes the tree. ``sessions`` and ``areas``
        need none: they must refuse a name that is not there.
    inert_options : mapping of str to str
        Options that change nothing on this file, with the reason.
    foreign : sequence of path
        Files of other formats, which the reader must not claim.
    start_methods : sequence of str
        How processes that read are started.
    """

    reader: ClassVar[Any]
    path: ClassVar[Any]
    values: ClassVar[Mapping[tuple[str, str, Any], Any]] = {}
    options: ClassVar[Mapping[str, Any]] = {}
    inert_options: ClassVar[Mapping[str, str]] = {}
    foreign: ClassVar[Sequence[str | os.PathLike[str]]] = ()
    start_methods: ClassVar[Sequence[str]] = ("fork", "forkserver", "spawn")

    # ------------------------------------------------------------------------------ fixtures

    @pytest.fixture
    def golden(self, tmp_path: Path) -> Iterator[Path]:
        """The golden file."""
        path = self.path(tmp_path) if callable(self.path) else self.path
        yield Path(path)
        source.close_all()

    @pytest.fixture
    def engine(self) -> Reader:
        """An instance of the reader."""
        if isinstance(self.reader, str):
            return next(format_ for format_ in FORMATS if format_.name == self.reader).load()
        made: Reader = self.reader() if isinstance(self.reader, type) else self.reader
        return made

    @pytest.fixture
    def tree(self, engine: Reader, golden: Path) -> xr.DataTree:
        """The golden file, opened."""
        return opened(engine, golden)

    # ------------------------------------------------------------------------- what is there

    def test_follows_the_schema(self, tree: xr.DataTree) -> None:
        validate(tree)

    def test_values_are_in_range_and_clocks_in_order(self, tree: xr.DataTree) -> None:
        validate(tree, values=True)

    def test_hand_read_values(self, tree: xr.DataTree) -> None:
        assert self.values, "state values read with another tool"
        for (node, name, index), expected in self.values.items():
            found = np.asarray(tree[node].to_dataset()[name][index].values)
            assert same_values(found, expected), (
                f"{node}/{name}[{index}] is {found.item()!r}, read by hand: {expected!r}"
            )

    def test_attributes_are_plain(self, tree: xr.DataTree) -> None:
        for place, attrs in _attributes(tree):
            assert json.loads(json.dumps(attrs)) == attrs, place

    def test_dtype_promised_is_dtype_delivered(self, tree: xr.DataTree) -> None:
        for place, variable in variables(tree):
            nothing = variable[(slice(0, 0),) * variable.ndim] if variable.ndim else variable
            for read in (variable, nothing):
                assert read.values.dtype == variable.dtype, place

    # ---------------------------------------------------------------------------- laziness

    def test_opening_reads_no_values(
        self, engine: Reader, golden: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Opening may read labels: index columns, identifiers, trial columns, clocks' ends.

        It may not read an array that a data variable of the tree stands for (except event times,
        which are a clock), nor hold values along `SAMPLES` in memory.
        """
        reads = _record_reads(monkeypatch)
        tree = opened(engine, golden)
        read = set(reads)
        for place, variable in variables(tree, coords=False):
            array = _innermost(variable._data)
            if isinstance(array, LazyArray):
                if not place.endswith("/event_time"):
                    assert not (touched := read & _stored(array)), f"{place}: {touched} was read"
            else:
                along = set(variable.dims) & set(SAMPLES)
                assert not along, f"{place} was read into memory, along {along}"

    def test_no_file_stays_open(self, engine: Reader, golden: Path) -> None:
        load(opened(engine, golden))
        source.close_all()
        folder = Path("/proc/self/fd")
        if not folder.is_dir():
            pytest.skip("needs /proc to see what is open")
        targets = [os.path.realpath(link) for link in folder.iterdir()]
        root = os.path.realpath(golden)
        assert [t for t in targets if t == root or t.startswith(root + os.sep)] == []

    def test_variables_pickle(self, tree: xr.DataTree) -> None:
        for place, variable in variables(tree):
            pickled = pickle.dumps(variable)
            assert same_values(pickle.loads(pickled).values, variable.values), place
            if isinstance(unwrap(variable._data), LazyArray):
                limit = 4096 + 64 * tree_units(tree)
                assert len(pickled) < limit, f"{place}: pickles its values"

    def test_every_kind_of_index(self, tree: xr.DataTree) -> None:
        for place, variable in variables(tree):
            values = variable.values
            for key in indexers(values.shape):
                found = variable[key].values
                assert same_values(found, outer(values, key)), (place, key)

    def test_chunking_changes_nothing(
        self, engine: Reader, golden: Path, tree: xr.DataTree
    ) -> None:
        pytest.importorskip("dask")
        assert_same_trees(opened(engine, golden, chunks={}), tree)

    # --------------------------------------------------------------------------- the same twice

    def test_str_and_path_agree(self, engine: Reader, golden: Path, tree: xr.DataTree) -> None:
        assert_same_trees(opened(engine, str(golden)), tree)

    def test_two_opens_agree(self, engine: Reader, golden: Path, tree: xr.DataTree) -> None:
        load(tree)
        source.close_all()
        assert_same_trees(opened(engine, golden), tree)

    def test_a_group_is_the_node(self, engine: Reader, golden: Path, tree: xr.DataTree) -> None:
        nodes = [(path, node) for path, node in tree.subtree_with_keys if node.has_data]
        path, node = nodes[-1]
        found = xr.open_dataset(golden, engine=type(engine), group=path)
        xr.testing.assert_identical(found.load(), node.to_dataset(inherit=False).load())

    @pytest.mark.parametrize("suffix", [".h5", ".zarr"])
    def test_saved_and_opened_is_the_same(
        self, tree: xr.DataTree, tmp_path: Path, suffix: str
    ) -> None:
        try:
            from neuroarrays.store import save
        except ModuleNotFoundError as error:
            if error.name != "neuroarrays.store":
                raise
            pytest.skip("neuroarrays.store is not written yet")
        if suffix == ".zarr":
            pytest.importorskip("zarr")
        saved = tmp_path / f"saved{suffix}"
        save(tree, saved)
        archive = next(format_ for format_ in FORMATS if format_.name == "neuroarrays").load()
        assert_same_trees(opened(archive, saved), tree, but=("history", "source"))

    # ----------------------------------------------------------------------- many at once

    def test_threads_read_at_once(self, tree: xr.DataTree) -> None:
        expected = {place: v.values for place, v in variables(tree)}
        source.close_all()
        wrong: list[str] = []

        def read(seed: int) -> None:
            jobs = list(variables(tree))
            random.Random(seed).shuffle(jobs)
            for place, variable in jobs:
                try:
                    if not same_values(variable.copy(deep=False).values, expected[place]):
                        wrong.append(place)
                except Exception as error:
                    wrong.append(f"{place}: {error!r}")

        threads = [threading.Thread(target=read, args=(i,), daemon=True) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        assert not any(thread.is_alive() for thread in threads), "threads hang"
        assert wrong == []

    def test_processes_read_at_once(self, tree: xr.DataTree) -> None:
        jobs = dict(variables(tree))
        sent = pickle.dumps(jobs)
        expected = {place: variable.values for place, variable in jobs.items()}
        stop = threading.Event()
        thread = threading.Thread(target=_read_until, args=(stop, sent), daemon=True)
        thread.start()
        try:
            for method in self.start_methods:
                if method not in multiprocessing.get_all_start_methods():
                    continue
                found = in_processes(method, sent, count=2)
                for one in found:
                    assert one.keys() == expected.keys(), one
                    for place, values in expected.items():
                        assert same_values(one[place], values), (method, place)
        finally:
            stop.set()
            thread.join(PATIENCE)

    # ------------------------------------------------------------------------------- options

    def test_an_unknown_option_is_refused(self, engine: Reader, golden: Path) -> None:
        with pytest.raises(TypeError, match="no_such_option") as caught:
            engine.open_datatree(golden, no_such_option=1)
        for name in engine.options():
            assert name in str(caught.value)

    def test_every_option_does_something(
        self, engine: Reader, golden: Path, tree: xr.DataTree
    ) -> None:
        for name in engine.options():
            if name in self.inert_options:
                assert self.inert_options[name], f"say why {name} changes nothing"
            elif name in self.options:
                changed = opened(engine, golden, **{name: self.options[name]})
                with pytest.raises(AssertionError):
                    assert_same_trees(changed, tree)
            elif name in ("sessions", "areas"):
                with pytest.raises(NotInTree, match="no such thing"):
                    opened(engine, golden, **{name: "no such thing"})
            else:
                pytest.fail(f"state a value for {name} in `options`, or why not in `inert_options`")

    # ---------------------------------------------------------------------- whose file it is

    def test_recognises_its_own(self, engine: Reader, golden: Path) -> None:
        assert engine.guess_can_open(golden) is True
        assert engine.guess_can_open(str(golden)) is True
        claimed = [f.name for f in FORMATS if f.load().guess_can_open(golden)]
        assert [name for name in claimed if name != engine.name] == [], "another claims it too"

    def test_recognises_only_its_own(self, engine: Reader, tmp_path: Path) -> None:
        for path in [*_strangers(tmp_path), *self.foreign]:
            assert engine.guess_can_open(path) is False, path
            assert engine.guess_can_open(str(path)) is False, path
        for nonsense in (None, 1, object(), [], [None], "https://example.org/x", "\0"):
            assert engine.guess_can_open(nonsense) is False, nonsense

    # ---------------------------------------------------------------------------- damage

    def test_a_bad_file_is_named(self, engine: Reader, golden: Path, tmp_path: Path) -> None:
        """Truncated copies: an error of ours that names the file, or values.

        Only truncated: on bytes overwritten in its heaps HDF5 itself can loop for ever.
        """
        for label, damage in _damages(golden):
            bad = tmp_path / label / golden.name
            bad.parent.mkdir()
            if golden.is_dir():
                shutil.copytree(golden, bad)
            else:
                shutil.copy(golden, bad)
            damage(bad)
            try:
                assert engine.guess_can_open(bad) in (True, False)
                load(opened(engine, bad))
            except NeuroArraysError as error:
                if bad.name not in str(error):
                    msg = f"{label}: {error} does not name the file"
                    raise AssertionError(msg) from error
            except Exception as error:
                msg = f"{label}: {type(error).__name__}: {error}; expected a NeuroArraysError"
                raise AssertionError(msg) from error
            finally:
                source.close_all()


# ------------------------------------------------------------------------------------- helpers


def opened(
    reader: Reader, path: str | os.PathLike[str], chunks: Any = None, **options: Any
) -> xr.DataTree:
    """The tree of a path through xarray and one reader."""
    return xr.open_datatree(path, engine=type(reader), chunks=chunks, **options)


def variables(tree: xr.DataTree, coords: bool = True) -> Iterator[tuple[str, xr.Variable]]:
    """Every variable of a tree with its path, coordinates of a node only where they stand."""
    for path, node in tree.subtree_with_keys:
        own = node.to_dataset(inherit=False)
        for name in own.variables if coords else own.data_vars:
            yield f"{path}/{name}", own.variables[name]


def load(tree: xr.DataTree) -> None:
    """Read every value of a tree, and keep none."""
    for _, variable in variables(tree):
        _ = variable.copy(deep=False).values


def tree_units(tree: xr.DataTree) -> int:
    """The largest number of units of a node."""
    return max((node.sizes.get(schema.UNIT, 0) for node in tree.subtree), default=0)


def same_values(a: Any, b: Any) -> bool:
    """Whether two arrays have equal shapes and values; NaN equals NaN, text is compared as text.

    A plain Python number is first put into the dtype of the other.
    """
    a = np.asarray(a)
    b = np.asarray(b, a.dtype if a.dtype.kind in "iufb" and not isinstance(b, str) else None)
    if a.shape != b.shape:
        return False
    if a.dtype.kind in "fc":
        return np.array_equal(a, b, equal_nan=True)
    if a.dtype.kind in "OUT":
        pairs = zip(a.ravel().tolist(), b.ravel().tolist(), strict=True)
        return all(x is y or np.all(x == y) or (x != x and y != y) for x, y in pairs)
    return np.array_equal(a, b)


def assert_same_trees(a: xr.DataTree, b: xr.DataTree, but: Sequence[str] = ()) -> None:
    """Same nodes, variables, dims, dtypes, values and attributes.

    Parameters
    ----------
    a, b : xr.DataTree
        Two trees.
    but : sequence of str
        Attributes of nodes that may differ.
    """
    nodes_a, nodes_b = dict(a.subtree_with_keys), dict(b.subtree_with_keys)
    assert set(nodes_a) == set(nodes_b)
    for path, node in nodes_a.items():
        kept = [{k: v for k, v in n.attrs.items() if k not in but} for n in (node, nodes_b[path])]
        assert kept[0] == kept[1], path
    of_a, of_b = dict(variables(a)), dict(variables(b))
    assert set(of_a) == set(of_b)
    for place, one in of_a.items():
        other = of_b[place]
        assert one.dims == other.dims, place
        assert one.dtype == other.dtype, place
        assert one.attrs == other.attrs, place
        x, y = one.copy(deep=False).values, other.copy(deep=False).values
        assert same_values(x, y), place


def indexers(shape: tuple[int, ...]) -> Iterator[tuple[Any, ...]]:
    """Keys of every kind for an array: one axis at a time, then two axes with arrays."""
    whole = (slice(None),) * len(shape)
    yield whole
    for axis, n in enumerate(shape):
        kinds: list[Any] = [slice(None, None, 3), slice(None, None, -1), slice(0, 0), slice(n, n)]
        kinds += [slice(-3, None), slice(None, 0, -2), slice(1, n + 5), np.empty(0, np.int64)]
        kinds += [np.zeros(n, bool), np.arange(n) % 3 == 1]
        if n:
            kinds += [0, -1, n // 2, np.array([0, n - 1]), np.array([n - 1, 0, n // 2])]
            kinds += [np.array([0, 0, n - 1, n - 1]), np.array([-1, 0]), np.array([n // 2])]
        for kind in kinds:
            yield (*whole[:axis], kind, *whole[axis + 1 :])
    if len(shape) > 1 and min(shape):
        ends = tuple(np.array([n - 1, 0, 0]) for n in shape)
        yield ends
        yield (*ends[:-1], -1)
        yield (slice(None, None, -1), *ends[1:])


def outer(values: np.ndarray, key: tuple[Any, ...]) -> np.ndarray:
    """What numpy gives when each axis is indexed by itself."""
    for axis in reversed(range(values.ndim)):
        values = values[(slice(None),) * axis + (key[axis],)]
    return values


def in_processes(method: str, sent: bytes, count: int) -> list[dict[str, np.ndarray]]:
    """Values of pickled variables as processes started in one way read them, at once.

    Parameters
    ----------
    method : {"fork", "forkserver", "spawn"}
        How to start them.
    sent : bytes
        A pickled mapping of names to variables.
    count : int
        How many processes.
    """
    context = multiprocessing.get_context(method)
    started: list[tuple[Any, Connection]] = []
    try:
        for _ in range(count):
            ours, theirs = context.Pipe()
            process = context.Process(target=_child, args=(theirs, sent), daemon=True)  # type: ignore[attr-defined]
            process.start()
            theirs.close()
            started.append((process, ours))
        found = []
        for _process, pipe in started:
            assert pipe.poll(PATIENCE), f"a process started with {method} hangs"
            found.append(pipe.recv())
        return found
    finally:
        for process, pipe in started:
            process.join(1)
            process.kill()
            pipe.close()


def _child(pipe: Connection, sent: bytes) -> None:
    try:
        pipe.send({place: variable.values for place, variable in pickle.loads(sent).items()})
    except BaseException as error:
        pipe.send({"error": repr(error)})


def _read_until(stop: threading.Event, sent: bytes) -> None:
    while not stop.is_set():
        for variable in pickle.loads(sent).values():
            _ = variable.values


def _record_reads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[source.Source, str]]:
    """Every `Source.read` from now on, as (source, name)."""
    reads: list[tuple[source.Source, str]] = []

    def patched(original: Any) -> Any:
        def read(self: source.Source, name: str, key: Any = ()) -> np.ndarray:
            reads.append((self, name.strip("/")))
            values: np.ndarray = original(self, name, key)
            return values

        return read

    kinds = [source.Source]
    for kind in kinds:
        kinds += kind.__subclasses__()
        if "read" in vars(kind):
            monkeypatch.setattr(kind, "read", patched(vars(kind)["read"]))
    return reads


def _innermost(data: Any) -> Any:
    """What lies under xarray's wrappers, also where something was indexed."""
    while not isinstance(data, LazyArray | np.ndarray) and hasattr(data, "array"):
        data = data.array
    return data


def _stored(array: Any) -> set[tuple[source.Source, str]]:
    """The stored arrays that a lazy array reads."""
    if hasattr(array, "source") and hasattr(array, "name"):
        return {(array.source, array.name.strip("/"))}
    bases = getattr(array, "bases", None) or [getattr(array, "base", None)]
    return set().union(*(_stored(base) for base in bases if base is not None))


def _attributes(tree: xr.DataTree) -> Iterator[tuple[str, Mapping[Any, Any]]]:
    for path, node in tree.subtree_with_keys:
        yield path, dict(node.attrs)
    for place, variable in variables(tree):
        yield place, dict(variable.attrs)


def _strangers(folder: Path) -> list[Path]:
    """Files that no reader of recordings should claim."""
    import h5py

    noise = random.Random(0).randbytes(4096)
    contents = {
        "notes.txt": b"spikes were fine today\n",
        "empty.nwb": b"",
        "noise.nwb": noise,
        "noise.h5": noise,
        "table.csv": b"start_time,stop_time\n0,1\n",
        "archive.zip": b"PK\x05\x06" + bytes(18),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    (folder / "empty_folder").mkdir()
    (folder / "folder_of_notes").mkdir()
    (folder / "folder_of_notes" / "notes.txt").write_text("nothing here")
    with h5py.File(folder / "other.h5", "w") as file:
        file["measurements"] = np.arange(3)
    names = [*contents, "empty_folder", "folder_of_notes", "other.h5", "missing.nwb"]
    return [folder / name for name in names]


def _damages(golden: Path) -> list[tuple[str, Any]]:
    """Ways to damage a copy of the golden file, each with a label; always the same ones."""
    draw = random.Random(1)
    if golden.is_dir():
        inside = sorted(p.relative_to(golden) for p in golden.rglob("*") if p.is_file())
        chosen = draw.sample(inside, min(len(inside), 24))
        return [(f"cut{i}", _truncate_inside(name)) for i, name in enumerate(chosen)]
    size = golden.stat().st_size
    cuts = sorted({0, 1, 8, 100, size // 4, size // 2, 3 * size // 4, size - 1})
    return [(f"cut{at}", _truncate(at)) for at in cuts]


def _truncate(size: int) -> Any:
    def damage(path: Path) -> None:
        os.truncate(path, size)

    return damage


def _truncate_inside(name: Path) -> Any:
    def damage(folder: Path) -> None:
        os.truncate(folder / name, (folder / name).stat().st_size // 2)

    return damage
