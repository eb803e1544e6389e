"""New files: exclusive temporary names, failures of writes, two at once, Ctrl-C."""

import errno
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

import neuroarrays as na
from neuroarrays import synthetic
from neuroarrays.archive.saving import join
from neuroarrays.cli.creation import create
from neuroarrays.collection.subsets import export_npy
from neuroarrays.errors import MissingPath, NeuroArraysError, PathExists, WriteFailed
from neuroarrays.files import npy, partials, writing

h5py = pytest.importorskip("h5py")


def tree(**sizes):
    wanted = {"sessions": 1, "presentations": 20, "units": 6, "bins": 10} | sizes
    return synthetic.aligned_tree(**wanted)


#: What writes, and the name of what it makes in a folder; `source.h5` beside the folder is an archive.
WRITERS = {
    "hdf5": (lambda to, source: na.save(tree(), to / "x.h5"), "x.h5"),
    "zarr": (lambda to, source: na.save(tree(), to / "x.zarr"), "x.zarr"),
    "layout": (lambda to, source: na.save(tree(), to / "x.h5", layout="allen_binned"), "x.h5"),
    "join": (lambda to, source: join([source], to / "x.h5"), "x.h5"),
    "npy": (
        lambda to, source: export_npy(source, "source", "VISp", to),
        "session_0-source-VISp-spike_data.npy",
    ),
    "data": (lambda to, source: create("nwb", to / "x.nwb"), "x.nwb"),
}


@pytest.fixture
def source(tmp_path):
    (tmp_path / "to").mkdir()
    return na.save(tree(), tmp_path / "source.h5")


@pytest.mark.parametrize("kind", WRITERS)
def test_what_lies_at_a_temporary_name_is_not_touched(kind, source, tmp_path):
    """A folder of the user's, and a link to one, at the names that a save would take first."""
    write, name = WRITERS[kind]
    mine, to = tmp_path / "mine", tmp_path / "to"
    for folder in (mine, to / f".{name}.part"):
        folder.mkdir()
        (folder / "save.json").write_text("{}")
        (folder / "thesis.txt").write_text("chapter 1")
    (to / f".{name}.2.part").symlink_to(mine)
    (to / f".{name}.{os.getpid()}.part").symlink_to(mine)
    write(to, source)
    assert (to / name).exists()
    for folder in (mine, to / f".{name}.part"):
        assert sorted(os.listdir(folder)) == ["save.json", "thesis.txt"]
    left = [f".{name}.2.part", f".{name}.{os.getpid()}.part", f".{name}.part", name]
    assert sorted(os.listdir(to)) == sorted(left)


FAILING = """
import os, resource, signal, sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from neuroarrays.files import writing
from test_writing import CASES, WRITERS

folder, source, done, number = Path(sys.argv[1]), sys.argv[2], 0, 0

def full():
    global done
    done += 1
    if number and done >= number:
        raise OSError(28, "No space left on device")

def refuse(event, arguments):
    "The system makes no more files in the folder from some file on."
    if event == "open" and isinstance(arguments[0], str) and str(folder) in arguments[0]:
        if (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR):
            full()

put = writing.Output._put
writing.Output._put = lambda self, view: (full(), put(self, view))
sys.addaudithook(refuse)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
for kind, number in CASES:
    done = 0
    try:
        if number < 0:
            resource.setrlimit(resource.RLIMIT_FSIZE, (-number, resource.RLIM_INFINITY))
            number = 0
        WRITERS[kind][0](folder, source)
        print("written", done)
    except Exception as error:
        number = 0
        print(type(error).__name__, error, os.listdir(folder))
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
"""
#: What writes, and the first write that fails; negative: the system's limit on the size of files.
CASES = [
    ("hdf5", 1),
    ("hdf5", 12),
    ("hdf5", 40),
    ("hdf5", -600),
    ("layout", 9),
    ("join", 15),
    ("zarr", 12),
    ("data", 30),
    ("npy", 1),
    ("npy", -600),
]


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit on the size of files")
def test_a_write_that_fails_is_one_error_and_nothing_is_left(source, tmp_path):
    """In a process of its own, which ends as it should: HDF5 would free twice, and crash."""
    code = FAILING.replace("{tests!r}", repr(str(Path(__file__).parent)))
    command = [sys.executable, "-W", "ignore", "-c", code, tmp_path / "to", source]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
    for (kind, number), said in zip(CASES, done.stdout.splitlines(), strict=True):
        assert said.startswith(f"WriteFailed {tmp_path / 'to' / WRITERS[kind][1]}: no room left"), (
            said
        )
        assert ("File too large" if number < 0 else "No space left on device") in said
        assert f"are free in {tmp_path / 'to'}" in said
        assert ("bytes of values were to be written, before compression" in said) == (
            kind != "data"
        )
        assert said.endswith(" []"), said


def test_hdf5_reads_back_what_was_lost(tmp_path):
    output = writing.Output(tmp_path / "x")
    output.write(b"abcdef")
    output._put = lambda view: (_ for _ in ()).throw(OSError(errno.EIO, "injected"))
    output.seek(2)
    output.write(b"XY")
    output.seek(0)
    assert output.read(8) == b"abXYef\0\0"
    with pytest.raises(OSError, match="injected"):
        output.check()
    output.close()
    assert (tmp_path / "x").read_bytes() == b"abcdef"


def test_what_cannot_be_read_back_is_a_failure(tmp_path):
    """Zeros are for what was never written."""
    output = writing.Output(tmp_path / "x")
    output.write(b"a" * 100)
    output.seek(50)
    assert output.read(100) == b"a" * 50 + bytes(50)
    output.check()
    os.truncate(tmp_path / "x", 60)
    output.seek(50)
    output.read(20)
    with pytest.raises(OSError, match="does not exist any more"):
        output.check()
    output.close()


@pytest.mark.parametrize("suffix", [".h5", ".zarr"])
def test_of_two_saves_to_one_path_neither_replaces_the_other_unasked(tmp_path, suffix, monkeypatch):
    """What another process put there after the first look stays there."""
    path = tmp_path / f"x{suffix}"
    for writer in ("write_hdf5", "_write_zarr"):
        real = getattr(na.archive.saving, writer)

        def meanwhile(partial, *arguments, real=real):
            made = real(partial, *arguments)
            path.mkdir() if suffix == ".zarr" else path.write_text("another's")
            return made

        monkeypatch.setattr(f"neuroarrays.archive.saving.{writer}", meanwhile)
    with pytest.raises(PathExists, match="exists already"):
        na.save(tree(), path)
    assert os.listdir(tmp_path) == [path.name]
    assert os.listdir(path) == [] if suffix == ".zarr" else path.read_text() == "another's"


def test_paths_that_cannot_be_written_are_refused_first(tmp_path, monkeypatch):
    monkeypatch.setattr("neuroarrays.archive.saving._units", lambda tree: pytest.fail("begun"))
    with pytest.raises(WriteFailed, match="File name too long"):
        na.save(tree(), tmp_path / f"{'x' * 300}.h5")
    with pytest.raises(MissingPath, match="does not exist; make it first"):
        na.save(tree(), tmp_path / "no" / "x.h5")
    with pytest.raises(MissingPath, match="is not a folder"):
        na.save(tree(), Path(__file__) / "x.h5")
    for address in ("https://server/x.h5", "s3://bucket/x.zarr"):
        with pytest.raises(MissingPath, match="expected a path, found an address"):
            na.save(tree(), address)


@pytest.mark.skipif(os.name == "nt", reason="names of files are text there")
@pytest.mark.parametrize("suffix", [".h5", ".zarr"])
def test_long_names_and_names_that_are_not_text(tmp_path, suffix):
    names = [f"{name}{suffix}" for name in (os.fsdecode(b"maus-\xff"), "x" * 240)]
    for name in names:
        path = na.save(tree(), tmp_path / name)
        assert na.open_datatree(path).identical(tree())
    na.save(tree(seed=1), path, overwrite=True)
    assert sorted(os.listdir(tmp_path)) == sorted(names)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_to(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(WriteFailed, match="Permission denied"):
        na.save(tree(), tmp_path / "x.h5")
    tmp_path.chmod(0o700)


@pytest.mark.parametrize("suffix", [".h5", ".zarr"])
def test_ctrl_c_in_the_middle_of_a_save(tmp_path, suffix, monkeypatch):
    """Raised where HDF5 is not at work; nothing is left, and the handler is as it was."""
    before, seen = signal.getsignal(signal.SIGINT), []
    put = writing.Output._put

    def pressed(self, view):
        if len(seen) == 5:
            signal.raise_signal(signal.SIGINT)  # inside HDF5
        seen.append(len(view))
        put(self, view)

    monkeypatch.setattr(writing.Output, "_put", pressed)
    monkeypatch.setattr(
        "neuroarrays.archive.zarr_writer.ZarrWriter._values",
        lambda *_: signal.raise_signal(signal.SIGINT),
    )
    with pytest.raises(KeyboardInterrupt):
        na.save(tree(), tmp_path / f"x{suffix}")
    assert os.listdir(tmp_path) == []
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_is_not_kept_from_what_computes(monkeypatch):
    with writing._WAITING.waiting():
        with pytest.raises(KeyboardInterrupt), writing.interruptible():
            signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            writing._WAITING.check()


def test_a_folder_is_put_back_if_it_cannot_be_replaced(tmp_path, monkeypatch):
    (tmp_path / "new").mkdir()
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "old").write_text("old")
    real = os.replace

    def once(source, target):
        if Path(source).name == "new":
            raise OSError(errno.EIO, "injected")
        real(source, target)

    monkeypatch.setattr(os, "replace", once)
    with pytest.raises(OSError, match="injected"):
        writing.replace(tmp_path / "new", tmp_path / "x")
    assert (tmp_path / "x" / "old").read_text() == "old"


def interrupted(path, token, meanwhile=lambda: None):
    """What a save leaves that had finished a part."""
    with suppress(ZeroDivisionError), partials.partial_folder(path, token) as one:
        one.keep = True
        meanwhile()
        raise ZeroDivisionError


def test_only_dead_saves_of_a_path_are_cleared(tmp_path):
    pytest.importorskip("fcntl")
    path = tmp_path / "x.h5"
    interrupted(path, "one")
    interrupted(path, "one")
    (tmp_path / ".x.h5.2.part").mkdir()
    (tmp_path / ".x.h5.2.part" / "mine").write_text("mine")

    def another_process():
        partials.clear_dead(path)
        assert sorted(os.listdir(tmp_path)) == [".x.h5.2.part", ".x.h5.3.part"]
        with pytest.raises(NeuroArraysError, match="another process"):
            na.save(tree(), path)

    interrupted(path, "two", another_process)
    partials.clear_dead(path)
    assert os.listdir(tmp_path) == [".x.h5.2.part"]


@pytest.mark.parametrize("step", [(5, 4, 3), (2, 4, 3), (5, 1, 3), (5, 3, 3), (2, 3, 2), (1, 1, 1)])
@pytest.mark.parametrize("dtype", ["u1", "<f4", ">i2"])
def test_npy_files_written_in_blocks(tmp_path, step, dtype):
    from neuroarrays.files.blocks import grid

    values = np.arange(60).reshape(5, 4, 3).astype(dtype)
    contents = [(key, values[key]) for key in grid(values.shape, step)]
    npy.write(tmp_path / "x.npy", values.shape, values.dtype, contents[::-1])
    found = np.load(tmp_path / "x.npy")
    assert found.dtype == values.dtype
    np.testing.assert_array_equal(found, values)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (1,)])
def test_npy_files_without_values(tmp_path, shape):
    npy.write(tmp_path / "x.npy", shape, np.dtype("f8"), [])
    assert np.load(tmp_path / "x.npy").shape == shape
