"""Sources: handles, threads, processes, links, and reads under any outer index."""

import json
import multiprocessing
import os
import pickle
import shutil
import threading
import time

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neuroarrays.errors import FormatError, MissingPath
from neuroarrays.files import hdf5, hdf5_handle
from neuroarrays.files.outer import read_outer
from neuroarrays.files.probe import probe_of
from neuroarrays.files.source import in_order
from neuroarrays.lazy.arrays import file_array
from neuroarrays.testing import in_processes, outer
from neuroarrays.testing.sources import close_all, open_source

VALUES = np.arange(7 * 5 * 4, dtype=np.int32).reshape(7, 5, 4)


@pytest.fixture(autouse=True)
def _nothing_left_open():
    yield
    close_all()


@pytest.fixture
def path(tmp_path):
    return made(tmp_path / "a.h5")


def made(path, values=VALUES):
    with h5py.File(path, "w") as file:
        file["contiguous"] = values
        file.create_dataset("chunked", data=values, chunks=(3, 2, 4), compression="gzip")
        file["group/text"] = ["a", "µ"]
        file["group/fixed"] = np.array([b"a", b"\xc2\xb5"])
        file["group/soft"] = h5py.SoftLink("/contiguous")
        file["group/relative"] = h5py.SoftLink("text")
        file["nothing"] = h5py.Empty("f8")
        file["scalar"] = 3.5
        file["group"].attrs.update({"rate": np.float32(2.5), "names": ["x", "y"], "raw": b"b"})
        file["group"].attrs["to"] = file["contiguous"].ref
    return path


# ------------------------------------------------------------------------------ what is read


def test_names_info_and_attributes(path):
    file = open_source(path)
    assert file.names() == ["chunked", "contiguous", "group", "nothing", "scalar"]
    assert file.names("contiguous") == file.names("absent") == file.names("absent/below") == []
    assert file.info("group") is None
    assert file.info("contiguous").shape == (7, 5, 4)
    assert file.info("chunked").chunks == (3, 2, 4)
    assert file.info("nothing").shape == (0,)
    assert file.info("group/text").text
    assert file.attrs("group") == {
        "rate": 2.5,
        "names": ["x", "y"],
        "raw": "b",
        "to": "/contiguous",
    }
    assert file.attrs("absent") == {}
    assert file.exists("group")
    assert not file.exists("grup")


def test_names_are_listed_as_people_count(tmp_path):
    names = [
        "",
        "9",
        "10",
        "a",
        "s",
        "s1",
        "s1b",
        "s02",
        "s2",
        "s2/9",
        "s2/10",
        "s10",
        "x" + "9" * 5000,
    ]
    assert in_order(reversed(names)) == names
    with h5py.File(tmp_path / "b.h5", "w") as file:
        for name in ("s10", "s1", "s2"):
            file.create_group(name)
    assert open_source(tmp_path / "b.h5").names() == ["s1", "s2", "s10"]


def test_values(path):
    file = open_source(path)
    assert file.read("scalar") == 3.5
    assert file.read("nothing").size == 0
    assert file.read("group/text").tolist() == file.read("group/fixed").tolist() == ["a", "µ"]
    assert np.array_equal(file.read("group/soft"), VALUES)
    assert file.read("group/relative").tolist() == ["a", "µ"]
    with pytest.raises(FormatError, match=r"a\.h5:grup: expected a dataset; found nothing or a"):
        file.read("grup")


def test_identity_is_that_of_the_stored_array(path):
    file = open_source(path)
    assert file.identity("group/soft") == file.identity("contiguous") != file.identity("chunked")
    with h5py.File(path.with_name("hard.h5"), "w") as other:
        other["a"] = np.arange(3)
        other["b"] = other["a"]
    file = open_source(path.with_name("hard.h5"))
    assert file.identity("a") == file.identity("b")


def keys_for(shape):
    """Outer keys: one integer, slice, positions or mask per axis."""

    def axis(n):
        kinds = [
            st.slices(n),
            st.lists(st.integers(-n, n - 1), max_size=8).map(lambda x: np.array(x, np.int64)),
            st.lists(st.booleans(), min_size=n, max_size=n).map(np.array),
            st.integers(-n, n - 1),
        ]
        return st.one_of(kinds)

    return st.tuples(*map(axis, shape))


@pytest.mark.parametrize("name", ["contiguous", "chunked"])
@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_outer_index_equals_numpy(path, name, data):
    key = data.draw(keys_for(VALUES.shape))
    found = open_source(path).read(name, key)
    expected = outer(VALUES, key)
    assert found.dtype == expected.dtype
    assert np.array_equal(found, expected)


@given(data=st.data())
def test_read_outer_equals_numpy_on_any_shape_and_blocks(data):
    shape = tuple(data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=3)))
    blocks = tuple(data.draw(st.integers(1, n + 2)) for n in shape)
    values = np.arange(np.prod(shape)).reshape(shape)
    key = data.draw(keys_for(shape))

    def fetch(key):
        assert all(isinstance(k, int | slice) for k in key)
        assert all(k.step in (None, *range(1, 99)) for k in key if isinstance(k, slice))
        return values[key]

    assert np.array_equal(read_outer(fetch, shape, values.dtype, blocks, key), outer(values, key))


def test_rows_are_fetched_block_by_block():
    values, fetched = np.arange(1000), []

    def fetch(key):
        fetched.append(key)
        return values[key]

    rows = np.array([999, 3, 1, 998, 3])
    found = read_outer(fetch, (1000,), values.dtype, (100,), (rows,))
    assert found.tolist() == rows.tolist()
    assert fetched == [(slice(1, 4),), (slice(998, 1000),)]


@pytest.mark.parametrize("index", [7, -8, np.array([0, 7]), np.array([-8])])
def test_out_of_range_is_an_index_error(path, index):
    with pytest.raises(IndexError, match="out of bounds for axis 0 of size 7"):
        file_array(open_source(path), "contiguous")._raw((index, slice(None), slice(None)))


# --------------------------------------------------------------------------------- handles


def test_sources_are_equal_hashable_and_small(path):
    a, b = open_source(path), open_source(str(path))
    assert a == b
    assert hash(a) == hash(b)
    assert pickle.loads(pickle.dumps(a)) == a
    assert len(pickle.dumps(a)) < 300


def test_a_stated_number_of_files_stays_open(tmp_path, monkeypatch):
    monkeypatch.setattr(hdf5, "MAX_OPEN", 4)
    files = [open_source(made(tmp_path / f"{i}.h5", VALUES + i)) for i in range(12)]
    for _ in range(2):
        for i, file in enumerate(files):
            assert np.array_equal(file.read("chunked"), VALUES + i)
            assert len(hdf5.handles) <= 4


def test_a_stated_number_of_datasets_stays_open(tmp_path, monkeypatch):
    monkeypatch.setattr(hdf5, "MAX_DATASETS", 3)
    path = tmp_path / "many.h5"
    with h5py.File(path, "w") as file:
        for i in range(10):
            file[f"d{i}"] = np.full(3, i)
    file = open_source(path)
    for i in [*range(10), *range(10)]:
        assert file.read(f"d{i}")[0] == i
        assert len(hdf5.handles.get(file).datasets) <= 3


def test_threads_read_while_files_are_closed_under_them(tmp_path, monkeypatch):
    monkeypatch.setattr(hdf5, "MAX_OPEN", 2)
    arrays = [
        file_array(open_source(made(tmp_path / f"{i}.h5", VALUES + i)), "chunked") for i in range(6)
    ]
    wrong, deadline = [], time.monotonic() + 60

    def read(seed):
        draw = np.random.default_rng(seed)
        for i in draw.integers(0, 6, 60):
            rows = draw.integers(0, 7, 3)
            try:
                found = arrays[i].outer((rows, slice(None), slice(None)))
                if not np.array_equal(found, VALUES[rows] + i):
                    wrong.append(i)
            except Exception as error:
                wrong.append(error)
            if seed == 0:
                close_all()

    threads = [threading.Thread(target=read, args=(seed,), daemon=True) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(deadline - time.monotonic(), 0))
    assert not any(thread.is_alive() for thread in threads), "a thread hangs"
    assert wrong == []


def test_a_replaced_file_is_noticed(path):
    old = open_source(path)
    assert old.read("contiguous")[0, 0, 0] == 0
    new_path = made(path.with_name("new.h5"), VALUES + 1)
    os.replace(new_path, path)
    new = open_source(path)
    assert new != old
    assert new.read("contiguous")[0, 0, 0] == 1
    with pytest.raises(FormatError, match=r"a\.h5: expected the file as it was .* open it again"):
        old.read("contiguous")


def test_a_file_written_anew_in_place_is_noticed(path):
    old = open_source(path)
    assert old.read("contiguous").shape == (7, 5, 4)
    bigger = made(path.with_name("new.h5"), np.ones((50, 6, 6)))
    shutil.copyfile(bigger, path)  # the same inode
    new = open_source(path)
    assert new.read("contiguous").shape == (50, 6, 6)
    with pytest.raises(FormatError, match="open it again"):
        old.read("contiguous")


def test_other_values_in_the_same_place_are_noticed(path):
    """The same inode and size: only the time of the change tells."""
    old, before = open_source(path), os.stat(path)
    assert old.read("contiguous")[0, 0, 0] == 0
    same_size = made(path.with_name("new.h5"), VALUES + 1)
    shutil.copyfile(same_size, path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1_000_000))
    after = os.stat(path)
    assert (after.st_ino, after.st_size) == (before.st_ino, before.st_size)
    with pytest.raises(FormatError, match="open it again"):
        old.read("contiguous")
    new = open_source(path)
    assert new != old
    assert new.read("contiguous")[0, 0, 0] == 1


def test_a_deleted_file_is_missing(path):
    file = open_source(path)
    close_all()
    path.unlink()
    with pytest.raises(MissingPath, match=r"a\.h5: no such file"):
        file.read("contiguous")


# -------------------------------------------------------------------------------- processes


@pytest.fixture
def busy(path):
    """A file that threads of this process are reading."""
    file = open_source(path)
    stop = threading.Event()

    def read():
        while not stop.wait(0.0005):
            file.read("chunked", (slice(0, 5), slice(None), slice(None)))

    threads = [threading.Thread(target=read, daemon=True) for _ in range(3)]
    for thread in threads:
        thread.start()
    yield file
    stop.set()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "a thread hangs"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_forks_and_reads_do_not_wait_for_each_other(busy):
    """h5py holds its own lock over a fork; taken in another order than ours, both would wait."""
    for i in range(5):
        pid = os.fork()
        if pid == 0:
            ok = np.array_equal(busy.read("chunked"), VALUES)
            os._exit(0 if ok else 1)
        deadline = time.monotonic() + 60
        while (done := os.waitpid(pid, os.WNOHANG))[0] == 0 and time.monotonic() < deadline:
            time.sleep(0.001)
        if done[0] == 0:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
        assert done == (pid, 0), f"child {i} hangs or fails"


def read_in_children(file, method, count):
    variable = file_array(file, "chunked").variable(("x", "y", "z"))
    for found in in_processes(method, pickle.dumps({"v": variable}), count):
        assert np.array_equal(found["v"], VALUES), found


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_children_read_while_we_do(busy):
    read_in_children(busy, "fork", 2)


@pytest.mark.parametrize("method", sorted({*multiprocessing.get_all_start_methods()} - {"fork"}))
def test_children_that_inherit_nothing_read(path, method):
    """Of threads that read meanwhile they know nothing, so none does."""
    read_in_children(open_source(path), method, 1)


# ----------------------------------------------------------------------------- what is refused


def refused(path, name, *words):
    with pytest.raises(FormatError) as caught:
        open_source(path).read(name)
    for word in (str(path), *words):
        assert word in str(caught.value), str(caught.value)


def test_circular_soft_links(path):
    with h5py.File(path, "a") as file:
        file["one"], file["two"] = h5py.SoftLink("/two"), h5py.SoftLink("/one")
        file["self"] = h5py.SoftLink("/self")
        file["deep"] = h5py.SoftLink("/deep/er")
    for name in ("one", "two", "self", "deep"):
        refused(path, name, "soft links in a circle", name)


def test_dangling_soft_link_is_nothing(path):
    with h5py.File(path, "a") as file:
        file["dangling"] = h5py.SoftLink("/gone/below")
    assert open_source(path).info("dangling") is None
    assert open_source(path).names("dangling") == []


def test_external_link(path):
    made(path.with_name("b.h5"))
    with h5py.File(path, "a") as file:
        file["out"] = h5py.ExternalLink("b.h5", "/contiguous")
        file["around"] = h5py.SoftLink("/out")
        file["below"] = h5py.ExternalLink("b.h5", "/")
    for name in ("out", "around", "below/contiguous"):
        refused(path, name, "an HDF5 external link", "copy what it points to")


def test_virtual_dataset_and_external_storage(path):
    layout = h5py.VirtualLayout((3,), "f8")
    layout[:] = h5py.VirtualSource(".", "me", (3,))
    with h5py.File(path, "a") as file:
        file.create_virtual_dataset("me", layout)  # maps to itself: reading it ends the process
        file.create_dataset("raw", (3,), "f8", external=[(str(path) + ".raw", 0, 24)])
    refused(path, "me", "a virtual dataset", "h5repack")
    refused(path, "raw", "external storage")


def test_huge_declared_sizes(path):
    with h5py.File(path, "a") as file:
        file.create_dataset("huge", (10**12,), "f8", chunks=(1000,), compression="gzip")
        file.create_dataset("wide", (10**6, 10**6), "i2", chunks=(100, 100))
    refused(path, "huge", "declared size of 8,000,000,000,000 bytes")
    refused(path, "wide", "declared size")
    file = open_source(path)
    assert file.read("huge", (slice(0, 3),)).tolist() == [0, 0, 0]
    assert file.read("huge", (np.array([10**12 - 1, 0]),)).tolist() == [0, 0]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
def test_fifo(tmp_path):
    os.mkfifo(tmp_path / "pipe.h5")
    assert probe_of(tmp_path / "pipe.h5").container == ""
    with pytest.raises(FormatError, match="expected a file or folder; found a FIFO"):
        open_source(tmp_path / "pipe.h5")


def test_folder_and_text(tmp_path):
    with pytest.raises(FormatError, match="found an empty folder"):
        open_source(tmp_path)
    (tmp_path / "a.h5").write_text("hello")
    with pytest.raises(FormatError, match="expected an HDF5 file.*; found a text"):
        open_source(tmp_path / "a.h5")


def test_a_user_block_is_skipped(tmp_path):
    with h5py.File(tmp_path / "a.mat", "w", userblock_size=1024) as file:
        file["x"] = 1.0
    assert probe_of(tmp_path / "a.mat").container == "hdf5"
    assert open_source(tmp_path / "a.mat").read("x") == 1.0


def test_damaged_chunks_are_named(path):
    with h5py.File(path) as file:
        info = file["chunked"].id.get_chunk_info(0)
    with open(path, "r+b") as raw:
        raw.seek(info.byte_offset)
        raw.write(bytes(info.size))
    refused(path, "chunked", ":chunked: expected readable HDF5", "truncated or damaged")


# --------------------------------------------------------------------------------- others


def test_h5py_and_we_hold_the_same_file(path):
    with h5py.File(path) as file:
        ours = open_source(path)
        assert np.array_equal(ours.read("chunked"), file["chunked"][:])
    assert np.array_equal(ours.read("chunked"), VALUES)
    with h5py.File(path) as file:
        assert file["scalar"][()] == 3.5
    close_all()
    with h5py.File(path, "a") as file:  # nothing of ours is in the way any more
        file["new"] = 1


# ----------------------------------------------------------------------------------- Zarr


@pytest.fixture
def store(tmp_path):
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group(tmp_path / "s.zarr", mode="w", zarr_format=2)
    group.create_array("group/x", data=VALUES, chunks=(3, 2, 4))
    return tmp_path / "s.zarr"


def edit(file, **changes):
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_chunks_that_are_not_there_are_counted(store, tmp_path):
    assert open_source(store).unwritten("group/x") == ""
    chunks = [path for path in (store / "group/x").rglob("*") if path.name[0] != "."]
    total = sum(path.is_file() for path in chunks)
    next(path for path in chunks if path.is_file()).unlink()
    assert open_source(store).unwritten("group/x") == f"1 of {total} chunks"
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("none", (4,), "f8")
        file.create_dataset("half", (4,), "f8", chunks=(2,))[:2] = 1
        file["all"], file["no_values"] = np.arange(4), np.zeros(0)
    names = ("none", "half", "all", "no_values", "gone")
    said = [open_source(tmp_path / "a.h5").unwritten(name) for name in names]
    assert said == ["all values", "1 of 2 chunks", "", "", ""]
    close_all()


def test_zarr_values(store):
    file = open_source(store)
    assert file.names() == ["group"]
    assert np.array_equal(file.read("group/x"), VALUES)
    key = (np.array([6, 0, 0]), slice(None), -1)
    assert np.array_equal(file.read("group/x", key), outer(VALUES, key))


@pytest.mark.parametrize("place", ["compressor", "filters"])
def test_zarr_pickle_codec_is_refused_unread(store, tmp_path, place):
    class Payload:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    array = store / "group" / "x"
    codec = {"id": "pickle", "protocol": 4}
    edit(array / ".zarray", **{place: codec if place == "compressor" else [codec]})
    for chunk in array.glob("0.*"):
        chunk.write_bytes(pickle.dumps(Payload()))
    with pytest.raises(FormatError, match="the codec 'pickle'"):
        open_source(store).read("group/x")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"shape": 3}', "null"])
def test_zarr_bad_metadata_is_named(store, content):
    (store / "group" / "x" / ".zarray").write_text(content)
    with pytest.raises(FormatError, match="s.zarr"):
        open_source(store).read("group/x")


def test_zarr_links_out_of_the_store_are_refused(store):
    links = [
        {"name": "up", "path": "../../secret", "source": "."},
        {"name": "other", "path": "/x", "source": "../other.zarr"},
    ]
    (store / "group" / ".zattrs").write_text(json.dumps({"zarr_link": links}))
    with pytest.raises(FormatError, match="a path out of it"):
        open_source(store).info("group/up")
    with pytest.raises(FormatError, match="a link to another store"):
        open_source(store).info("group/other")


def test_zarr_huge_declared_size(store):
    edit(store / "group" / "x" / ".zarray", shape=[10**9, 10**6, 4])
    with pytest.raises(FormatError, match="declared size"):
        open_source(store).read("group/x")


def test_links_and_groups_of_two_names(tmp_path):
    """Where a link leads, as text; a group is the same by whatever path."""
    path = tmp_path / "links.h5"
    with h5py.File(path, "w") as file:
        file["a/x"] = np.arange(3)
        file["b"] = file["a"]
        file["soft"] = h5py.SoftLink("/a/x")
        file["gone"] = h5py.SoftLink("/nowhere")
        file["out"] = h5py.ExternalLink("other.h5", "/x")
        h5py.h5g.create(file.id, b"caf\xe9")
    one = open_source(path)
    assert [one.link(name) for name in ("a", "a/x", "soft", "gone", "out", "none/at/all")] == [
        None,
        None,
        "/a/x",
        "/nowhere",
        "other.h5:/x",
        None,
    ]
    assert one.identity("a") == one.identity("b") != one.identity("a/x")
    assert one.identity("soft") == one.identity("a/x")
    assert one.identity("gone") is None
    assert "caf\udce9" in one.names()
    assert one.names("caf\udce9") == []


@pytest.mark.parametrize("harm", ["truncate", "empty", "delete", "replace"])
@pytest.mark.parametrize("name", ["contiguous", "chunked", "group/text"])
def test_each_read_looks_at_the_file(path, harm, name):
    """Not only the one that opens it: h5py and HDF5 give old, zero and other values otherwise."""
    file = open_source(path)
    file.read(name)
    if harm == "truncate":
        os.truncate(path, path.stat().st_size // 2)
    elif harm == "empty":
        path.write_bytes(b"")
    elif harm == "delete":
        path.unlink()
    else:
        os.replace(made(path.with_name("new.h5"), VALUES + 1), path)
    with pytest.raises(
        (FormatError, MissingPath), match=r"a\.h5: (expected the file as it|no such)"
    ):
        file.read(name)
    with pytest.raises((FormatError, MissingPath)):
        file.info(name)


def test_a_small_dataset_is_asked_for_its_type_once_by_info_and_by_a_read(tmp_path, monkeypatch):
    """HDF5 makes a type anew each time: opening a recording reads a hundred small datasets."""
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["x"] = np.arange(20.0)
        file["text"] = "one"
    asked = []
    dtype = h5py.Dataset.dtype
    monkeypatch.setattr(
        h5py.Dataset, "dtype", property(lambda self: asked.append(self.name) or dtype.fget(self))
    )
    looked_at = []
    info = hdf5_handle._info
    monkeypatch.setattr(hdf5_handle, "_info", lambda item: looked_at.append(item) or info(item))
    source = open_source(tmp_path / "x.h5")
    for name in ("x", "text"):
        for _ in range(2):
            source.info(name)
        assert len(looked_at) == 1
        assert not asked  # HDF5's own object is asked, without one of h5py
        source.read(name)
        assert len(asked) <= 2, asked  # of text, h5py itself asks once more
        asked.clear()
        looked_at.clear()


def test_a_group_that_was_listed_answers_for_its_children_as_one_that_was_not(tmp_path):
    """Names, kinds of links and what is missing are the same whether looked up one by one or in a list."""
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["g/a"] = np.arange(3.0)
        file["g/part10"], file["g/part2"] = 1, 2
        file["g/soft"] = h5py.SoftLink("/g/a")
        file["g/lost"] = h5py.SoftLink("/g/nothing")
        group = file["g"]
        group.id.links.create_soft(b"odd\xff", b"/g/a")

    def answers(listed):
        hdf5.handles.release()
        source = open_source(tmp_path / "x.h5")
        listed = source.names("g") if listed else []
        names = ("a", "soft", "lost", "odd\udcff", "none", ".", "")
        known = [source.info(f"g/{name}") for name in names]
        same = [source.identity(f"g/{name}") == source.identity("g/a") for name in names]
        return listed, (known, same, [source.link(f"g/{name}") for name in names])

    names, of_listed = answers(True)
    assert names == ["a", "lost", "odd\udcff", "part2", "part10", "soft"]
    _, one_by_one = answers(False)
    assert of_listed == one_by_one
    known, same, links = of_listed
    assert [info and info.shape for info in known] == [(3,), (3,), None, (3,), None, None, None]
    assert same == [True, True, False, True, False, False, False]
    assert links == [None, "/g/a", "/g/nothing", "/g/a", None, None, None]
