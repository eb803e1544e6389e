"""The conformance suite, as tests to inherit."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import random
import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import xarray as xr

from neuroarrays import schema
from neuroarrays.archive.reader import ArchiveReader
from neuroarrays.archive.saving import save
from neuroarrays.errors import NeuroArraysError, NotInTree
from neuroarrays.formats import registry
from neuroarrays.formats.reader import Reader
from neuroarrays.lazy.arrays import LazyArray, array_of, data_of
from neuroarrays.lazy.trees import tree_of
from neuroarrays.schema.validation import validate
from neuroarrays.testing.comparing import (
    assert_same_trees,
    indexers,
    load,
    opened,
    outer,
    same_values,
    tree_units,
    variables,
)
from neuroarrays.testing.damage import damages, strangers
from neuroarrays.testing.golden import Golden
from neuroarrays.testing.processes import PATIENCE, in_processes, reading
from neuroarrays.testing.reads import build, innermost, record_reads, stored
from neuroarrays.testing.sources import close_all

#: Dimensions of samples: values along them are never read on opening.
SAMPLES = (schema.SPIKE, schema.TIME, schema.FRAME, "event")


class ReaderTests(Golden):
    """What every reader must do, as tests to inherit.

    Attributes
    ----------
    reader : Reader, type of Reader or str
        The reader, its class, or the name of its format.
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
    damaged : str
        Of a golden folder of several sessions: the file in it that one session cannot do without.
    foreign : sequence of path
        Files of other formats, which the reader must not claim.
    start_methods : sequence of str
        How processes that read are started: those of them that this system has.
    archives : sequence of str
        Endings of the archives that the tree is saved to and opened from.
    """

    values: ClassVar[Mapping[tuple[str, str, Any], Any]] = {}
    options: ClassVar[Mapping[str, Any]] = {}
    inert_options: ClassVar[Mapping[str, str]] = {}
    damaged: ClassVar[str] = ""
    foreign: ClassVar[Sequence[str | os.PathLike[str]]] = ()
    # A forkserver's children are as fresh as spawned ones, and start in a tenth of the time.
    start_methods: ClassVar[Sequence[str]] = sorted(
        {"fork", "forkserver"} & {*multiprocessing.get_all_start_methods()} or {"spawn"}
    )
    archives: ClassVar[Sequence[str]] = (".h5", ".zarr")

    # ------------------------------------------------------------------------- what is there

    def test_follows_the_schema(self, read: xr.DataTree) -> None:
        """Names, dims, dtypes and units; values in range and clocks in order."""
        validate(read, values=True)

    def test_a_recording_says_when_it_was_recorded(self, read: xr.DataTree) -> None:
        """Each session of a recording has a node ``observed``, and each unit its stretches."""
        if schema.kind_of(read) != schema.RECORDING:
            pytest.skip("an aligned tree has masks instead")
        for name, session in read.children.items():
            assert schema.OBSERVED in session.children, f"{name}: no node observed"
            for path, role, node in schema.roles(read):
                if role == "spikes" and path.startswith(f"{name}/"):
                    assert {"observed_start", "observed_stop"} <= set(node.data_vars), path

    def test_hand_read_values(self, tree: xr.DataTree) -> None:
        """Values that were read with another tool are the same here."""
        assert self.values, "state values read with another tool"
        for (node, name, index), expected in self.values.items():
            value = np.asarray(tree[node].to_dataset()[name][index].values)
            # Means of the last digit differ with the version of numpy.
            near = value.dtype.kind == "f" and np.allclose(value, expected, 1e-14, 0, True)
            assert near or same_values(value, expected), (
                f"{node}/{name}[{index}] is {value.item()!r}, read by hand: {expected!r}"
            )

    def test_the_catalog_says_what_the_tree_holds(
        self, engine: Reader, golden: Path, read: xr.DataTree
    ) -> None:
        """The catalogue has the sessions, areas and numbers of units of the tree."""
        rows = engine.catalog(golden)
        catalogued = {
            "/".join(filter(None, (row["block"], row["session"], row["area"]))): row["units"]
            for row in rows
        }
        assert len(catalogued) == len(rows), "two rows of one area"
        in_tree = {
            path: max(node.sizes.get(schema.UNIT, 0) for node in (area, *area.children.values()))
            for path, area in ((path, read[path]) for path in schema.area_paths(read))
        }
        assert {
            path: number for path, number in catalogued.items() if number or path in in_tree
        } == in_tree

    def test_attributes_are_plain(self, read: xr.DataTree) -> None:
        """Attributes are the same after JSON."""
        for path, attrs in _attributes(read):
            assert json.loads(json.dumps(attrs)) == attrs, path

    def test_dtype_promised_is_dtype_delivered(self, tree: xr.DataTree) -> None:
        """Values have the dtype that the variable states, also if there are none."""
        for path, variable in variables(tree):
            nothing = variable[(slice(0, 0),) * variable.ndim] if variable.ndim else variable
            for read in (variable, nothing):
                assert read.values.dtype == variable.dtype, path

    # ---------------------------------------------------------------------------- laziness

    def test_opening_reads_no_values(
        self, engine: Reader, golden: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Opening may read labels: index columns, identifiers, trial columns, clocks' ends.

        It may not read an array that a data variable of the tree stands for (except event times,
        which are a clock), nor hold values along `SAMPLES` in memory.
        """
        reads = record_reads(monkeypatch)
        tree = opened(engine, golden)
        read = set(reads)
        for path, variable in variables(tree, coords=False):
            array = innermost(data_of(variable))
            if isinstance(array, LazyArray):
                if not path.endswith("/event_time"):
                    assert not (touched := read & stored(array)), f"{path}: {touched} was read"
            else:
                along = set(variable.dims) & set(SAMPLES)
                assert not along, f"{path} was read into memory, along {along}"

    def test_no_file_stays_open(self, tree: xr.DataTree, golden: Path) -> None:
        """No descriptor of the file is left after `close_all`."""
        load(tree)
        close_all()
        folder = Path("/proc/self/fd")
        if not folder.is_dir():
            pytest.skip("needs /proc to see what is open")
        targets = [os.path.realpath(link) for link in folder.iterdir()]
        root = os.path.realpath(golden)
        assert [t for t in targets if t == root or t.startswith(root + os.sep)] == []

    def test_variables_pickle(self, tree: xr.DataTree) -> None:
        """Pickled variables have the same values; pickles of lazy ones are small."""
        for path, variable in variables(tree):
            pickled = pickle.dumps(variable)
            assert same_values(pickle.loads(pickled).values, variable.values), path
            if isinstance(array_of(variable), LazyArray):
                limit = 4096 + 64 * tree_units(tree)
                assert len(pickled) < limit, f"{path}: pickles its values"

    def test_every_kind_of_index(self, tree: xr.DataTree) -> None:
        """Each kind of index gives the values that numpy gives, for one variable of each kind of array."""
        tested = set()
        for path, variable in variables(tree):
            array = innermost(data_of(variable))
            form = build(array), variable.ndim, variable.dtype.kind
            if not isinstance(array, LazyArray) or form in tested:
                continue
            tested.add(form)
            # A copy, because xarray keeps the values that it has read, and would index those.
            values = variable.copy(deep=False).values
            for key in indexers(values.shape):
                read = variable[key].values
                assert same_values(read, outer(values, key)), (path, key)

    def test_chunking_changes_nothing(
        self, engine: Reader, golden: Path, read: xr.DataTree
    ) -> None:
        """Values are the same with dask."""
        dask = pytest.importorskip("dask")
        paths, nodes = zip(*opened(engine, golden, chunks={}).subtree_with_keys, strict=True)
        with dask.config.set(scheduler="synchronous"):  # arrays as small as these need no threads
            values = dask.compute(*(node.to_dataset(inherit=False) for node in nodes))
        chunked = tree_of(dict(zip(paths, values, strict=True)))
        assert_same_trees(chunked, read)

    # --------------------------------------------------------------------------- the same twice

    def test_two_opens_agree(self, engine: Reader, golden: Path, read: xr.DataTree) -> None:
        """Of a path, and of its name, when what the first read is forgotten; xarray adds no index."""
        close_all()
        again = opened(engine, str(golden), create_default_indexes=True)
        assert_same_trees(again, read)
        for path, node in read.subtree_with_keys:
            assert again[path].xindexes.keys() == node.xindexes.keys(), path

    def test_a_group_is_the_node(self, engine: Reader, golden: Path, tree: xr.DataTree) -> None:
        """`xarray.open_dataset` of a group gives the node of the tree."""
        nodes = [(path, node) for path, node in tree.subtree_with_keys if node.has_data]
        path, node = nodes[-1]
        group = xr.open_dataset(golden, engine=type(engine), group=path)
        xr.testing.assert_identical(group.load(), node.to_dataset(inherit=False).load())

    def test_saved_and_opened_is_the_same(self, tree: xr.DataTree, tmp_path: Path) -> None:
        """An archive of the tree has the same content."""
        for suffix in self.archives:
            if suffix == ".zarr":
                pytest.importorskip("zarr")
            saved = tmp_path / f"saved{suffix}"
            save(tree, saved)
            again = opened(ArchiveReader(), saved)
            assert_same_trees(again, tree, but=("history", "source"))
            for path, node in again.subtree_with_keys:
                assert set(node.coords) == set(tree[path].coords), path
                indexes = tree[path].xindexes
                assert node.xindexes.keys() == indexes.keys(), path
                for name, index in node.xindexes.items():
                    assert type(index) is type(indexes[name]), (path, name)
                    assert index.equals(indexes[name]), (path, name)

    # ----------------------------------------------------------------------- many at once

    def test_threads_read_at_once(self, tree: xr.DataTree, read: xr.DataTree) -> None:
        """Several threads read the same values."""
        expected = {path: v.values for path, v in variables(read)}
        close_all()
        wrong: list[str] = []

        def work(seed: int) -> None:
            """Read all variables in a random order, and note wrong values."""
            jobs = list(variables(tree))
            random.Random(seed).shuffle(jobs)
            for path, variable in jobs:
                try:
                    if not same_values(variable.copy(deep=False).values, expected[path]):
                        wrong.append(path)
                except Exception as error:
                    wrong.append(f"{path}: {error!r}")

        threads = [threading.Thread(target=work, args=(i,), daemon=True) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        assert not any(thread.is_alive() for thread in threads), "threads hang"
        assert wrong == []

    def test_processes_read_at_once(self, tree: xr.DataTree, read: xr.DataTree) -> None:
        """Several processes read the same values; forked ones begin while a thread reads here."""
        jobs = dict(variables(tree))
        sent = pickle.dumps(jobs)
        expected = {path: variable.values for path, variable in variables(read)}
        for method in self.start_methods:
            busy, count = (reading(sent), 2) if method == "fork" else (None, 1)
            results = in_processes(method, sent, count, busy)
            for values_by_path in results:
                assert values_by_path.keys() == expected.keys(), values_by_path
                for path, values in expected.items():
                    assert same_values(values_by_path[path], values), (method, path)

    # ------------------------------------------------------------------------------- options

    def test_an_unknown_option_is_refused(self, engine: Reader, golden: Path) -> None:
        """The error for an unknown option lists all options."""
        with pytest.raises(TypeError, match="no_such_option") as caught:
            engine.open_datatree(golden, no_such_option=1)
        for name in engine.options():
            assert name in str(caught.value)

    def test_every_option_does_something(
        self, engine: Reader, golden: Path, read: xr.DataTree
    ) -> None:
        """Each option of the reader changes the tree."""
        for name in engine.options():
            if name == "skip_damaged":
                continue  # golden files are sound; the next test is of others
            if name in self.inert_options:
                assert self.inert_options[name], f"say why {name} changes nothing"
            elif name in self.options:
                changed = opened(engine, golden, **{name: self.options[name]})
                with pytest.raises(AssertionError):
                    assert_same_trees(changed, read)
            elif name in ("sessions", "areas"):
                wanted: dict[str, Any] = {name: "no such thing"}
                with pytest.raises(NotInTree, match="no such thing"):
                    opened(engine, golden, **wanted)
            else:
                pytest.fail(f"state a value for {name} in `options`, or why not in `inert_options`")

    def sound_and_damaged(self, golden: Path, folder: Path) -> None:
        """Make a folder of a sound session and a damaged one."""
        if self.damaged:
            shutil.copytree(golden, folder)
            bad = folder / self.damaged
            os.truncate(bad, bad.stat().st_size // 3)
            return
        folder.mkdir()
        bad = folder / f"damaged{golden.suffix}"
        if golden.is_dir():
            shutil.copytree(golden, folder / golden.name)
            bad.symlink_to("nowhere")
        else:
            shutil.copyfile(golden, folder / golden.name)
            bad.write_bytes(golden.read_bytes()[: golden.stat().st_size // 3])

    def test_a_damaged_session_is_an_error_or_left_out(
        self, engine: Reader, golden: Path, tmp_path: Path
    ) -> None:
        """A damaged session is an error, or left out with `skip_damaged`."""
        if "skip_damaged" not in engine.options() or "skip_damaged" in self.inert_options:
            pytest.skip("there is one session only")
        folder = tmp_path / "several"
        self.sound_and_damaged(golden, folder)
        with pytest.raises(NeuroArraysError):
            engine.open_datatree(folder)
        close_all()
        left = opened(engine, folder, skip_damaged=True)
        assert left.children, "nothing is left"
        assert any("left out" in note for note in left.attrs["notes"])

    # ---------------------------------------------------------------------- whose file it is

    def test_recognises_its_own(self, engine: Reader, golden: Path) -> None:
        """The reader recognises its file, and no other reader does."""
        assert engine.guess_can_open(golden) is True
        assert engine.guess_can_open(str(golden)) is True
        claimed = [f.name for f, other in registry.readers() if other.guess_can_open(golden)]
        assert [name for name in claimed if name != engine.name] == [], "another claims it too"

    def test_recognises_only_its_own(self, engine: Reader, tmp_path: Path) -> None:
        """The reader does not recognise other files."""
        for path in [*strangers(tmp_path), *self.foreign]:
            assert engine.guess_can_open(path) is False, path
            assert engine.guess_can_open(str(path)) is False, path
        for nonsense in (None, 1, object(), [], [None], "https://example.org/x", "\0"):
            assert engine.guess_can_open(nonsense) is False, nonsense

    # ---------------------------------------------------------------------------- damage

    def test_a_bad_file_is_named(self, engine: Reader, golden: Path, tmp_path: Path) -> None:
        """Truncated copies: an error of ours that names the file, or values.

        Only truncated: on bytes overwritten in its heaps HDF5 itself can loop for ever.
        """
        for label, damage in damages(golden):
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
                close_all()


def _attributes(tree: xr.DataTree) -> Iterator[tuple[str, Mapping[Any, Any]]]:
    """Yield the path and attributes of each node and variable."""
    for path, node in tree.subtree_with_keys:
        yield path, dict(node.attrs)
    for path, variable in variables(tree):
        yield path, dict(variable.attrs)
