"""`neuroarrays create-data`: every layout is opened by its reader, and nothing is replaced."""

import pytest

import neuroarrays as na
from neuroarrays import cli, source
from neuroarrays.creation import LAYOUTS, create
from neuroarrays.errors import NotInTree, PathExists
from neuroarrays.formats import FORMATS

FILES = {"nwb": "session.nwb", "allen": "session_715093703.nwb"}


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_its_reader_opens_it(layout, tmp_path):
    path = create(layout, tmp_path / "new" / FILES.get(layout, "data"), seed=3)
    tree = na.open_datatree(path)
    assert tree.attrs["source"] in {layout, layout.partition("_")[0]}
    assert tree.attrs["source"] in {format_.name for format_ in FORMATS}
    na.validate(tree)
    source.close_all()


def test_nothing_is_replaced_and_layouts_are_listed(tmp_path):
    with pytest.raises(PathExists, match="exists already"):
        create("openretina", tmp_path)
    with pytest.raises(NotInTree, match="no layout 'retina'.*'karamanlis_2024'"):
        create("retina", tmp_path / "new")


def test_the_command(tmp_path, capsys):
    out = tmp_path / "data"
    assert cli.main(["create-data", "openretina", str(out), "--seed", "4"]) == 0
    assert str(out) in capsys.readouterr().out
    assert na.open_datatree(out).attrs["source"] == "openretina"
    assert cli.main(["create-data", "nothing", str(tmp_path / "b")]) == 2
    assert "'karamanlis_2024'" in capsys.readouterr().err
    source.close_all()
