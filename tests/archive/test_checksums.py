"""Checksums of a Zarr archive: what is lost, exchanged or changed in it is named."""

import os
import shutil
import warnings
from contextlib import nullcontext
from itertools import pairwise

import numpy as np
import pytest
import xarray as xr

import neuroarrays as na
from neuroarrays import synthetic
from neuroarrays.archive import checksums
from neuroarrays.errors import FormatError
from neuroarrays.files.locating import locate
from neuroarrays.testing.comparing import assert_same_trees, load

zarr = pytest.importorskip("zarr")


@pytest.fixture(scope="module")
def tree():
    return synthetic.aligned_tree(sessions=1, presentations=12, units=40, bins=40, areas=("VISp",))


@pytest.fixture(scope="module")
def archive(tree, tmp_path_factory):
    return na.save(tree, tmp_path_factory.mktemp("archive") / "x.zarr")


@pytest.fixture
def copy(archive, tmp_path):
    return shutil.copytree(archive, tmp_path / "copy.zarr")


def files_of(archive):
    return sorted(
        file for file in archive.rglob("*") if file.is_file() and file.name != checksums.NAME
    )


def test_every_file_that_is_lost_is_named(copy):
    """Never read as the fill value; what is not read (groups' own metadata) does no harm."""
    tree = na.open_datatree(copy).load()
    for file in files_of(copy)[:-1]:  # without the root's, it is no store at all
        raw = file.read_bytes()
        file.unlink()
        read = file.name != "zarr.json" or (file.parent / "c").exists()
        with pytest.raises(FormatError, match=r"copy\.zarr") if read else nullcontext():
            assert_same_trees(na.open_datatree(copy), tree)
        file.write_bytes(raw)


def test_every_two_chunks_that_are_exchanged_are_named(tree, copy):
    """Of one array, and of two arrays with chunks of one size."""
    chunks = [file for file in files_of(copy) if file.name != "zarr.json"]
    for one, other in pairwise(chunks):
        first, second = one.read_bytes(), other.read_bytes()
        if first == second:
            continue
        one.write_bytes(second)
        other.write_bytes(first)
        with pytest.raises(FormatError, match=r"copy\.zarr"):
            load(na.open_datatree(copy))
        one.write_bytes(first)
        other.write_bytes(second)
    assert_same_trees(na.open_datatree(copy), tree)


def test_metadata_of_two_arrays_that_are_exchanged(copy):
    arrays = [f for f in files_of(copy) if f.name == "zarr.json" and (f.parent / "c").exists()]
    one, other = arrays[0], next(f for f in arrays if f.read_bytes() != arrays[0].read_bytes())
    raw = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(raw)
    with pytest.raises(FormatError, match=r"zarr\.json: expected the bytes that were saved"):
        load(na.open_datatree(copy))


@pytest.mark.parametrize("name", ["zarr.json", checksums.NAME])
def test_one_word_of_the_metadata(copy, name):
    raw = (copy / name).read_bytes()
    changed = raw.replace(b'"source"', b'"sourze"') if name == "zarr.json" else raw[:-9] + bytes(9)
    (copy / name).write_bytes(changed)
    with pytest.raises(FormatError, match=name):
        load(na.open_datatree(copy))


@pytest.mark.parametrize("at", [0, len(checksums._MAGIC), len(checksums._MAGIC) + 4])
def test_one_byte_of_the_checksums(copy, at):
    """Of their mark, of their own checksum, and of what it is of."""
    raw = bytearray((copy / checksums.NAME).read_bytes())
    raw[at] ^= 1
    (copy / checksums.NAME).write_bytes(raw)
    with pytest.raises(
        FormatError, match=r"\.checksums: expected a list of checksums; found other"
    ):
        na.open_datatree(copy)


def test_small_coordinates_are_known_with_the_checksums(archive):
    source = checksums.checked_source(locate(archive))
    kept = next(iter(source._checksums().contents))
    assert source.not_known([kept, "session_0/VISp/spike_data/c/0/0/0"]) == [
        "session_0/VISp/spike_data/c/0/0/0"
    ]


def test_truncated_under_an_open_tree(copy):
    tree = na.open_datatree(copy)
    counts = tree["session_0/VISp/spike_data"].variable
    file = next(f for f in files_of(copy) if "spike_data/c/" in f.as_posix() and "VISp" in str(f))
    status = file.stat()
    _ = counts[:1].values
    os.truncate(file, 10)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(FormatError, match=r"copy\.zarr"):
        _ = counts.values


def test_a_store_that_was_changed_on_purpose(tree, copy):
    zarr.open_group(copy, mode="r+").attrs["note"] = "mine"
    with pytest.raises(FormatError, match=r"on purpose, delete \.checksums in it"):
        na.open_datatree(copy)
    (copy / checksums.NAME).unlink()
    assert na.open_datatree(copy).attrs["note"] == "mine"
    load(na.open_datatree(copy))


def test_other_programs_do_not_mind(archive):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = xr.open_datatree(archive, engine="zarr", consolidated=True)
    np.testing.assert_array_equal(
        found["session_0/VISp/spike_data"].values,
        na.open_datatree(archive)["session_0/VISp/spike_data"].values,
    )


def test_a_store_that_lost_its_root_is_damaged(tmp_path):
    """Below it lie groups that other readers would take for recordings of their own."""
    path = na.save(na.align(na.load_sample(), bin_width=1.0), tmp_path / "x.zarr")
    (path / "zarr.json").unlink()
    with pytest.raises(FormatError, match=r"zarr\.json: expected metadata of Zarr"):
        na.open_datatree(path)


def test_a_few_files_with_long_clocks_are_opened_again(tmp_path):
    """What is kept of them takes more of the list than 64 KiB for all and 2 KiB for each file."""
    clocks = np.random.default_rng(0).uniform(size=(3, 7000)).cumsum(1)
    nodes = {"/": xr.Dataset(attrs={"neuroarrays_schema": "recording/1"})} | {
        f"s/signal_{i}": xr.Dataset({"x": ("time", clock)}, {"time": clock})
        for i, clock in enumerate(clocks)
    }
    na.save(xr.DataTree.from_dict(nodes), tmp_path / "s.zarr")
    opened = na.open_datatree(tmp_path / "s.zarr")
    np.testing.assert_array_equal(opened["s/signal_2"].time.values, clocks[2])
