"""Copies of HDF5's metadata: all that lies between the chunks and no more; damage in them is named."""

import zlib

import numpy as np
import pytest
import zstandard

import neuroarrays as na
from neuroarrays import synthetic
from neuroarrays.archive import seal, structure
from neuroarrays.archive.structure import Copied, CopiedFile
from neuroarrays.errors import FormatError
from neuroarrays.files.locating import locate
from neuroarrays.files.positioned import PositionedFile


class Held(PositionedFile):
    """A file in memory that notes what is asked of it."""

    def __init__(self, content):
        self.path, self.content, self.size = "x.h5", content, len(content)
        self.asked, self.fetched, self.checked, self.is_closed = [], [], [], False

    def fill(self, buffers, start):
        done = 0
        for buffer in buffers:
            view = memoryview(buffer).cast("B")
            part = self.content[start + done : start + done + len(view)]
            view[: len(part)] = part
            done += len(part)
        self.asked.append((start, done))
        return done

    def prefetch(self, ranges):
        self.fetched += ranges

    def check_unchanged(self, where=""):
        self.checked.append(where)

    def close(self):
        self.is_closed = True


CONTENT = np.random.default_rng(0).bytes(9000)
#: What lies between the chunks of this file: the first two are so close that one copy has both.
RUNS = np.array([[0, 100], [300, 400], [5000, 6000], [7000, 7001], [8800, 9000]])


def ranges_of(begin, end):
    copy = structure.packed(Held(CONTENT), RUNS, begin, end)
    found = structure.unpacked(copy, 20_000)
    return {
        start: len(piece) for start, piece in zip(found.starts, found.pieces, strict=True)
    }, found


@pytest.mark.parametrize(
    ("begin", "end", "lengths"),
    [
        # HDF5 reads 512 bytes of a header whose length it does not know.
        (0, 9000, {0: 912, 5000: 1512, 7000: 513, 8800: 200}),
        (0, 5000, {0: 912}),
        (50, 350, {50: 812}),
        (5500, 7000, {5500: 1012}),
        (6000, 7000, {}),
        (7000, 8900, {7000: 513, 8800: 200}),
    ],
)
def test_a_copy_has_what_lies_between_the_chunks(begin, end, lengths):
    found, ranges = ranges_of(begin, end)
    assert found == lengths
    for start, piece in zip(ranges.starts, ranges.pieces, strict=True):
        assert piece == CONTENT[start : start + len(piece)]


def test_what_lies_between_chunks():
    assert structure.between([], 5).tolist() == [[0, 5]]
    assert structure.between([(3, 2), (5, 1), (0, 1)], 9).tolist() == [[1, 3], [6, 9]]
    assert structure.between([(2, 3)], 5).tolist() == [[0, 2]]


def test_bytes_that_are_no_copy_are_refused():
    copy = structure.packed(Held(CONTENT), RUNS, 0, 9000)
    size = zstandard.frame_content_size(copy)
    assert structure.unpacked(copy, size).nbytes == 912 + 1512 + 513 + 200
    with pytest.raises(ValueError, match=f"more than {size - 1:,} bytes"):
        structure.unpacked(copy, size - 1)
    with pytest.raises(ValueError, match="content size"):
        structure.unpacked(b"no copy", size)
    whole = zstandard.ZstdDecompressor().decompress(copy)
    for changed in (whole[:-1], whole + b"x", whole[:3]):
        with pytest.raises(ValueError, match="are said|requires a buffer|buffer"):
            structure.unpacked(zstandard.ZstdCompressor().compress(changed), 2 * size)


@pytest.fixture
def copied():
    """A file with copies of its first 5000 bytes, and of the rest."""
    parts = [structure.packed(Held(CONTENT), RUNS, *part) for part in ((0, 5000), (5000, 9000))]
    offsets = 9000, 9000 + len(parts[0])
    entries = [
        Copied(begin, offset, len(part), zlib.crc32(part))
        for begin, offset, part in zip((0, 5000), offsets, parts, strict=True)
    ]
    return CopiedFile(Held(CONTENT + b"".join(parts)), entries)


def test_metadata_come_from_copies_and_chunks_from_the_file(copied):
    file = copied.file
    numbers, rest = np.zeros(5, "<i4"), bytearray(10)
    assert copied.fill([numbers, rest], 60) == 30
    assert numbers.tobytes() + rest == CONTENT[60:90]
    assert copied.read(300, 600) == CONTENT[300:900]
    (first,) = file.asked  # one request, of the first copy
    assert first[0] == 9000
    for start, count in ((913, 50), (4000, 2000), (300, 700)):  # not whole in one copy
        file.asked.clear()
        assert copied.read(start, count) == CONTENT[start : start + count]
        assert file.asked[-1] == (start, count)
    buffers = [[bytearray(20)], [bytearray(30), bytearray(5)], [bytearray(7)]]
    sizes = copied.readv(list(zip((0, 2000, 7000), buffers, strict=True)))
    assert sizes == [20, 35, 7]
    assert b"".join(buffers[1]) == CONTENT[2000:2035]
    assert file.fetched == [(2000, 35)]
    copied.check_unchanged("/s/V1")
    assert file.checked == ["/s/V1"]
    copied.close()
    assert file.is_closed


def test_what_lies_before_all_copies_is_read_from_the_file(copied):
    late = CopiedFile(copied.file, copied.copies[1:])
    assert late.read(0, 50) == CONTENT[:50]
    assert late.file.asked == [(0, 50)]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"checksum": 1}, "checksum"),
        ({"offset": 9001}, "checksum"),
        ({"offset": 1 << 40}, "checksum"),
        ({"offset": 0, "length": 9, "checksum": zlib.crc32(CONTENT[:9])}, "found"),
    ],
)
def test_a_damaged_copy_is_named(copied, change, reason):
    copied.copies[0] = Copied(**vars(copied.copies[0]) | change)
    with pytest.raises(FormatError, match=rf"x\.h5: expected the copy of a session's .*{reason}"):
        copied.read(0, 50)
    assert copied.read(5000, 50) == CONTENT[5000:5050]


def test_each_part_of_an_archive_has_one_copy(tmp_path):
    tree = synthetic.aligned_tree(sessions=2, presentations=10, units=20, bins=20, areas=("VISp",))
    path = na.save(tree, tmp_path / "x.h5")
    content = path.read_bytes()
    with locate(path).open() as file:
        known = seal.read(file)
        begins = [copy.begin for copy in known.copies]
        assert begins[0] == 0
        assert begins == sorted(set(begins))
        assert len(begins) == 3
        copied = CopiedFile(file, known.copies)
        for first, end in known.runs.tolist():
            assert copied.read(first, end - first) == content[first:end]
            assert all(copied._copy(at, 1) is not None for at in (first, end - 1))
        most = (known.runs[:, 1] - known.runs[:, 0]).sum() + 512 * len(known.runs)
        assert sum(ranges.nbytes for ranges in copied.fetched.values()) <= most
