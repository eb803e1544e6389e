"""The door: what it says when a path is not what it reads. Every message names the file."""

import os
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr

import neuroarrays as na
from neuroarrays import schema
from neuroarrays.errors import FormatError, MissingPath, NotInTree, SchemaError, UnknownFormat
from neuroarrays.files.probe import probe_of
from neuroarrays.formats import registry
from neuroarrays.formats.door import reader_of
from neuroarrays.synthetic import aligned_tree, write_dynamic, write_nwb
from neuroarrays.testing import variables
from neuroarrays.testing.sources import close_all

SAMPLE = Path(na.__file__).parent / "demo" / "_sample" / "A2929-200711.nwb"


@pytest.fixture(autouse=True)
def _nothing_left_open():
    yield
    close_all()


@pytest.fixture
def nwb(tmp_path):
    path = tmp_path / "mouse1.nwb"
    write_nwb(path)
    return path


def refused(error, path, *words, **options):
    """The message of the error, which names the path and says every word."""
    with pytest.raises(error) as caught:
        na.open_datatree(path, **options)
    message = str(caught.value)
    for word in (os.fspath(path), *words):
        assert word in message, message
    return message


def test_missing_path(tmp_path):
    refused(MissingPath, tmp_path / "gone.nwb", "no such file or folder")
    refused(FileNotFoundError, str(tmp_path / "gone.nwb"), "no such file or folder")


def test_missing_folder_is_named(tmp_path):
    refused(MissingPath, tmp_path / "gone" / "a.nwb", f"the folder {tmp_path / 'gone'} does not")


def test_a_link_that_leads_nowhere_says_so(tmp_path):
    (tmp_path / "a.nwb").symlink_to("gone.nwb")
    (tmp_path / "b.nwb").symlink_to("b.nwb")
    refused(MissingPath, tmp_path / "a.nwb", "a link to 'gone.nwb', where there is nothing")
    refused(MissingPath, tmp_path / "b.nwb", "a link to 'b.nwb', which leads in a circle")


def test_a_path_below_a_file(tmp_path):
    (tmp_path / "a.nwb").write_text("x")
    message = refused(MissingPath, tmp_path / "a.nwb" / "b", "a.nwb is no folder")
    assert "does not exist" not in message


def test_an_empty_path_is_not_the_current_folder():
    with pytest.raises(MissingPath, match="an empty path"):
        na.open_datatree("")


def test_paths_of_bytes_are_decoded(tmp_path):
    class Path:
        def __fspath__(self):
            return os.fsencode(tmp_path / "gone.nwb")

    with pytest.raises(MissingPath, match=r"gone\.nwb: no such file"):
        na.open_datatree(Path())


def test_a_list_is_opened_whole(tmp_path, monkeypatch):
    """No member is passed over, and none is there twice."""
    monkeypatch.chdir(tmp_path)
    write_nwb("a.nwb", units=2)
    mouse = "dynamic1-2-3-Video"
    write_dynamic(mouse)
    for paths in (["a.nwb", mouse], [mouse, "a.nwb"]):
        with pytest.raises(UnknownFormat, match=r"a\.nwb \(nwb\).*open each") as caught:
            na.open_datatree(paths)
        assert f"{mouse} (sensorium)" in str(caught.value)
        assert str(tmp_path) not in str(caught.value)  # named as they were given
    for engine, paths in (("nwb", ["a.nwb", mouse]), ("sensorium", [mouse, "a.nwb"])):
        with pytest.raises(UnknownFormat, match=rf"{paths[1]}: expected a session, as each path"):
            na.open_datatree(paths, engine=engine)
    with pytest.raises(FormatError, match=r"\./a\.nwb: expected each path of a list once"):
        na.open_datatree(["a.nwb", "./a.nwb"])


def test_url():
    refused(MissingPath, "ftp://example.org/a.nwb", "addresses of this kind cannot be read")


def test_empty_list():
    with pytest.raises(MissingPath, match="expected at least one path, found an empty list"):
        na.open_datatree([])


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"spikes were fine\n", "a text file"),
        (b"", "an empty file"),
        (b"PK\x03\x04rest", "a zip file"),
        (b"\x93NUMPY\x01\x00", "an npy file"),
        (b"MATLAB 5.0 MAT-file".ljust(128), "a MATLAB v5 file"),
        (b"\x80\x04\x95", "a pickle or other binary file"),
        (b"\x00\x01\x02\x03", "a binary file of an unknown kind"),
    ],
)
def test_a_file_of_another_kind(tmp_path, content, found):
    path = tmp_path / "notes.bin"
    path.write_bytes(content)
    refused(UnknownFormat, path, f"found {found}", "engine=", "neuroarrays formats")


def test_a_folder_with_no_dataset(tmp_path):
    refused(UnknownFormat, tmp_path, "found an empty folder")
    (tmp_path / "a.txt").write_text("a")
    refused(UnknownFormat, tmp_path, "found a folder with 1 entry, the first 'a.txt'")


def test_recordings_in_subfolders_are_said(nwb, tmp_path):
    folder = tmp_path / "000006"
    (folder / "sub-1").mkdir(parents=True)
    nwb.rename(folder / "sub-1" / "sub-1.nwb")
    refused(UnknownFormat, folder, f"na.open_datatree(na.sessions({str(folder)!r})) opens")
    assert list(na.open_datatree(na.sessions(str(folder))).children) == ["sub-1"]


def test_what_the_caller_left_out_is_not_blamed_on_the_file(nwb):
    refused(SchemaError, nwb, "drop_variables='spike_times'", drop_variables="spike_times")
    tree = xr.open_datatree(nwb, engine="nwb", drop_variables="spike_times")
    assert not any(path.endswith("/spike_times") for path, _ in variables(tree))


def test_hdf5_of_no_format_says_what_is_in_it(tmp_path):
    path = tmp_path / "other.h5"
    with h5py.File(path, "w") as file:
        file["measurements"] = np.arange(3)
    refused(UnknownFormat, path, "an HDF5 file with 'measurements' at its root")


@pytest.mark.parametrize("suffix", [".nwb", ".h5"])
@pytest.mark.parametrize("keep", [0.1, 0.5, 0.99])
def test_truncated_hdf5(tmp_path, nwb, suffix, keep):
    path = tmp_path / f"cut{suffix}"
    content = nwb.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    refused(FormatError, path, "truncated")


def test_truncated_folder_member_is_named(tmp_path, nwb):
    write_nwb(tmp_path / "mouse2.nwb")
    os.truncate(nwb, 3000)
    with pytest.raises(FormatError, match=r"mouse1\.nwb.*truncated"):
        na.open_datatree(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
def test_a_fifo_is_not_waited_for(tmp_path):
    path = tmp_path / "pipe.nwb"
    os.mkfifo(path)
    refused(UnknownFormat, path, "found a FIFO")
    refused(FormatError, path, "expected a file or folder; found a FIFO", engine="nwb")


def test_nwb_without_units_opens_and_says_so(tmp_path):
    path = tmp_path / "behaviour.nwb"
    write_nwb(path, parts=("running", "trials"))
    assert na.open_datatree(path)["behaviour"].attrs["notes"] == ["no units with spikes"]


def test_nwb_1(tmp_path):
    path = tmp_path / "old.nwb"
    write_nwb(path, version="1")
    refused(FormatError, path, "expected NWB 2; found NWB 1.0.6", "convert")


def test_unknown_session_and_area(nwb):
    with pytest.raises(NotInTree, match="no session 'mouse2'; there are 'mouse1'; did you mean"):
        na.open_datatree(nwb, sessions="mouse2")
    with pytest.raises(KeyError, match="no area 'visp'; there are .*; did you mean 'VISp'"):
        na.open_datatree(nwb, areas="visp")
    with pytest.raises(NotInTree, match=r"no area 'S1\*'; there are 'VISp', 'CA1'"):
        na.open_datatree(nwb, areas=["VISp", "S1*"])


def test_unknown_engine(nwb):
    message = "found engine='nbw'; did you mean 'nwb'?"
    refused(UnknownFormat, nwb, "`neuroarrays formats` lists", message, engine="nbw")


def test_unknown_option(nwb):
    with pytest.raises(TypeError, match="'nwb' has no option 'area'; its options are 'sessions', "):
        na.open_datatree(nwb, area="VISp")


def test_an_engine_that_cannot(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("spikes were fine")
    refused(FormatError, path, "or arrays of numpy or MATLAB; found a text file", engine="nwb")


def test_two_readers_that_claim_a_path(nwb, monkeypatch):
    monkeypatch.setattr(registry, "FORMATS", (*registry.FORMATS, registry.FORMATS[0]))
    refused(UnknownFormat, nwb, "all claim it", "say which: engine=")


def test_a_tree_that_is_not_ours():
    with pytest.raises(SchemaError, match="no neuroarrays_schema attribute at its root"):
        na.validate(xr.DataTree())
    subtree = na.open_datatree(SAMPLE)["A2929-200711"].copy()
    with pytest.raises(SchemaError, match="loses the mark: give the tree"):
        na.validate(subtree)


# ------------------------------------------------------------------------------- what it opens


def test_the_home_folder_is_expanded(nwb, monkeypatch):
    monkeypatch.setenv("HOME", str(nwb.parent))
    assert "mouse1" in na.open_datatree("~/mouse1.nwb").children


def test_the_file_can_be_opened_by_others_while_we_hold_it(nwb):
    tree = na.open_datatree(nwb)
    tree["mouse1/running"]["speed"].load()
    with h5py.File(nwb) as file:
        assert "units" in file
    assert xr.open_dataset(nwb, engine="h5netcdf", group="units", phony_dims="sort").sizes
    tree["mouse1/pupil"]["x"].load()


def test_xarray_opens_it_by_engine(nwb):
    tree = xr.open_datatree(nwb, engine="nwb")
    assert schema.kind_of(tree) == schema.RECORDING


def test_chunks(nwb):
    pytest.importorskip("dask")
    tree = na.open_datatree(nwb, chunks={})
    assert tree["mouse1/running"]["speed"].chunks is not None
    assert na.open_datatree(nwb)["mouse1/running"]["speed"].chunks is None
    for place, variable in variables(tree, coords=False):
        if variable.chunks is not None:
            graph = variable.data.dask
            assert all(not isinstance(v, np.ndarray) or v.nbytes < 1e4 for v in graph.values()), (
                place
            )


def test_catalog_of_the_sample():
    rows = na.catalog(SAMPLE).set_index("area")
    assert rows.loc["adn", "units"] == 7
    assert rows.loc["ca1", "spikes"] == 19445


def test_reader_is_found_by_looking(nwb):
    assert reader_of(probe_of(nwb), None).name == "nwb"


def test_the_synthetic_aligned_tree_is_valid():
    assert na.validate(aligned_tree(sessions=2), values=True) == []
