"""How values are packed, in which chunks, and which rows repeat earlier ones: by all of their bytes."""

import zlib
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr
import zstandard

from neuroarrays.archive.arrays import Repeated
from neuroarrays.archive.chunk_shapes import chunk_shape, raw_chunk_shape
from neuroarrays.archive.encoding import Encoded, Node
from neuroarrays.archive.packing import Distinct, Packing
from neuroarrays.archive.reader import _Builder
from neuroarrays.archive.saving import _token
from neuroarrays.archive.zarr_writer import _ChunkEncoder, _plain_attrs, _sharding
from neuroarrays.errors import FormatError
from neuroarrays.files.zarr_codecs import Decoder
from neuroarrays.lazy.views import InMemory


def kept(rows):
    """The distinct rows, and which of them each row is."""
    one = Encoded(
        "m", "stimulus", xr.Variable(("presentation_id", "x"), rows), "raw", rows.dtype, {}
    )
    distinct = Distinct(one)
    blocks = list(distinct.blocks((2, rows.shape[1])))
    return np.concatenate([values for _, values in blocks]), distinct.row_index.tolist()


@pytest.mark.parametrize("dtype", ["u1", "f4", "f8"])
@pytest.mark.parametrize("place", [0, 3, 4, 7])
def test_rows_that_differ_in_one_value_are_two(dtype, place):
    rows = np.ones((5, 8), dtype)
    rows[[1, 3], place] = 2
    distinct, places = kept(rows)
    np.testing.assert_array_equal(distinct, rows[:2])
    assert places == [0, 1, 0, 1, 0]


def encoded(values, dims=("presentation_id", "x"), **given):
    given = {"node": "m", "name": "stimulus", "kind": "raw", "native": {}} | given
    variable = xr.Variable(dims, values)
    return Encoded(variable=variable, stored=given.pop("stored", values.dtype), **given)


def test_compression_is_judged_by_chunks_from_all_of_the_values():
    rows = np.random.default_rng(0).integers(0, 256, (3 * 16, 8192), np.uint8)
    assert encoded(rows).chunks == (16, 8192)
    worth = {name: Packing(name).is_worthwhile for name in ("zstd", "portable", None)}
    assert not worth["zstd"](encoded(rows))
    rows[16:32] = 0  # a third less
    assert worth["zstd"](encoded(rows))
    assert worth["portable"](encoded(rows))
    assert not worth[None](encoded(rows))
    assert not worth["zstd"](encoded(rows[:1, :8]))  # too small for chunks


@pytest.mark.parametrize("compression", ["zstd", "portable"])
@pytest.mark.parametrize("dtype", ["u1", "i2", "f4"])
def test_packed_chunks_unpack_to_whole_chunks(compression, dtype):
    packing = Packing(compression)
    values = np.arange(12).reshape(3, 4).astype(dtype)
    for part, chunk in ((values, (3, 4)), (values[:2, :3], (3, 4))):
        packed = packing.pack(part, chunk)
        raw = (
            zstandard.ZstdDecompressor().decompress(packed)
            if compression == "zstd"
            else zlib.decompress(packed)
        )
        raw = np.frombuffer(raw, np.uint8)
        if packing.shuffled(values.dtype):
            raw = np.ascontiguousarray(raw.reshape(values.itemsize, -1).T)
        whole = raw.view(dtype).reshape(chunk)
        np.testing.assert_array_equal(whole[tuple(map(slice, part.shape))], part)
        assert whole.sum() == part.sum()


def test_which_values_are_shuffled():
    kinds = ("u1", "i2", "f4")
    assert [Packing("zstd").shuffled(np.dtype(k)) for k in kinds] == [False, False, True]
    assert [Packing("portable").shuffled(np.dtype(k)) for k in kinds] == [False, True, True]


@pytest.mark.parametrize("is_packed", [True, False])
@pytest.mark.parametrize("compression", ["zstd", "portable", None])
def test_codecs_of_zarr(compression, is_packed):
    pytest.importorskip("google_crc32c", reason="the extra `zarr` is not installed")
    coder = _ChunkEncoder(Packing(compression, shuffles=False), (3, 2), is_packed)
    values = np.arange(4, dtype="<i2").reshape(2, 2)  # at an edge
    raw = coder.pack(values)
    codecs = [{"name": "bytes", "configuration": {"endian": "little"}}, *coder.codecs]
    decoder = Decoder(codecs, 12)
    whole = decoder.undo(raw, decoder.unpacker())
    assert np.array_equal(np.frombuffer(whole, "<i2").reshape(3, 2), [[0, 1], [2, 3], [0, 0]])
    name = (compression if is_packed else None) and {"zstd": "zstd", "portable": "gzip"}[
        compression
    ]
    assert [codec["name"] for codec in coder.codecs] == [name or "crc32c"]
    for at in (0, len(raw) // 2, len(raw) - 1):  # each has a checksum
        damaged = raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]
        if not (name == "gzip" and at == 0):
            with pytest.raises(ValueError):
                decoder.undo(damaged, decoder.unpacker())


def test_where_repeated_rows_are_listed():
    rows = np.zeros((4, 2000))
    assert encoded(rows).row_index_path == ""
    index = ("stimulus_index", "stimulus_instance")
    assert encoded(rows, index=index).row_index_path == "m/stimulus_index"
    assert encoded(rows, node="", index=index).row_index_path == "stimulus_index"
    assert Distinct.applies(encoded(rows, index=index))
    assert not Distinct.applies(encoded(rows))
    assert not Distinct.applies(encoded(rows[:1, :4], index=index))


def test_places_outside_the_stored_rows_are_refused():
    stored, source = InMemory(np.zeros((3, 2))), SimpleNamespace(path="a.h5")
    rows = Repeated(stored, InMemory(np.array([0, 2, 1, 2])), source, "stimulus")
    assert rows.shape == (4, 2)
    rows = Repeated(stored, InMemory(np.array([1, 3])), source, "stimulus")
    with pytest.raises(FormatError, match=r"a\.h5:stimulus: .*among 3 stored rows; found 1 to 3"):
        rows.outer((0, slice(None)))


def test_variables_are_one_if_all_that_is_written_is():
    values = np.zeros((4, 2))
    assert encoded(values).identity() == encoded(values, node="n").identity()
    for other in (
        encoded(values.copy()),
        encoded(values, ("presentation_id", "y")),
        encoded(values, native={"units": "s"}),
        encoded(values, note={"coords": ["x"]}),
    ):
        assert encoded(values).identity() != other.identity()


def test_an_interrupted_save_goes_on_only_with_the_same():
    def token(*variables, path="s", attrs=None, suffix=".h5", compression="zstd"):
        return _token({"s": [Node(path, attrs or {}, list(variables))]}, suffix, compression)

    values = np.zeros((4, 2))
    same = token(encoded(values))
    assert same == token(encoded(values.copy()))
    others = [
        token(encoded(values), path="t"),
        token(encoded(values), attrs={"a": 1}),
        token(encoded(values), suffix=".zarr"),
        token(encoded(values), compression=None),
        token(encoded(values + 1)),
        token(encoded(values.astype("i8"))),  # the same bytes
        token(encoded(values.reshape(2, 4))),
        token(encoded(values, ("presentation_id", "y"))),
        token(encoded(values, name="image")),
        token(encoded(values, native={"units": "s"})),
        token(encoded(values), encoded(values, name="image")),
    ]
    assert len({same, *others}) == len(others) + 1


P = "presentation_id"


@pytest.mark.parametrize(
    ("dims", "shape", "itemsize", "chunk", "raw"),
    [
        (("spike",), (100,), 8, None, None),
        (("spike",), (1 << 20,), 8, (1 << 17,), (1 << 17,)),
        (("spike",), (1000,), 8, (1000,), (1000,)),
        ((P, "x"), (100, 1024), 1, (16, 1024), (100, 1024)),
        ((P, "x"), (1000, 1024), 1, (16, 1024), (128, 1024)),
        ((P, "x"), (100, 1024), 4, (2, 1024), (32, 1024)),
        ((P, "x"), (100, 4096), 4, (1, 4096), (8, 4096)),
        (("time", "x"), (1000, 1024), 4, (32, 1024), (256, 1024)),
        (("time", "x"), (3, 1024), 4, (3, 1024), (3, 1024)),
        (("time", "x", "y"), (2, 1024, 1024), 4, (1, 32, 1024), (1, 32, 1024)),
        (("time", "x"), (0, 1024), 4, None, None),
        (("time",), (3 << 20,), 1, (1 << 20,), (1 << 20,)),
    ],
)
def test_shapes_of_chunks(dims, shape, itemsize, chunk, raw):
    assert repr(chunk_shape(dims, shape, itemsize)) == repr(chunk)  # whole numbers
    if chunk is not None:
        assert repr(raw_chunk_shape(dims, shape, itemsize)) == repr(raw)


def test_a_sharded_array_is_described_as_zarr_describes_it():
    codecs = pytest.importorskip("zarr.codecs")
    described = _sharding((2, 5), [{"name": "gzip", "configuration": {"level": 1}}])
    assert list_only(codecs.ShardingCodec.from_dict(described).to_dict()) == described
    assert described["configuration"]["index_location"] == "start"  # with the first request


def list_only(content):
    """What zarr gives, with lists in place of its tuples."""
    if isinstance(content, dict):
        return {key: list_only(value) for key, value in content.items()}
    return [*map(list_only, content)] if isinstance(content, list | tuple) else content


def test_attributes_as_json_has_them():
    attrs = {"rate": np.float32(2.5), "bad": np.nan, "ends": np.array([0.0, np.inf]), "n": 3}
    assert _plain_attrs(attrs) == {"rate": 2.5, "bad": "nan", "ends": "[0.0, inf]", "n": 3}


def test_damage_that_is_named_already_stays_as_it_is(monkeypatch):
    builder = _Builder(SimpleNamespace(path="a.h5"), "recording")
    record = {"vars": {"x": {}}, "coords": [], "attrs": {}}
    with pytest.raises(
        FormatError, match=r"a\.h5:s: expected a node of an archive; found KeyError"
    ):
        builder.node("s", {"s": record})
    named = FormatError("a.h5", "s/x", "numbers", "text")

    def refuse(*given):
        raise named

    monkeypatch.setattr(builder, "_variable", refuse)
    with pytest.raises(FormatError) as caught:
        builder.node("s", {"s": record})
    assert caught.value is named
