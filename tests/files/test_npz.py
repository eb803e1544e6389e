"""NPZ in place: values equal numpy's, one row is one row, and no zip makes us run or allocate."""

import pickle
import struct
import tracemalloc
import warnings
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from neuroarrays.errors import FormatError
from neuroarrays.files.members import npy_source
from neuroarrays.files.npz import npz_source
from neuroarrays.formats.arrays.files import arrays_source

ARRAYS = {
    "calcium": np.random.default_rng(0).random((6, 50)),
    "fortran": np.asfortranarray(np.arange(12.0).reshape(3, 4)),
    "big_endian": np.arange(5, dtype=">i2"),
    "bool": np.array([True, False]),
    "empty": np.empty((0, 3)),
    "no_axes": np.array(30.0),
    "text": np.array(["a", "bc"]),
}


@pytest.fixture(params=[np.savez, np.savez_compressed])
def path(tmp_path, request):
    request.param(tmp_path / "a.npz", **ARRAYS)
    return tmp_path / "a.npz"


def test_values_and_every_axis(path):
    source = npz_source(path)
    assert source.names() == list(ARRAYS)
    for name, array in ARRAYS.items():
        found = source.read(name)
        assert found.tolist() == array.tolist()
        assert found.dtype.isnative
        assert source.info(name).shape == array.shape
    rows = source.read("calcium", (np.array([3, 1, -1]), slice(5, 30, 7)))
    np.testing.assert_array_equal(rows, ARRAYS["calcium"][[3, 1, -1], 5:30:7])
    assert source.read("calcium", (2, 3)) == ARRAYS["calcium"][2, 3]
    with pytest.raises(FormatError, match="nothing of that name"):
        source.read("nothing")


@given(
    st.dictionaries(
        st.text("abcXYZ_0", min_size=1, max_size=5).filter(lambda t: t != "file"),
        hnp.arrays(
            hnp.scalar_dtypes().filter(lambda d: d.kind in "biuf"),
            hnp.array_shapes(min_dims=0, min_side=0),
        ),
        max_size=4,
    ),
    st.booleans(),
)
def test_equals_numpy(tmp_path_factory, arrays, compressed):
    path = tmp_path_factory.mktemp("npz") / "a.npz"
    (np.savez_compressed if compressed else np.savez)(path, **arrays)
    source = npz_source(path)
    for name, array in arrays.items():
        found = source.read(name)
        assert found.dtype == array.dtype.newbyteorder("=")
        np.testing.assert_array_equal(found, array)


def test_one_row_of_a_stored_member_is_one_row(tmp_path):
    np.savez(tmp_path / "a.npz", calcium=np.ones((64, 1 << 16)))
    tracemalloc.start()
    source = npz_source(tmp_path / "a.npz")
    row = source.read("calcium", (3, slice(None)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert row.shape == (1 << 16,)
    assert peak < 2 << 20


RUNS = [
    (slice(None), slice(2000, 2010)),
    (slice(None), slice(2000, 2200, 7)),
    (slice(1, None, 3), slice(2000, 1900, -1)),
    (np.array([5, 0, 5, -1]), np.array([4000, 3999, 4000])),
    (slice(None), 123),
    (4, slice(10, 20)),
    (slice(None), slice(7, 7)),
    (slice(2, 2), slice(0, 7)),
    (slice(None), slice(None), 1),
]


@pytest.mark.parametrize("key", RUNS)
@pytest.mark.parametrize("make", ["C", "F", ">"])
def test_runs_that_lie_far_apart_are_read_alone(tmp_path, monkeypatch, make, key):
    """Some frames of all units: what lies between them is not even mapped."""
    array = np.arange(6 * 5000 * 3.0).reshape(6, 5000, 3)[..., : 3 if len(key) > 2 else 1]
    array = np.ascontiguousarray(array if len(key) > 2 else array[..., 0])
    array = {"C": array, "F": np.asfortranarray(array.T), ">": array.astype(">f8")}[make]
    key = key[::-1] if make == "F" else key
    np.savez(tmp_path / "a.npz", x=array)
    source = npz_source(tmp_path / "a.npz")
    expected = array
    for axis, k in reversed(list(enumerate(key))):
        expected = expected[(slice(None),) * axis + (k,)]
    if len(key) == 2 and expected.size:
        monkeypatch.setattr("neuroarrays.files.positioned.mmap.mmap", None)
    found = source.read("x", key)
    assert found.flags.c_contiguous
    assert found.dtype.isnative
    np.testing.assert_array_equal(found, expected)


def npy_header(descr, shape):
    text = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


STRANGE = {
    "more axes than numpy has": npy_header("<f8", "(" + "1, " * 65 + ")") + bytes(8),
    "none of very many": npy_header("<f8", "(0, 1 << 62)".replace("1 << 62", str(1 << 62))),
    "none of very long text": npy_header("<U500000000", "(0, 64, 1073741824)"),
}


@pytest.mark.parametrize("name", STRANGE)
def test_shapes_that_no_memory_has(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        file.writestr("x.npy", STRANGE[name])
    (tmp_path / "x.npy").write_bytes(STRANGE[name])
    with pytest.raises(FormatError, match=r"a\.npz:x\.npy: expected at most 32 axes"):
        npz_source(tmp_path / "a.npz")
    with pytest.raises(FormatError, match=r"x\.npy: expected at most 32 axes"):
        arrays_source(tmp_path / "x.npy").members()


def test_text_beyond_unicode(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        file.writestr("x.npy", npy_header("<U2", "(3,)") + b"\xff" * 24)
    with pytest.raises(FormatError, match=r"a\.npz:x: expected text"):
        npz_source(tmp_path / "a.npz").read("x")


@pytest.mark.parametrize("name", [".npy", "/etc/x.npy"])
def test_members_without_a_name(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        file.writestr(name, npy_header("<f8", "()") + bytes(8))
    with pytest.raises(FormatError, match="the name of an array"):
        npz_source(tmp_path / "a.npz")


def test_what_is_no_number_does_not_hide_the_rest(tmp_path):
    others = {
        "z": np.ones(3, complex),
        "day": np.arange(3).astype("M8[D]"),
        "table": np.zeros(3, [("a", "f8"), ("O", "i4")]),
    }
    np.savez(tmp_path / "a.npz", x=np.arange(3), **others)
    source = npz_source(tmp_path / "a.npz")
    assert list(source.members()) == ["x"]
    assert source.left_out().keys() == others.keys()
    assert source.left_out()["z"] == "complex128"
    np.save(tmp_path / "z.npy", others["z"])
    with pytest.raises(FormatError, match="found values of dtype complex128"):
        arrays_source(tmp_path / "z.npy").members()


def test_objects_are_plain_values(tmp_path):
    np.savez(tmp_path / "a.npz", _metadata=np.array({"fps": 30.0, "n": [1]}, object))
    assert npz_source(tmp_path / "a.npz").value("_metadata") == {"fps": 30.0, "n": [1]}
    with pytest.raises(FormatError, match="a member of Python objects"):
        npz_source(tmp_path / "a.npz").value("calcium")


@pytest.mark.parametrize("value", [{"fps": 1}, [1, 2], "text", None])
def test_one_object_is_read_as_it_is(tmp_path, value):
    box = np.empty((), object)
    box[()] = value
    np.savez(tmp_path / "a.npz", m=box, n=np.array([[1, "x"]], object))
    source = npz_source(tmp_path / "a.npz")
    assert source.read("m").shape == ()
    assert source.read("n").tolist() == [["1", "x"]]
    assert source.value("m") == value


class Payload:
    def __reduce__(self):
        return print, ("it ran",)


def test_a_payload_does_not_run(tmp_path, capsys):
    np.savez(tmp_path / "a.npz", _metadata=np.array({"fps": Payload()}, object))
    source = npz_source(tmp_path / "a.npz")
    assert repr(source.value("_metadata")) == "{'fps': <Record of builtins.print>}"
    with pytest.raises(FormatError, match=r"_metadata, byte \d+.*the global builtins\.print"):
        source.read("_metadata")
    assert capsys.readouterr().out == ""


def header(text, values=b""):
    raw = text.encode()
    raw += b" " * (63 - (10 + len(raw)) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(raw)) + raw + values


def write(path, members, method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", method) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, content in members:
            archive.writestr(name, content)


HUGE = header("{'descr': '<f8', 'fortran_order': False, 'shape': (1099511627776,), }", b"x" * 64)
GOOD = header("{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }", bytes(16))
BAD_MEMBERS = {
    "a huge shape": (HUGE, "bytes of values"),
    "more bytes than said": (GOOD + b"xx", "bytes of values"),
    "a negative shape": (GOOD.replace(b"(2,)", b"(-2,)"), "a shape"),
    "no npy": (b"hello", "an npy file"),
    "nothing": (b"", "an npy file"),
    "fields": (GOOD.replace(b"'<f8'", b"[('a','<f8')]"), "bytes of values"),
    "code in the header": (
        GOOD.replace(b"'<f8'", b"__import__('os').system('ls')"),
        "the header of an npy file",
    ),
}


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("name", BAD_MEMBERS)
def test_bad_members_are_refused_by_name(tmp_path, name, method):
    content, expected = BAD_MEMBERS[name]
    write(tmp_path / "a.npz", [("calcium.npy", content)], method)
    tracemalloc.start()
    with pytest.raises(FormatError, match=rf"a\.npz:calcium.*{expected}"):
        npz_source(tmp_path / "a.npz")
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()


def test_members_of_one_name(tmp_path):
    write(tmp_path / "a.npz", [("calcium.npy", GOOD), ("calcium.npy", GOOD)])
    with pytest.raises(FormatError, match="two of this name"):
        npz_source(tmp_path / "a.npz")


def test_overlapping_members(tmp_path):
    """Two entries of the directory that point at one local header, as in the 42 kB zip bomb."""
    write(tmp_path / "a.npz", [("a.npy", GOOD), ("b.npy", GOOD)])
    raw = bytearray((tmp_path / "a.npz").read_bytes())
    second = raw.rindex(b"PK\x01\x02")
    raw[second + 42 : second + 46] = bytes(4)
    (tmp_path / "a.npz").write_bytes(raw)
    with pytest.raises(FormatError, match="members that overlap"):
        npz_source(tmp_path / "a.npz")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_whole_read_is_compared_with_the_checksum(tmp_path, save):
    path = tmp_path / "a.npz"
    save(path, calcium=np.arange(40.0).reshape(4, 10))
    raw = bytearray(path.read_bytes())
    packed = raw.rindex(b"PK\x01\x02") + 16  # where the directory has the checksum
    raw[raw.index(np.float64(17).tobytes()) if save is np.savez else packed] ^= 1
    path.write_bytes(raw)
    source = npz_source(path)
    with pytest.raises(FormatError, match=r"a\.npz:calcium\.npy: .*their checksum"):
        source.read("calcium")
    if save is np.savez:  # a part is not, and cannot be
        assert source.read("calcium", (0, slice(None))).tolist() == list(range(10))


def test_a_directory_that_points_before_the_file(tmp_path):
    write(tmp_path / "a.npz", [("a.npy", GOOD), ("b.npy", GOOD)])
    raw = bytearray((tmp_path / "a.npz").read_bytes())
    end = raw.rindex(b"PK\x05\x06")
    size = struct.unpack("<I", raw[end + 12 : end + 16])[0]
    raw[end + 16 : end + 20] = struct.pack(
        "<I", end - size + 70
    )  # zipfile shifts all offsets by 70
    (tmp_path / "a.npz").write_bytes(raw)
    with pytest.raises(FormatError, match=r"a\.npz:a\.npy: expected the beginning of a member"):
        npz_source(tmp_path / "a.npz")


def test_a_bomb_is_not_unpacked(tmp_path):
    write(tmp_path / "a.npz", [("a.npy", GOOD)], zipfile.ZIP_DEFLATED)
    raw = bytearray((tmp_path / "a.npz").read_bytes())
    at = raw.rindex(b"PK\x01\x02")
    raw[at + 24 : at + 28] = struct.pack("<I", 0xFFFFFF00)  # size when unpacked
    (tmp_path / "a.npz").write_bytes(raw)
    with pytest.raises(FormatError, match="at most the bytes that its compressed ones can give"):
        npz_source(tmp_path / "a.npz")


def test_a_member_that_unpacks_to_more_than_it_says(tmp_path):
    write(tmp_path / "a.npz", [("a.npy", GOOD + bytes(1 << 16))], zipfile.ZIP_DEFLATED)
    raw = bytearray((tmp_path / "a.npz").read_bytes())
    at = raw.rindex(b"PK\x01\x02")
    raw[at + 24 : at + 28] = struct.pack("<I", len(GOOD))
    (tmp_path / "a.npz").write_bytes(raw)
    with pytest.raises(FormatError, match="that differ"):
        npz_source(tmp_path / "a.npz").read("a")


@pytest.mark.parametrize("place", [8, 10])
def test_encrypted_and_other_methods(tmp_path, place):
    write(tmp_path / "a.npz", [("a.npy", GOOD)])
    raw = bytearray((tmp_path / "a.npz").read_bytes())
    raw[raw.rindex(b"PK\x01\x02") + place] = 1
    (tmp_path / "a.npz").write_bytes(raw)
    with pytest.raises(FormatError, match="not encrypted"):
        npz_source(tmp_path / "a.npz")


def test_zip64(tmp_path):
    with (
        zipfile.ZipFile(tmp_path / "a.npz", "w") as archive,
        archive.open("calcium.npy", "w", force_zip64=True) as file,
    ):
        file.write(GOOD)
    np.testing.assert_array_equal(npz_source(tmp_path / "a.npz").read("calcium"), np.zeros(2))


def test_a_file_that_changed(tmp_path):
    np.savez(tmp_path / "a.npz", a=np.arange(3))
    source = npz_source(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", a=np.arange(30))
    with pytest.raises(FormatError, match="open it again"):
        source.read("a")


@given(st.data())
def test_damage_is_an_error_or_a_value(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("damaged") / "a.npz"
    np.savez_compressed(path, a=np.arange(9.0), m=np.array({"fps": 1}, object))
    raw = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 5))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(raw[: data.draw(st.integers(0, len(raw)))])
    try:
        source = npz_source(path)
        for name in source.names():
            source.read(name)
    except FormatError as error:
        named = str(error)
    else:
        named = str(path)
    assert path.name in named


def test_npy(tmp_path):
    np.save(tmp_path / "x.npy", ARRAYS["fortran"])
    source = npy_source(tmp_path / "x.npy")
    np.testing.assert_array_equal(source.read("x", (1,)), ARRAYS["fortran"][1])
    (tmp_path / "y.npy").write_bytes((tmp_path / "x.npy").read_bytes()[:-8])
    with pytest.raises(FormatError, match="truncated"):
        npy_source(tmp_path / "y.npy")
    (tmp_path / "z.npy").write_bytes(pickle.dumps(1))
    with pytest.raises(FormatError, match="an npy file"):
        npy_source(tmp_path / "z.npy")
