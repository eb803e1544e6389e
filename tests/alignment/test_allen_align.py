"""Aligning Allen sessions: the published pipeline against a slow one, and our own defaults.

`slow_*` is written from a description of the pipeline, in plain loops, on what the synthetic
writer says it wrote; it shares nothing with the library.
"""

import csv
import math
from functools import partial

import h5py
import numpy as np
import pytest
import xarray as xr

import neuroarrays as na
from neuroarrays import cli
from neuroarrays.alignment.presentations import median_durations, select
from neuroarrays.errors import NotInTree
from neuroarrays.formats.allen_binned import pipeline as mlynarski
from neuroarrays.kernels import grid
from neuroarrays.synthetic.allen import BRAIN_OBSERVATORY, FUNCTIONAL_CONNECTIVITY, write_allen
from neuroarrays.testing import assert_same_trees
from neuroarrays.testing.sources import close_all

FIRST, SECOND = 715093703, 819701982
SMALL = {"units": 6, "bad_units": 7, "sampling": 0.3, "rate": 8.0, "irregular": 0.1}
SMALL |= {"structures": ("VISp", "CA1", "LGd", "VISam")}
COLUMNS = {
    "gabors": ["orientation", "y_position", "x_position"],
    "flashes": ["color"],
    "drifting_gratings": ["temporal_frequency", "orientation"],
    "static_gratings": ["phase", "spatial_frequency", "orientation"],
    "natural_scenes": ["frame"],
    "natural_movie_one": ["frame"],
    "natural_movie_three": ["frame"],
    "natural_movie_one_more_repeats": ["frame"],
    "drifting_gratings_contrast": ["contrast", "orientation"],
    "drifting_gratings_75_repeats": ["contrast", "orientation"],
    "dot_motion": ["Speed", "Dir"],
}
GAZE = {
    "raw_eye_area": ("raw_eye_area", None),
    "raw_pupil_area": ("raw_pupil_area", None),
    "raw_screen_coordinates_x_cm": ("raw_screen_coordinates", 1),
    "raw_screen_coordinates_y_cm": ("raw_screen_coordinates", 0),
    "raw_screen_coordinates_spherical_x_deg": ("raw_screen_coordinates_spherical", 1),
    "raw_screen_coordinates_spherical_y_deg": ("raw_screen_coordinates_spherical", 0),
}


@pytest.fixture(autouse=True)
def _closed():
    yield
    close_all()


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Two sessions of one kind: the folder, and what was written."""
    folder = tmp_path_factory.mktemp("two")
    made = {
        name: write_allen(folder / f"{name}.nwb", session_id=name, seed=seed, rows=25, **SMALL)
        for seed, name in enumerate((FIRST, SECOND))
    }
    return folder, made


@pytest.fixture(scope="module")
def tree(two):
    """Both, opened once for all tests."""
    return na.open_datatree(two[0])


@pytest.fixture(scope="module")
def connectivity(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fc")
    shown = FUNCTIONAL_CONNECTIVITY
    truth = write_allen(folder / "a.nwb", session_id=FIRST, stimuli=shown, rows=25, seed=5, **SMALL)
    return na.open_datatree(folder), {FIRST: truth}


# --------------------------------------------------------------- the published pipeline, slowly


def slow_rows(truth):
    """Every presentation of a session in order of its id: dicts, invalid ones renamed."""
    rows = []
    for name in sorted(truth["tables"]):
        table = truth["tables"][name]
        for i in range(len(table["start_time"])):
            row = {key: values[i] for key, values in table.items()}
            rows.append(row | {"name": name})
    rows.sort(key=lambda row: row["start_time"])  # stable
    for number, row in enumerate(rows):
        row["id"], row["duration"] = number, row["stop_time"] - row["start_time"]
        for _, _, label, start, stop in truth["invalid"]:
            if label == "stimulus" and row["start_time"] <= stop and row["stop_time"] >= start:
                row["name"] = "invalid_presentation"
    return [
        r for r in rows if not any(w in r["name"] for w in ("spontaneous", "shuffled", "invalid"))
    ]


def slow_movies(rows):
    """Frames to showings by the frame number alone, other rows as they are."""
    group, before, showings = 0, None, {}
    for row in rows:
        if "natural_movie" in row["name"]:
            if before is not None and row["frame"] < before:
                group += 1
            before = row["frame"]
            showings.setdefault((group, row["name"]), []).append(row)
    whole = [
        {
            "name": name,
            "id": frames[0]["id"],
            "stimulus_block": frames[0]["stimulus_block"],
            "start_time": min(f["start_time"] for f in frames),
            "stop_time": max(f["stop_time"] for f in frames),
            "duration": sum(f["duration"] for f in frames),
            "frame": math.nan,
        }
        for (_, name), frames in showings.items()
    ]
    others = [row for row in rows if "natural_movie" not in row["name"]]
    return sorted(others + whole, key=lambda row: row["id"])


def number(value):
    return math.nan if value in ("N/A", "null", "") else float(value)


def slow_published(made, stimulus):
    """Session -> area -> arrays of the published groups."""
    names = [stimulus]
    if stimulus == "natural_movie_one":
        names.append("natural_movie_one_more_repeats")
    every = {session: slow_movies(slow_rows(truth)) for session, truth in made.items()}
    found = {}
    for session in sorted(made):
        parts = []
        for name in names:
            median = np.median(
                [r["duration"] for rows in every.values() for r in rows if r["name"] == name] or [0]
            )
            limit = 0.01 if "natural_movie" in name else 0.001
            rows = [
                r
                for r in every[session]
                if r["name"] == name and abs(r["duration"] - median) < limit
            ]
            if "gratings" in name or "dot_motion" in name:
                rows = [r for r in rows if not any(math.isnan(number(r[c])) for c in COLUMNS[name])]
            if "natural_scenes" in name:
                rows = [r for r in rows if r["frame"] != -1]
            if rows:
                parts.append(slow_session(made[session], rows, name))
        if parts:
            found[session] = slow_joined(parts)
    return found


def slow_session(truth, rows, name):
    n = math.ceil(max(row["duration"] for row in rows) / 0.02)
    edges = np.arange(0, (n + 1) * 0.02, 0.02)
    start = np.array([row["start_time"] for row in rows])
    time = edges[:-1] + np.diff(edges) / 2
    units, areas = truth["units"], {}
    order = sorted(
        (i for i, why in enumerate(units["why"]) if not why),
        key=lambda i: (units["probe"][i], units["vertical"][i], units["horizontal"][i]),
    )
    for i in order:
        spikes = units["train"][i]
        cells = np.zeros((len(rows), len(edges) - 1), np.int8)
        for p, row in enumerate(rows):
            domain = edges + row["start_time"]
            if "natural_movie" in name:
                domain = np.minimum(domain, row["stop_time"])
            for k in range(len(edges) - 1):
                inside = (spikes >= domain[k]) & (spikes <= domain[k + 1])
                cells[p, k] = 1 if inside.any() else 0
        areas.setdefault(units["structure"][i], {})[int(units["unit_id"][i])] = cells
    at = start + time[:, None]
    running = truth["running"]
    speed = np.interp(at, running["start_time"], running["speed"]).astype("f4")
    gaze = {}
    for label, (stored, column) in GAZE.items():
        values = truth["gaze"][stored]
        values = values if column is None else values[:, column]
        gaze[label] = np.interp(at, truth["gaze"]["time"], values).astype("f4")
    columns = [*COLUMNS[name], "stimulus_block", "start_time", "stop_time", "duration"]
    table = {c: np.array([number(row[c]) for row in rows]).astype("f4") for c in columns}
    ids = np.array([row["id"] for row in rows], "i4")
    return {"areas": areas, "time": time, "speed": speed, "gaze": gaze, "table": table, "ids": ids}


def slow_joined(parts):
    if len(parts) == 1:
        return parts[0]
    a, b = parts
    areas = {
        area: {
            unit: np.concatenate([cells, b["areas"][area][unit]]) for unit, cells in units.items()
        }
        for area, units in a["areas"].items()
    }
    join = {k: np.concatenate([v, b["table"][k]]) for k, v in a["table"].items()}
    gaze = {k: np.concatenate([v, b["gaze"][k]], axis=1) for k, v in a["gaze"].items()}
    return {
        "areas": areas,
        "time": a["time"],
        "table": join,
        "gaze": gaze,
        "speed": np.concatenate([a["speed"], b["speed"]], axis=1),
        "ids": np.concatenate([a["ids"], b["ids"]]),
    }


def assert_published(tree, expected):
    assert list(tree.children) == [f"session_{session}" for session in expected]
    for session, known in expected.items():
        node = tree[f"session_{session}"]
        assert list(node.children) == sorted(known["areas"])
        for area, units in known["areas"].items():
            found = node[area]
            cells = found["spike_data"]
            assert cells.dims == ("presentation_id", "time", "unit_id")
            assert cells.dtype == np.int8
            np.testing.assert_array_equal(cells, np.stack(list(units.values()), axis=-1))
            for name, values in (("unit_id", list(units)), ("presentation_id", known["ids"])):
                assert found[name].dtype == np.int32
                np.testing.assert_array_equal(found[name], values)
            assert found["time"].dtype == np.float64
            np.testing.assert_array_equal(found["time"], known["time"])
            np.testing.assert_array_equal(found["speed"], known["speed"])
            assert list(found["pupil"].data_vars) == list(known["gaze"])
            for name, values in known["gaze"].items():
                np.testing.assert_array_equal(found["pupil"][name], values)
            for array in (found["speed"], *found["pupil"].data_vars.values()):
                assert array.dims == ("time", "presentation_id")
                assert array.dtype == np.float32
            rows = found["presentations"]
            assert list(rows.data_vars) == list(known["table"])
            for name, values in known["table"].items():
                assert rows[name].dtype == np.float32
                if name == "duration":  # a sum of frames in another order
                    np.testing.assert_allclose(rows[name], values, rtol=3e-7)
                else:
                    np.testing.assert_array_equal(rows[name], values)


@pytest.mark.parametrize("stimulus", BRAIN_OBSERVATORY)
def test_published_cell_for_cell(two, tree, stimulus):
    _, made = two
    aligned = mlynarski.published(tree, stimulus)
    na.validate(aligned, values=True)
    expected = slow_published(made, stimulus)
    assert_published(aligned, expected)
    assert f"published({stimulus!r})" in aligned.attrs["history"]
    assert aligned.attrs["compat"] == "mlynarski"


@pytest.mark.parametrize(
    "stimulus", [n for n in FUNCTIONAL_CONNECTIVITY if n not in ("gabors", "flashes")]
)
def test_published_functional_connectivity(connectivity, stimulus):
    tree, made = connectivity
    if "shuffled" in stimulus:
        with pytest.raises(NotInTree):
            mlynarski.published(tree, stimulus)
        return
    expected = slow_published(made, stimulus)
    assert_published(mlynarski.published(tree, stimulus), expected)
    if stimulus == "natural_movie_one_more_repeats":
        together = mlynarski.published(tree, "natural_movie_one")
        assert_published(together, expected)


def test_published_movies_of_both_names_follow_each_other(tmp_path):
    shown = ("natural_movie_one", "natural_movie_one_more_repeats", "natural_movie_three")
    truth = write_allen(
        tmp_path / "s.nwb", stimuli=shown, movie=(4, 8), parts=("running", "eye", "edges"), **SMALL
    )
    tree = na.open_datatree(tmp_path / "s.nwb")
    aligned = mlynarski.published(tree, "natural_movie_one")
    assert_published(aligned, slow_published({FIRST: truth}, "natural_movie_one"))
    assert aligned[f"session_{FIRST}"].sizes["presentation_id"] == 8


def test_published_splice_is_made_again(tmp_path):
    """Two showings of which half is invalid are one of the usual duration, twice as long."""
    truth = write_allen(tmp_path / "s.nwb", splice=True, movie=(4, 10), **SMALL)
    tree = na.open_datatree(tmp_path / "s.nwb")
    aligned = mlynarski.published(tree, "natural_movie_one")
    assert_published(aligned, slow_published({FIRST: truth}, "natural_movie_one"))
    rows = aligned[f"session_{FIRST}"]
    assert rows.sizes["presentation_id"] == 3
    node = next(iter(rows.children.values()))["presentations"]
    assert (node["stop_time"] - node["start_time"])[0] > 1.8 * node["duration"][0]


def test_a_movie_may_deviate_by_less_than_ten_milliseconds(tmp_path):
    path = tmp_path / "s.nwb"
    truth = write_allen(path, movie=(8, 10), parts=("running", "eye"), **(SMALL | {"irregular": 0}))
    stop = truth["tables"]["natural_movie_one"]["stop_time"]
    stop[[9, 19, 29]] += [0.005, 0.0098, 0.0102]
    with h5py.File(path, "r+") as file:
        file["intervals/natural_movie_one_presentations/stop_time"][:] = stop
    tree = na.open_datatree(path)
    aligned = mlynarski.published(tree, "natural_movie_one")
    assert_published(aligned, slow_published({FIRST: truth}, "natural_movie_one"))
    for one in (aligned, na.align(tree, "natural_movie_one")):
        node = next(iter(one[f"session_{FIRST}"].children.values()))
        kept = truth["tables"]["natural_movie_one"]["start_time"][[0, 10, *range(30, 80, 10)]]
        np.testing.assert_allclose(node["presentations/start_time"], kept, rtol=1e-6)


def test_published_medians_may_be_given(two, tree):
    _, made = two
    known = {"flashes": 0.2502}
    first = tree.filter(lambda node: True)
    aligned = mlynarski.published(first, "flashes", medians=known)
    assert_published(aligned, slow_published(made, "flashes"))
    with pytest.raises(NotInTree):
        mlynarski.published(tree, "flashes", medians={"flashes": 9.0})


def test_the_command_leaves_no_option_to_the_published_bins(two, tmp_path, capsys):
    arguments = ["align", str(two[0]), "--compat", "mlynarski", "-o", str(tmp_path / "x.h5")]
    assert cli.main([*arguments, "--presentations", "flashes", "--bin-width", "0.01", "--no-clip"])
    assert "leave out --bin-width, --no-clip" in capsys.readouterr().err
    assert cli.main(arguments)
    assert "--presentations" in capsys.readouterr().err
    assert not (tmp_path / "x.h5").exists()


def test_published_without_gaze(tmp_path):
    write_allen(tmp_path / "s.nwb", parts=("running",), **SMALL)
    aligned = mlynarski.published(na.open_datatree(tmp_path / "s.nwb"), "flashes")
    for area in aligned[f"session_{FIRST}"].children.values():
        assert "pupil" not in area.children
        assert "speed" in area


def test_published_is_lazy_and_chunks(tree):
    whole = mlynarski.published(tree, "gabors")
    area = next(iter(whole[f"session_{FIRST}"].children.values()))
    session = area.parent
    assert_same_trees(session.chunk({"presentation_id": 20}), session)
    values = area["spike_data"].values
    for key in (np.s_[3], np.s_[:, 2], np.s_[..., 0], np.s_[1, 2, 0], np.s_[::-1, [3, 1]]):
        np.testing.assert_array_equal(area["spike_data"][key].values, values[key])
    speed = area["speed"].values
    for key in (np.s_[3], np.s_[:, 2], np.s_[..., 0], np.s_[1, 2], np.s_[::-1, [3, 1]]):
        np.testing.assert_array_equal(area["speed"][key].values, speed[key])


# ------------------------------------------------------------------------ what is really there

#: Median durations (s) and bins of the published files, from their sizes.
PUBLISHED = {
    "gabors": (0.2502, 14),
    "flashes": (0.2502, 14),
    "drifting_gratings": (2.0017, 101),
    "static_gratings": (0.2502, 14),
    "natural_scenes": (0.2502, 14),
    "natural_movie_one": (30.0251, 1502),
    "natural_movie_three": (120.1003, 6006),
    "natural_movie_one_more_repeats": (30.0251, 1502),
    "drifting_gratings_contrast": (0.5004, 26),
    "drifting_gratings_75_repeats": (2.0017, 101),
    "dot_motion": (1.0008, 51),
}


def rows_lasting(duration):
    one = np.array([duration])
    return mlynarski.PublishedRows(one, one, one, one, one, {})


@pytest.mark.parametrize("stimulus", PUBLISHED)
def test_number_of_bins_published(stimulus):
    duration, bins = PUBLISHED[stimulus]
    assert mlynarski.bin_edges(rows_lasting(duration)).size - 1 == bins
    ours = bins - 1 if bins == 14 else bins
    assert grid.bins_to_cover(duration, 0.02) == ours


def test_bins_of_every_published_file(shared_data):
    path = shared_data / "allen_truth" / "derived_shapes.csv"
    if not path.is_file():
        pytest.skip("no table of published shapes")
    with path.open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 388
    for row in rows:
        assert int(row["n_bins"]) == PUBLISHED[row["stimulus_name"]][1]
    path = path.with_name("presentations_median_durations.csv")
    with path.open() as file:
        for row in csv.DictReader(file):
            assert float(row["median_duration"]) == PUBLISHED[row["stimulus_name"]][0]


def test_how_often_floats_give_a_bin_too_many():
    """445 of the numbers below 7,000, 13 first of those that occur."""
    extra = [n for n in range(1, 7000) if np.arange(0, (n + 1) * 0.02, 0.02).size != n + 1]
    assert len(extra) == 445
    assert extra[:4] == [6, 13, 27, 55]


# ------------------------------------------------------------------------------- our defaults


def slow_counts(train, start, stop, n_bins):
    """Half-open bins on edges start + k / 50, nothing at or after the stop."""
    found = np.zeros((start.size, n_bins), int)
    for p in range(start.size):
        for k in range(n_bins):
            low, high = start[p] + k / 50, min(start[p] + (k + 1) / 50, stop[p])
            found[p, k] = ((train >= low) & (train < high)).sum()
    return found


@pytest.mark.parametrize("stimulus", ["static_gratings", "natural_scenes", "drifting_gratings"])
def test_default_counts(two, tree, stimulus):
    _, made = two
    aligned = na.align(tree, stimulus)
    na.validate(aligned, values=True)
    pooled = [t["tables"][stimulus] for t in made.values()]
    lengths = np.concatenate([t["stop_time"] - t["start_time"] for t in pooled])
    for session, truth in made.items():
        table = truth["tables"][stimulus]
        duration = table["stop_time"] - table["start_time"]
        keep = np.abs(duration - np.median(lengths)) < 0.001
        blank = np.array(table.get("orientation", table.get("frame")))
        blank = blank == -1 if stimulus == "natural_scenes" else np.isnan(blank)
        keep &= ~blank
        assert 0 < keep.sum() < blank.size - blank.sum()  # some were of odd duration
        start, stop = table["start_time"][keep], table["stop_time"][keep]
        units = truth["units"]
        for area in aligned[f"session_{session}"].children.values():
            np.testing.assert_array_equal(area["presentations/start_time"], start)
            assert area["presentations/start_time"].dtype == np.float64
            bins = area.sizes["time"]
            assert bins == (101 if stimulus == "drifting_gratings" else 13)
            for unit in area["unit_id"].values:
                train = units["train"][units["unit_id"].tolist().index(unit)]
                found = area["spike_data"].sel(unit_id=unit)
                np.testing.assert_array_equal(found, slow_counts(train, start, stop, bins))
        assert f"session_{session}: " in aligned.attrs["history"]
    assert "blank" in aligned.attrs["history"]


def test_blanks_may_be_kept_as_a_baseline(tree):
    total = 0
    for stimulus in ("natural_scenes", "static_gratings", "drifting_gratings"):
        dropped, kept = (na.align(tree, stimulus, blanks=b) for b in ("drop", "keep"))
        for session in dropped.children:
            area = next(iter(kept[session].children))
            blank = kept[session][area]["blank"]
            assert blank.dtype == bool
            n = int(blank.sum())
            total += n
            sizes = [t[session].sizes["presentation_id"] for t in (dropped, kept)]
            assert sizes[1] - sizes[0] == n
            assert "blank" not in dropped[session][area].coords
            found = kept[session][area]["spike_data"][~blank.values]
            np.testing.assert_array_equal(found, dropped[session][area]["spike_data"])
    assert total > 2
    with pytest.raises(ValueError, match="'drop' or 'keep'"):
        na.align(tree, "natural_scenes", blanks="only")


def test_tables_may_be_selected_otherwise(two, tree):
    _, made = two
    loose = select(tree, "gabors", max_deviation=None)
    assert {name: t.sizes["presentation_id"] for name, t in loose.items()} == {
        f"session_{session}": 25 for session in made
    }
    none = select(tree, "gabors", medians={"gabors": 0.5})
    assert all(t.sizes["presentation_id"] == 0 for t in none.values())
    assert all("25 of odd duration" in t.attrs["dropped"] for t in none.values())
    medians = median_durations(
        [{"gabors": t["presentations/gabors"].to_dataset()} for t in tree.children.values()]
    )
    assert medians["gabors"] == pytest.approx(0.2502, abs=1e-4)
    aligned = na.align(tree, loose)
    assert aligned[f"session_{FIRST}"].sizes["presentation_id"] == 25
    whole = na.align(tree, lambda session: session["presentations/gabors"].to_dataset())
    assert_same_trees(whole, aligned, but=("history", "max_deviation"))
    with pytest.raises(NotInTree, match="table for the session"):
        na.align(tree, {f"session_{FIRST}": loose[f"session_{FIRST}"]})


def test_movies_joined_by_name(tmp_path):
    name = "natural_movie_one + natural_movie_one_more_repeats"
    both = tmp_path / "both.nwb"
    shown = ("natural_movie_one", "natural_movie_one_more_repeats")
    write_allen(both, stimuli=shown, session_id=3, movie=(4, 10), **SMALL)
    write_allen(tmp_path / "one.nwb", stimuli=shown[:1], session_id=1, movie=(4, 10), **SMALL)
    write_allen(tmp_path / "more.nwb", stimuli=shown[1:], session_id=2, movie=(4, 10), **SMALL)
    tree = na.open_datatree(tmp_path)
    aligned = na.align(tree, name)
    na.validate(aligned, values=True)
    sizes = {k: node.sizes["presentation_id"] for k, node in aligned.children.items()}
    assert sizes["session_3"] == 8
    assert sizes["session_1"] == sizes["session_2"] == 4
    area = next(iter(aligned["session_3"].children.values()))
    assert area["table"].values.tolist() == [shown[0]] * 4 + [shown[1]] * 4
    assert area["spike_data"].dtype == np.uint8
    some = na.align(tree, "natural_movie_one")
    assert set(some.children) == {"session_1", "session_3"}
    with pytest.raises(NotInTree, match="natural_movie_one_more"):
        na.align(tree, "natural_movie_one", missing="raise")  # session_2 has none


# ------------------------------------------------------------------------------ invalid times


def test_invalid_times_are_masks(two, tree):
    _, made = two
    aligned = na.align(tree, select(tree, "gabors", max_deviation=None))
    for session, truth in made.items():
        table, rows = truth["tables"]["gabors"], truth["invalid"]
        start, stop = table["start_time"], table["stop_time"]
        for area in aligned[f"session_{session}"].children.values():
            bins = area.sizes["time"]
            by_probe = {"": np.ones((start.size, bins), bool)}
            for _, _, label, low, high in rows:
                everything = label in ("stimulus", "all_probes")
                mask = by_probe.setdefault(
                    "" if everything else label, np.ones((start.size, bins), bool)
                )
                for p in range(start.size):
                    for k in range(bins):
                        if start[p] + k / 50 <= high and start[p] + (k + 1) / 50 > low:
                            mask[p, k] = False
            whole = start[:, None] + (np.arange(bins) + 1) / 50 - 2e-8 <= stop[:, None]
            np.testing.assert_array_equal(area["valid"], by_probe[""] & whole)
            on_a = area["probe"].values == "probeA"
            assert ("valid_units" in area) == on_a.any()
            if on_a.any():
                expected = np.ones((start.size, on_a.size, bins), bool)
                expected[:, on_a] = by_probe["probeA"][:, None]
                assert not expected.all()
                np.testing.assert_array_equal(area["valid_units"], expected)
                for key in (np.s_[1], np.s_[:, 0], np.s_[..., 2], np.s_[1, 0, 2], np.s_[::-1, [0]]):
                    np.testing.assert_array_equal(area["valid_units"][key], expected[key])


def test_invalid_times_on_one_clock(two, tmp_path):
    folder, made = two
    clock = na.align(na.open_datatree(folder / f"{FIRST}.nwb"), bin_width=0.01)
    na.validate(clock, values=True)
    rows = {label: (start, stop) for _, _, label, start, stop in made[FIRST]["invalid"]}
    for area in clock[f"session_{FIRST}"].children.values():
        low = area["time"].values - 0.005
        hit = np.zeros(low.size, bool)
        for label in ("stimulus", "all_probes"):
            start, stop = rows[label]
            hit |= (low <= stop + 1e-9) & (low + 0.01 > start + 1e-9)
        np.testing.assert_array_equal(area["valid"], ~hit)
        if "valid_units" in area:
            assert area["valid_units"].dims == ("time", "unit_id")
            assert not area["valid_units"].values.all()
    na.save(clock, tmp_path / "clock.h5")
    assert_same_trees(na.open_datatree(tmp_path / "clock.h5"), clock, but=("history", "source"))


def test_a_plain_table_of_invalid_times_applies_to_everything(two):
    tree = na.open_datatree(two[0] / f"{FIRST}.nwb")
    bare = xr.Dataset(
        {"start_time": ("presentation_id", [40.0]), "stop_time": ("presentation_id", [41.0])},
        {"presentation_id": [0]},
    )
    tree[f"session_{FIRST}/presentations/invalid_times"] = xr.DataTree(bare)
    aligned = na.align(tree, [40.5, 50.0], window=(0, 0.1))
    area = next(iter(aligned[f"session_{FIRST}"].children.values()))
    assert area["valid"].values.tolist() == [[False] * 5, [True] * 5]
    assert "valid_units" not in area


def test_saved_and_opened_again(two, tmp_path):
    tree = na.open_datatree(two[0] / f"{FIRST}.nwb", areas=["CA1", "VIS*"])
    aligned = na.align(tree, "gabors")
    na.save(aligned, tmp_path / "a.h5")
    assert_same_trees(na.open_datatree(tmp_path / "a.h5"), aligned, but=("history", "source"))


# ----------------------------------------------------------------------------------- the command


@pytest.mark.parametrize(
    ("options", "align"),
    [
        (["--blanks", "keep"], partial(na.align, blanks="keep")),
        (["--compat", "mlynarski"], mlynarski.published),
    ],
)
def test_the_command_aligns_the_same(two, tmp_path, options, align, capsys):
    path, out = two[0] / f"{FIRST}.nwb", tmp_path / "out.h5"
    arguments = ["align", str(path), "--presentations", "natural_scenes", *options, "-o", str(out)]
    assert cli.main(arguments) == 0
    assert capsys.readouterr().err == ""
    aligned = align(na.open_datatree(path), "natural_scenes")
    assert_same_trees(na.open_datatree(out), aligned, but=("history", "source"))
