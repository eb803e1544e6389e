"""What AllenSDK's tables say of the released sessions, on the published figures and our filters."""

import csv

import pytest

from neuroarrays.formats.allen import units
from neuroarrays.formats.allen.stimuli import PARAMETERS


def read(path):
    if not path.is_file():
        pytest.skip(f"no {path.name}")
    with path.open() as file:
        return list(csv.DictReader(file))


def test_sessions_and_units_that_pass_the_default_filters(shared_data):
    rows = read(shared_data / "allen_truth" / "derived_shapes.csv")
    count = {int(row["session_id"]): int(row["n_units"]) for row in rows}
    assert len(count) == 58
    assert sum(count.values()) == 40_010  # len(cache.get_units())
    first = {715093703: 884, 719161530: 755, 721123822: 444, 732592105: 824, 737581020: 568}
    assert {session: count[session] for session in first} == first  # cache.get_session_table()
    assert count[773418906] == 546
    assert count[798911424] == 825
    assert len({row["session_id"] for row in rows if row["has_gaze"] == "1"}) == 50
    by_session = {}
    for row in rows:
        by_session.setdefault(row["session_id"], set()).add(row["stimulus_name"])
        assert row["stimulus_name"] in PARAMETERS
    assert sum("natural_scenes" in shown for shown in by_session.values()) == 32
    assert sum("dot_motion" in shown for shown in by_session.values()) == 26


def test_a_table_of_released_units_has_no_others(shared_data):
    rows = read(shared_data / "allen_truth" / "derived_shapes.csv")
    count = {row["session_id"]: int(row["n_units"]) for row in rows}
    listed = {}
    path = shared_data / "allen_neuropixels_unit_csv" / "timescale_metrics.csv"
    for row in read(path):
        listed.setdefault(row["session"], set()).add(row["ecephys_unit_id"])
    assert listed.keys() == count.keys()
    assert sum(map(len, listed.values())) == 23_524  # of six visual areas, LGd and LP
    assert all(len(ids) <= count[session] for session, ids in listed.items())


def test_default_filters_are_those_of_allensdk():
    limits = {
        k: units.DEFAULTS[k] for k in ("amplitude_cutoff", "presence_ratio", "isi_violations")
    }
    assert limits == {"amplitude_cutoff": 0.1, "presence_ratio": 0.95, "isi_violations": 0.5}
    assert units.DEFAULTS["quality"] == "good"
