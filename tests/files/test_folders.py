"""Stores and folders that change, vanish, or have links where files should be."""

import os
import shutil
import zlib

import numpy as np
import pytest

from neuroarrays.errors import FormatError, MissingPath
from neuroarrays.files import folders, safety, state
from neuroarrays.testing.sources import open_source

zarr = pytest.importorskip("zarr", reason="the extra `zarr` is not installed")
VALUES = np.arange(24.0).reshape(6, 4)


@pytest.fixture(params=[2, 3])
def store(tmp_path, request):
    path = tmp_path / "s.zarr"
    group = zarr.open_group(path, mode="w", zarr_format=request.param)
    group.create_array("g/x", data=VALUES, chunks=(2, 4), compressors=None)
    yield path
    state.release()


def chunk(path, row=0):
    """The file of a chunk."""
    return next(p for p in (path / f"g/x/{row}.0", path / f"g/x/c/{row}/0") if p.exists())


def overwrite(file, content):
    """In place: the folder's own time stays as it is."""
    with open(file, "r+b") as raw:
        raw.write(content)
    os.utime(file, ns=(1, os.stat(file).st_mtime_ns + 1_000_000))


def test_a_store_changed_in_place_is_another(store):
    old = open_source(store)
    assert open_source(store) == old
    assert old.read("g/x")[0, 0] == 0
    overwrite(chunk(store), np.full(8, 7.0).tobytes())
    new = open_source(store)
    assert new != old
    assert new.read("g/x")[:3, 0].tolist() == [7, 7, 8]
    with pytest.raises(FormatError, match="another size or time; open it again"):
        old.read("g/x", (0, 0))


def test_another_process_does_not_read_a_changed_store(store):
    old = open_source(store)
    overwrite(chunk(store, 2), bytes(64))
    state.release()  # as in another process, which has only the path and the stamp
    with pytest.raises(FormatError, match="open it again"):
        old.read("g/x", (0, 0))


@pytest.mark.parametrize("harm", ["delete", "empty", "truncate", "unlink", "new", "no metadata"])
def test_nothing_that_is_gone_becomes_the_fill_value(store, harm):
    first = chunk(store)
    content = first.read_bytes()
    if harm == "new":
        first.unlink()
    file = open_source(store)
    assert file.read("g/x").shape == (6, 4)
    if harm == "delete":
        shutil.rmtree(store)
    elif harm == "empty":
        for one in store.rglob("*"):
            one.write_bytes(b"") if one.is_file() else None
    elif harm == "truncate":
        os.truncate(first, 8)
    elif harm == "unlink":
        first.unlink()
    elif harm == "no metadata":
        next(p for p in (store / "g/x/.zarray", store / "g/x/zarr.json") if p.exists()).unlink()
    else:
        first.write_bytes(content)
    with pytest.raises(FormatError, match="open it again"):
        file.read("g/x", (slice(0, 2), 0))


def test_a_chunk_that_was_never_written_is_the_fill_value(store):
    chunk(store).unlink()
    assert open_source(store).read("g/x")[:2].sum() == 0


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
@pytest.mark.parametrize("kind", ["link", "folder link", "fifo", "folder"])
def test_what_is_no_file_is_no_chunk(store, tmp_path, kind):
    outside = tmp_path / "secret"
    outside.write_bytes(np.full(8, 1.0).tobytes())
    file = chunk(store)
    file.unlink()
    if kind == "link":
        file.symlink_to(outside)
    elif kind == "fifo":
        os.mkfifo(file)
    elif kind == "folder":
        file.mkdir()
    else:
        place = file.parent if file.parent.name == "0" else file
        moved = tmp_path / "moved"
        shutil.move(place, moved) if place.exists() else moved.mkdir()
        (moved / "0").write_bytes(outside.read_bytes())
        place.symlink_to(moved)
    with pytest.raises(FormatError, match=r"a symbolic link|a FIFO|a folder|behind a link|open it"):
        open_source(store).read("g/x")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
@pytest.mark.parametrize("kind", ["link", "fifo"])
def test_metadata_is_a_file_too(store, tmp_path, kind):
    file = next(p for p in (store / "g/x/.zarray", store / "g/x/zarr.json") if p.exists())
    shutil.move(file, tmp_path / "outside.json")
    file.symlink_to(tmp_path / "outside.json") if kind == "link" else os.mkfifo(file)
    with pytest.raises(FormatError, match="symbolic link|FIFO"):
        open_source(store).info("g/x")


@pytest.mark.parametrize("packing", ["zlib", "gzip", "bz2", "lzma", "zstd", "blosc", "lz4"])
def test_a_chunk_that_would_not_end_is_refused_packed(tmp_path, monkeypatch, packing):
    numcodecs = pytest.importorskip("numcodecs")
    monkeypatch.setattr(safety, "SMALL", 1 << 16)
    codec = numcodecs.get_codec({"id": packing})
    group = zarr.open_group(tmp_path / "s.zarr", mode="w", zarr_format=2)
    group.create_array("g/x", data=VALUES, chunks=(2, 4), compressors=codec)
    assert np.array_equal(open_source(tmp_path / "s.zarr").read("g/x"), VALUES)
    chunk(tmp_path / "s.zarr").write_bytes(bytes(codec.encode(bytes(8 << 20))))
    file = open_source(tmp_path / "s.zarr")
    with pytest.raises(FormatError, match="made to exhaust memory"):
        file.read("g/x", (slice(0, 2), 0))
    assert file.read("g/x", (5, 3)) == 23


def test_deflate_that_says_nothing_of_its_size(tmp_path, monkeypatch):
    from neuroarrays.files import zarr_store

    packed = zlib.compress(bytes(1 << 20))
    zarr_store.check_packed(packed, ("zlib", 1 << 20), "x")
    monkeypatch.setattr(safety, "SMALL", 1 << 10)
    with pytest.raises(FormatError, match="of at most 2,000 bytes"):
        zarr_store.check_packed(packed, ("zlib", 1000), "x")


def test_what_is_read_on_opening_has_a_bound(store, monkeypatch):
    monkeypatch.setattr(safety, "WHOLE", 100)
    file = open_source(store)
    assert file.read("g/x").shape == (6, 4)  # no more than the store has
    monkeypatch.setattr(folders.safety, "WHOLE", 100)
    huge = zarr.open_group(store, mode="a").create_array(
        "g/y", shape=(1000,), dtype="f8", chunks=(1000,)
    )
    assert huge.shape == (1000,)
    file = open_source(store)
    with pytest.raises(FormatError, match="of what is read on opening"):
        file.read("g/y")
    assert file.read("g/y", (slice(0, 3),)).tolist() == [0, 0, 0]


def test_a_file_of_a_folder_that_changes_in_place(tmp_path):
    from neuroarrays.formats.arrays.files import arrays_source

    np.save(tmp_path / "spikes.npy", np.arange(4.0))
    old = arrays_source(tmp_path)
    assert old.read("spikes.npy")[0] == 0
    assert arrays_source(tmp_path) == old
    with open(tmp_path / "spikes.npy", "r+b") as raw:
        raw.seek(-8, 2)
        raw.write(np.float64(9).tobytes())
    os.utime(tmp_path / "spikes.npy", ns=(1, 1))
    new = arrays_source(tmp_path)
    assert new != old
    assert new.read("spikes.npy")[3] == 9
    for kept in (True, False):
        state.release() if not kept else None
        with pytest.raises(FormatError, match="open it again"):
            old.read("spikes.npy")


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(MissingPath, match="no such folder"):
        folders.stamp(str(tmp_path / "gone"))


def test_links_count_only_where_they_are_followed(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b.npy").write_bytes(b"1")
    (tmp_path / "a" / "b.npy").symlink_to(tmp_path / "b.npy")
    path = str(tmp_path / "a")
    followed = folders.stamp(path, follow=True)
    assert list(folders.listing(path, followed, follow=True)) == ["b.npy"]
    assert folders.listing(path, folders.stamp(path)) == {}
    (tmp_path / "b.npy").write_bytes(b"22")
    assert folders.stamp(path, follow=True) != followed
