"""`neuroarrays create-data`: every layout is opened by its reader, and a model can learn from it."""

from pathlib import Path

import numpy as np
import pytest

import neuroarrays as na
from neuroarrays import cli
from neuroarrays.cli.creation import LAYOUTS, create
from neuroarrays.errors import PathExists
from neuroarrays.formats.registry import FORMATS
from neuroarrays.synthetic import suite2p
from neuroarrays.synthetic.phy import phase
from neuroarrays.testing import assert_same_trees
from neuroarrays.testing.sources import close_all

#: Options without which there would be no responses that a model could predict.
OPTIONS = {
    "openretina": {"test_names": "random_noise_0"},
    "maheswaranathan_2023": {"stimulus": "whitenoise", "response": "binned"},
    "karamanlis_2024": {"size": (12, 16)},
}
#: Sizes of files that would be large.
SMALL = {"openretina": {"colors": 1, "stimuli": 3, "clips": 24, "clip_length": 25}}

#: Layouts whose files name their session.
NUMBERED = (
    "allen",
    "allen_ophys",
    "driada",
    "driada_experiment",
    "experanto",
    "nwb",
    "nwb_nlb",
    "temporaldata",
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Every layout once: name -> what to open."""
    folder = tmp_path_factory.mktemp("made")
    yield {
        name: create(name, folder / f"{name}{LAYOUTS[name].suffix}", 3, **SMALL.get(name, {}))
        for name in LAYOUTS
    }
    close_all()


def reader(layout):
    """The name of the reader of a layout: the longest that it begins with."""
    return max((f.name for f in FORMATS if layout.startswith(f.name)), key=len)


def test_there_is_a_layout_for_every_format():
    assert {reader(layout) for layout in LAYOUTS} == {format_.name for format_ in FORMATS}


def test_the_documentation_lists_them():
    text = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
    assert not [layout for layout in LAYOUTS if f"`{layout}`" not in text]


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_one_reader_knows_it_and_every_value_is_valid(layout, made):
    claims = [f.name for f in FORMATS if f.load().guess_can_open(str(made[layout]))]
    assert claims == [reader(layout)]
    na.validate(na.open_datatree(made[layout]), values=True)


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_seeds(layout, made, tmp_path):
    name = made[layout].name if made[layout].parent.name != "arrays" else "arrays"
    sizes = SMALL.get(layout, {})
    trees = [
        na.open_datatree(create(layout, tmp_path / str(seed) / name, seed, **sizes))
        for seed in (3, 4)
    ]
    assert_same_trees(na.open_datatree(made[layout]), trees[0])
    with pytest.raises(AssertionError):
        assert_same_trees(trees[0], trees[1])
    if layout in NUMBERED:
        ids = [next(iter(tree.children.values())).attrs["session_id"] for tree in trees]
        assert ids[0] != ids[1], "files of two seeds are two sessions"
    close_all()


# ------------------------------------------------------------------------- a model can learn


def lagged(movie, lags=4):
    """Pixels of the frames up to now, (time, feature)."""
    flat = np.asarray(movie, float).reshape(len(movie), -1)
    late = [np.roll(flat, lag, axis=0) for lag in range(lags)]
    return np.concatenate(late, axis=1)


def one_hot(values):
    return (np.asarray(values)[:, None] == np.unique(values)).astype(float)


def movie(path, layout):
    """Pixels with their past, and responses, of the first session's train block."""
    tree = na.open_datatree(path, **OPTIONS.get(layout, {}))
    session = next(iter(tree["train"].children.values()))
    area = session["retina"]
    some = slice(3000)
    return lagged(session["stimulus"][some].values), area["responses"][some].values


def images(path, layout):
    tree = na.open_datatree(path)
    session = next(iter(tree.get("train", tree).children.values()))
    area = next(iter(session.children.values()))
    pixels, responses = session["stimulus"].values, area["responses"].values
    shown = np.isfinite(responses).all(axis=1)
    return lagged(pixels[shown], 1), responses[shown]


def films(path, layout):
    """Trials of a movie each, one after another."""
    session = next(iter(na.open_datatree(path).children.values()))
    area = next(iter(session.children.values()))
    responses = area["responses"].transpose("presentation_id", "time", "unit_id").values
    pairs = zip(session["stimulus"].values, responses, strict=True)
    rows = [(lagged(movie), trial) for movie, trial in pairs]
    x, y = (np.concatenate(part) for part in zip(*rows, strict=True))
    good = np.isfinite(x).all(axis=1) & np.isfinite(y).all(axis=1)
    return x[good], y[good]


def screens(path, layout):
    """What was on the screen at each sample of the responses, each on a clock of its own."""
    session = next(iter(na.open_datatree(path).children.values()))
    series = next(n for _, n in session.subtree_with_keys if "unit_id" in n.sizes)
    name = next(name for name, v in series.data_vars.items() if v.dims == ("time", "unit_id"))
    screen = session["screen/stimulus"]
    at = np.searchsorted(screen["time"].values, series["time"].values) - 1
    return lagged(screen.values[np.maximum(at, 0)], 1), series[name].values


def orientations(path, layout):
    tree = na.open_datatree(path)
    kinds = {"nwb": "trials", "allen": "drifting_gratings", "arrays": "gratings"}
    if layout in kinds:
        tree = na.align(tree, kinds[layout], bin_width=0.1, window=(0, 1))
    session = next(iter(tree.children.values()))
    areas = [n for _, n in session.subtree_with_keys if "spike_data" in n.data_vars]
    shown = areas[0]["orientation"].values
    counts = np.concatenate([n["spike_data"].sum("time").values for n in areas], axis=1)
    return one_hot(np.where(np.isfinite(shown), shown, -1)), counts


def fluorescent(path, layout):
    """Mean dF/F while each grating is shown."""
    session = next(iter(na.open_datatree(path).children.values()))
    traces = session["VISp/DfOverF/DfOverF"].values
    rows = session["presentations/drifting_gratings"].to_dataset().load()
    frames = zip(rows.start_frame.values, rows.end_frame.values, strict=True)
    shown = rows.orientation.values
    return one_hot(np.where(np.isfinite(shown), shown, -1)), np.stack(
        [traces[first:last].mean(0) for first, last in frames]
    )


def reaches(path, layout):
    """Spikes in each trial, and its direction."""
    tree = na.align(na.open_datatree(path), "trials", 0.5, (0, 1))
    areas = next(iter(tree.children.values())).children.values()
    counts = [area["spike_data"].sum("time").values for area in areas]
    return one_hot(next(iter(areas))["trial_type"].values), np.concatenate(counts, axis=1)


def headings(path, layout):
    (session,) = na.open_datatree(path).children.values()
    area = session["unknown"]
    angle = area["head_direction"].values
    harmonics = [f(k * angle) for k in (1, 2) for f in (np.cos, np.sin)]
    return np.stack(harmonics, axis=1), area["responses"].values


def rhythm(path, layout):
    """Spikes in bins of 0.1 s, and the phase of the rhythm at the middle of each."""
    session = na.open_datatree(path)[layout]
    edges = np.linspace(0, 30, 301)
    trains = [
        spikes.sel(unit_id=unit).spike_times.values
        for area in session.children.values() if "spikes" in area.children
        for spikes in [area["spikes"].to_dataset()]
        for unit in spikes.unit_id.values[spikes.row_size.values > 0]
    ]  # fmt: skip
    counts = np.stack([np.histogram(train, edges)[0] for train in trains], axis=1)
    angle = phase(edges[:-1] + 0.05)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1), counts


def imaged(path, layout):
    """Deconvolved traces, and the phase of the rhythm at each frame; the last is missing in a plane."""
    node = na.open_datatree(path)["suite2p/unknown/fluorescence"].to_dataset()
    angle = suite2p.phase(node.time.values[:-1])
    return np.stack([np.cos(angle), np.sin(angle)], axis=1), node.spks.values[:-1]


RETINA = ("openretina", "maheswaranathan_2023", "karamanlis_2024", "hoefling_2024", "sridhar_2025")
MODELS = {
    **dict.fromkeys(RETINA, movie),
    **dict.fromkeys(("nwb", "allen", "arrays", "neuroarrays", "allen_binned"), orientations),
    **dict.fromkeys(("driada", "driada_experiment"), headings),
    **dict.fromkeys(("goldin_2022", "sensorium_static"), images),
    "sensorium_dynamic": films,
    "experanto": screens,
    **dict.fromkeys(("phy", "spikeinterface", "alf", "temporaldata"), rhythm),
    "suite2p": imaged,
    "allen_ophys": fluorescent,
    "nwb_nlb": reaches,
}


def held_out(features, responses, penalty):
    """Correlation per unit of responses with what a ridge regression on the first 3/4 predicts."""
    train = len(features) * 3 // 4
    mean, scale = features[:train].mean(0), features[:train].std(0) + 1e-9
    x = (features - mean) / scale
    gram = x[:train].T @ x[:train] + penalty * train * np.eye(x.shape[1])
    weights = np.linalg.solve(gram, x[:train].T @ (responses[:train] - responses[:train].mean(0)))
    predicted = x[train:] @ weights
    pairs = zip(predicted.T, responses[train:].T, strict=True)
    with np.errstate(invalid="ignore"):  # a silent unit is NaN
        return np.array([np.corrcoef(p, r)[0, 1] for p, r in pairs])


def test_every_layout_with_responses_has_a_model():
    assert set(LAYOUTS) - set(MODELS) == {"movement"}  # an animal's points, and no recorded cell


@pytest.mark.parametrize("layout", sorted(MODELS))
def test_a_linear_model_predicts_responses_that_it_has_not_seen(layout, made):
    """Against chance: the same model of responses shifted by a third of the recording."""
    features, responses = MODELS[layout](made[layout], layout)
    shifted = np.roll(responses, len(responses) // 3, axis=0)
    both = held_out(features, np.concatenate([responses, shifted], axis=1), 0.2)
    found, chance = np.split(both, 2)
    assert np.nanmedian(found) > max(0.2, 2 * np.nanmedian(np.abs(chance)))


# -------------------------------------------------------------------------------- the command


def test_nothing_is_replaced_and_layouts_are_listed(tmp_path):
    with pytest.raises(PathExists, match="exists already"):
        create("openretina", tmp_path)
    with pytest.raises(ValueError, match="no layout 'retina'; there are nwb, .*, karamanlis_2024"):
        create("retina", tmp_path / "new")
    with pytest.raises(ValueError, match="seed: expected 0 or more, got -1"):
        create("openretina", tmp_path / "new", seed=-1)
    with pytest.raises(ValueError, match="allen_binned is one file.*ends in .h5"):
        create("allen_binned", tmp_path / "new")


def test_the_command(tmp_path, capsys):
    out = tmp_path / "data"
    sizes = ["--num-colors", "2", "--num-stimuli", "3", "--num-sessions", "1"]
    command = ["create-data", "openretina", str(out), "--seed", "4", *sizes, "--clip-length", "5"]
    assert cli.main(command) == 0
    assert str(out) in capsys.readouterr().out
    tree = na.open_datatree(out)
    assert tree.attrs["source"] == "openretina"
    assert list(tree.children) == [f"random_noise_{k}" for k in range(3)]
    assert tree["random_noise_2/session_0/stimulus"].shape == (72 * 5, 2, 16, 8)
    assert list(tree["random_noise_2"].children) == ["session_0"]
    units = tree["random_noise_2/session_0/retina/responses"].sizes["unit_id"]
    assert units == 6
    assert cli.main(["create-data", "nwb", str(tmp_path / "a.nwb"), "--num-colors", "2"]) == 2
    assert (
        "colors: only the layout openretina has these options, not nwb" in capsys.readouterr().err
    )
    assert cli.main(["create-data", "openretina", str(tmp_path / "b"), "--num-colors", "0"]) == 2
    assert "num-colors: expected at least 1, got 0" in capsys.readouterr().err
    assert cli.main(["create-data", "nothing", str(tmp_path / "b")]) == 2
    assert "karamanlis_2024" in capsys.readouterr().err
    close_all()
