"""The seal of an archive: damage is named before HDF5 sees it."""

import os

import h5py
import numpy as np
import pytest

import neuroarrays as na
from neuroarrays import synthetic
from neuroarrays.archive import saving, seal
from neuroarrays.archive.reader import has_footer
from neuroarrays.errors import FormatError
from neuroarrays.files.locating import locate
from neuroarrays.files.probe import probe_of
from neuroarrays.testing.comparing import load
from neuroarrays.testing.sources import close_all


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    tree = synthetic.aligned_tree(sessions=2, presentations=30, units=30, bins=40)
    return na.save(tree, tmp_path_factory.mktemp("archive") / "x.h5")


#: Bytes that are damaged at once.
PAGE = 4096


def runs_of(path):
    with locate(path).open() as file:
        return seal.read(file).runs


def test_every_zeroed_page_is_named(archive, tmp_path):
    """Headers, heaps, lists of chunks, chunks, small arrays, index: nothing hangs, nothing is zero."""
    whole = archive.read_bytes()
    bad = tmp_path / "bad.h5"
    for at in range(0, len(whole), PAGE):
        page = whole[at : at + PAGE]
        if not any(page):
            continue
        bad.write_bytes(whole[:at] + bytes(len(page)) + whole[at + len(page) :])
        with pytest.raises(FormatError, match=r"bad\.h5"):
            load(na.open_datatree(bad, engine="neuroarrays"))
        close_all()


def test_a_file_cut_short_is_named_before_hdf5_opens_it(archive, tmp_path, monkeypatch):
    whole = archive.read_bytes()
    monkeypatch.setattr("neuroarrays.files.hdf5.open_file", lambda path: pytest.fail("opened"))
    monkeypatch.setattr("neuroarrays.archive.scan.open_file", lambda path: pytest.fail("opened"))
    for share in (0.1, 0.5, 0.9, 1.0):
        bad = tmp_path / f"{share}.h5"
        bad.write_bytes(whole[: int(len(whole) * share) - 1])
        with pytest.raises(FormatError, match="truncated|of which HDF5 knows"):
            na.open_datatree(bad, engine="neuroarrays").load()


def test_an_end_that_is_not_where_hdf5_says(archive):
    """Cut, or longer; what is no HDF5 of ours is not judged."""
    head, end = archive.read_bytes()[:100], source_end(archive)
    seal.check_end("x.h5", head, end)
    with pytest.raises(FormatError, match=f"x.h5: .*found {end - 1:,} bytes: it is truncated"):
        seal.check_end("x.h5", head, end - 1)
    longer = f"found {end + 1:,} bytes, of which HDF5 knows {end:,};"
    with pytest.raises(FormatError, match=longer):
        seal.check_end("x.h5", head, end + 1)
    for other in (head[:20], b"user" + head, head[:8] + bytes([0]) + head[9:]):
        seal.check_end("x.h5", other, 5)


def test_the_seal_is_checked_when_the_file_is_opened_again(archive, tmp_path):
    """Also where neither size nor time tell: a disk that fails, a copy that keeps times."""
    path = tmp_path / "x.h5"
    path.write_bytes(archive.read_bytes())
    tree = na.open_datatree(path)
    variable = tree["session_0/VISp/spike_data"].variable
    assert variable[:2].values.shape[0] == 2
    status, first = os.stat(path), int(runs_of(path)[-1, 0])
    with open(path, "r+b") as file:
        file.seek(first)
        file.write(bytes(64))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    close_all()
    with pytest.raises(FormatError, match="outside of values"):
        _ = variable[:2].values


def test_chunks_are_not_sealed_and_all_else_is(archive):
    """Checking costs what headers do: the chunks have checksums of their own."""
    with h5py.File(archive) as file:
        chunks = []
        file.visititems(
            lambda _, item: chunks.extend(seal.extents_of(item)) if is_array(item) else None
        )
    covered = np.zeros(source_end(archive), np.int64)
    for first, end in [*runs_of(archive).tolist(), *((at, at + n) for at, n in set(chunks))]:
        covered[first:end] += 1
    assert (covered == 1).all()
    assert len(chunks) > 10


def is_array(item):
    return isinstance(item, h5py.Dataset)


def source_end(path):
    with open(path, "rb") as file:
        return seal._SUPERBLOCK.unpack(file.read(seal._SUPERBLOCK.size))[3]


def test_what_another_program_has_written_to_has_no_seal(archive, tmp_path):
    path = tmp_path / "x.h5"
    path.write_bytes(archive.read_bytes())
    with h5py.File(path, "r+") as file:
        file.attrs["remark"] = "mine"
    assert not has_footer(probe_of(path))
    assert na.open_datatree(path).load().attrs["remark"] == "mine"
    with open(path, "ab") as file:
        file.write(b"more")
    with pytest.raises(FormatError, match="of which HDF5 knows"):
        na.open_datatree(path, engine="neuroarrays")


def test_joined_archives_are_sealed(archive, tmp_path):
    joined = saving.join([archive], tmp_path / "joined.h5")
    assert len(runs_of(joined))
