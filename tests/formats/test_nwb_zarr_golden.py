"""NWB stores as hdmf-zarr writes them, compared with what hdmf-zarr itself reads of them."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import neuroarrays as na
from neuroarrays.testing.loopback import Loopback

zarr = pytest.importorskip("zarr", reason="the extra `zarr` is not installed")
GOLDEN = Path(__file__).parents[1] / "golden" / "nwb" / "hdmf_zarr"
WRITERS = ["current", "older"]


@pytest.fixture(scope="module", params=WRITERS)
def opened(request):
    tree = na.open_datatree(GOLDEN / f"{request.param}.nwb.zarr")
    return tree[request.param], json.loads((GOLDEN / f"{request.param}.json").read_text())


def test_series_and_the_timestamps_that_they_share_by_a_link(opened):
    tree, known = opened
    places = {"green": "green", "red": "red", "LFP": "LFP", "speed": "BehavioralTimeSeries"}
    for name, place in places.items():
        data = np.array(known["series"][name]["data"])
        scale = 2.0e-7 if name == "LFP" else 1.0
        np.testing.assert_allclose(tree[place][name], data * scale, rtol=1e-6)
        np.testing.assert_array_equal(tree[place]["time"], known["series"][name]["time"])
    np.testing.assert_array_equal(tree["red/time"], tree["green/time"])


def test_units_stand_in_the_areas_of_their_electrodes(opened):
    tree, known = opened
    units, locations = known["units"], known["electrodes"]["location"]
    for number, unit in enumerate(units["id"]):
        node = tree[locations[units["electrodes"][number][0]]]["spikes"]
        assert node["electrodes"].dims == ("unit_id", "waveform_electrode")
        at = list(node["unit_id"].values).index(unit)
        stop = int(np.cumsum(node["row_size"])[at])
        start = stop - int(node["row_size"][at])
        np.testing.assert_array_equal(node["spike_times"][start:stop], units["spike_times"][number])
        assert node["quality"].values[at] == units["quality"][number]
        assert node["snr"].values[at] == units["snr"][number]


def test_trials_with_text_and_ragged_columns(opened):
    tree, known = opened
    trials = tree["presentations/trials"]
    for name in ("start_time", "stop_time", "cue", "rewarded"):
        assert trials[name].values.tolist() == known["trials"][name]
    for row, licks in zip(trials["licks"].values, known["trials"]["licks"], strict=True):
        assert row[~np.isnan(row)].tolist() == licks
    assert tree.attrs["subject"] == "m3"
    assert tree.attrs["session_start_time"] == known["session_start_time"]


@pytest.mark.parametrize("writer", WRITERS)
def test_over_http_they_are_the_same(writer):
    pytest.importorskip("obstore", reason="the extra `remote` is not installed")
    local = na.open_datatree(GOLDEN / f"{writer}.nwb.zarr")
    with Loopback(GOLDEN) as server:
        there = na.open_datatree(server.url(f"{writer}.nwb.zarr"))
        assert there.identical(local)
        absent = [entry[2] for entry in server.seen.log if entry[1] == 404]
        assert (
            len(absent) <= 4
        )  # metadata of a root, of one format or another; no probing array by array


def test_a_column_of_pickles_costs_itself_alone(tmp_path):
    """As hdmf-zarr wrote `units/electrode_group` once: it is not unpickled, and a note says so."""
    path = tmp_path / "older.nwb.zarr"
    shutil.copytree(GOLDEN / path.name, path)
    (path / ".zmetadata").unlink()
    group = path / "units" / "electrode_group"
    group.mkdir()
    rows = json.loads((path / "units" / "id" / ".zarray").read_text())
    rows |= {"dtype": "|O", "fill_value": None, "filters": [{"id": "pickle", "protocol": 5}]}
    (group / ".zarray").write_text(json.dumps(rows))
    (group / ".zattrs").write_text("{}")
    tree = na.open_datatree(path)["older"]
    (area, *_) = (node for node in tree.subtree if node.name == "spikes")
    assert area["quality"].values.size
    assert "units/electrode_group" in str(tree.attrs["notes"])
