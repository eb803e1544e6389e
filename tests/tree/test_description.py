"""What is said of a tree is so, in a terminal and in a notebook, and nothing is read for it."""

import io
from xml.etree import ElementTree

import numpy as np
import pytest
import xarray as xr

import neuroarrays as na
from neuroarrays.errors import SchemaError
from neuroarrays.synthetic import write_nwb

SESSION = "A2929-200711"


def test_a_recording_is_described():
    text = str(na.describe(na.load_sample()))
    title, header, adn, ca1, signals, tables = text.splitlines()
    assert title == "recording tree from nwb: 1 session, 2 areas, 15 units"
    assert header.split() == ["session", "area", "units", "spikes", "duration", "rate"]
    assert adn.startswith(f"{SESSION}  adn       7  79,349  20.0 min  9.4 spikes/s")
    assert ca1.split() == ["ca1", "8", "19,445", "2.0", "spikes/s"]
    assert signals.startswith("  signals  head_direction 60 Hz, position 60 Hz")
    assert tables.startswith("  tables   epochs 2, ")
    assert "sleep_ripples 594" in tables


def test_no_line_of_text_is_wider_than_a_page():
    series = {
        f"/s/a_signal_with_a_long_name_{i}": xr.Dataset({"x": ("time", np.ones(3))})
        for i in range(20)
    }
    mark = {"neuroarrays_schema": "recording/1", "source": "a " * 80}
    tree = xr.DataTree.from_dict({"/": xr.Dataset(attrs=mark), **series})
    tree["s"].attrs["notes"] = ["one"]
    lines = str(na.describe(tree)).splitlines()
    assert max(map(len, lines)) <= 100
    assert "  notes    1, in tree['s'].attrs['notes']" in lines
    assert sum(line.count("3 samples") for line in lines) == 20, "a name is apart from its number"


def test_a_long_name_of_a_session_stands_alone():
    tree = na.load_sample()
    long = xr.DataTree.from_dict({f"/{'s' * 60}": tree[SESSION], "/": tree})
    lines = str(na.describe(long.drop_nodes(SESSION))).splitlines()
    assert lines[2] == "s" * 60
    assert lines[3].startswith("adn")


def test_aligned_trees_say_what_is_masked():
    ripples = na.align(na.load_sample(), "sleep_ripples", 0.01)
    text = str(na.describe(ripples))
    share = 1 - ripples[f"{SESSION}/ca1"]["valid"].values.mean()
    assert f"{share:.1%}" in text
    assert "29 bins of 10 ms" in text
    assert " 594 " in text
    clock = str(na.describe(na.align(na.load_sample(), bin_width=0.02)))
    assert "60,000 bins of 20 ms" in clock
    assert "masked" not in clock
    assert "  signals  head_direction, position\n" in clock + "\n"


def test_a_file_with_everything_and_one_without_clocks(tmp_path):
    write_nwb(tmp_path / "all.nwb")
    text = str(na.describe(na.open_datatree(tmp_path / "all.nwb")))
    assert "running 20 Hz" in text
    assert "V1" in text
    write_nwb(tmp_path / "few.nwb", parts=("units",), trials=0)
    assert "duration" in str(na.describe(na.open_datatree(tmp_path / "few.nwb")))


def test_html_is_well_formed_and_escaped():
    tree = na.load_sample()
    tree.attrs["source"] = "<script>"
    page = na.describe(tree)._repr_html_()
    table = ElementTree.fromstring(page)
    assert table.tag == "table"
    columns = [cell.text for cell in table.findall("thead/tr/th")]
    rows = [[cell.text for cell in row] for row in table.findall("tbody/tr")]
    assert columns[:5] == ["session", "area", "units", "spikes", "duration"]
    assert [row[:5] for row in rows] == [
        [SESSION, "adn", "7", "79,349", "20.0 min"],
        [None, "ca1", "8", "19,445", None],
    ]
    assert "<script>" not in page
    sides = [cell.get("style").partition(":")[2] for cell in table.findall("tbody/tr/td")]
    assert sides[:5] == [
        "left",
        "left",
        "right",
        "right",
        "right",
    ]  # numbers stand below each other


def test_rich_draws_it_where_it_is_installed():
    rich = pytest.importorskip("rich.console", reason="the extra `cli` is not installed")
    console = rich.Console(width=200, file=io.StringIO())
    described = na.describe(na.load_sample())
    columns = described.__rich__().columns
    assert [c.header for c in columns if c.justify == "right"] == [
        "units",
        "spikes",
        "duration",
        "rate",
    ]
    assert {c.justify for c in columns} == {"left", "right"}
    console.print(described)
    text = console.file.getvalue()
    assert "sleep_ripples 594" in text
    assert "adn" in text


def test_no_spikes_are_read_of_a_large_tree(monkeypatch):
    from neuroarrays.tree.extents import Part
    from neuroarrays.tree.trains import Trains

    tree = na.load_sample()
    na.release()
    read = []
    load, pieces = Trains.load, Part.pieces
    monkeypatch.setattr(Trains, "load", lambda *given: read.append("trains") or load(*given))
    monkeypatch.setattr(Part, "pieces", lambda part: read.append(part.name) or pieces(part))
    monkeypatch.setattr("neuroarrays.tree.description._READ_SPIKES", 1000)
    described = na.describe(tree)
    assert "trains" not in read
    assert not any("spikes" in name for name in read)
    assert described.contents.areas[0].rate is None
    assert described.rows[0]["duration"] == "at least 20.0 min"
    assert described.remark.startswith("Rates and full durations are not known before 98,794 ")
    assert described.remark.endswith("spikes are read: na.describe(tree, rates=True) reads them")
    monkeypatch.setattr("neuroarrays.tree.description._READ_SPIKES", 4_000_000)
    monkeypatch.setattr("neuroarrays.tree.description.times_to_read", lambda _: 10**9)
    assert na.describe(tree).contents.areas[0].rate is None
    monkeypatch.undo()
    assert "rates=True" in described._repr_html_()
    assert na.describe(tree).rows[0]["rate"] == "9.4 spikes/s"


def test_something_else_is_refused():
    with pytest.raises(SchemaError, match="neuroarrays_schema"):
        na.describe(xr.DataTree())


def test_many_sessions_have_a_row_for_each_area():
    groups = {"/": xr.Dataset(attrs={"neuroarrays_schema": "recording/1"})}
    for s in range(15):
        table = {"start_time": ("presentation_id", np.arange(9.0))}
        groups[f"/s{s}/presentations/gratings"] = xr.Dataset(table)
        for area in range(8):
            groups[f"/s{s}/a{area}/spikes"] = xr.Dataset(
                {"row_size": ("unit_id", [2, 3]), "spike_times": ("spike", np.arange(5.0))},
                {"unit_id": [0, 1]},
            )
    tree = xr.DataTree.from_dict(groups)
    found = na.describe(tree)
    assert len(found.rows) == 120
    assert "15 sessions, 120 areas, 240 units" in found.title


def test_a_session_without_areas_is_there_too():
    tree = na.load_sample()
    session = tree["A2929-200711"].drop_nodes(["adn", "ca1"])
    found = na.describe(xr.DataTree(tree.to_dataset(), {"A2929-200711": session}))
    assert found.title == "recording tree from nwb: 1 session, 0 areas, 0 units"
    assert found.rows[0]["session"] == "A2929-200711"
    assert found.rows[0]["units"] == "0"
    assert "head_direction 60 Hz" in found.rows[0]["signals"]


def test_presentations_of_a_session_without_areas_are_counted():
    tree = na.align(na.load_sample(), "sleep_ripples", 0.01)
    session = tree[SESSION].drop_nodes(["adn", "ca1"])
    described = na.describe(xr.DataTree(tree.to_dataset(), {SESSION: session}))
    assert described.rows[0]["presentations"] == "594"


def test_frames_without_a_clock_are_counted():
    nodes = {"/s/retina": xr.Dataset({"responses": (("time", "unit_id"), np.ones((30, 2)))})}
    tree = xr.DataTree.from_dict(nodes)
    tree.attrs["neuroarrays_schema"] = "aligned/1"
    described = na.describe(tree)
    assert described.rows[0]["clock"] == "30 frames"
    assert described.title == "aligned tree: 1 session, 1 area, 2 units"  # and of no source


@pytest.mark.parametrize(("rate", "said"), [(0.5, "0.5"), (29.97, "30"), (1000.0, "1,000")])
def test_rates_are_written_out(rate, said):
    times = np.arange(20) / rate
    series = xr.Dataset({"lfp": ("time", times)}, {"time": times})
    tree = xr.DataTree.from_dict(
        {"/": xr.Dataset(attrs={"neuroarrays_schema": "recording/1"}), "/s/probe": series}
    )
    assert f"signals  probe {said} Hz" in str(na.describe(tree))
