"""Scores of units over repeats, against slow twins and against neuralpredictors."""

import numpy as np
import pytest
import xarray as xr

import neuroarrays as na
from neuroarrays.analysis import scoring
from neuroarrays.errors import NotInTree, SchemaError
from neuroarrays.synthetic.sensorium import (
    DynamicOptions,
    StaticOptions,
    write_dynamic,
    write_static,
)


def area_of(values, images, withheld=None):
    n = len(images)
    node = xr.Dataset(
        {
            "responses": (("presentation_id", "unit_id"), values),
            "withheld": ("presentation_id", np.zeros(n, bool) if withheld is None else withheld),
        },
        {"presentation_id": np.arange(n), "unit_id": np.arange(values.shape[1]) + 10},
    )
    return node.assign_coords(image_id=("presentation_id", images))


@pytest.fixture
def area():
    random = np.random.default_rng(0)
    images = random.permutation(
        np.r_[np.repeat(np.arange(90), 4), np.repeat([200, 201], 7), [300, 301]]
    )
    values = random.gamma(2, 1, (400, 5))[images] + random.normal(0, 1, (images.size, 5))
    values[:, 2] = 0
    return area_of(values.astype("f4"), images, images == 5)


def twins(area):
    """Groups of responses, one image after another."""
    values, images = area["responses"].values.astype(float), area["image_id"].values
    kept = ~area["withheld"].values
    groups = [values[kept & (images == i)] for i in np.unique(images)]
    return [group for group in groups if len(group) > 1]


def test_repeats_are_grouped(area):
    found = scoring.repeats(area)
    assert set(found) == {
        *range(5),
        *range(6, 90),
        200,
        201,
    }  # 5 is withheld, 300 and 301 shown once
    assert [len(rows) for rows in found.values()] == [4] * 89 + [7] * 2
    for image, rows in found.items():
        assert (area["image_id"].values[rows] == image).all()
        assert (np.diff(rows) > 0).all()
    assert len(scoring.repeats(area, at_least=5)) == 2
    assert scoring.repeats(area.isel(presentation_id=slice(0))) == {}


def test_averages(area):
    found = scoring.repeat_average(area)
    np.testing.assert_allclose(found.values, [group.mean(axis=0) for group in twins(area)])
    assert found.dims == ("image_id", "unit_id")
    assert found["repeats"].values.sum() == 89 * 4 + 14
    assert found.sel(image_id=200, unit_id=11).item() == pytest.approx(
        area["responses"].values[area["image_id"].values == 200, 1].astype(float).mean()
    )


def test_explainable_variance(area):
    groups = twins(area)
    total = np.concatenate(groups).var(axis=0, ddof=1)
    noise = np.mean([group.var(axis=0, ddof=1) for group in groups], axis=0)
    found = scoring.explainable_variance(area)
    expected = np.where(total > 0, (total - noise) / np.where(total > 0, total, 1), np.nan)
    np.testing.assert_allclose(found.values, expected, rtol=1e-10)
    assert np.isnan(found.sel(unit_id=12))  # never responds


def test_correlation_with_the_other_repeats(area):
    own, others = [], []
    for group in twins(area):
        for i in range(len(group)):
            own.append(group[i])
            others.append(np.delete(group, i, axis=0).mean(axis=0))
    own, others = np.array(own), np.array(others)
    found = scoring.repeat_correlation(area)
    for unit in (0, 1, 3, 4):
        expected = np.corrcoef(own[:, unit], others[:, unit])[0, 1]
        assert found.values[unit] == pytest.approx(expected, rel=1e-10)
    assert np.isnan(found.values[2])


@pytest.fixture
def predicted(area):
    """A model that sees half of the truth, and depends on the presentation (on behaviour)."""
    random = np.random.default_rng(1)
    values = area["responses"].values.astype(float)
    noise = random.normal(0, 2, values.shape)
    return area["responses"].astype(float).copy(data=values + noise)


def test_correlation_of_predictions_with_the_mean(area, predicted):
    images, kept = area["image_id"].values, ~area["withheld"].values
    repeated = [i for i in np.unique(images) if (kept & (images == i)).sum() > 1]
    own, model = (
        np.array([array.values[kept & (images == i)].astype(float).mean(axis=0) for i in repeated])
        for array in (area["responses"], predicted)
    )
    found = scoring.signal_correlation(area, predicted)
    for unit in (0, 1, 3, 4):
        expected = np.corrcoef(own[:, unit], model[:, unit])[0, 1]
        assert found.values[unit] == pytest.approx(expected, rel=1e-10)
    assert np.isnan(found.values[2])
    shuffled = predicted.isel(
        presentation_id=np.random.default_rng(2).permutation(len(images)), unit_id=[4, 2, 0, 1, 3]
    )
    np.testing.assert_allclose(scoring.signal_correlation(area, shuffled.T), found)
    by_image = xr.DataArray(
        model, {"image_id": repeated, "unit_id": area["unit_id"]}, ("image_id", "unit_id")
    )
    np.testing.assert_allclose(scoring.signal_correlation(area, by_image), found)


def test_predictions_that_do_not_fit_are_named(area, predicted):
    with pytest.raises(SchemaError, match="lack 1 values of unit_id: 14"):
        scoring.signal_correlation(area, predicted[:, :4])
    with pytest.raises(SchemaError, match="of presentation_id"):
        scoring.signal_correlation(area, predicted[5:])
    with pytest.raises(SchemaError, match="labels along 'image_id' and 'unit_id'"):
        scoring.signal_correlation(area, predicted.values)
    with pytest.raises(SchemaError, match="'image_id'"):
        scoring.signal_correlation(area, predicted.rename(presentation_id="clip"))


@pytest.fixture
def movies(tmp_path):
    path = tmp_path / "dynamic29515-10-12-Video-9b4f6a"
    options = DynamicOptions(repeated=4, competition=True, surplus=2, seed=3)
    truth = write_dynamic(path, options)
    return na.open_datatree(path)["29515-10-12/unknown"].to_dataset(), truth


def frames_of(area, truth):
    """Per movie `(repeats, unit)` of each of its frames: those of the oracle tier are not withheld."""
    ids, shown = area["presentation_id"].values, truth["movie"]
    found = {}
    for row, one in enumerate(ids.tolist()):
        if area["tier"].values[row] == "oracle":
            found.setdefault(int(shown[one]), []).append(one)
    return [
        truth["responses"][rows][:, :, frame].astype(float)
        for rows in found.values()
        for frame in range(truth["length"][rows[0]])
    ]


def test_movies_are_scored_frame_by_frame(movies):
    area, truth = movies
    groups = frames_of(area, truth)
    assert len(groups) == 4 * 36
    total = np.concatenate(groups).var(axis=0, ddof=1)
    noise = np.mean([group.var(axis=0, ddof=1) for group in groups], axis=0)
    found = scoring.explainable_variance(area)
    np.testing.assert_allclose(found.values[1:], 1 - noise[1:] / total[1:], rtol=1e-9)
    assert np.isnan(found.values[0])
    assert (found.values[1:] > 0.3).all()
    own = np.concatenate(groups)
    others = np.concatenate(
        [
            np.stack([np.delete(group, i, axis=0).mean(axis=0) for i in range(len(group))])
            for group in groups
        ]
    )
    expected = [np.corrcoef(own[:, unit], others[:, unit])[0, 1] for unit in range(1, 6)]
    np.testing.assert_allclose(scoring.repeat_correlation(area).values[1:], expected, rtol=1e-9)


def test_averages_and_predictions_of_movies(movies):
    area, truth = movies
    mean = scoring.repeat_average(area)
    assert mean.dims == ("stimulus_id", "unit_id", "time")
    assert mean["repeats"].values.tolist() == [3] * 4
    assert np.isnan(mean.values[..., 36:]).all()  # the padding
    groups = {}
    for one, shown in enumerate(truth["movie"].tolist()):
        groups.setdefault(shown, []).append(one)
    for stimulus in mean["stimulus_id"].values.tolist():
        rows = next(group for group in groups.values() if group[0] == stimulus)
        expected = truth["responses"][rows][..., :36].astype(float).mean(axis=0)
        np.testing.assert_allclose(mean.sel(stimulus_id=stimulus).values[:, :36], expected)
    random = np.random.default_rng(5)
    model = area["responses"].astype(float)
    model = model.copy(data=model.values + random.normal(0, 1, model.shape))
    ids = [groups[int(truth["movie"][s])] for s in mean["stimulus_id"].values]
    theirs = np.stack([model.sel(presentation_id=rows).values.mean(axis=0) for rows in ids])
    found = scoring.signal_correlation(area, model)
    for unit in range(1, 6):
        pair = mean.values[:, unit, :36].ravel(), theirs[:, unit, :36].ravel()
        assert found.values[unit] == pytest.approx(np.corrcoef(*pair)[0, 1], rel=1e-9)
    by_movie = mean.copy(data=theirs)[::-1].transpose("time", "unit_id", "stimulus_id")
    np.testing.assert_allclose(scoring.signal_correlation(area, by_movie), found)
    window = {"time": slice(5, 20)}  # as SENSORIUM leaves out the first frames
    cut = scoring.signal_correlation(area.isel(window), model.isel(window))
    pair = mean.values[:, 2, 5:20].ravel(), theirs[:, 2, 5:20].ravel()
    assert cut.values[2] == pytest.approx(np.corrcoef(*pair)[0, 1], rel=1e-9)
    with pytest.raises(SchemaError, match="40 frames"):
        scoring.signal_correlation(area, model.isel(time=slice(5)))


def test_blocks_change_nothing(movies, monkeypatch):
    area, _ = movies
    expected = scoring.repeat_average(area), scoring.explainable_variance(area)
    monkeypatch.setattr(scoring, "_BLOCK", 1)
    xr.testing.assert_identical(scoring.repeat_average(area), expected[0])
    xr.testing.assert_identical(scoring.explainable_variance(area), expected[1])


@pytest.mark.parametrize("value", [0.0, 0.1, -3.3, 1e9 + 0.1])
def test_a_unit_that_never_changes_has_no_score(value):
    images = np.repeat(np.arange(5), [3, 7, 3, 6, 9])
    area = area_of(np.full((images.size, 2), value), images)
    for score in (scoring.explainable_variance, scoring.repeat_correlation):
        assert np.isnan(score(area)).all()
    assert np.isnan(scoring.signal_correlation(area, area["responses"])).all()


def test_repeats_by_a_label_of_ones_own():
    node = xr.Dataset({"responses": (("presentation_id", "unit_id", "time"), np.ones((4, 2, 3)))})
    node = node.assign_coords(clip=("presentation_id", ["a", "b", "a", "a"]))
    assert scoring.repeats(node, by="clip")["a"].tolist() == [0, 2, 3]
    assert scoring.repeat_average(node, by="clip")["clip"].values.tolist() == ["a"]
    with pytest.raises(NotInTree, match="clip"):
        scoring.repeats(node)


def test_withheld_responses_never_count(tmp_path):
    path = tmp_path / "static26872-17-20-GrayImageNet-94c6ff"
    write_static(path, StaticOptions(train=4, test=2, competition=True))
    area = na.open_datatree(path)["26872-17-20/V1"]
    assert scoring.repeats(area) == {}
    assert scoring.repeat_average(area).shape == (0, 8)
    assert np.isnan(scoring.explainable_variance(area)).all()
    assert np.isnan(scoring.repeat_correlation(area)).all()
    assert np.isnan(scoring.signal_correlation(area, area["responses"])).all()
    write_static(path, StaticOptions(repeats=10, test=15, train=2))
    area = na.open_datatree(path)["26872-17-20/V1"]
    found = scoring.explainable_variance(area)
    assert (found.values[1:] > 0.3).all()
    assert (scoring.repeat_correlation(area).values[1:] > 0.5).all()
    assert found["area"].values.tolist() == ["V1"] * 8  # labels of the units come along


def test_what_cannot_be_scored_is_said(area):
    with pytest.raises(NotInTree, match="orientation"):
        scoring.repeats(area, by="orientation")
    with pytest.raises(SchemaError, match="responses"):
        scoring.repeat_average(area.drop_vars("responses"))


@pytest.mark.peers("neuralpredictors")
def test_as_neuralpredictors(area):
    peer = pytest.importorskip(
        "neuralpredictors.measures.np_functions", reason="neuralpredictors is not installed"
    )
    equal = area.isel(presentation_id=area["image_id"].values < 90)  # the peer wants equal numbers
    groups = np.array(twins(equal))
    np.testing.assert_allclose(
        scoring.explainable_variance(equal).values[[0, 1, 3, 4]],
        peer.explainable_var(groups)[[0, 1, 3, 4]],
        rtol=1e-6,
    )
    np.testing.assert_allclose(
        scoring.repeat_correlation(equal).values[[0, 1, 3, 4]],
        peer.oracle_corr_jackknife(groups)[[0, 1, 3, 4]],
        rtol=1e-6,
    )
    model = equal["responses"] + np.random.default_rng(3).normal(0, 1, equal["responses"].shape)
    means = np.array(
        [
            model.values[~equal["withheld"].values & (equal["image_id"].values == i)].mean(axis=0)
            for i in scoring.repeats(equal)
        ]
    )
    np.testing.assert_allclose(
        scoring.signal_correlation(equal, model).values[[0, 1, 3, 4]],
        peer.corr(groups.mean(axis=1), means, axis=0)[[0, 1, 3, 4]],
        rtol=1e-6,
    )


@pytest.mark.peers("neuralpredictors")
def test_unequal_numbers_of_repeats_as_neuralpredictors(area):
    peer = pytest.importorskip(
        "neuralpredictors.measures.np_functions", reason="neuralpredictors is not installed"
    )
    groups, units = twins(area), [0, 1, 3, 4]
    share, _ = peer.fev(groups, groups, return_exp_var=True)
    found = scoring.explainable_variance(area).values
    np.testing.assert_allclose(found[units], share[units], rtol=1e-6)
    found = scoring.repeat_correlation(area).values
    np.testing.assert_allclose(found[units], peer.oracle_corr_jackknife(groups)[units], rtol=1e-6)


def test_chance_is_the_best_constant_answer():
    """Against every constant answer, of values on a line and on a circle."""
    rng = np.random.default_rng(0)
    line, circle = rng.gamma(2, size=101), rng.normal(0, 60, 101) % 360
    constants = np.linspace(0, 10, 4001)
    errors = np.median(np.abs(line - constants[:, None]), axis=1)
    assert errors.min() == pytest.approx(na.scoring.chance_error(line), abs=0.005)
    angles = np.arange(0, 360, 0.1)
    errors = np.median(np.abs((circle - angles[:, None] + 180) % 360 - 180), axis=1)
    assert errors.min() == pytest.approx(na.scoring.chance_error(circle, 360), abs=0.1)
    assert na.scoring.chance_error([np.nan, 7.0], 360) == 0
    with pytest.raises(ValueError, match="all values of the truth"):
        na.scoring.chance_error([np.nan])
    with pytest.raises(ValueError, match="period"):
        na.scoring.chance_error([1.0], -1)
