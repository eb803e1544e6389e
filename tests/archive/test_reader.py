"""The reader of archives: the conformance suite, choosing, catalog, damage."""

import base64
import json
import os
import shutil

import h5py
import numpy as np
import pytest
import xarray as xr

import neuroarrays as na
from neuroarrays.archive import index
from neuroarrays.archive import saving as store
from neuroarrays.archive.marks import Marks
from neuroarrays.archive.reader import ArchiveReader, _Builder, has_footer
from neuroarrays.errors import FormatError, NeuroArraysError, NotInTree
from neuroarrays.files.probe import probe_of
from neuroarrays.lazy.arrays import LazyArray, array_of
from neuroarrays.testing import ReaderTests, assert_same_trees, load
from neuroarrays.testing.sources import close_all


def small(sessions=3, areas=("VISp", "LGd")):
    groups = {"/": xr.Dataset(attrs={"neuroarrays_schema": "aligned/1", "source": "test"})}
    for s in range(sessions):
        groups[f"s{s}"] = xr.Dataset(
            coords={"presentation_id": np.arange(30), "time": np.arange(20) / 50}
        )
        for a, area in enumerate(areas):
            counts = (np.arange(30 * 12 * 20).reshape(30, 12, 20) * (a + 1) + s) % 7
            table = {
                "start_time": ("presentation_id", np.arange(30) * 2.0, {"units": "s"}),
                "stop_time": ("presentation_id", np.arange(30) * 2.0 + 1, {"units": "s"}),
                "image": ("presentation_id", np.array(["dog", "", None] * 10, object)),
            }
            groups[f"s{s}/{area}"] = xr.Dataset(
                {
                    "spike_data": (("presentation_id", "unit_id", "time"), counts.astype("u1")),
                    "valid": (("presentation_id", "time"), counts[:, 0] > 1),
                },
                coords={
                    "unit_id": np.arange(12),
                    "snr": ("unit_id", np.linspace(0, 1, 12)),
                    **table,
                },
            )
            groups[f"s{s}/{area}/presentations"] = xr.Dataset(table)
            groups[f"s{s}/{area}/pupil"] = xr.Dataset(
                {"x": (("presentation_id", "time"), counts[:, 0].astype("f4"))}
            )
    return xr.DataTree.from_dict(groups)


class Archive(ReaderTests):
    reader = ArchiveReader
    values = {
        ("s0/VISp", "spike_data", (0, 0, 0)): 0,
        ("s0/VISp", "spike_data", (0, 0, 1)): 1,
        ("s1/LGd", "spike_data", (29, 11, 19)): (7199 * 2 + 1) % 7,
        ("s1/LGd/presentations", "start_time", -1): 58.0,
        ("s1/LGd/presentations", "image", 0): "dog",
        ("s1/LGd", "valid", (0, 0)): False,
    }


class TestHDF5(Archive):
    archives = (".h5",)

    def path(self, folder):
        return store.save(small(2), folder / "archive.h5")


class TestPortable(Archive):
    archives = (".h5",)
    start_methods = ("fork",)

    def path(self, folder):
        return store.save(small(2), folder / "archive.nc", compression="portable")


class TestZarr(Archive):
    archives = (".zarr",)

    def path(self, folder):
        return store.save(small(2), folder / "archive.zarr")


class TestRecording(ReaderTests):
    reader = ArchiveReader
    start_methods = ("fork",)
    values = {}

    @pytest.fixture(autouse=True)
    def _read_by_hand(self, tmp_path):
        """The golden values of the sample recording itself, read with h5py."""
        with h5py.File(na.sample_path()) as file:
            ids, times = file["units/id"][:], file["units/spike_times"][:]
        type(self).values = {
            ("A2929-200711/adn/spikes", "unit_id", 0): int(ids[0]),
            ("A2929-200711/adn/spikes", "spike_times", 0): float(times[0]),
            ("A2929-200711/ca1/spikes", "spike_times", -1): float(times[-1]),
        }

    def path(self, folder):
        return store.save(na.open_datatree(na.sample_path()), folder / "recording.h5")


@pytest.fixture(params=["x.h5", "x.zarr"])
def archive(request, tmp_path):
    yield store.save(small(), tmp_path / request.param)
    close_all()


def test_sessions_and_areas(archive):
    tree = na.open_datatree(archive, sessions="s1", areas="VIS*")
    assert {p for p, _ in tree.subtree_with_keys} == {
        ".",
        "s1",
        "s1/VISp",
        "s1/VISp/presentations",
        "s1/VISp/pupil",
    }
    xr.testing.assert_identical(tree["s1/VISp"].to_dataset(), small()["s1/VISp"].to_dataset())
    with pytest.raises(NotInTree, match="s9"):
        na.open_datatree(archive, sessions="s9")


@pytest.mark.parametrize("suffix", ["h5", "zarr"])
def test_a_session_without_the_areas_asked_for_is_not_there(tmp_path, suffix):
    tree = small(2)
    del tree["s1"]["LGd"]
    path = na.save(tree, tmp_path / f"a.{suffix}")
    assert list(na.open_datatree(path, areas="LG*").children) == ["s0"]
    assert list(na.open_datatree(path).children) == ["s0", "s1"]


def test_only_the_sessions_asked_for_are_visited(tmp_path, monkeypatch):
    path = store.save(small(), tmp_path / "x.h5")
    visited = []
    original = index.Index.fetch
    monkeypatch.setattr(
        index.Index, "fetch", lambda self, names: visited.extend(names) or original(self, names)
    )
    monkeypatch.setattr(index, "scan_hdf5", lambda *a, **k: pytest.fail("visited the whole file"))
    na.open_datatree(path, sessions=["s0", "s2"])
    assert visited == ["s0", "s2"]
    assert len(na.catalog(path)) == 6
    assert visited == ["s0", "s2"]


def test_drop_variables(archive):
    tree = ArchiveReader().open_datatree(archive, drop_variables=["valid", "image"])
    assert "valid" not in tree["s0/VISp"]
    assert "image" not in tree["s0/VISp"].coords


def test_catalog(archive):
    rows = na.catalog(archive)
    assert list(rows["session"]) == ["s0", "s0", "s1", "s1", "s2", "s2"]
    assert set(rows["units"]) == {12}
    assert set(rows["presentations"]) == {30}


def test_groupby_a_trial_parameter(archive):
    area = na.open_datatree(archive)["s0/VISp"].to_dataset()
    found = area["spike_data"].groupby("image").mean("presentation_id")
    expected = small()["s0/VISp/spike_data"].groupby("image").mean("presentation_id")
    xr.testing.assert_allclose(found, expected)


def test_the_index_is_dropped_when_another_program_writes(tmp_path):
    path = store.save(small(), tmp_path / "x.h5")
    assert has_footer(probe_of(path))
    with h5py.File(path, "r+") as file:
        file["s0/VISp"].attrs["note"] = "added"
        file["s0/VISp/unit_id"][0] = 77
    assert not has_footer(probe_of(path))
    tree = na.open_datatree(path)
    assert tree["s0/VISp"].attrs["note"] == "added"
    assert tree["s0/VISp"].unit_id[0] == 77
    expected = small()
    assert_same_trees(
        tree.filter(lambda n: "s0" not in n.path), expected.filter(lambda n: "s0" not in n.path)
    )


def test_opening_by_looking_is_the_same(tmp_path):
    path = store.save(small(), tmp_path / "x.h5")
    fast = na.open_datatree(path).load()
    rows = na.catalog(path)
    na.release()  # HDF5 refuses to write to what this process has open
    with h5py.File(path, "r+") as file:  # as another program does: it drops the index
        file.attrs["_saved_by"] = file.attrs["_saved_by"]
    assert not has_footer(probe_of(path))
    assert_same_trees(na.open_datatree(path), fast)
    again = na.catalog(path).drop(columns="stamp")  # the file was changed
    assert again.to_dict() == rows.drop(columns="stamp").to_dict()
    unlisted = store.save(small(), tmp_path / "x.zarr")
    (unlisted / ".checksums").unlink()
    (unlisted / "zarr.json").write_text(
        '{"zarr_format": 3, "node_type": "group", "attributes": '
        '{"neuroarrays_schema": "aligned/1", "source": "test", "_saved_by": "neuroarrays"}}'
    )
    assert_same_trees(na.open_datatree(unlisted), fast)


def values_of(path):
    tree = na.open_datatree(path)
    load(tree)
    return tree


@pytest.mark.parametrize("compression", ["zstd", "portable"])
def test_damage_is_an_error_or_does_no_harm(tmp_path, compression):
    good = store.save(small(sessions=2), tmp_path / "good.h5", compression=compression)
    expected = small(sessions=2)
    size = good.stat().st_size
    rng = np.random.default_rng(0)
    bad = tmp_path / "bad.h5"
    named = 0
    for trial in range(60):
        shutil.copy(good, bad)
        if trial < 15:
            os.truncate(bad, int(size * trial / 15))
        else:
            with open(bad, "r+b") as file:
                for place in rng.integers(0, size, 1 + trial % 8):
                    file.seek(int(place))
                    byte = file.read(1)[0]
                    file.seek(int(place))
                    file.write(bytes([byte ^ (1 << int(rng.integers(8)))]))
        try:
            assert_same_trees(values_of(bad), expected)
        except NeuroArraysError as error:
            named += "bad.h5" in str(error)
        finally:
            close_all()
        bad.unlink()
    assert named > 10


def test_damaged_values_are_noticed(tmp_path):
    """A changed byte in a chunk, in a small array and in text: never silently other values."""
    good = store.save(small(sessions=1), tmp_path / "good.h5")
    with h5py.File(good) as file:
        chunk = file["s0/VISp/spike_data"].id.get_chunk_info(0)
        places = {
            "spike_data": chunk.byte_offset + chunk.size // 2,
            "snr": file["s0/VISp/snr"].id.get_offset() + 20,
        }
    text = good.read_bytes().index(b"dog")
    for name, place in (*places.items(), ("image", text)):
        bad = tmp_path / f"{name}.h5"
        data = bytearray(good.read_bytes())
        data[place] ^= 4
        bad.write_bytes(data)
        tree = na.open_datatree(bad)
        with pytest.raises(FormatError, match=name):
            load(tree)
        close_all()


def test_a_damaged_entry_of_a_session_is_named_and_does_no_harm_to_others(tmp_path):
    path = store.save(small(), tmp_path / "x.h5")
    content = bytearray(path.read_bytes())
    content[index.load(probe_of(path)).entries["s1"][0] + 9] ^= 1
    path.write_bytes(content)
    close_all()
    assert na.open_datatree(path, sessions=["s0"])["s0/VISp"].sizes["unit_id"] == 12
    with pytest.raises(FormatError, match=r"x\.h5:s1: expected the session's entry in the index"):
        na.open_datatree(path)


def test_a_missing_mark(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.attrs["title"] = "no archive"
    with pytest.raises(FormatError, match="neuroarrays_schema"):
        ArchiveReader().open_groups_as_dict(tmp_path / "x.h5")


@pytest.mark.parametrize(
    ("metadata", "place"),
    [
        (3, ""),
        ({"metadata": [1]}, ""),
        ({"metadata": {"s0": 3}}, ":s0"),
        ({"metadata": {"s0": {"node_type": "group", "attributes": {}}, "s0/x": {}}}, ":s0/x"),
        ({"metadata": {"s0": {"node_type": "group"}}}, ""),
    ],
)
def test_metadata_of_zarr_that_are_none(tmp_path, metadata, place):
    root = {"zarr_format": 3, "node_type": "group", "consolidated_metadata": metadata}
    root["attributes"] = {"neuroarrays_schema": "aligned/1"}
    (tmp_path / "x.zarr").mkdir()
    (tmp_path / "x.zarr" / "zarr.json").write_text(json.dumps(root))
    with pytest.raises(FormatError, match=rf"x\.zarr{place}: expected Zarr v3 metadata; found"):
        na.open_datatree(tmp_path / "x.zarr")


def test_links_out_of_the_file_are_refused(tmp_path):
    path = store.save(small(), tmp_path / "x.h5")
    with h5py.File(path, "r+") as file:
        file["s0/VISp/other"] = h5py.ExternalLink("elsewhere.h5", "/x")
    with pytest.raises(FormatError, match=r"x\.h5:/?s0/VISp/other: .*found a link"):
        na.open_datatree(path)


# ---------------------------------------------------------------------- folders of archives


def one_block(seed, sessions=("s1", "s2"), areas=("VISp", "CA1")):
    import xarray as xr

    from neuroarrays.synthetic import aligned_tree

    inner = aligned_tree(seed=seed)
    (session,) = inner.children
    (area, *_) = inner[session].children
    groups = {"/": inner.to_dataset()}
    for name in sessions:
        groups[name] = inner[session].to_dataset(inherit=False)
        for place in areas:
            for path, node in inner[f"{session}/{area}"].subtree_with_keys:
                groups[f"{name}/{place}/{path}".rstrip("/.")] = node.to_dataset(inherit=False)
    return xr.DataTree.from_dict(groups)


@pytest.fixture
def folder_of_archives(tmp_path):
    na.save(one_block(1), tmp_path / "gabors.h5")
    na.save(one_block(2, ("s2", "s3"), ("VISp",)), tmp_path / "scenes.h5")
    (tmp_path / ".build").mkdir()
    na.save(one_block(3), tmp_path / ".build" / "part.h5")
    (tmp_path / "notes.txt").write_text("nothing")
    return tmp_path


def test_a_folder_of_archives_opens_as_blocks(folder_of_archives):
    tree = na.open_datatree(folder_of_archives)
    assert list(tree.children) == ["gabors", "scenes"]
    assert tree.attrs["source"] == "neuroarrays"
    alone = na.open_datatree(folder_of_archives / "scenes.h5")
    for path, node in alone.subtree_with_keys:
        other = tree[f"scenes/{path}".rstrip("/.")]
        assert (
            node.to_dataset(inherit=False)
            .drop_attrs()
            .identical(other.to_dataset(inherit=False).drop_attrs())
        )
    paths = [folder_of_archives / "gabors.h5", folder_of_archives / "scenes.h5"]
    assert tree.attrs.pop("notes")[0].startswith("passed over")
    assert na.open_datatree(paths).identical(tree)
    rows = na.catalog(folder_of_archives)
    assert rows["block"].tolist() == ["gabors"] * 4 + ["scenes"] * 2
    whole = na.save(tree, folder_of_archives / ".build" / "whole.h5")
    assert list(na.open_datatree(whole).children) == ["gabors", "scenes"]


def test_sessions_and_areas_of_a_folder_of_archives(folder_of_archives):
    tree = na.open_datatree(folder_of_archives, sessions=["s3", "s1"])
    assert [path for path in tree.groups if path.endswith(("s1", "s2", "s3"))] == [
        "/gabors/s1",
        "/scenes/s3",
    ]
    tree = na.open_datatree(folder_of_archives, areas="CA*")
    assert list(tree.children) == ["gabors"]
    with pytest.raises(NotInTree, match="no session 's4'"):
        na.open_datatree(folder_of_archives, sessions="s4")
    with pytest.raises(NotInTree, match="no area 'CA2'"):
        na.open_datatree(folder_of_archives, areas="CA2")


def test_a_folder_that_a_build_has_not_finished(folder_of_archives):
    shutil.rmtree(folder_of_archives / ".build")
    Marks(folder_of_archives).want({"gabors": "t", "movies": "t"}, ["mouse 7: damaged"])
    text = "build of this archive is not finished.*'movies'.*Run the same build again"
    with pytest.warns(UserWarning, match=text):
        tree = na.open_datatree(folder_of_archives)
    assert list(tree.children) == ["gabors", "scenes"]
    for name in ("gabors", "scenes"):
        (folder_of_archives / f"{name}.h5").unlink()
    with pytest.raises(FormatError, match="none yet: .*'movies'.* run the same build again"):
        na.open_datatree(folder_of_archives)


def test_archives_of_one_name(folder_of_archives):
    other = folder_of_archives / "other"
    other.mkdir()
    na.save(one_block(4), other / "gabors.h5")
    with pytest.raises(FormatError, match="different names"):
        na.open_datatree([folder_of_archives / "gabors.h5", other / "gabors.h5"])


def test_a_damaged_archive_in_a_folder_is_named(folder_of_archives):
    path = folder_of_archives / "movies.h5"
    path.write_bytes((folder_of_archives / "gabors.h5").read_bytes()[:5000])
    with pytest.raises(FormatError, match=r"movies\.h5"):
        na.open_datatree(folder_of_archives)


def test_rows_stored_once_are_read_into_a_buffer(tmp_path):
    frames = np.random.default_rng(0).random((3, 1, 24, 48), "f4")[[0, 1, 0, 2, 1]]
    tree = xr.DataTree.from_dict(
        {
            "/": xr.Dataset(attrs={"neuroarrays_schema": "aligned/1"}),
            "m": xr.Dataset({"stimulus": (("presentation_id", "channel", "y", "x"), frames)}),
            "m/V1": xr.Dataset({"responses": (("presentation_id", "unit_id"), np.ones((5, 2)))}),
        }
    )
    opened = na.open_datatree(store.save(tree, tmp_path / "x.h5"))
    array = array_of(opened["m/stimulus"].variable)
    out = np.full((3, 1, 2, 48), np.nan, "f4")
    array.into((np.array([4, 0, 2]), slice(0, 1, 1), slice(1, 3, 1), slice(0, 48, 1)), out)
    np.testing.assert_array_equal(out, frames[[4, 0, 2], :, 1:3])
    stored, places = array.distinct()
    assert stored.shape == (3, 1, 24, 48)
    assert places.tolist() == [0, 1, 0, 2, 1]


# ---------------------------------------------------------------------------- what is read at once


@pytest.mark.parametrize(
    ("name", "dim", "form", "kept", "in_memory"),
    [
        ("unit_id", "unit_id", "plain", True, True),
        ("time", "time", "clock", True, False),  # a clock is divided, not read
        ("row_size", "unit_id", None, True, True),
        ("snr", "unit_id", None, True, False),
        ("snr", "unit_id", None, False, False),
    ],
)
def test_what_an_index_needs_is_in_memory_and_the_rest_is_lazy(name, dim, form, kept, in_memory):
    values = np.array([3, 5, 8])
    record = {"d": [dim], "s": [3], "t": "<i8", "a": {"units": "1"}, "k": "raw", "p": "x"}
    record |= {"v": base64.b64encode(values.tobytes()).decode()} if kept else {}
    variable = _Builder(None, "recording")._variable(name, record, form)
    assert (variable.dims, variable.shape, variable.dtype) == ((dim,), (3,), values.dtype)
    assert variable.attrs == {"units": "1"}
    assert isinstance(array_of(variable), np.ndarray if in_memory else LazyArray)
    assert not in_memory or variable.values.tolist() == values.tolist()


def test_a_record_whose_sizes_are_not_those_of_its_dims_is_refused():
    record = {"d": ["time", "unit_id"], "s": [3], "t": "<f8", "a": {}, "k": "raw", "p": "x"}
    with pytest.raises(ValueError, match="x has 2 dims and 1 sizes"):
        _Builder(None, "aligned")._variable("x", record)


def test_attributes_of_the_root_are_those_of_the_first_part(tmp_path):
    parts = []
    for name in ("a", "b"):
        tree = small(sessions=1, areas=("VISp",))
        tree.attrs |= {"title": name, name: ["one", "é", ""]}
        parts.append(store.save(_renamed(tree, name), tmp_path / f"{name}.h5"))
    joined = na.open_datatree(store.join(parts, tmp_path / "joined.h5"))
    assert set(joined.children) == {"a", "b"}
    assert joined.attrs["title"] == "a"
    assert joined.attrs["a"] == ["one", "é", ""]
    assert "b" not in joined.attrs
    with h5py.File(tmp_path / "a.h5") as file:  # as other programs read it
        assert h5py.check_string_dtype(h5py.h5a.open(file.id, b"a").dtype).length is None


def _renamed(tree, name):
    """The tree with its one session under another name."""
    nodes = {path.replace("/s0", f"/{name}", 1): node for path, node in tree.to_dict().items()}
    return xr.DataTree.from_dict(nodes)
