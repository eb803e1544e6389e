"""phy: golden folder under the conformance suite, then tables, clocks, merged clusters and bad input."""

import shutil
from pathlib import Path

import numpy as np
import pytest

import neuroarrays as na
from neuroarrays.errors import FormatError, MissingPath, NeuroArraysError
from neuroarrays.synthetic.phy import RATE, write_phy
from neuroarrays.testing import ReaderTests

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
S = "probe_a"
SPIKES = f"{S}/unknown/spikes"


class TestGolden(ReaderTests):
    archives = (".zarr",)
    reader = "phy"
    path = GOLDEN / "phy" / S
    foreign = tuple(
        path
        for folder in sorted(GOLDEN.iterdir())
        if folder.is_dir() and folder.name != "phy"
        for path in sorted(folder.iterdir())
    )
    options = {"sampling_rate": 25000, "times_from": "amplitudes.npy"}
    values = {
        (SPIKES, "unit_id", 0): 2,
        (SPIKES, "unit_id", 2): 4,
        (SPIKES, "row_size", 0): 12,
        (SPIKES, "row_size", 1): 4,
        (SPIKES, "row_size", -1): 13,
        (SPIKES, "spike_times", 0): 16705 / 30000,
        (SPIKES, "spike_times", 11): 37505 / 30000,
        (SPIKES, "spike_times", 12): 315 / 30000,
        (SPIKES, "spike_times", 16): 2140 / 30000,
        (SPIKES, "spike_times", -1): 59730 / 30000,
        (SPIKES, "amplitude", 0): 14.444782096471133,
        (SPIKES, "amplitude", -1): 13.326814592113248,
        (SPIKES, "template", 0): 2,
        (SPIKES, "peak_channel", 0): 2,
        (SPIKES, "peak_channel", 1): 0,
        (SPIKES, "peak_channel", -1): 3,
        (SPIKES, "x", 0): 32.0,
        (SPIKES, "y", 0): 20.0,
        (SPIKES, "y", -1): 0.0,
        (SPIKES, "group", 0): "",
        (SPIKES, "group", 1): "noise",
        (SPIKES, "group", -1): "good",
        (SPIKES, "KSLabel", 0): "good",
    }


@pytest.fixture
def folder(tmp_path):
    """A copy of the golden folder, to be changed."""
    return Path(shutil.copytree(GOLDEN / "phy" / S, tmp_path / S))


def spikes(folder, **options):
    return na.open_datatree(folder, **options)[f"{folder.name}/unknown/spikes"].to_dataset()


def change(folder, name, function):
    np.save(folder / name, function(np.load(folder / name)))


def notes(folder):
    tree = na.open_datatree(folder)
    return "\n".join(tree[folder.name].attrs.get("notes", []))


def test_written_spikes_come_back_unit_after_unit(tmp_path):
    folder = write_phy(tmp_path / "ks", seconds=5.0)
    samples, clusters = (np.load(folder / f"spike_{n}.npy") for n in ("times", "clusters"))
    node = spikes(folder)
    for unit in node.unit_id.values:
        expected = samples[clusters == unit] / RATE
        assert node.sel(unit_id=unit).spike_times.values.tolist() == expected.tolist()


def test_recorded_as_long_as_the_file_beside_it(tmp_path):
    folder = write_phy(tmp_path / "ks", seconds=5.0)
    observed = na.open_datatree(folder)["ks/observed"]
    assert observed.start_time.item() == 0.0
    assert observed.stop_time.item() == pytest.approx(5.0, abs=1e-12)
    shutil.move(folder / "recording.dat", tmp_path / "recording.dat")  # as Kilosort 4 leaves it
    again = na.open_datatree(folder)["ks/observed"]
    assert again.stop_time.item() == observed.stop_time.item()
    (tmp_path / "recording.dat").write_bytes(bytes(800))  # shorter than its spikes: not believed
    found = na.open_datatree(folder)["ks/observed"]
    assert found.stop_time.item() == np.load(folder / "spike_times.npy")[-1] / RATE


def test_columns_as_matlab_writes_them(folder):
    expected = spikes(folder).spike_times.values
    for name in ("spike_times.npy", "spike_clusters.npy", "amplitudes.npy"):
        change(folder, name, lambda values: values[:, None])
    change(folder, "spike_times.npy", lambda values: values.astype(np.uint64))
    assert spikes(folder).spike_times.values.tolist() == expected.tolist()


def test_a_table_of_all_in_another_order(folder):
    rows = ["cluster_id\tgroup\tdepth\tunit_id", "4\tmua\t10.5\t7", "2\tgood\t\t8"]
    (folder / "cluster_info.tsv").write_text("\n".join(rows))
    node = spikes(folder)
    np.testing.assert_array_equal(node.depth.values, [np.nan, np.nan, 10.5])
    assert node.group.values.tolist() == ["", "noise", "good"]  # of cluster_group.tsv
    np.testing.assert_array_equal(node.unit_id_.values, [8, np.nan, 7])
    assert "cluster_info.tsv: no row for the units 3" in notes(folder)


def test_an_old_table_without_spikes_for_a_row(folder):
    (folder / "cluster_group.tsv").unlink()
    (folder / "cluster_groups.csv").write_text("cluster_id,group\n9,good\n2,mua\n3,mua\n4,mua\n")
    assert spikes(folder).group.values.tolist() == ["mua"] * 3
    assert "clusters 9 have no spikes" in notes(folder)


def test_a_group_called_na_is_text_and_na_among_numbers_is_missing(folder):
    rows = "cluster_id\tgroup\tdepth\n2\tNA\tNA\n3\t\t\n4\tNone\t10.5\n"
    (folder / "cluster_group.tsv").write_text(rows)
    node = spikes(folder)
    assert node.group.values.tolist() == ["NA", "", "None"]
    np.testing.assert_array_equal(node.depth.values, [np.nan, np.nan, 10.5])


def test_tables_as_people_leave_them(folder):
    """One of something else, one from a spreadsheet, one of which nothing is filled in yet."""
    (folder / "cluster_plot.csv").write_text("a,b\n1,2\n")
    (folder / "cluster_info.csv").write_bytes(
        b"\xef\xbb\xbfcluster_id,spike,observed_start\n3,1,2\n"
    )
    (folder / "cluster_group.tsv").write_text("cluster_id\tgroup\n")
    node = spikes(folder)
    assert node.group.values.tolist() == [""] * 3
    np.testing.assert_array_equal(node.spike_.values, [np.nan, 1, np.nan])
    assert node.observed_start.dims == ("interval",)
    assert "cluster_plot.csv not read" in notes(folder)


def test_a_table_of_the_first_version_of_phy_does_not_replace_a_newer_one(folder):
    (folder / "cluster_group.tsv").write_text("cluster_id\tgroup\n2\tgood\n")
    (folder / "cluster_group.csv").write_text("cluster_id\tgroup\n2\tnoise\n")
    assert spikes(folder).group.values[0] == "good"
    assert "cluster_group.csv: group not read: another table has it" in notes(folder)


@pytest.mark.parametrize("line", ["fs = sample_rate = 25000.0", "sample_rate: float = 25000"])
def test_the_rate_in_other_plain_lines_of_params(folder, line):
    (folder / "params.py").write_text(line)
    assert na.open_datatree(folder)[S].attrs["sampling_rate"] == 25000


def test_numbers_of_clusters_may_be_large(folder):
    change(folder, "spike_clusters.npy", lambda labels: labels.astype(np.int64) * 2**40 - 1)
    node = spikes(folder)
    assert node.row_size.values.tolist() == [12, 4, 13]
    assert node.unit_id.values.tolist() == [2**41 - 1, 3 * 2**40 - 1, 2**42 - 1]


def test_not_curated_yet(folder):
    for path in (*folder.glob("cluster_*"), folder / "spike_clusters.npy"):
        path.unlink()
    node = spikes(folder)
    assert node.unit_id.values.tolist() == [0, 1, 2, 3]
    assert node.peak_channel.values.tolist() == [3, 1, 2, 0]


def test_times_on_another_clock(folder):
    times = np.load(folder / "spike_times.npy") / 30000
    np.save(folder / "spike_times_sec.npy", times)
    np.save(folder / "spike_times_sec_adj.npy", times * 1.5 + 1)
    assert spikes(folder).spike_times.values[0] == 16705 / 30000 * 1.5 + 1
    assert spikes(folder).spike_times.attrs["stored_as"] == "spike_times_sec_adj.npy"
    for name in ("spike_times.npy", "spike_times_sec.npy"):
        assert spikes(folder, times_from=name).spike_times.values[0] == 16705 / 30000
    with pytest.raises(MissingPath, match="elsewhere"):
        spikes(folder, times_from="elsewhere.npy")


def test_the_peak_is_that_of_the_template_without_whitening(folder):
    waveforms = np.zeros((4, 5, 2), np.float32)
    waveforms[:, 2] = [-1, -3]  # whitening made the second channel four times as large
    np.save(folder / "templates.npy", waveforms)
    np.save(folder / "templates_ind.npy", np.array([[0, 3], [1, 4], [2, 3], [1, -1]]))
    np.save(folder / "whitening_mat_inv.npy", np.diag([1.0, 1.0, 1.0, 0.25]))
    # Unit 2: rows 2 and 3, largest on 2 but for the whitening; 3: row 1, and no other; 4: rows 0 and 3.
    assert spikes(folder).peak_channel.values.tolist() == [2, 1, 3]
    (folder / "whitening_mat_inv.npy").unlink()
    assert spikes(folder).peak_channel.values.tolist() == [0, 1, 0]
    (folder / "templates_ind.npy").rename(folder / "template_ind.npy")  # of spikeinterface
    assert spikes(folder).peak_channel.values.tolist() == [0, 1, 0]
    (folder / "template_ind.npy").unlink()
    with pytest.raises(FormatError, match="templates of 4 channels.*found 2"):
        spikes(folder)


def test_arrays_of_the_same_names_are_not_taken_for_samples(folder):
    """Of spike_times.npy and spike_clusters.npy alone nobody knows the unit: a mapping says it."""
    for path in folder.iterdir():
        if path.name not in ("spike_times.npy", "spike_clusters.npy"):
            path.unlink()
    with pytest.raises(NeuroArraysError, match="mapping"):
        na.open_datatree(folder)


def test_two_probes_are_two_sessions(tmp_path):
    for name in ("imec0", "imec1"):
        shutil.copytree(GOLDEN / "phy" / S, tmp_path / "run" / name)
    assert list(na.open_datatree(tmp_path / "run").children) == ["imec0", "imec1"]


def test_good_units_by_their_label(folder):
    good = na.select_units(na.open_datatree(folder), "group == 'good'")
    assert good[f"{S}/unknown/spikes"].unit_id.values.tolist() == [4]


# ------------------------------------------------------------------------------------- bad input


def test_params_are_never_run(folder, tmp_path):
    harm = tmp_path / "harm"
    (folder / "params.py").write_text(
        f"import os\nos.mkdir({str(harm)!r})\nsample_rate = 3e4\nx = len('')\n"
        "dat_path = 'C:\\Users\\me\\rec.dat'\n"
    )
    assert spikes(folder).spike_times.values[0] == 16705 / 30000
    assert not harm.exists()
    assert "line 1" in notes(folder)
    assert "line 5" in notes(folder)  # \U of a path, which makes the file no Python
    for rate in ("float('30000')", "0", "-1.", "True", "'fast'", "1e400"):
        (folder / "params.py").write_text(f"sample_rate = {rate}\n")
        with pytest.raises(FormatError, match=r"probe_a:params\.py.*sampling_rate="):
            spikes(folder)
    assert spikes(folder, sampling_rate=30000).spike_times.values[0] == 16705 / 30000


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("params.py", None, "sampling_rate="),
        ("amplitudes.npy", np.ones(28), "29 values, one for each spike"),
        ("spike_times.npy", np.arange(30), "29 values"),
        ("spike_templates.npy", np.ones(5, np.int32), "29 values"),
        ("spike_clusters.npy", np.full(29, 1.5), "whole numbers of units.*1.5"),
        (
            "spike_clusters.npy",
            np.full(29, (1 << 63) + 5, np.uint64),
            "below 9223.*9223372036854775813",
        ),
        ("spike_times.npy", np.arange(29) / 30000, "whole numbers of samples.*at spike 1"),
        ("spike_times.npy", np.full(29, np.nan), "whole numbers of samples.*nan at spike 0"),
        ("spike_clusters.npy", np.zeros((29, 2)), "29|58"),
        ("spike_clusters.npy", np.array(["a"] * 29), "numbers.*dtype"),
        ("spike_times.npy", np.array([{}] * 29, object), "never unpickled"),
        ("spike_templates.npy", np.full(29, 9), "templates from 0 to 3.*template 9"),
        ("channel_map.npy", np.array([0]), "1 channels.*row 3"),
        ("whitening_mat_inv.npy", np.eye(2), "2 channels.*row 3"),
    ],
)
def test_what_contradicts_itself_is_named(folder, name, content, message):
    (folder / name).unlink()
    if isinstance(content, str):
        (folder / name).write_text(content)
    elif content is not None:
        np.save(folder / name, content, allow_pickle=True)
    with pytest.raises(FormatError, match=message) as caught:
        spikes(folder).load()
    assert S in str(caught.value)


@pytest.mark.parametrize(
    ("content", "note"),
    [
        (
            "cluster_id\tgroup\n2\tgood\n2\tmua\n",
            "expected each cluster once in cluster_id, found 2 twice",
        ),
        ("name\tgroup\nx\tgood\n", "expected a column cluster_id, found 'name', 'group'"),
        ("", "expected a table of clusters, found an empty file"),
    ],
)
def test_a_table_of_clusters_that_cannot_be_used_costs_a_note(folder, content, note):
    (folder / "cluster_group.tsv").write_text(content)
    session = na.open_datatree(folder)[S]
    assert f"cluster_group.tsv not read: {note}" in session.attrs["notes"]
    assert "group" not in session["unknown/spikes"].coords


def test_rows_without_a_cluster_are_left_out(folder):
    # phy leaves the group of merged clusters and the number of the new one blank.
    (folder / "cluster_group.tsv").write_text("cluster_id\tgroup\n2\tgood\n\tmua\n3\t\n1.5\tmua\n")
    session = na.open_datatree(folder)[S]
    spikes = session["unknown/spikes"].to_dataset()
    assert [spikes.sel(unit_id=unit)["group"].item() for unit in (2, 3)] == ["good", ""]
    left_out = "cluster_group.tsv: 2 rows left out, where cluster_id is no number of a cluster"
    assert left_out in session.attrs["notes"]


def test_times_out_of_order_are_kept_and_noted(folder):
    change(folder, "spike_times.npy", lambda times: times[::-1].copy())
    assert spikes(folder).sel(unit_id=2).spike_times.values[0] > 1
    assert any("order" in note for note in na.validate(na.open_datatree(folder), values=True))


def test_a_recording_without_spikes(folder):
    for name in ("spike_times", "spike_clusters", "spike_templates", "amplitudes"):
        change(folder, f"{name}.npy", lambda values: values[:0])
    node = spikes(folder).load()
    assert dict(node.sizes) | {"interval": 0} == {"spike": 0, "unit_id": 0, "interval": 0}


def test_a_folder_that_two_readers_claim_is_an_error_that_names_both(folder):
    (folder / "meta.json").write_text("{}")
    (folder / "treadmill").mkdir()
    (folder / "treadmill" / "meta.yml").write_text('{"modality": "sequence"}')
    with pytest.raises(NeuroArraysError, match="phy") as caught:
        na.open_datatree(folder)
    assert "experanto" in str(caught.value)
    assert spikes(folder, engine="phy").unit_id.size == 3
