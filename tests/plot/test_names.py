"""Names from files in pictures: letter by letter, whatever matplotlib would make of them."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import neuroarrays as na
from neuroarrays import schema

plt = pytest.importorskip("matplotlib.pyplot", reason="the extra `plot` is not installed")
# A letter that the font does not have is not what is tested.
pytestmark = pytest.mark.filterwarnings("ignore:Glyph")
#: What is in the names -> how a picture writes it.
NAMES = {
    r"$\alpha_{$": r"$\alpha_{$",
    "$x$": "$x$",
    "\\$1a_b^\x1b[31m\x07": r"\$1a_b^\x1b[31m\x07",
}


def tree_of(bad):
    """A session in which everything has a name with `bad` in it."""
    times = np.sort(np.random.default_rng(0).uniform(0, 10, (3, 30)), axis=1)
    spikes = {"spike_times": ("spike", times.ravel()), "row_size": ("unit_id", np.full(3, 30))}
    clock = {"time": ("time", np.arange(100) / 10)}
    signal = {f"x{bad}": ("time", np.sin(np.arange(100.0)), {"units": bad})}
    starts = np.arange(1.0, 9.0)
    table = {
        "start_time": ("presentation_id", starts),
        "stop_time": ("presentation_id", starts + 0.5),
        f"kind{bad}": ("presentation_id", np.array([f"a{bad}", f"b{bad}"] * 4, object)),
        "_under": ("presentation_id", np.array(["_a", "_b"] * 4, object)),
    }
    session = f"s{bad}"
    attrs = schema.root_attrs(schema.RECORDING, source=bad, **{f"key{bad}": bad})
    return xr.DataTree.from_dict(
        {
            "/": xr.Dataset(attrs=attrs),
            session: xr.Dataset(attrs={"notes": [f"seen {bad}"]}),
            f"{session}/area{bad}/spikes": xr.Dataset(spikes, {"unit_id": np.arange(3)}),
            f"{session}/signal{bad}": xr.Dataset(signal, clock),
            f"{session}/presentations/table{bad}": xr.Dataset(
                table, {"presentation_id": np.arange(8)}
            ),
        }
    )


@pytest.fixture(params=NAMES, ids=list(map(ascii, NAMES)))
def bad(request):
    yield request.param
    plt.close("all")


def written(figure):
    """Every text of a figure as it is drawn, once it has been."""
    figure.canvas.draw()
    texts = [t._preprocess_math(t.get_text()) for t in figure.findobj(plt.Text)]
    # Powers of ten along a logarithmic axis are matplotlib's own mathematics.
    assert not [text for text, is_math in texts if is_math and "mathdefault" not in text]
    return "\n".join(text for text, _ in texts)


def test_names_are_written_as_they_are(bad):
    tree = tree_of(bad)
    session, area = f"s{bad}", f"s{bad}/area{bad}"
    trials = na.align(tree, f"table{bad}", 0.05, series="*")
    curves = na.tuning_curve(trials[area], f"kind{bad}")
    maps = na.tuning_curve(trials[area], [f"kind{bad}", "_under"]).sel(unit_id=0)
    frame = pd.DataFrame({"session": [session], "area": [f"area{bad}"], "units": [3]})
    said = NAMES[bad]
    for drawn, label in (
        (na.plot.overview(tree)["units"], f"area{said}"),
        (na.plot.overview(trials)["units"], f"area{said}"),
        (na.plot.catalog(frame)["units"], f"s{said}"),
        (na.plot.psth(na.psth(trials[area], by=f"kind{bad}").sel(unit_id=0)), f"b{said}"),
        (na.plot.tuning(curves, ax=plt.figure().gca()), f"kind{said}"),
        (na.plot.population(curves, ax=plt.figure().gca()), f"a{said}"),
        (na.plot.rate_map(maps, ax=plt.figure().gca()), f"b{said}"),
        (na.plot.behaviour(tree[session], ax=plt.figure().gca()), f"x{said} ({said})"),
    ):
        assert label in written(drawn.figure)
        plt.close("all")


def test_conditions_that_begin_with_an_underscore_are_in_the_legend():
    trials = na.align(tree_of(""), "table", 0.05)
    drawn = na.plot.psth(na.psth(trials["s/area"], by="_under").sel(unit_id=0))
    assert [t.get_text().strip() for t in drawn.get_legend().get_texts()] == ["_a", "_b"]
    plt.close("all")


def test_no_control_character_reaches_a_terminal(tmp_path, capsys):
    from neuroarrays.cli import main

    tree = tree_of("\x1b]0;\x07\u202e")
    path = tmp_path / "a.h5"
    opened = na.open_datatree(na.save(tree, path))
    for command in (
        ["info", path],
        ["catalog", path],
        ["check", path],
        ["info", path, "--areas", "\x1b[1m"],
        ["align", path, "-o", tmp_path / "b.h5", "--presentations", "\x07"],
        ["info", "\x1b"],
        ["align", path, "-o", tmp_path / "b.h5", "--method", "\x1b"],
    ):
        main([str(word) for word in command])
    out, err = capsys.readouterr()
    with pytest.raises(na.NotInTree) as caught:
        na.align(opened, "\x07")
    shown = [
        out,
        err,
        repr(opened),
        repr(na.catalog(path)),
        str(na.describe(tree)),
        str(caught.value),
    ]
    for text in shown:
        assert [one for one in text if not one.isprintable() and one != "\n"] == []
        assert r"\x07" in text
    assert opened.attrs[r"key\x1b]0;\x07\u202e"] == r"\x1b]0;\x07\u202e"
    assert na.open_datatree(na.save(opened, tmp_path / "c.h5")).identical(opened)
