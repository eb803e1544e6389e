"""Neural Latents Benchmark: held-out units, splits and stretches that were observed, through the reader of NWB."""

from pathlib import Path

import h5py
import numpy as np
import pytest

import neuroarrays as na
from neuroarrays.errors import UnknownFormat
from neuroarrays.synthetic import write_nlb

BIN = 0.005


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    path = tmp_path_factory.mktemp("nlb") / "sub-J_ses-full.nwb"
    return path, write_nlb(path, trials=12)


@pytest.fixture(scope="module")
def tree(made):
    return na.open_datatree(made[0])


@pytest.fixture(scope="module")
def aligned(tree):
    """As the benchmark asks for it: 5 ms, from 0.25 s before to 0.45 s after the movement begins."""
    return na.align(tree, "trials", BIN, (-0.25, 0.45), event="move_onset_time", series="hand_vel")


def units_of(tree):
    session = next(iter(tree.children.values()))
    nodes = [session[f"{area}/spikes"].to_dataset() for area in ("PMd", "M1")]
    return {
        int(unit): (node.sel(unit_id=unit), bool(heldout))
        for node in nodes
        for unit, heldout in zip(node.unit_id.values, node.heldout.values, strict=True)
    }


def test_units_are_held_in_or_out(made, tree):
    units = units_of(tree)
    assert len(units) == 8
    for number, heldout in enumerate(made[1]["heldout"]):
        node, stated = units[1000 + number]
        assert stated == heldout
        np.testing.assert_array_equal(node.spike_times.values, made[1]["trains"][number])
    heldin = na.select_units(tree, "not heldout")
    assert (
        sum(
            n
            for n in (heldin[f"sub-J_ses-full/{a}/spikes"].sizes["unit_id"] for a in ("PMd", "M1"))
        )
        == 6
    )


def test_bins_of_five_milliseconds(made, aligned):
    truth = made[1]
    for area, first in (("PMd", 0), ("M1", 1)):
        node = aligned[f"sub-J_ses-full/{area}"]
        assert node["spike_data"].sizes == {"presentation_id": 12, "unit_id": 4, "time": 140}
        for row, unit in enumerate(range(first, 8, 2)):
            for trial, onset in enumerate(truth["move_onset_time"]):
                since = np.round((truth["trains"][unit] - onset + 0.25) * 1000).astype(int)
                expected = np.bincount(since[(since >= 0) & (since < 700)] // 5, minlength=140)
                assert node["spike_data"].values[trial, row].tolist() == expected.tolist()
    velocity = aligned["sub-J_ses-full/M1/hand_vel/hand_vel"]
    assert velocity.sizes["time"] == 140
    assert float(np.abs(velocity).max()) == pytest.approx(1, abs=0.01)


def test_the_files_own_split_makes_the_loaders(made, aligned):
    sides = na.batches.splits.by_tier(made[1]["split"])
    assert {side: rows.tolist() for side, rows in sides.items()}["val"] == [3, 7, 11]
    loaders = na.batches.loaders(
        na.select_units(aligned, "not heldout"), ["spike_data"], ["hand_vel/hand_vel"], batch_size=4,
        split=lambda area: na.batches.splits.by_tier(area["split"].values),
    )  # fmt: skip
    batch = next(iter(loaders["val"]["sub-J_ses-full/M1"]))
    assert batch["presentation_id"].tolist() == [3, 7, 11]
    assert batch["hand_vel/hand_vel"].shape == (3, 140, 2)


def test_what_was_not_observed_does_not_count(made, tmp_path):
    """A masked trial: no unit was observed in it, so that none of its bins is a zero."""
    path = tmp_path / "masked.nwb"
    path.write_bytes(made[0].read_bytes())
    with h5py.File(path, "a") as file:
        rows = file["units/obs_intervals"][:].reshape(8, 12, 2)
        del file["units/obs_intervals"], file["units/obs_intervals_index"]
        file["units/obs_intervals"] = rows[:, 1:].reshape(-1, 2)
        file["units/obs_intervals_index"] = np.arange(1, 9) * 11
    area = na.align(na.open_datatree(path), "trials", BIN, (0, 1))["masked/M1"]
    known = area["valid"].values[:, None] & area["valid_units"].values
    assert not known[0].any()
    assert known[1].all()


def test_the_file_of_the_test_split(tmp_path):
    write_nlb(tmp_path / "test.nwb", trials=6, test=True)
    tree = na.open_datatree(tmp_path / "test.nwb")
    assert [heldout for _, heldout in units_of(tree).values()] == [False] * 6
    rows = tree["test/presentations/trials"]
    assert set(rows.split.values) == {"test"}
    assert "hand_vel" not in tree["test"].children
    assert na.align(tree, "trials", BIN, (0, 1))["test/M1/spike_data"].shape == (6, 2, 200)


def test_a_file_without_held_out_units(made, tmp_path):
    path = tmp_path / "plain.nwb"
    path.write_bytes(made[0].read_bytes())
    with h5py.File(path, "a") as file:
        del file["units/heldout"]
    tree = na.open_datatree(path)
    assert "heldout" not in tree["plain/M1/spikes"].coords
    with pytest.raises(na.NotInTree, match="heldout"):
        na.select_units(tree, "not heldout")


# ------------------------------------------------------------------------------------- bad input


def changed(made, tmp_path, edit):
    """A copy of the file after `edit(file)`, opened."""
    path = tmp_path / "bad.nwb"
    path.write_bytes(made[0].read_bytes())
    with h5py.File(path, "a") as file:
        edit(file)
    return na.open_datatree(path)


def replaced(name, function):
    """An edit that puts another array in the place of one; None takes it out."""

    def edit(file):
        values = function(file[name][:])
        attrs = dict(file[name].attrs)
        del file[name]
        if values is not None:
            file[name] = values
            file[name].attrs.update(attrs)

    return edit


@pytest.mark.parametrize(
    ("name", "function", "lost", "said"),
    [
        ("units/spike_times", lambda values: None, "M1", "units (a table of units without"),
        ("units/spike_times", lambda values: values[:9], "M1", "grow up to at most 9"),
        ("units/electrodes", lambda rows: rows + 900, "M1", "row numbers are no row of"),
        (
            "intervals/trials/start_time",
            lambda values: np.stack([values, values]),
            "presentations/trials",
            "intervals/trials",
        ),
        ("intervals/trials/split", lambda values: values[:3], "", "shape (3,) for 12 rows"),
        (
            "general/extracellular_ephys/electrodes/location",
            lambda places: places[:-1],
            "",
            "locations of electrodes, ",
        ),
    ],
)
def test_what_is_missing_or_disagrees_is_a_note(made, tmp_path, name, function, lost, said):
    session = changed(made, tmp_path, replaced(name, function))["bad"]
    assert not lost or lost not in [node.path.removeprefix("/bad/") for node in session.subtree]
    assert any(said in note for note in session.attrs["notes"]), session.attrs["notes"]
    assert session["hand_vel"].sizes["time"] > 0


def test_times_out_of_order_are_kept_and_noted(made, tmp_path):
    tree = changed(made, tmp_path, replaced("units/spike_times", lambda times: times[::-1]))
    assert any("order" in note for note in na.validate(tree, values=True))


def test_a_recording_of_no_length(made, tmp_path):
    def edit(file):
        replaced("units/spike_times", lambda times: times[:0])(file)
        replaced("units/spike_times_index", np.zeros_like)(file)
        for name in list(file["intervals/trials"]):
            if file[f"intervals/trials/{name}"].ndim:
                replaced(f"intervals/trials/{name}", lambda values: values[:0])(file)

    session = changed(made, tmp_path, edit)["bad"].load()
    assert not session["M1/spikes"].row_size.values.any()
    assert session["presentations/trials"].sizes["presentation_id"] == 0


def test_a_folder_that_two_readers_claim_is_an_error_that_names_both(made, tmp_path):
    (tmp_path / "one.nwb").write_bytes(made[0].read_bytes())
    golden = Path(__file__).resolve().parents[1] / "golden" / "allen_ophys" / "501271265.nwb"
    (tmp_path / "501271265.nwb").write_bytes(golden.read_bytes())
    with pytest.raises(UnknownFormat, match="'nwb', 'allen_ophys'"):
        na.open_datatree(tmp_path)
    assert set(na.open_datatree(tmp_path / "one.nwb").children) == {"one"}
