"""Saving: what comes back, what other programs read, and what an interruption leaves."""

import base64
import json
import os
import sys
import zlib

import h5py
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import neuroarrays as na
from neuroarrays.archive import chunk_shapes, index, parts
from neuroarrays.archive import saving as store
from neuroarrays.archive.nodes import text_checksum
from neuroarrays.archive.scan import scan_hdf5
from neuroarrays.archive.seal import extents_of
from neuroarrays.errors import FormatError, MissingPath, NeuroArraysError, PathExists, SchemaError
from neuroarrays.files import hdf5, partials, positioned, progress
from neuroarrays.files.locating import locate
from neuroarrays.formats.allen_binned.writing import LeftOut
from neuroarrays.lazy.arrays import FileArray, LazyArray, array_of
from neuroarrays.testing import same_values
from neuroarrays.testing.processes import run_script
from neuroarrays.testing.sources import close_all, open_source

FORMS = [("x.h5", "zstd"), ("x.nc", "portable"), ("x.zarr", "zstd"), ("y.zarr", "portable")]


@pytest.fixture(autouse=True)
def _closed():
    yield
    close_all()


@pytest.fixture(autouse=True)
def looked_at(monkeypatch):
    """What each save of this file hands over for the index is what looking at its file finds."""
    paths, append = [], index.append

    def checked(path, written):
        found, nodes = scan_hdf5(locate(path)), written.nodes
        assert sorted(found) == sorted(nodes)  # before h5py 3.12 an opened file has its own order
        with h5py.File(path) as file:
            for place, node in found.items():
                stored = nodes[place]
                variables = {name: dict(entry) for name, entry in stored["vars"].items()}
                for name, entry in variables.items():
                    check_values(file, name, entry)
                    if "i" in entry:
                        check_values(file, "", entry["i"][1])
                found_text, stored_text = (
                    json.dumps(both, sort_keys=True)
                    for both in (node, {**stored, "vars": variables})
                )
                assert found_text == stored_text, place
                assert list(node["vars"]) == list(variables)
            extents = []
            file.visititems(
                lambda _, node: (
                    extents.extend(extents_of(node)) if isinstance(node, h5py.Dataset) else None
                )
            )
        paths.append(path)
        assert sorted(extents) == sorted(written.extents)
        append(path, written)

    monkeypatch.setattr(index, "append", checked)
    return paths


def check_values(file, name, entry):
    """Compare the checksum and the values of an entry with the file, and take them away."""
    checksum, text = entry.pop("c", None), entry["k"] == "text"
    dataset = file[entry["p"]]
    assert (checksum is not None) >= (text or dataset.chunks is None)
    inline = entry.pop("v", None)
    if checksum is not None:
        values = (dataset.asstr() if text else dataset)[...] if dataset.size else dataset[...]
        if text:
            assert checksum == text_checksum(values if dataset.size else np.empty(0, object))
        else:
            assert checksum == zlib.crc32(values.tobytes())
            assert inline in (None, base64.b64encode(values.tobytes()).decode())
    short = not text and dataset.nbytes <= 1 << 16
    assert (inline is not None) == (short and (entry["d"] == [name] or name == "row_size"))


def aligned(sessions=1, areas=("VISp", "LGd"), presentations=40, units=30, bins=25, seed=0):
    """An aligned tree with what such trees have: shared axes, views, text, bool, small and large."""
    rng = np.random.default_rng(seed)
    groups = {
        "/": xr.Dataset(
            attrs={
                "neuroarrays_schema": "aligned/1",
                "source": "test",
                "history": ["align(bin_width=0.02)"],
            }
        )
    }
    for s in range(sessions):
        ids = np.arange(presentations) + 100
        speed = xr.Variable(
            ("presentation_id", "time"),
            rng.normal(size=(presentations, bins)).astype("f4"),
            {"units": "cm/s"},
        )
        groups[f"session_{s}"] = xr.Dataset(
            coords={"presentation_id": ids, "time": (np.arange(bins) + 0.5) * 0.02},
            attrs={"session_id": f"session_{s}", "sampling_rate": 50.0, "blocks": [1, 2]},
        )
        for a, area in enumerate(areas):
            place = f"session_{s}/{area}"
            names = np.array(
                ["grating", "", "Äé日本", None, np.nan][:4] * (presentations // 4 + 1), object
            )
            table = {
                "start_time": ("presentation_id", ids * 1.0, {"units": "s"}),
                "stop_time": ("presentation_id", ids + 0.5, {"units": "s"}),
                "orientation": (
                    "presentation_id",
                    np.where(ids % 5 == 0, np.nan, ids % 4 * 45.0),
                    {"units": "deg"},
                ),
                "name": ("presentation_id", names[:presentations]),
                "rewarded": ("presentation_id", ids % 2 == 0),
            }
            groups[place] = xr.Dataset(
                {
                    "spike_data": (
                        ("presentation_id", "unit_id", "time"),
                        rng.poisson(0.3, (presentations, units, bins)).astype("u1"),
                        {"units": "1"},
                    ),
                    "speed": speed,
                    "valid": (("presentation_id", "time"), rng.random((presentations, bins)) > 0.1),
                },
                coords={
                    "unit_id": np.arange(units) + 1000 * a,
                    "quality": ("unit_id", np.array(["good", "mua", ""] * units, object)[:units]),
                    "depth of tip": ("unit_id", np.linspace(0, 1, units)),
                    **table,
                },
            )
            groups[f"{place}/presentations"] = xr.Dataset(table)
            groups[f"{place}/pupil"] = xr.Dataset(
                {"x": (("presentation_id", "time"), np.full((presentations, bins), np.nan, "f4"))}
            )
    return xr.DataTree.from_dict(groups)


def one_node(variables, coords=None, attrs=None):
    """An aligned tree with one area and the given content."""
    content = {"spike_data": (("presentation_id", "unit_id", "time"), np.zeros((2, 3, 4), "u1"))}
    return xr.DataTree.from_dict(
        {
            "/": xr.Dataset(attrs={"neuroarrays_schema": "aligned/1"}),
            "s/A": xr.Dataset(content | variables, coords=coords, attrs=attrs or {}),
        }
    )


def assert_identical_trees(a, b, kinds_of_indexes=True):
    """Every node identical, with equal dtypes, types of attributes and of indexes."""
    nodes_a, nodes_b = dict(a.subtree_with_keys), dict(b.subtree_with_keys)
    assert set(nodes_a) == set(nodes_b)
    for path in nodes_a:
        x, y = (n[path].to_dataset(inherit=False) for n in (nodes_a, nodes_b))
        xr.testing.assert_identical(x, y)
        assert list(x.attrs) == list(y.attrs) or set(x.attrs) == set(y.attrs)
        for name in x.variables:
            place = f"{path}/{name}"
            assert x[name].dtype == y[name].dtype, place
            assert same_values(x[name].values, y[name].values), place
            kinds = [{k: type(v) for k, v in d[name].attrs.items()} for d in (x, y)]
            assert kinds[0] == kinds[1], place
        if kinds_of_indexes:
            found = [{k: type(i).__name__ for k, i in d.xindexes.items()} for d in (x, y)]
            assert found[0] == found[1], path


def reopened(tree, path, **options):
    return na.open_datatree(store.save(tree, path, **options))


# ------------------------------------------------------------------------------- round trips


@pytest.mark.parametrize(("name", "compression"), FORMS)
def test_an_aligned_tree_comes_back(tmp_path, name, compression):
    tree = aligned(sessions=2)
    opened = reopened(tree, tmp_path / name, compression=compression)
    assert_identical_trees(tree, opened)
    assert opened["session_1/LGd/spike_data"].coords["orientation"].dims == ("presentation_id",)


@pytest.mark.parametrize(
    ("place", "name", "compression"),
    [
        ("pynapple_A2929_HD_ephys/A2929-200711.nwb", "x.h5", "zstd"),
        pytest.param("dandi000006_ALM_ephys", "x.nc", "portable", marks=pytest.mark.slow),
        pytest.param("dandi000006_ALM_ephys", "x.zarr", "zstd", marks=pytest.mark.slow),
        pytest.param(
            "pynapple_A0662_suite2p/2022_08_08.nwb", "x.h5", "zstd", marks=pytest.mark.slow
        ),
    ],
)
def test_real_recordings_come_back(shared_data, tmp_path, name, compression, place):
    tree = na.open_datatree(shared_data / place)
    path = store.save(tree, tmp_path / name, compression=compression)
    assert_identical_trees(na.open_datatree(shared_data / place), na.open_datatree(path))
    saved, given = (
        na.catalog(p).drop(columns=["path", "format", "stamp"]) for p in (path, shared_data / place)
    )
    assert saved.to_dict() == given.to_dict()


@pytest.mark.parametrize("name", ["x.h5", "x.zarr"])
def test_saving_twice_changes_nothing(tmp_path, name):
    tree = aligned()
    first = reopened(tree, tmp_path / name)
    assert_identical_trees(tree, reopened(first, tmp_path / f"second_{name}"))


@pytest.mark.parametrize("name", ["x.h5", "x.zarr"])
@pytest.mark.parametrize(
    "sizes",
    [
        {"presentations": 0},
        {"bins": 0},
        {"units": 0, "presentations": 0},
        {"units": 1, "presentations": 1, "bins": 1},
    ],
)
def test_empty_dimensions(tmp_path, name, sizes):
    tree = aligned(**sizes)
    assert_identical_trees(tree, reopened(tree, tmp_path / name))


@pytest.mark.parametrize("name", ["x.h5", "x.zarr"])
def test_every_dtype(tmp_path, name):
    rng = np.random.default_rng(0)
    variables = {}
    for kind in ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "?"):
        for size in (5, 3000):
            values = (rng.random(size) * 100).astype(kind)
            variables[f"{kind.replace('?', 'b')}_{size}"] = (f"d{size}", values)
    variables["nan"] = ("d5", np.array([np.nan, np.inf, -np.inf, -0.0, 1], "f4"))
    variables["fixed"] = ("d5", np.array(["a", "", "éé", "日本", "e"]))
    variables["bytes"] = ("d5", np.array([b"a", b"", b"c", b"d", b"e"]))
    variables["scalar"] = ((), 3.5)
    variables["one_text"] = ((), np.array("text", object))
    variables["table"] = (("d5", "k"), np.array([["a", "b"]] * 5, object))
    tree = one_node(variables)
    assert_identical_trees(tree, reopened(tree, tmp_path / name))


@pytest.mark.parametrize("name", ["x.h5", "x.zarr"])
@pytest.mark.parametrize(
    "values",
    [
        ["a", None, ""],
        ["a", np.nan, ""],
        ["<missing>", None, "<<missing>>"],
        [None, None, None],
        ["", "", ""],
    ],
)
def test_missing_text_is_not_empty_text(tmp_path, name, values):
    label = xr.Variable("unit_id", np.array(["", "", ""], object))
    label.values[:] = values  # xarray makes NaN of None when it is given None
    found = reopened(one_node({"label": label}), tmp_path / name)["s/A/label"].values
    assert same_values(found, np.array(values, object))
    assert [type(v) for v in found] == [type(v) for v in values]


@pytest.mark.parametrize("bad", [{"a": 1}, 3, b"bytes", ["x"], "nul\0"])
def test_objects_that_are_no_text_are_named(tmp_path, bad):
    values = np.array(["a", "b", None], object)
    values[1] = bad
    with pytest.raises(SchemaError, match="s/A/label") as caught:
        store.save(one_node({"label": ("unit_id", values)}), tmp_path / "x.h5")
    assert "(1,)" in str(caught.value)
    assert not (tmp_path / "x.h5").exists()


ATTRS = {
    "text": "é",
    "empty": "",
    "long": "x" * 100_000,
    "int": 3,
    "float": 0.1,
    "yes": True,
    "nothing": None,
    "texts": ["a", "b"],
    "one": ["a"],
    "ints": [1, 2],
    "floats": [0.5, 1.0],
    "no items": [],
    "mixed": [1, 0.5, "a", None],
    "nested": {"a": [1, {"b": None}]},
    "big": 2**70,
    "scale_factor": 2.0,
    "_FillValue": 0,
    "missing_value": "a",
    "dtype": "bool",
    "coordinates": "x y",
    "bools": [True, False],
    "units": "s",
    "CLASS": "mine",
}


@pytest.mark.parametrize("name", ["x.h5", "x.zarr"])
def test_every_type_of_attribute(tmp_path, name):
    tree = one_node({"v": ("unit_id", [1.0, 2.0, 3.0], ATTRS)}, attrs=ATTRS)
    opened = reopened(tree, tmp_path / name)
    for found in (opened["s/A"].attrs, opened["s/A/v"].attrs):
        assert found == ATTRS
        assert {k: type(v) for k, v in found.items()} == {k: type(v) for k, v in ATTRS.items()}


def test_numpy_attributes_come_back_plain(tmp_path):
    attrs = {"a": np.arange(3), "b": np.float32(0.5), "c": (1, 2), "d": np.array(["x", "y"])}
    opened = reopened(one_node({}, attrs=attrs), tmp_path / "x.h5")
    expected = {"a": [0, 1, 2], "b": 0.5, "c": [1, 2], "d": ["x", "y"]}
    assert opened["s/A"].attrs == expected
    assert json.loads(json.dumps(expected)) == expected


def test_nan_in_attributes(tmp_path):
    for name in ("x.h5", "x.zarr"):
        opened = reopened(one_node({}, attrs={"a": np.nan, "b": [np.inf, 1.0]}), tmp_path / name)
        assert np.isnan(opened["s/A"].attrs["a"])
        assert opened["s/A"].attrs["b"] == [np.inf, 1.0]


def test_blocks_above_sessions(tmp_path):
    inner = aligned(areas=("VISp",))
    groups = {"/": xr.Dataset(attrs=inner.attrs)}
    for block in ("scenes", "movies"):
        for path, node in inner.subtree_with_keys:
            if path != ".":
                groups[f"{block}/{path}"] = node.to_dataset(inherit=False)
    tree = xr.DataTree.from_dict(groups)
    for name in ("x.h5", "x.zarr"):
        assert_identical_trees(tree, reopened(tree, tmp_path / name))
        rows = na.catalog(tmp_path / name)
        assert set(rows["block"]) == {"scenes", "movies"}


# -------------------------------------------------------------------------- what is in the file


def test_only_presentations_is_stored_of_its_views(tmp_path):
    tree = aligned()
    extra = tree["session_0/VISp"].to_dataset(inherit=False)
    changed = extra.assign_coords(orientation=extra["orientation"] + 1).drop_vars("name")
    tree["session_0/VISp"].dataset = changed
    opened = reopened(tree, tmp_path / "x.h5")
    assert_identical_trees(tree, opened)
    with h5py.File(tmp_path / "x.h5") as file:
        assert "orientation" in file["session_0/VISp"]  # its values differ
        assert not {"name", "start_time", "rewarded"} & set(file["session_0/VISp"])
        assert not {"orientation", "name"} & set(file["session_0/LGd"])


def test_a_shared_array_is_stored_once(tmp_path):
    path = store.save(aligned(), tmp_path / "x.h5")
    with h5py.File(path) as file:
        assert file["session_0/VISp/speed"] == file["session_0/LGd/speed"]
    opened = na.open_datatree(path)
    again = store.save(opened, tmp_path / "y.h5")
    with h5py.File(again) as file:
        assert file["session_0/VISp/speed"] == file["session_0/LGd/speed"]


def filters(dataset):
    plist = dataset.id.get_create_plist()
    return [plist.get_filter(i)[0] for i in range(plist.get_nfilters())]


SHUFFLE, FLETCHER, GZIP, ZSTD = 2, 3, 1, 32015


def test_filters_and_chunks(tmp_path):
    rng = np.random.default_rng(0)
    smooth = np.round(np.sin(np.arange(5000)[:, None] / 100 + np.arange(30)), 2).astype("f4")
    groups = {
        "/": xr.Dataset(attrs={"neuroarrays_schema": "aligned/1"}),
        "s/A": xr.Dataset(
            {"spike_data": (("presentation_id", "unit_id", "time"), np.ones((200, 30, 100), "u1"))}
        ),
        "s/B": xr.Dataset({"responses": (("time", "unit_id"), rng.random((20000, 30), "f4"))}),
        "s/C": xr.Dataset({"responses": (("time", "unit_id"), smooth)}),
        "s/D": xr.Dataset({"responses": (("presentation_id", "unit_id"), rng.random((9, 8000)))}),
    }
    tree = xr.DataTree.from_dict(groups)
    with h5py.File(store.save(tree, tmp_path / "x.h5")) as file:
        assert file["s/A/spike_data"].chunks == (16, 30, 100)
        assert filters(file["s/A/spike_data"]) == [ZSTD]
        assert filters(file["s/C/responses"]) == [SHUFFLE, ZSTD]
        # Noise does not shrink by a quarter: as it is, with HDF5's own checksum.
        assert filters(file["s/B/responses"]) == filters(file["s/D/responses"]) == [FLETCHER]
        assert file["s/B/responses"].chunks == (8738, 30)
        assert file["s/D/responses"].chunks == (2, 8000)
    with h5py.File(store.save(tree, tmp_path / "y.h5", compression="portable")) as file:
        assert filters(file["s/C/responses"]) == [SHUFFLE, GZIP]
        assert filters(file["s/B/responses"]) == [FLETCHER]
    with h5py.File(store.save(tree, tmp_path / "z.h5", compression=None)) as file:
        assert {tuple(filters(file[f"s/{area}"])) for area in ("A/spike_data", "C/responses")} == {
            (FLETCHER,)
        }


@pytest.mark.parametrize("name", ["x.h5", "x.zarr"])
def test_uncompressed_comes_back(tmp_path, name):
    tree = aligned(sessions=2)
    assert_identical_trees(tree, reopened(tree, tmp_path / name, compression=None))


@given(st.lists(st.integers(1, 400), min_size=1, max_size=4), st.sampled_from([1, 2, 4, 8]))
def test_chunks_fit(shape, itemsize):
    for first in ("presentation_id", "time"):
        chunk = chunk_shapes.chunk_shape((first, "a", "b", "c"), tuple(shape), itemsize)
        size = int(np.prod(shape)) * itemsize
        if size < chunk_shapes.SMALL:
            assert chunk is None
        else:
            assert all(1 <= c <= n for c, n in zip(chunk, shape, strict=True))
            assert int(np.prod(chunk)) * itemsize <= max(
                chunk_shapes.LONG_CHUNK, shape[-1] * itemsize
            )


@pytest.mark.parametrize(
    ("engine", "compression"),
    [("netcdf4", "zstd"), ("h5netcdf", "portable"), (None, "portable"), ("zarr", "zstd")],
)
def test_plain_xarray_reads_the_same(tmp_path, engine, compression):
    tree = aligned(sessions=2)
    path = tmp_path / ("x.zarr" if engine == "zarr" else "x.h5")
    store.save(tree, path, compression=compression)
    with xr.open_datatree(path, engine=engine) as plain:
        nodes = dict(plain.subtree_with_keys)
        assert set(nodes) == set(dict(tree.subtree_with_keys))
        for where, node in tree.subtree_with_keys:
            ours, theirs = node.to_dataset(inherit=False), nodes[where].to_dataset(inherit=False)
            if "depth of tip" in ours.coords:  # netCDF lists coordinates by spaces
                assert "depth of tip" in theirs.data_vars
                theirs = theirs.set_coords("depth of tip")
            table = node.children.get("presentations")
            views = set(table.data_vars) if table is not None else set()
            assert set(theirs.coords) == set(ours.coords) - views
            xr.testing.assert_equal(ours.drop_vars(views & set(ours.coords)), theirs)
            for name in theirs.variables:
                machine = ("_neuroarrays", "_NCProperties")
                attrs = {k: v for k, v in theirs[name].attrs.items() if k not in machine}
                assert attrs == ours[name].attrs
                if theirs[name].dtype.kind not in "OUT":  # each engine has its own text
                    assert theirs[name].dtype == ours[name].dtype, name
        assert plain.attrs["_saved_by"].startswith("neuroarrays ")
        assert "time" in nodes["session_0/VISp/pupil"].coords  # inherited
        assert "_saved_by" not in na.open_datatree(path).attrs


# ---------------------------------------------------------------------- paths, atomic, resumable


def entries(folder):
    return sorted(entry.name for entry in folder.iterdir())


@pytest.mark.parametrize("name", ["x.h5", "x.zarr"])
def test_nothing_is_replaced_unasked(tmp_path, name):
    path = store.save(aligned(), tmp_path / name)
    with pytest.raises(PathExists, match="overwrite=True"):
        store.save(aligned(seed=1), path)
    assert_identical_trees(aligned(), na.open_datatree(path))
    close_all()
    store.save(aligned(seed=1), path, overwrite=True)
    assert_identical_trees(aligned(seed=1), na.open_datatree(path))
    assert entries(tmp_path) == [name]


def test_paths_that_cannot_be(tmp_path):
    with pytest.raises(MissingPath, match="does not exist"):
        store.save(aligned(), tmp_path / "no" / "x.h5")
    with pytest.raises(ValueError, match=r"\.h5"):
        store.save(aligned(), tmp_path / "x.mat")
    with pytest.raises(ValueError, match="compression"):
        store.save(aligned(), tmp_path / "x.h5", compression="lz4")
    for name, layout in (("x.h5", "other"), ("x.zarr", next(iter(store.LAYOUTS)))):
        with pytest.raises(ValueError, match=f"layout='{layout}': expected None or one of"):
            store.save(aligned(), tmp_path / name, layout=layout)
    (tmp_path / "mine.zarr").mkdir()
    (tmp_path / "mine.zarr" / "notes.txt").write_text("mine")
    with pytest.raises(PathExists, match="not a Zarr store"):
        store.save(aligned(), tmp_path / "mine.zarr", overwrite=True)
    with pytest.raises(SchemaError, match="whole"):
        store.save(aligned()["session_0"], tmp_path / "x.h5")
    for other in (3, None, xr.Dataset(), xr.DataTree.from_dict({"/a": xr.Dataset()})["a"]):
        with pytest.raises(SchemaError, match=r"expected a tree|na\.open_datatree"):
            store.save(other, tmp_path / "x.h5")
    assert entries(tmp_path) == ["mine.zarr"]


@pytest.mark.parametrize("name", ["x.h5", "x.zarr"])
def test_a_tree_may_replace_what_it_is_read_from(tmp_path, name):
    tree = aligned(sessions=2, areas=("VISp",))
    path = store.save(tree, tmp_path / name)
    opened = na.open_datatree(path)
    store.save(opened, path, overwrite=True)
    close_all()
    assert_identical_trees(tree, na.open_datatree(path))


class Fragile(LazyArray):
    """Values of an array, counted as they are read; fails when told to."""

    shape, dtype = (40, 30, 25), np.dtype("u1")

    def __init__(self, number):
        self.number, self.reads, self.fail = number, 0, False

    def outer(self, key):
        if self.fail:
            raise OSError(28, "No space left on device")
        self.reads += 1
        return np.full(self.shape, self.number, "u1")[
            np.ix_(*(np.arange(n)[k] for k, n in zip(key, self.shape, strict=True)))
        ]

    def __dask_tokenize__(self):
        return self.number


def fragile_tree(sessions=3):
    tree = aligned(sessions=sessions, areas=("VISp",))
    arrays = []
    for s in range(sessions):
        arrays.append(Fragile(s))
        variable = arrays[-1].variable(("presentation_id", "unit_id", "time"), {"units": "1"})
        tree[f"session_{s}/VISp"].dataset = tree[f"session_{s}/VISp"].dataset.assign(
            spike_data=variable
        )
    return tree, arrays


@pytest.mark.parametrize("name", ["x.h5", "x.zarr"])
@pytest.mark.parametrize("existing", [False, True])
def test_an_interrupted_save_goes_on(tmp_path, name, existing):
    path = tmp_path / name
    if existing:
        store.save(aligned(seed=5), path)
    tree, arrays = fragile_tree()
    arrays[1].fail = True
    with pytest.raises(OSError, match="No space left"):
        store.save(tree, path, overwrite=True)
    if existing:
        assert_identical_trees(aligned(seed=5), na.open_datatree(path))
        close_all()
    else:
        assert not path.exists()
    finished = arrays[0].reads
    partial = entries(tmp_path / f".{name}.part")
    if name == "x.h5":
        assert partial == ["0.h5", "finished.json", "save.json"]
    assert finished > 0
    tree, again = fragile_tree()  # another process would make it anew
    store.save(tree, path, overwrite=True)
    assert again[0].reads == 0, "a finished session was computed again"
    assert again[1].reads > 0
    assert entries(tmp_path) == [name]
    assert_identical_trees(fragile_tree()[0], na.open_datatree(path))


def test_a_long_save_is_written_in_parts(tmp_path, monkeypatch):
    """Of a process that is killed the parts that were closed are kept; chunks of parts are copied."""
    monkeypatch.setattr(parts, "PART", -1.0)
    tree, arrays = fragile_tree(4)
    words = np.array(["a", None] * 20, object)
    tree["session_0/VISp/presentations/word"] = xr.DataArray(words, dims="presentation_id")
    arrays[3].fail = True
    with pytest.raises(OSError, match="No space left"):
        store.save(tree, tmp_path / "x.h5")
    part = tmp_path / ".x.h5.part"
    assert entries(part) == ["0.h5", "1.h5", "2.h5", "finished.json", "save.json"]
    (part / "unfinished.h5").write_bytes(b"what a killed process left")
    for array in arrays:
        array.fail, array.reads = False, 0
    store.save(tree, tmp_path / "x.h5")
    assert [array.reads > 0 for array in arrays] == [False, False, False, True]
    assert_identical_trees(tree, na.open_datatree(tmp_path / "x.h5"))


def test_another_tree_starts_anew(tmp_path):
    tree, arrays = fragile_tree()
    arrays[2].fail = True
    with pytest.raises(OSError, match="No space left"):
        store.save(tree, tmp_path / "x.h5")
    other, again = fragile_tree()
    other["session_2"].attrs["note"] = "another"
    store.save(other, tmp_path / "x.h5")
    assert again[0].reads > 0
    assert na.open_datatree(tmp_path / "x.h5")["session_2"].attrs["note"] == "another"


def test_a_date_in_the_history_does_not_start_anew(tmp_path):
    tree, arrays = fragile_tree()
    tree.attrs["history"] = ["2025-01-01T10:00:00Z align(bin_width=0.02)"]
    arrays[2].fail = True
    with pytest.raises(OSError, match="No space left"):
        store.save(tree, tmp_path / "x.h5")
    tree, again = fragile_tree()
    tree.attrs["history"] = ["2025-01-02T11:30:00Z align(bin_width=0.02)"]
    store.save(tree, tmp_path / "x.h5")
    assert again[0].reads == 0
    assert "01-02" in na.open_datatree(tmp_path / "x.h5").attrs["history"][0]


def test_two_saves_at_once_are_refused(tmp_path):
    pytest.importorskip("fcntl")
    with (
        partials.partial_folder(tmp_path / "x.h5", "token"),
        pytest.raises(NeuroArraysError, match="another"),
    ):
        store.save(aligned(), tmp_path / "x.h5")


def test_values_are_written_in_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr("neuroarrays.files.blocks.BLOCK", 1 << 14)
    monkeypatch.setattr("neuroarrays.archive.chunk_shapes.CHUNK", 1 << 13)
    sizes = []

    class Watched(Fragile):
        def outer(self, key):
            values = super().outer(key)
            sizes.append(values.nbytes)
            return values

    for name in ("x.h5", "x.zarr"):
        tree, _ = fragile_tree(1)
        lazy = Watched(3).variable(("presentation_id", "unit_id", "time"))
        tree["session_0/VISp"].dataset = tree["session_0/VISp"].dataset.assign(spike_data=lazy)
        opened = reopened(tree, tmp_path / name)
        assert (opened["session_0/VISp/spike_data"].values == 3).all()
    assert max(sizes) <= 1 << 14


def test_dask_arrays_are_computed_by_block(tmp_path, monkeypatch):
    pytest.importorskip("dask")
    monkeypatch.setattr("neuroarrays.files.blocks.BLOCK", 1 << 14)
    tree = aligned()
    chunked = xr.DataTree.from_dict(
        {
            p: n.to_dataset(inherit=False).chunk(presentation_id=7)
            if "spike_data" in n
            else n.to_dataset(inherit=False)
            for p, n in tree.subtree_with_keys
        }
    )
    assert_identical_trees(tree, reopened(chunked, tmp_path / "x.h5"))


def test_progress(tmp_path, capsys, monkeypatch):
    pytest.importorskip("rich", reason="the extra `cli` is not installed")
    store.save(aligned(), tmp_path / "short.h5", progress=True)
    assert capsys.readouterr().err == ""  # it took no two seconds
    monkeypatch.setattr(progress, "DELAY", 0.0)
    store.save(aligned(), tmp_path / "x.h5", progress=True)
    shown = capsys.readouterr().err
    assert shown.startswith("x.h5")
    assert shown.endswith("done\n")
    store.save(aligned(), tmp_path / "y.h5", progress=False)
    monkeypatch.setitem(sys.modules, "rich.progress", None)
    store.save(aligned(), tmp_path / "z.h5", progress=True)
    assert capsys.readouterr().err == ""


def test_progress_of_what_fails_ends_too(capsys, monkeypatch):
    pytest.importorskip("rich", reason="the extra `cli` is not installed")
    monkeypatch.setattr(progress, "DELAY", 0.0)

    def interrupted():
        with progress.Bar(True, "parts", 4, of_bytes=False) as bar:
            bar.add(3)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    shown = capsys.readouterr().err
    assert "3/4" in shown
    assert "not finished" in shown


@pytest.mark.parametrize("name", ["x.h5", "x.zarr"])
def test_every_value_is_reported_once(tmp_path, monkeypatch, name):
    reported = []
    monkeypatch.setattr(progress.Bar, "add", lambda _, amount: reported.append(amount))
    values = np.random.default_rng(0).random((400, 50))
    store.save(one_node({"signal_data": (("row", "channel"), values)}), tmp_path / name)
    assert values.nbytes <= sum(reported) < values.nbytes + 10_000


@pytest.mark.parametrize("form", ["x.h5", "x.zarr", "layout", "joined"])
def test_bytes_are_on_the_disk_before_a_file_gets_its_name(tmp_path, monkeypatch, form):
    tree, done = aligned(presentations=4, units=3, bins=2), []
    part = store.save(tree, tmp_path / "part.h5")
    replace = store.replace
    for module in (store, parts):
        monkeypatch.setattr(module, "flush", lambda whole: done.append(whole))
    monkeypatch.setattr(store, "flush_all", lambda whole: done.append(whole))
    monkeypatch.setattr(
        store, "replace", lambda whole, *rest: (done.append("named"), replace(whole, *rest))
    )
    if form == "joined":
        store.join([part], tmp_path / "joined.h5")
    elif form == "layout":
        with pytest.warns(LeftOut):
            store.save(tree, tmp_path / "x.h5", layout="allen_binned")
    else:
        store.save(tree, tmp_path / form)
    assert len(done) == 2
    assert done[1] == "named"


def test_names_keep_their_order_in_the_file(tmp_path):
    times = ("time", np.arange(4.0))
    path = store.save(one_node({"zulu": times, "alpha": times}), tmp_path / "x.h5")
    with h5py.File(path) as file:
        names = [name for name in file["s/A"] if name in ("zulu", "alpha")]
    assert names == ["zulu", "alpha"]


@pytest.mark.parametrize("name", ["x.h5", "x.zarr"])
def test_one_array_under_two_names_keeps_the_attributes_of_each(tmp_path, name):
    values = xr.Variable("time", np.arange(4.0))
    first, second = values.copy(deep=False), values.copy(deep=False)
    first.attrs["range"], second.attrs["range"] = np.array([0, 1]), np.array([2, 3])
    opened = reopened(one_node({"first": first, "second": second}), tmp_path / name)
    assert list(opened["s/A/first"].attrs["range"]) == [0, 1]
    assert list(opened["s/A/second"].attrs["range"]) == [2, 3]


# ---------------------------------------------------------------- chunks read past HDF5's filters


@pytest.fixture(scope="module")
def numbers(tmp_path_factory):
    """Datasets of every layout, and their values."""
    import hdf5plugin

    path = tmp_path_factory.mktemp("chunks") / "x.h5"
    rng = np.random.default_rng(0)
    made = {}
    with h5py.File(path, "w") as file:
        zstd = dict(hdf5plugin.Zstd())
        for name, dtype, shape, chunk, options in (
            ("counts", "u1", (23, 7, 11), (4, 7, 11), zstd),
            ("odd", "<i4", (23, 7, 11), (5, 3, 4), zstd),
            ("long", "<u2", (1000,), (64,), zstd),
            ("floats", "<f4", (23, 7, 11), (5, 3, 4), zstd | {"shuffle": True}),
            ("doubles", "<f8", (40, 9), (8, 9), zstd | {"shuffle": True}),
            ("gzip", "<f8", (40, 9), (8, 9), {"compression": "gzip"}),
            ("big", ">i4", (40, 9), (8, 9), zstd),
            ("plain", "<i4", (40, 9), None, {}),
            ("contiguous", "<f4", (700, 3, 5), None, {}),
            ("line", "<f8", (9000,), None, {}),
            ("wide", "<f8", (5, 2, 9000), None, {}),
            ("pieces", "<f4", (45, 40, 20), (7, 40, 20), {}),
            ("summed", "<i2", (4000, 5), (300, 5), {"fletcher32": True}),
            ("odd sum", "u1", (23, 3, 333), (2, 3, 333), {"fletcher32": True}),
            ("cut", "<f4", (45, 40, 20), (7, 20, 20), {"fletcher32": True}),
            ("unsummed big", ">i4", (4000, 5), (300, 5), {}),
        ):
            values = rng.integers(0, 200, shape).astype(dtype)
            file.create_dataset(name, data=values, chunks=chunk, **options)
            made[name] = values
        holes = file.create_dataset("holes", (20, 6), "<i2", chunks=(4, 3), fillvalue=-7, **zstd)
        holes[5:7, 1:4] = 9
        made["holes"] = holes[...]
        file.create_dataset("none", (0, 4), "u1", chunks=(1, 4), maxshape=(None, 4), **zstd)
        made["none"] = np.empty((0, 4), "u1")
    return open_source(path), made


def keys(n):
    position = st.integers(-n, n - 1) if n else st.nothing()
    return st.one_of(
        *(
            [position, st.lists(position, max_size=12).map(lambda k: np.array(k, np.int64))]
            if n
            else []
        ),
        st.slices(n),
    )


@given(st.data())
def test_every_kind_of_index_equals_numpy(numbers, data):
    file, made = numbers
    name = data.draw(st.sampled_from(sorted(made)))
    values = made[name]
    key = tuple(data.draw(keys(n)) for n in values.shape)
    expected = values
    for axis in reversed(range(values.ndim)):
        expected = expected[(slice(None),) * axis + (key[axis],)]
    found = file.read(name, key)
    assert found.dtype.newbyteorder("=") == values.dtype.newbyteorder("=")
    np.testing.assert_array_equal(found, expected)


def test_which_datasets_go_past_hdf5(numbers):
    file, made = numbers
    for name in made:
        file.read(name)
    handle = hdf5.handles.get(file)
    direct = {name for name, chunks in handle.chunks.items() if chunks is not None}
    assert direct == {
        "counts",
        "odd",
        "long",
        "floats",
        "doubles",
        "holes",
        "none",
        "contiguous",
        "line",
        "wide",
        "pieces",
        "summed",
        "odd sum",
    }


@given(st.data())
def test_reading_into_an_array_is_the_same(numbers, data):
    """In its dtype or another, whether its memory is in one piece or not."""
    file, made = numbers
    name = data.draw(st.sampled_from(sorted(made)))
    key = tuple(data.draw(keys(n)) for n in made[name].shape)
    expected = file.read(name, key)
    dtype = data.draw(st.sampled_from([expected.dtype.newbyteorder("="), np.dtype("f8")]))
    memory = np.full(
        (*expected.shape, 2) if data.draw(st.booleans()) else expected.shape, 255, dtype
    )
    out = memory[..., 0] if memory.ndim > expected.ndim else memory
    file.read_into(name, key, out)
    np.testing.assert_array_equal(out, expected)
    if memory.ndim > expected.ndim:
        assert (memory[..., 1] == 255).all()


@pytest.mark.parametrize("options", [{}, {"chunks": (100, 30), "fletcher32": True}])
def test_rows_of_a_file_that_ends_early(tmp_path, options, monkeypatch):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("a", data=np.ones((5000, 30)), **options)
    opened = open_source(path)
    assert opened.read("a", (0,)).sum() == 30
    os.truncate(path, 600_000)
    with pytest.raises(FormatError, match=r"x\.h5: expected the file as it was when it was opened"):
        opened.read("a")
    monkeypatch.setattr(
        positioned.LocalFile, "check_unchanged", lambda *_: None
    )  # truncated a moment later
    monkeypatch.setattr(hdf5, "check_unchanged", lambda *_: None)
    with pytest.raises(FormatError, match=r"x\.h5:a: expected .* bytes at"):
        opened.read("a")


@pytest.mark.parametrize("compression", ["zstd", None])
def test_a_file_that_is_written_to_while_it_is_open(tmp_path, compression):
    """Old values and new ones in one batch would be noticed by nobody."""
    made = [np.random.default_rng(i).random((300, 100)) < 0.1 for i in (0, 1)]
    paths = [
        store.save(
            one_node({"a": (("presentation_id9", "u"), values.astype("u1"))}),
            tmp_path / f"{i}.h5",
            compression=compression,
        )
        for i, values in enumerate(made)
    ]
    variable = na.open_datatree(paths[0])["s/A/a"].variable
    np.testing.assert_array_equal(variable[:3].values, made[0][:3])
    with open(paths[0], "r+b") as file:
        file.write(paths[1].read_bytes())
        file.truncate()  # the other may be shorter
    with pytest.raises(FormatError, match=r"0\.h5: expected the file as it was"):
        _ = variable[:3].values
    np.testing.assert_array_equal(na.open_datatree(paths[0])["s/A/a"].values, made[1])


def test_a_full_disk_says_so_and_the_save_goes_on(tmp_path):
    """A limit on the size of files is met as a full disk is: in the middle of a write.

    Of Zarr no word of its own is on the terminal: of writes that it let go of, for one.
    """
    pytest.importorskip("zarr", reason="the extra `zarr` is not installed")
    code = f"""
import resource, signal
import numpy as np
import neuroarrays as na
from neuroarrays import synthetic
tree = synthetic.aligned_tree(sessions=2, presentations=300, units=40, bins=100)
counts = tree["session_0/VISp/spike_data"].values
counts[...] = np.random.default_rng(0).integers(0, 255, counts.shape)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
h5, zarr = {str(tmp_path / "x.h5")!r}, {str(tmp_path / "x.zarr")!r}
for path, room in ((zarr, 60_000), (h5, 200_000), (h5, resource.RLIM_INFINITY)):
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
    try:
        na.save(tree, path)
    except na.WriteFailed as error:
        print(error)
print(na.open_datatree(h5).identical(tree))
"""
    done = run_script(code)
    assert done.returncode == 0, done.stderr
    zarr, full, identical = done.stdout.splitlines()
    assert "x.zarr: no room left on the disk (File too large)" in zarr
    assert "x.h5: no room left on the disk (File too large)" in full
    assert identical == "True"
    assert done.stderr == ""
    assert os.listdir(tmp_path) == ["x.h5"]


def test_a_changed_byte_of_uncompressed_rows_is_noticed(tmp_path):
    values = np.random.default_rng(0).random((40, 9000), "f4")
    path = store.save(one_node({"more": (("presentation_id3", "u"), values)}), tmp_path / "x.h5")
    with h5py.File(path) as file:
        assert filters(file["s/A/more"]) == [FLETCHER]
        chunk = file["s/A/more"].id.get_chunk_info(0)
    data = bytearray(path.read_bytes())
    data[chunk.byte_offset + chunk.size // 2] ^= 4
    (tmp_path / "bad.h5").write_bytes(data)
    rows = na.open_datatree(tmp_path / "bad.h5")["s/A/more"].variable
    np.testing.assert_array_equal(rows[35].values, values[35])  # of another chunk
    with pytest.raises(FormatError, match="checksum differs"):
        _ = rows[np.array([35, 0])].values


def test_many_chunks_on_several_threads(tmp_path):
    values = np.random.default_rng(0).poisson(0.1, (3000, 40, 50)).astype("u1")
    tree = one_node({"more": (("presentation_id2", "u2", "t2"), values)})
    opened = reopened(tree, tmp_path / "x.h5")["s/A/more"].variable
    assert isinstance(array_of(opened), FileArray)
    wanted = np.random.default_rng(1).integers(0, 3000, 500)
    np.testing.assert_array_equal(opened[wanted].values, values[wanted])
    np.testing.assert_array_equal(opened.values, values)


def test_a_lost_zarr_chunk_is_an_error_not_zeros(tmp_path):
    path = na.save(na.load_sample(), tmp_path / "sample.zarr")
    lost = sorted((path / "A2929-200711" / "adn" / "spikes" / "spike_times" / "c").rglob("*"))[-1]
    lost.unlink()
    tree = na.open_datatree(path)
    with pytest.raises(FormatError, match=r"spike_times: expected \d+ files? of chunks; found"):
        tree["A2929-200711/adn/spikes/spike_times"].load()
    assert tree["A2929-200711/ca1/spikes/spike_times"].size


def test_other_values_of_the_same_shape_are_not_resumed(tmp_path):
    path = tmp_path / "x.h5"
    tree, arrays = fragile_tree()
    big = np.zeros((40, 30, 2000), "f4")

    def with_values(value):
        node = tree["session_0/VISp"]
        extra = xr.Variable(("presentation_id", "unit_id", "more"), big + value)
        node.dataset = node.to_dataset(inherit=False).assign(extra=extra)

    with_values(1)
    arrays[1].fail = True
    with pytest.raises(OSError, match="No space left"):
        store.save(tree, path)
    with_values(2)
    arrays[1].fail = False
    store.save(tree, path)
    reopened = na.open_datatree(path, engine="neuroarrays")
    assert (reopened["session_0/VISp/extra"] == 2).all()


# ------------------------------------------------------------------------- what is shown repeatedly


def shown(frames, areas=("V1", "LM")):
    """A session whose stimulus is given frames, one per presentation."""
    n = len(frames)
    groups = {
        "/": xr.Dataset(attrs={"neuroarrays_schema": "aligned/1"}),
        "m": xr.Dataset(
            {"stimulus": (("presentation_id", "channel", "y", "x"), frames, {"units": "1"})},
            {"presentation_id": np.arange(n) + 7, "tier": ("presentation_id", np.arange(n) % 3)},
        ),
    }
    for area in areas:
        responses = (("presentation_id", "unit_id"), np.arange(3.0 * n).reshape(n, 3))
        groups[f"m/{area}"] = xr.Dataset({"responses": responses}, {"unit_id": np.arange(3)})
    return xr.DataTree.from_dict(groups)


@settings(max_examples=15, deadline=None)
@given(
    places=st.lists(st.integers(0, 5), min_size=5, max_size=60),
    dtype=st.sampled_from(["u1", "f4", "f2", "f8"]),
    compression=st.sampled_from(["zstd", "portable", None]),
    block=st.sampled_from([1 << 15, 1 << 24]),
    key=st.one_of(st.integers(0, 4), st.slices(5), st.lists(st.integers(0, 4), max_size=7)),
)
def test_repeated_frames_are_stored_once(tmp_path_factory, places, dtype, compression, block, key):
    tmp_path = tmp_path_factory.mktemp("repeats")
    distinct = np.random.default_rng(0).integers(0, 255, (6, 2, 40, 30)).astype(dtype)
    frames = distinct[places]
    tree = shown(frames)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("neuroarrays.files.blocks.BLOCK", block)
        path = store.save(tree, tmp_path / "x.h5", compression=compression)
    opened = na.open_datatree(path)
    assert_identical_trees(tree, opened)
    again = na.open_datatree(store.save(opened, tmp_path / "y.h5"))
    assert_identical_trees(tree, again)
    picked = opened["m/stimulus"].variable[key].values
    np.testing.assert_array_equal(picked, frames[key])
    with h5py.File(path) as file:
        stored = file["m/stimulus"]
        assert len(stored) == len(set(places))
        assert ("stimulus_index" in file["m"]) == (len(set(places)) < len(places))
        if "stimulus_index" in file["m"]:
            index = file["m/stimulus_index"]
            assert index.attrs["instance_dimension"] == "stimulus_instance"
            np.testing.assert_array_equal(stored[...][index[...]], frames)
    close_all()


def test_other_readers_expand_repeated_frames(tmp_path):
    frames = (
        np.random.default_rng(0).integers(0, 255, (30, 1, 40, 30)).astype("f4")[np.arange(90) % 30]
    )
    path = store.save(shown(frames), tmp_path / "x.h5")
    for engine in ("netcdf4", "h5netcdf"):
        with xr.open_datatree(path, engine=engine) as plain:
            session = plain["m"].to_dataset()
            assert session["stimulus"].dims == ("stimulus_instance", "channel", "y", "x")
            assert session["stimulus"].sizes["stimulus_instance"] == 30
            whole = session["stimulus"].isel(stimulus_instance=session["stimulus_index"])
            assert whole.dims == ("presentation_id", "channel", "y", "x")
            np.testing.assert_array_equal(whole, frames)
            assert "tier" in session["stimulus_index"].coords


def test_frames_that_differ_by_one_bit_are_both_kept(tmp_path):
    frames = np.zeros((20, 1, 40, 30), "f4")
    frames[3, 0, 0, 0], frames[4, 0, 0, 0] = -0.0, np.nan
    opened = reopened(shown(frames), tmp_path / "x.h5")["m/stimulus"].values
    assert np.signbit(opened[3, 0, 0, 0])
    assert np.isnan(opened[4, 0, 0, 0])
    with h5py.File(tmp_path / "x.h5") as file:
        assert len(file["m/stimulus"]) == 3


def test_repeated_frames_of_several_sessions_resume_and_join(tmp_path, looked_at):
    rng = np.random.default_rng(0)
    names = ("a", "b")
    trees = {}
    for name in names:
        frames = rng.random((11, 1, 40, 30), "f4")[rng.integers(0, 11, 50)]
        trees[name] = (
            shown(frames)["m"].to_dataset(),
            shown(frames)["m/V1"].to_dataset(inherit=False),
        )

    def tree(chosen):
        groups = {"/": xr.Dataset(attrs={"neuroarrays_schema": "aligned/1"})}
        for name in chosen:
            groups |= {name: trees[name][0], f"{name}/V1": trees[name][1]}
        return xr.DataTree.from_dict(groups)

    whole = reopened(tree(names), tmp_path / "whole.h5")
    assert_identical_trees(tree(names), whole)
    files = [store.save(tree(name), tmp_path / f"{name}.h5") for name in names]
    joined = store.join(files, tmp_path / "joined.h5")
    assert_identical_trees(tree(names), na.open_datatree(joined))
    with h5py.File(joined) as file:
        assert len(file["a/stimulus"]) <= 11
    assert_identical_trees(tree(names), reopened(tree(names), tmp_path / "x.zarr"))
    assert [path.name for path in looked_at] == ["whole.h5"] * 4


def test_names_that_are_taken(tmp_path):
    frames = np.ones((30, 1, 40, 30), "f4")
    tree = shown(frames, areas=("stimulus_index",))
    node = tree["m"]
    node.dataset = node.to_dataset(inherit=False).assign(
        stimulus_instance=("presentation_id", np.arange(30))
    )
    assert_identical_trees(tree, reopened(tree, tmp_path / "x.h5"))


def test_a_place_beyond_the_stored_frames_is_an_error(tmp_path):
    path = store.save(shown(np.ones((30, 1, 40, 30), "f4")), tmp_path / "x.h5")
    with h5py.File(path, "r+") as file:
        file["m/stimulus_index"][3] = 1
    with pytest.raises(FormatError, match=r"m/stimulus: expected positions among 1 stored rows"):
        na.open_datatree(path)["m/stimulus"].load()
