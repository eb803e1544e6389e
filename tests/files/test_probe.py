"""What lies at a path, looked at once; and what opening costs."""

import io
import json
import os
import sys

import h5py
import numpy as np
import pytest

import neuroarrays as na
from neuroarrays.errors import FormatError, MissingPath
from neuroarrays.files import location
from neuroarrays.files.probe import Probe, naming_as_given, probe_of

FORKS = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
HDF5 = b"\x89HDF\r\n\x1a\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "x_data.h5").write_bytes(HDF5)
    (tmp_path / "a" / ".hidden").write_text("")
    np.save(tmp_path / "a" / "v.npy", np.arange(3))
    (tmp_path / "a" / "m.json").write_text('{"k": 1}')
    return tmp_path / "a"


# --------------------------------------------------------------------------------- what is there


def test_a_folder(folder):
    probe = probe_of(folder)
    assert (probe.kind, probe.is_folder, probe.container) == ("folder", True, "")
    assert probe.names == ("b", "m.json", "v.npy")
    assert [one.name for one in probe.children] == ["b", "m.json", "v.npy"]
    assert probe.child(".hidden").is_file
    assert probe.child("b/x_data.h5").is_file
    assert not probe.child("b/none").exists
    assert probe.child("b").child("x_data.h5") is probe.child("b/x_data.h5")
    assert [one.name for one in probe.glob("*/*_data.h5")] == ["x_data.h5"]
    assert probe.child("v.npy").beside("m.json").read_json() == {"k": 1}
    assert probe.child("b/x_data.h5").beside("../v.npy").source.read("v").tolist() == [0, 1, 2]
    assert probe.has("b")
    assert not probe.has("c")


@pytest.mark.parametrize(
    ("head", "container", "words"),
    [
        (HDF5, "hdf5", "an HDF5 file"),
        (b"MATLAB 7.3".ljust(512) + HDF5, "hdf5", "a MATLAB v7.3 file"),
        (b"x" * 32768 + HDF5, "hdf5", "an HDF5 file"),
        (b"x" * 4095 + HDF5, "", "a text file"),
        (b"PK\x03\x04", "zip", "a zip file"),
        (b"\x93NUMPY", "npy", "an npy file"),
        (b"MATLAB 5.0", "mat5", "a MATLAB v5 file"),
        (b"CDF\x01", "netcdf3", "a netCDF-3 file"),
        (b"\x80\x04", "pickle", "a pickle or other binary file"),
        (b"words", "", "a text file"),
        (b"\0\1", "", "a binary file of an unknown kind"),
        (b"", "", "an empty file"),
    ],
)
def test_what_holds_the_values(tmp_path, head, container, words):
    (tmp_path / "f").write_bytes(head)
    probe = probe_of(tmp_path / "f")
    assert (probe.container, probe.described(), probe.size) == (container, words, len(head))


def test_what_is_not_there(tmp_path):
    probe = probe_of(tmp_path / "none")
    assert (probe.exists, probe.head, probe.container, probe.names) == (False, b"", "", ())
    with pytest.raises(MissingPath, match="none: no such file or folder"):
        probe.check()
    (tmp_path / "dead").symlink_to("nowhere")
    assert probe_of(tmp_path / "dead").described() == "a link to 'nowhere', where there is nothing"
    assert not probe_of("a\0b").exists
    with pytest.raises(MissingPath, match="empty list"):
        probe_of([])
    with pytest.raises(MissingPath, match="addresses of this kind cannot be read"):
        probe_of("ftp://example.org/x.nwb")
    with pytest.raises(TypeError, match="expected a list of paths, found int in it"):
        probe_of([1])


def test_links_are_told(folder):
    (folder / "to_b").symlink_to("b")
    probe = probe_of(folder)
    assert probe.child("to_b").is_link
    assert probe.child("to_b").is_folder
    assert not probe.child("b").is_link


def test_the_root_of_a_file_and_a_list(tmp_path):
    for name in "ab":
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file.attrs["lab"], file["g/x"] = name, [1]
    both = probe_of([tmp_path / "a.h5", tmp_path / "b.h5"])
    assert (both.is_list, both.names) == (True, ("a.h5", "b.h5"))
    assert [one.attrs["lab"] for one in both.children] == ["a", "b"]
    first = both.children[0]
    assert first.names == ("g",)
    assert first.has("g/x")
    assert not first.has("g/y")
    assert probe_of([tmp_path / "a.h5"]).kind == "file"


def test_names_in_a_zarr_store(tmp_path):
    zarr = pytest.importorskip("zarr")
    for version in (2, 3):
        root = zarr.create_group(tmp_path / f"{version}.zarr", zarr_format=version)
        root.create_group("g").create_array("x", data=np.arange(3))
        store = probe_of(tmp_path / f"{version}.zarr")
        assert store.has("g")
        assert store.has("g/x")
        assert not store.has("g/y")


def test_values_of_small_files(folder):
    probe = probe_of(folder)
    assert probe.child("m.json").read_text() == '{"k": 1}'
    with pytest.raises(FormatError, match=r"m\.json: expected at most 3 bytes; found 8"):
        probe.child("m.json").read_bytes(3)
    with pytest.raises(FormatError, match=r"v\.npy: expected text"):
        probe.child("v.npy").read_text()
    with pytest.raises(FormatError, match=r"x_data\.h5: expected JSON|text"):
        probe.child("b/x_data.h5").read_json()
    with pytest.raises(FormatError, match="expected a regular file; found a folder"):
        probe.child("b").read_bytes()
    assert probe.child("m.json").tail(3) == b" 1}"


def test_errors_name_what_was_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkdir("data")
    for path in ("data/x.nwb", "data/x.h5"):
        with open(path, "wb") as file:
            file.write(HDF5 + b"cut off")
    with pytest.raises(FormatError) as caught:
        na.open_datatree("data/x.nwb", engine="nwb")
    assert str(caught.value).startswith("data/x.nwb:/: expected readable HDF5")
    probe = probe_of("data")
    with (
        pytest.raises(FormatError, match=r"^data/x\.h5:g: expected a; found b$"),
        naming_as_given(probe),
    ):
        raise FormatError(str(tmp_path / "data" / "x.h5"), "g", "a", "b")
    with pytest.raises(FormatError, match=r"^/other: "), naming_as_given(probe):
        raise FormatError("/other", "", "a", "b")


# --------------------------------------------------------------------------- what opening costs


def counts_of_opening(path, *engine):
    """Opens, listings and stats of a path, of what is below it, and of its folder.

    In a forked process: a hook for audits cannot be taken away, and all that follows is slower.
    """
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        try:
            os.write(writing, json.dumps(counted_opening(path, *engine)).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        answer = file.read()
    os.waitpid(child, 0)
    return json.loads(answer)


def counted_opening(path, *engine):
    top, counts = os.fspath(path), {"open": 0, "list": 0, "stat": 0}

    def is_counted(name):
        name = os.fspath(name) if isinstance(name, str | os.PathLike) else ""
        return name == os.path.dirname(top) or name.startswith(top)

    def hook(event, arguments):
        if event in ("open", "os.scandir", "os.listdir") and is_counted(arguments[0]):
            counts["open" if event == "open" else "list"] += 1

    def counted(function, what):
        def wrapped(name, *arguments, **options):
            counts[what] += is_counted(name)
            return function(name, *arguments, **options)

        return wrapped

    init = h5py.File.__init__

    def opened(self, name, *arguments, **options):
        counts["open"] += is_counted(name)
        init(self, name, *arguments, **options)

    sys.addaudithook(hook)
    h5py.File.__init__ = opened
    for name in ("stat", "lstat", "readlink", "access"):
        setattr(os, name, counted(getattr(os, name), "stat"))
    na.open_datatree(path, *engine)
    return counts


def nwb(folder):
    return na.sample_path()


def archive(folder):
    return na.save(na.load_sample(), folder / "a.h5", progress=False)


def allen(folder):
    from neuroarrays.synthetic import write_allen

    write_allen(folder / "session_715093703.nwb")
    return folder / "session_715093703.nwb"


@FORKS
@pytest.mark.parametrize("write", [nwb, archive, allen])
def test_a_file_is_opened_and_looked_at_a_few_times(write, tmp_path):
    counts = counts_of_opening(write(tmp_path))
    assert counts["open"] <= 6, counts
    assert counts["stat"] <= 12, counts
    assert counts["open"] > 1, "nothing is counted"
    assert counts["stat"] > 0, "nothing is counted"


@FORKS
def test_a_folder_costs_no_more_when_all_readers_are_asked(tmp_path):
    from neuroarrays.synthetic import write_static
    from neuroarrays.synthetic.sensorium import StaticOptions

    few = StaticOptions(train=3, validation=1, test=1, repeats=2, units=2)
    write_static(tmp_path / "static", few)
    na.release()
    alone = counts_of_opening(tmp_path / "static", "sensorium")
    among_all = counts_of_opening(tmp_path / "static")
    assert among_all["open"] - alone["open"] <= 2
    assert among_all["stat"] - alone["stat"] <= 2
    assert among_all["list"] - alone["list"] <= 10, "a listing for each reader"
    assert alone["list"] > 0, "nothing is counted"


def test_a_probe_passes_through():
    probe = probe_of(na.sample_path())
    assert probe_of(probe) is probe
    assert repr(probe).startswith("Probe(")
    assert isinstance(probe, Probe)


def test_reads_that_give_less_than_was_asked_are_gone_on_with(tmp_path, monkeypatch):
    (tmp_path / "a.txt").write_bytes(bytes(range(100)))

    class Slow(io.FileIO):
        def read(self, size=-1):
            return super().read(min(size, 7))

    monkeypatch.setattr(location, "open", lambda file, *_, **__: Slow(file), raising=False)
    probe = probe_of(tmp_path / "a.txt")
    assert probe.read_bytes() == bytes(range(100))
    assert probe.read_ranges([(3, 20), (90, 50)]) == [bytes(range(3, 23)), bytes(range(90, 100))]
