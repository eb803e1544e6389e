"""ALF: golden sessions under the conformance suite, then revisions, sorters, clocks, layouts and bad input."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import neuroarrays as na
from neuroarrays.errors import FormatError, NeuroArraysError
from neuroarrays.formats.alf.datasets import parsed
from neuroarrays.testing import ReaderTests

pytest.importorskip("pyarrow", reason="reads parquet: pip install neuroarrays[parquet]")

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
LAB = GOLDEN / "alf" / "lab_a"
SESSION = LAB / "Subjects" / "KS023" / "2019-12-10" / "001"
S = "KS023_2019-12-10_001"
SORTED = "alf/probe00/pykilosort"
NEWEST = f"{SORTED}/#2024-05-06#"


class TestGolden(ReaderTests):
    archives = (".h5",)
    start_methods = ("fork",)  # with what pyarrow had under way
    reader = "alf"
    path = LAB
    damaged = "Subjects/KS023/2019-12-10/002/alf/probe00/pykilosort/#2024-05-06#/spikes.times.npy"
    foreign = (GOLDEN / "phy" / "probe_a", GOLDEN / "arrays" / "lab", GOLDEN / "experanto")
    options = {"revision": "2020-01-01"}
    inert_options = {"sorter": "each probe has one sorting; another test has several"}
    values = {
        (f"{S}/VISp/spikes", "unit_id", 2): 4,
        (f"{S}/VISp/spikes", "cluster", 2): 0,
        (f"{S}/VISp/spikes", "probe", 2): "probe01",
        (f"{S}/VISp/spikes", "row_size", 0): 32,
        (f"{S}/VISp/spikes", "row_size", -1): 34,
        (f"{S}/VISp/spikes", "spike_times", 0): 0.5647718534423951,
        (f"{S}/VISp/spikes", "spike_times", 31): 5.625786208361474,
        (f"{S}/VISp/spikes", "spike_times", 32): 0.18207604597482718,
        (f"{S}/VISp/spikes", "spike_times", -1): 5.737431984339519,
        (f"{S}/VISp/spikes", "spike_amps", 0): 0.00016954054755149593,
        (f"{S}/VISp/spikes", "uuids", 0): "478f90876e03442",
        (f"{S}/VISp/spikes", "label", 0): np.nan,
        (f"{S}/LP/spikes", "label", 0): 0.6666666666666666,
        (f"{S}/LP/spikes", "brainLocationIds_ccf_2017", 0): 218,
        (f"{S}/CA1/spikes", "row_size", 0): 0,
        (f"{S}/CA1/spikes", "spike_times", 0): 1.0877475402687184,
        (f"{S}/CA1/spikes", "spike_times", -1): 5.192180804616148,
        (f"{S}/CA1/spikes", "depths", -1): 120.0,
        (f"{S}/CA1/spikes", "mlapdv_2", -1): -120,
        (f"{S}/CA1/spikes", "uuids", -1): "f49930bdb1433a7",
        (f"{S}/presentations/trials", "start_time", 0): 0.5,
        (f"{S}/presentations/trials", "stop_time", -1): 4.0,
        (f"{S}/presentations/trials", "stimOn_times", -1): 2.8,
        (f"{S}/presentations/trials", "goCueTrigger_times", -1): 2.81,
        (f"{S}/presentations/trials", "choice", 0): -1,
        (f"{S}/presentations/trials", "contrastLeft", 0): np.nan,
        (f"{S}/wheel", "time", 0): 0.001525774392091738,
        (f"{S}/wheel", "time", -1): 5.99023721838635,
        (f"{S}/wheel", "position", 0): 0.0011984010650273379,
        (f"{S}/wheel", "position", -1): -0.5964338026901128,
        (f"{S}/events/licks", "event_time", 0): 0.20251247782002424,
        (f"{S}/events/licks", "event_time", -1): 5.990404685280499,
        (f"{S}/leftCamera_dlc", "nose_tip_x", 0): 102.07998276771576,
        (f"{S}/leftCamera_dlc", "nose_tip_likelihood", -1): 0.9322499853786727,
        (f"{S}/leftCamera_dlc", "time", 0): 10 / 60,
        (f"{S}/leftCamera_dlc", "time", -1): 5.983333333333333,
        (f"{S}/bodyCamera", "ROIMotionEnergy", -1): 3.634091093832666,
        (f"{S}/bodyCamera", "time", 0): 0.25,
        (f"{S}/bodyCamera", "time", -1): 6.233333333333333,
        (f"{S}/presentations/passivePeriods", "period", 1): "taskReplay",
        (f"{S}/presentations/passivePeriods", "stop_time", 1): 12.0,
        (f"{S}/presentations/passiveGabor", "start_time", 0): 6.0,
        (f"{S}/presentations/passiveGabor", "position", 0): -35.0,
        (f"{S}/presentations/passiveStims_valve", "start_time", 0): 6.5,
        (f"{S}/presentations/passiveStims_tone", "start_time", 0): 9.5,
    }


@pytest.fixture
def session(tmp_path):
    """A copy of a golden session outside of its subject's folder, to be changed."""
    return Path(shutil.copytree(SESSION, tmp_path / "session"))


def opened(folder, **options):
    tree = na.open_datatree(folder, **options)
    return tree[next(iter(tree.children))]


def notes(folder, **options):
    return "\n".join(opened(folder, **options).attrs["notes"])


def change(path, function):
    np.save(path, function(np.load(path)))


@pytest.mark.parametrize("path", [LAB, LAB / "Subjects", SESSION.parents[1], SESSION.parent])
def test_sessions_are_found_by_subject_date_and_number(path):
    assert list(na.open_datatree(path).children) == [S, S[:-1] + "2"]


def test_one_session_and_its_folder_alf():
    tree = na.open_datatree(SESSION)
    assert tree[S].attrs["subject"] == "KS023"
    assert tree[S].attrs["lab"] == "lab_a"
    assert na.open_datatree(SESSION / "alf").identical(tree)
    both = na.open_datatree([SESSION, SESSION.parent / "002"])
    assert list(both.children) == [S, S[:-1] + "2"]


def test_areas_of_two_probes_by_name():
    tree = na.open_datatree(SESSION, areas="VIS*")
    assert [name for name in tree[S].children if "spikes" in tree[S][name].children] == ["VISp"]
    first = na.select_units(tree, "probe == 'probe00'")
    assert first[f"{S}/VISp/spikes"].unit_id.values.tolist() == [0, 1]


def test_of_two_kinds_of_a_file_the_array(session):
    (session / "alf" / "licks.times.csv").write_text("times\n1\n2\n")
    assert opened(session)["events/licks"].sizes["event"] == 40
    assert "'licks.times.csv'" in notes(session)


def test_the_newest_revision_or_one_before(session):
    assert opened(session)["VISp/spikes"].spike_times[0] == 0.5647718534423951
    assert "revision 2024-05-06 of 'spikes.amps.npy'" in notes(session)
    older = opened(session, revision="2024-05-05")
    assert older["VISp/spikes"].spike_times[0] == 0.5647718534423951 + 0.5
    (session / "alf/#2025#").mkdir()
    shutil.move(session / "alf/licks.times.npy", session / "alf/#2025#/licks.times.npy")
    assert "'licks.times.npy': only in revisions after 2024" in notes(session, revision="2024")
    shutil.copytree(session / NEWEST, session / SORTED / "#2024-05-06a#")
    change(session / SORTED / "#2024-05-06a#" / "spikes.times.npy", lambda times: times + 1)
    assert opened(session)["VISp/spikes"].spike_times[0] == 0.5647718534423951 + 1


def test_the_preferred_sorter_or_the_one_asked_for(session):
    shutil.copytree(session / SORTED, session / "alf/probe00/iblsorter")
    change(session / "alf/probe00/iblsorter/#2024-05-06#/spikes.times.npy", lambda times: times + 2)
    assert opened(session)["VISp/spikes"].spike_times[0] == 0.5647718534423951 + 2
    assert "not of 'probe00/pykilosort'" in notes(session)
    ours = opened(session, sorter="pykilosort")
    assert ours["VISp/spikes"].spike_times[0] == 0.5647718534423951
    with pytest.raises(FormatError, match="sorter 'yass'"):
        opened(session, sorter="yass")


def test_channels_of_the_probe_where_the_sorting_has_none(session):
    for file in (session / SORTED).glob("channels.brain*"):
        shutil.move(file, session / "alf" / "probe00")
    assert opened(session)["VISp/spikes"].row_size.values.tolist() == [32, 44, 18, 34]


def test_units_without_a_place_or_of_an_unknown_structure(session):
    for file in session.rglob("channels.brain*"):
        change(file, lambda ids: np.where(ids == 382, 12345678, -ids))
    assert {"VISp", "LP", "ccf_12345678"} <= set(opened(session).children)
    for file in session.rglob("channels.*"):
        file.unlink()
    assert opened(session)["unknown/spikes"].sizes["unit_id"] == 8
    assert "probe00/pykilosort: no channels" in notes(session)


def test_files_by_themselves_as_before_there_were_collections(tmp_path):
    """As the sessions of Steinmetz et al. 2019: no folder alf, trials in npy files, tables of text."""
    folder = tmp_path / "Cori_2016-12-14_001"
    folder.mkdir()
    arrays = {
        "spikes.times": np.array([[0.1], [0.2], [0.3]]), "spikes.clusters": np.array([[1], [0], [1]]),
        "clusters.peakChannel": np.array([[1.0], [0.0]]), "clusters._phy_annotation": np.ones((2, 1)),
        "trials.intervals": np.array([[0.0, 1.0], [1.0, 2.5]]),
        "trials.visualStim_contrastLeft": np.array([0.5, 1.0]),
        "wheel.position": np.arange(11.0), "wheel.timestamps": np.array([[0.0, 5.0], [10.0, 7.0]]),
        "passiveVisual.times": np.array([3.0, 4.0]), "passiveVisual.contrastLeft": np.array([1, 0]),
    }  # fmt: skip
    for name, values in arrays.items():
        np.save(folder / f"{name}.npy", values)
    (folder / "channels.brainLocation.tsv").write_text("ccf_ap\tallen_ontology\n1\tACA\n2\tMOs\n")
    node = opened(folder)
    assert node["ACA/spikes"].spike_times.values.tolist() == [0.1, 0.3]
    assert node["MOs/spikes"].spike_times.values.tolist() == [0.2]
    assert node["presentations/trials"].stop_time.values.tolist() == [1.0, 2.5]
    assert node["presentations/trials"].visualStim_contrastLeft.values.tolist() == [0.5, 1.0]
    assert node["wheel"].time.values[[0, 5, 10]].tolist() == [5.0, 6.0, 7.0]
    assert node["events/passiveVisual"].contrastLeft.values.tolist() == [1, 0]


def test_another_sorting_beside_the_files_of_the_only_probe(tmp_path):
    """As in sessions of 2019 (mainenlab/ZM_1150 in the fixtures of ONE): alf/ks2 has the clusters alone."""
    folder = tmp_path / "ZM_1150" / "2019-05-07" / "001" / "alf"
    (folder / "ks2").mkdir(parents=True)
    np.save(folder / "spikes.times.npy", np.arange(4.0))
    np.save(folder / "spikes.clusters.npy", [0, 1, 0, 0])
    np.save(folder / "clusters.peakChannel.npy", [7, 3])
    np.save(folder / "ks2" / "spikes.clusters.npy", [1, 1, 1, 1])
    session = na.open_datatree(folder.parent)["ZM_1150_2019-05-07_001"]
    assert session["unknown/spikes"].row_size.values.tolist() == [3, 1]
    assert any("not of 'ks2'" in note for note in session.attrs["notes"])


def test_times_on_another_clock_are_noted():
    assert "goCueTrigger_times_bpod" not in opened(SESSION)["presentations/trials"].data_vars
    assert "on another clock, not read: '_ibl_trials.goCueTrigger_times_bpod.npy'" in notes(SESSION)


def test_names_of_files():
    parts = parsed("_ss_trials.goCue_times_bpod.9198edcd-e8a4.npy")
    assert list(parts.values()) == ["ss", "trials", "goCue_times", "bpod", "9198edcd-e8a4", "npy"]
    assert parsed("channels.brainLocationIds_ccf_2017.npy")["timescale"] == "ccf_2017"
    assert parsed("spike_times.npy") is None


def test_trials_are_aligned():
    aligned = na.align(na.open_datatree(SESSION), "trials", bin_width=0.1, window=(0, 0.5))
    assert aligned[f"{S}/LP/spike_data"].sizes["presentation_id"] == 2


# ------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        (f"{NEWEST}/spikes.times.npy", None, r"spikes\.clusters.*108 values|108 values"),
        (f"{NEWEST}/spikes.amps.npy", np.ones(5), r"spikes\.amps.*108 values.*two revisions"),
        (f"{NEWEST}/spikes.clusters.npy", np.full(108, 9), "clusters from 0 to 3.*a spike of 9"),
        (f"{NEWEST}/spikes.clusters.npy", np.full(108, -1), "clusters from 0 to 3.*a spike of -1"),
        (f"{NEWEST}/spikes.clusters.npy", np.full(108, 0.5), "whole numbers"),
        (f"{NEWEST}/spikes.times.npy", np.ones((108, 2)), "times along one axis"),
        (f"{NEWEST}/spikes.times.npy", np.full(108, "late"), "times along one axis.*dtype"),
        (f"{SORTED}/clusters.channels.npy", np.full(4, np.nan), "clusters.channels, such as nan"),
        (f"{NEWEST}/spikes.clusters.npy", np.array([{}] * 108, object), "never unpickled"),
        (f"{SORTED}/clusters.depths.npy", np.ones(3), "4 rows|3 rows"),
        (
            f"{SORTED}/clusters.channels.npy",
            np.full(4, 8),
            "clusters.channels, such as 8; found 8",
        ),
        ("alf/_ibl_trials.goCueTrigger_times.npy", np.ones(3), "2 rows, as trials.*found 3"),
        ("alf/_ibl_bodyCamera.timestamps.npy", np.array([[0, 1.0], [7, 2.0]]), "from 0 to 359"),
        ("alf/_ibl_trials.table.pqt", b"PAR1, but no more of it", "a parquet file"),
        ("alf/_ibl_passivePeriods.intervalsTable.csv", b",a\nstart,1\n", "a start and a stop"),
        ("alf/_ibl_passiveGabor.table.csv", b"", "a table of text"),
    ],
)
def test_what_contradicts_itself_is_named(session, file, content, message):
    (session / file).unlink()
    if isinstance(content, bytes):
        (session / file).write_bytes(content)
    elif content is not None:
        np.save(session / file, content, allow_pickle=True)
    else:  # of the older revision there are as many: another number of them
        change(session / SORTED / "spikes.times.npy", lambda times: times[:-1])
    with pytest.raises(FormatError, match=message):
        opened(session).load()


def test_what_no_tree_can_have_of_tables_is_noted(session):
    metrics = pd.read_parquet(session / SORTED / "clusters.metrics.pqt")
    metrics["cluster_id"] += 100
    metrics.assign(when=pd.Timestamp("2020-01-01")).to_parquet(
        session / SORTED / "clusters.metrics.pqt"
    )
    assert "clusters.metrics.pqt: rows of no cluster, 10" in notes(session)
    assert "clusters.metrics.pqt: columns not read, of another kind: 'when'" in notes(session)
    metrics.astype({"cluster_id": str}).to_parquet(session / SORTED / "clusters.metrics.pqt")
    with pytest.raises(FormatError, match="cluster_id: expected whole numbers of clusters"):
        opened(session)


def test_numbers_of_spikes_in_two_columns(session):
    np.save(session / NEWEST / "spikes.place.npy", np.arange(216).reshape(108, 2))
    shutil.rmtree(session / "alf" / "probe01")
    nodes = [node for node in opened(session).subtree if node.name == "spikes"]
    places = np.concatenate([node.coords["spike_place_1"].values for node in nodes])
    assert sorted(places) == list(range(1, 216, 2))


def test_a_structure_that_is_no_number_is_unknown(session):
    change(
        session / SORTED / "channels.brainLocationIds_ccf_2017.npy",
        lambda ids: np.where(np.arange(ids.size) < 4, np.nan, ids),
    )
    assert not [name for name in opened(session).children if name.startswith("ccf_")]
    assert "unknown" in opened(session).children


def test_a_member_that_is_not_there(session):
    for file in (session / SORTED).rglob("spikes.times.npy"):
        file.unlink()
    with pytest.raises(FormatError, match=r"spikes\.times\.npy beside it"):
        opened(session)
    shutil.rmtree(session / "alf" / "probe00")
    for name in ("_ibl_wheel.position.npy", "_ibl_leftCamera.times.npy"):
        (session / "alf" / name).unlink()
    node = opened(session)
    assert "wheel" not in node.children
    assert "_ibl_wheel.timestamps.npy: no signal" in notes(session)
    assert "_ibl_leftCamera.dlc.pqt" in notes(session)


def test_what_one_of_two_probes_lacks_is_nan_for_it(session):
    for file in (session / "alf" / "probe01").rglob("spikes.amps.npy"):
        file.unlink()
    node = opened(session)["VISp/spikes"].to_dataset()
    probes = np.repeat(node.probe.values, node.row_size.values)
    assert np.isnan(node.spike_amps.values[probes == "probe01"]).all()
    assert np.isfinite(node.spike_amps.values[probes == "probe00"]).all()
    for file in (session / "alf" / "probe01").rglob("clusters.channels.npy"):
        file.unlink()
    assert "probe01/pykilosort: no clusters.channels" in notes(session)


def test_clusters_twice_in_the_metrics(session):
    path = session / SORTED / "clusters.metrics.pqt"
    pd.DataFrame({"cluster_id": [1, 1], "label": [0.0, 1.0]}).to_parquet(path)
    with pytest.raises(FormatError, match="cluster_id: expected each cluster once; found 1 twice"):
        opened(session)


def test_times_out_of_order_are_kept_and_noted(session):
    change(session / NEWEST / "spikes.times.npy", lambda times: times[::-1].copy())
    change(session / "alf" / "_ibl_wheel.timestamps.npy", lambda times: times[::-1].copy())
    told = na.validate(na.open_datatree(session), values=True)
    assert any("spike trains are not in order" in note for note in told)
    assert any("time goes backwards" in note for note in told)


def test_a_recording_without_spikes_and_samples(session):
    for file in [*session.rglob("spikes.*.npy"), *session.rglob("*wheel.*")]:
        change(file, lambda values: values[:0])
    node = opened(session).load()
    assert node["VISp/spikes"].row_size.values.tolist() == [0, 0, 0, 0]
    assert node["wheel"].sizes["time"] == 0


def test_a_folder_that_two_readers_claim_is_an_error_that_names_both(session):
    shutil.copytree(GOLDEN / "phy" / "probe_a", session, dirs_exist_ok=True)
    with pytest.raises(NeuroArraysError, match="phy") as caught:
        na.open_datatree(session)
    assert "alf" in str(caught.value)
    assert "VISp" in opened(session, engine="alf").children
