"""Answers of several areas in pictures: means over the units of each, panels for conditions."""

import numpy as np
import pytest

import neuroarrays as na
from neuroarrays.synthetic.trees import aligned_tree

plt = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture(scope="module")
def tree():
    return aligned_tree(sessions=2, presentations=40)


@pytest.fixture
def ax():
    yield plt.figure().add_subplot()
    plt.close("all")


def of_area(answer, area):
    return answer.isel(unit_id=answer.area.values == area)


def test_a_line_for_each_area(tree, ax):
    answer = na.psth(tree)
    na.plot.psth(answer, ax=ax)
    lines = {line.get_label(): line for line in ax.get_lines() if line.get_label()[0] != "_"}
    assert list(lines) == ["CA1", "VISp"]
    expected = of_area(answer, "VISp")["mean"].mean("unit_id")
    np.testing.assert_allclose(lines["VISp"].get_ydata(), expected)


def test_a_panel_for_each_area_where_there_are_conditions(tree, ax):
    answer = na.psth(tree, "stimulus")
    na.plot.psth(answer, ax=ax)
    assert [panel.get_title() for panel in ax.child_axes] == ["CA1", "VISp"]
    expected = of_area(answer, "CA1")["mean"].mean("unit_id").sel(stimulus="image1")
    line = next(x for x in ax.child_axes[0].get_lines() if x.get_label() == "image1")
    np.testing.assert_allclose(line.get_ydata(), expected)
    assert len({panel.get_ylim() for panel in ax.child_axes}) == 1


def test_tuning_of_each_area_with_its_error_over_units(tree, ax):
    curves = na.tuning_curve(tree, "orientation")
    na.plot.tuning(curves, ax=ax)
    line = next(x for x in ax.get_lines() if x.get_label() == "VISp")
    np.testing.assert_allclose(line.get_ydata(), of_area(curves, "VISp").mean("unit_id"))
    sem = na.plot.areas.mean_by_area(curves).sem.sel(area="VISp")
    rates = of_area(curves, "VISp").values
    np.testing.assert_allclose(sem, rates.std(axis=0, ddof=1) / np.sqrt(len(rates)))
    ax.clear()
    na.plot.tuning(of_area(curves, "VISp"), ax=ax)  # units of one area are lines of their own
    assert len(ax.get_lines()) > 2
