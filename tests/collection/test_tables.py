"""Tables over many recordings, and those of the published archive against plain loops over the truth."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import neuroarrays as na
from neuroarrays import schema
from neuroarrays.errors import FormatError, MissingPath, NotInTree, SchemaError
from neuroarrays.formats.allen_binned import presentations, tables
from neuroarrays.synthetic.allen import FUNCTIONAL_CONNECTIVITY, write_allen

FIRST, SECOND = 715093703, 766640955
SMALL = {"sampling": 0.1, "parts": ("running", "invalid"), "rate": 0.5, "irregular": 0.1}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """Two sessions, one of each kind: number -> path and truth."""
    folder = tmp_path_factory.mktemp("sessions")
    made = {}
    for number, seed, stimuli in (
        (FIRST, 1, ("gabors", "flashes", "static_gratings", "natural_scenes", "natural_movie_one")),
        (SECOND, 2, FUNCTIONAL_CONNECTIVITY),
    ):
        path = folder / f"session_{number}.nwb"
        truth = write_allen(path, session_id=number, seed=seed, stimuli=stimuli, **SMALL)
        made[number] = path, truth
    return made


@pytest.fixture(scope="module")
def paths(recorded):
    return [path for path, _ in recorded.values()]


@pytest.fixture(scope="module")
def originals(paths):
    return presentations.joined(tables.presentations_of(na.open_datatree(path)) for path in paths)


# ------------------------------------------------------------------------------ of any recording


def test_units_of_many_recordings(paths, recorded):
    frame = na.units(paths)
    assert frame.columns[:3].tolist() == ["session", "area", "unit_id"]
    assert frame.columns[-1] == "path"  # long: pandas prints the first columns whole
    for number, (path, truth) in recorded.items():
        rows = frame[frame["session"] == f"session_{number}"].set_index("unit_id")
        passing = [i for i, why in enumerate(truth["units"]["why"]) if not why]
        assert sorted(rows.index) == sorted(truth["units"]["unit_id"][passing])
        for i in passing:
            row = rows.loc[truth["units"]["unit_id"][i]]
            assert row["path"] == str(path)
            assert row["area"] == truth["units"]["structure"][i]
            assert row["snr"] == truth["units"]["snr"][i]
            assert row["spikes"] == truth["units"]["train"][i].size


def test_a_row_opens_what_it_is_about(paths):
    row = na.units(paths).iloc[-1]
    tree = na.open_datatree(row["path"], sessions=row["session"], areas=row["area"])
    assert row["unit_id"] in tree[f"{row['session']}/{row['area']}/spikes"]["unit_id"]


def test_presentations_of_many_recordings(paths, recorded):
    frame = na.presentations(paths, tables=["gabors", "natural_*"])
    assert set(frame["table"]) >= {"gabors", "natural_scenes", "natural_movie_one_frames"}
    rows = frame[(frame["table"] == "gabors") & (frame["session"] == f"session_{FIRST}")]
    truth = recorded[FIRST][1]["tables"]["gabors"]
    np.testing.assert_array_equal(rows["start_time"], truth["start_time"])
    np.testing.assert_array_equal(rows["duration"], truth["stop_time"] - truth["start_time"])
    np.testing.assert_array_equal(rows["orientation"], truth["orientation"])


def test_an_aligned_tree_has_the_same_units_and_its_presentations(paths, tmp_path):
    tree = na.open_datatree(paths[0])
    aligned = na.align(tree, "gabors")
    na.save(aligned, tmp_path / "gabors.h5")
    units = na.units(tmp_path / "gabors.h5")
    assert set(units["unit_id"]) == set(na.units(paths[0])["unit_id"])
    rows = na.presentations(tmp_path / "gabors.h5")
    shown = aligned[f"session_{FIRST}"]["presentation_id"]
    assert rows["presentation_id"].tolist() == shown.values.tolist()
    assert set(rows["table"]) == {"gabors"}
    assert na.presentations(aligned, tables="gabors")["table"].equals(rows["table"])
    assert "block" not in rows


def test_sessions_say_what_their_files_say(paths):
    frame = na.sessions(paths)
    kinds = ["brain_observatory_1.1", "functional_connectivity"]
    assert frame["session_type"].tolist() == kinds
    assert frame["units"].tolist() == [9, 9]
    assert frame["sex"].tolist() == ["M", "M"]


def test_open_trees_are_listed_as_their_files(paths):
    tree = na.open_datatree(paths[0])
    of_file = na.units(paths[0]).assign(path=tree.encoding["source"])
    assert na.units(tree).equals(of_file.drop(columns="stamp"))
    assert list(na.units(tree, columns="area")) == ["area"]
    assert na.units([tree, paths[1]])["session"].nunique() == 2
    chosen = na.select_units(tree, "snr > 0.9")
    assert 0 < len(na.units(chosen)) < len(na.units(tree))
    assert na.units(chosen)["snr"].min() > 0.9
    assert len(na.units(chosen, compat="mlynarski")) == len(na.units(chosen))
    assert tree[f"session_{FIRST}/running/speed"].values.size  # it is still open
    with pytest.raises(TypeError, match="expected a whole tree, found the session"):
        na.units(tree[f"session_{FIRST}"])
    with pytest.raises(TypeError, match="a tree is open already; leave out areas"):
        na.units(tree, areas="LP")


def test_options_choose_what_is_listed():
    assert len(na.units(na.sample_path(), areas="adn")) == 7


# ----------------------------------------------------------------------- of the published archive


def shown(truth):
    """Rows of id, stimulus, values, by the rank of each start; none that touches an invalid time."""
    starts = [
        (t, name, i) for name, r in truth["tables"].items() for i, t in enumerate(r["start_time"])
    ]
    invalid = [(a, b) for *_, label, a, b in truth["invalid"] if label == "stimulus"]
    rows = []
    for number, (start, name, i) in enumerate(sorted(starts, key=lambda row: row[0])):
        row = {column: values[i] for column, values in truth["tables"][name].items()}
        touches = any(start <= b and row["stop_time"] >= a for a, b in invalid)
        if not touches and name != "spontaneous" and "shuffled" not in name:
            rows.append((number, name, row))
    return rows


def test_original_presentations(originals, recorded):
    expected = [(s, *row) for s, (_, truth) in recorded.items() for row in shown(truth)]
    assert originals["session_id"].tolist() == [s for s, *_ in expected]
    assert originals["stimulus_presentation_id"].tolist() == [n for _, n, *_ in expected]
    assert originals["stimulus_name"].tolist() == [name for *_, name, _ in expected]
    for column in ("start_time", "stop_time", "orientation", "frame", "stimulus_block"):
        values = [row.get(column, np.nan) for *_, row in expected]
        np.testing.assert_array_equal(originals[column].astype(float), np.array(values, float))
    details = {"units", "mask", "opacity", "nDots", "invalid", "blank", "stimulus_index"}
    assert not details & set(originals.columns)
    phase = originals.loc[originals["stimulus_name"] == "static_gratings", "phase"]
    assert {0.0, 0.25, 0.5, 0.75} >= set(phase.dropna())


def test_a_condition_is_numbered_by_its_first_presentation(originals):
    flashes = originals[
        (originals["stimulus_name"] == "flashes") & (originals["session_id"] == FIRST)
    ]
    assert flashes.groupby("color")["stimulus_condition_id"].nunique().tolist() == [1, 1]
    assert flashes["stimulus_condition_id"].nunique() == flashes["color"].nunique()
    first = originals.drop_duplicates(["session_id", "stimulus_condition_id"])
    for _, rows in first.groupby("session_id"):
        assert (rows["stimulus_condition_id"].diff().dropna() > 0).all()


def test_whole_movies_and_usual_durations(originals):
    whole = presentations.whole_movies(originals)
    movies, last, key = [], np.inf, None
    for row in originals[originals["stimulus_name"].str.contains("movie")].itertuples():
        same = row.frame >= last and (row.session_id, row.stimulus_name) == key
        if same:
            movies[-1][3:] = row.stop_time, movies[-1][4] + row.duration
        else:
            ids = row.session_id, row.stimulus_presentation_id
            movies.append([*ids, row.start_time, row.stop_time, row.duration])
        last, key = row.frame, (row.session_id, row.stimulus_name)
    rows = whole[whole["stimulus_name"].str.contains("movie")]
    columns = ["session_id", "stimulus_presentation_id", "start_time", "stop_time", "duration"]
    np.testing.assert_allclose(rows[columns].to_numpy(float), movies, rtol=1e-14)
    assert rows["frame"].isna().all()
    for _, of_session in whole.groupby("session_id"):
        assert of_session["stimulus_presentation_id"].is_monotonic_increasing
    usual = presentations.of_usual_length(whole)
    medians = presentations.median_durations(whole).set_index("stimulus_name")["median_duration"]
    summary = presentations.filter_summary(whole, usual).set_index("stimulus_name")
    assert list(summary.index) == list(dict.fromkeys(whole["stimulus_name"]))
    for name in summary.index:
        durations = whole.loc[whole["stimulus_name"] == name, "duration"].to_numpy()
        limit = 0.01 if "movie" in name else 0.001
        kept = int((np.abs(durations - np.median(durations)) < limit).sum())
        removed = durations.size - kept
        percent = round(removed / durations.size * 100, 2)
        assert summary.loc[name].tolist() == [durations.size, kept, removed, percent]
        assert medians[name] == round(float(np.median(durations)), 4)
    assert summary["num_presentations_removed"].sum() > 0


def test_presentations_of_the_archive_are_those_of_the_last_table(paths, originals):
    usual = presentations.of_usual_length(presentations.whole_movies(originals))
    pd.testing.assert_frame_equal(na.presentations(paths, compat="mlynarski"), usual)
    for _, rows in usual.groupby("session_id"):
        names = rows["stimulus_name"]
        assert len(dict.fromkeys(names)) == (names != names.shift()).sum()  # one stimulus at a time


def test_units_of_the_archive(paths, recorded):
    frame = na.units(paths, compat="mlynarski")
    assert frame.columns[0] == "id"
    assert not set(frame.columns) & set(tables.NOT_IN_FILES["units"])
    for number, (_, truth) in recorded.items():
        rows = frame[frame["ecephys_session_id"] == number].set_index("id")
        units = truth["units"]
        assert len(rows) == units["why"].count("")
        for i, why in enumerate(units["why"]):
            if why:
                continue
            row = rows.loc[units["unit_id"][i]]
            assert row["ecephys_structure_acronym"] == units["structure"][i]
            assert row["waveform_PT_ratio"] == units["PT_ratio"][i]
            assert row["ecephys_channel_id"] == units["peak_channel_id"][i]
            assert row["probe_vertical_position"] == units["vertical"][i]
            assert row["name"] == units["probe"][i]
            assert row["anterior_posterior_ccf_coordinate"] > 0
    assert (frame["age_in_days"] == 118.0).all()


def test_sessions_of_the_archive(paths):
    frame = na.sessions(paths, compat="mlynarski")
    assert frame["id"].tolist() == [FIRST, SECOND]
    assert frame["specimen_id"].tolist() == [699733581, 699733581]
    assert frame["full_genotype"].tolist() == ["wt/wt", "wt/wt"]
    assert frame["unit_count"].tolist() == [9, 9]
    assert frame["probe_count"].tolist() == [2, 2]
    assert frame["channel_count"].tolist() == [46, 46]  # of 24 on each of 2 probes one is broken
    assert all("nan" in names for names in frame["ecephys_structure_acronyms"])


# -------------------------------------------------------------------------------------- bad input


def test_a_session_without_movies_or_stimuli():
    attrs = schema.root_attrs(schema.RECORDING, source="allen")
    columns = {
        name: (schema.PRESENTATION, np.array(values))
        for name, values in (
            (schema.START_TIME, [1.0, 2.0, 3.0]),
            (schema.STOP_TIME, [1.25, 2.25, 3.25]),
            ("invalid", [False, False, True]),
            ("stimulus_block", [0.0, 0.0, 0.0]),
            ("orientation", [0.0, 90.0, 0.0]),
        )
    }
    gabors = xr.Dataset(columns, {schema.PRESENTATION: np.arange(3)})
    nodes = {"/": xr.Dataset(attrs=attrs), "session_1/presentations/gabors": gabors}
    rows = na.presentations(xr.DataTree.from_dict(nodes), compat="mlynarski")
    assert rows["stimulus_presentation_id"].tolist() == [0, 1]
    nodes["session_1/presentations/gabors"] = gabors.drop_vars("invalid")  # it is no stimulus
    assert len(na.presentations(xr.DataTree.from_dict(nodes), compat="mlynarski")) == 0


def test_bad_input(paths, tmp_path):
    for nothing in (None, 5, [3]):
        with pytest.raises(TypeError, match="expected a path, a tree, or a list of these, found"):
            na.units(nothing)
    with pytest.raises(FormatError, match="each path of a list once; found it twice"):
        na.units([paths[0], paths[1], str(paths[0])])
    for compat in (None, "mlynarski"):
        with pytest.raises(NotInTree, match="'gabor'.*did you mean 'gabors'"):
            na.presentations(paths[0], tables=["flashes", "gabor"], compat=compat)
    with pytest.raises(ValueError, match="compat='allensdk': expected 'mlynarski'"):
        na.units(paths, compat="allensdk")
    with pytest.raises(ValueError, match="found an empty list"):
        na.sessions([])
    with pytest.raises(MissingPath, match="nothing.nwb"):
        na.presentations(tmp_path / "nothing.nwb")
    with pytest.raises(NotInTree, match="VISx"):
        na.units(paths[0], areas="VISx")
    with pytest.raises(SchemaError, match="session files of Allen Visual Coding"):
        na.units(na.sample_path(), compat="mlynarski")
