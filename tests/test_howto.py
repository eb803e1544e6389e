"""The first hour: every page of "How do I ...?" runs as written, and shows what its code gave."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
#: Pages whose code has nothing to show.
SILENT = {"free_memory"}

for needed in ("matplotlib", "torch", "pynapple", "obstore", "pynwb"):
    pytest.importorskip(needed, reason=f"{needed} is not installed: pip install 'neuroarrays[all]'")
spec = importlib.util.spec_from_file_location("howto", DOCS / "howto.py")
howto = importlib.util.module_from_spec(spec)
sys.modules["howto"] = howto
spec.loader.exec_module(howto)


@pytest.fixture(scope="module")
def folder():
    with howto.workplace() as folder:
        yield folder


@pytest.mark.slow
@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("page", howto.PAGES, ids=lambda page: page.stem)
def test_a_page_runs_and_shows_what_it_gave(page):
    run = howto.run(page)
    assert run.text.startswith("# How do I ")
    shows = "```text" in run.text or run.pictures
    assert bool(shows) == (page.stem not in SILENT)
    for name, picture in run.pictures.items():
        assert f"]({name})" in run.text
        assert picture.startswith(b"\x89PNG")


def test_every_page_has_its_place_in_the_list():
    text = (DOCS / "how_do_i.md").read_text(encoding="utf-8")
    listed = re.findall(r"^_generated/howto/(\w+)$", text, re.M)
    assert sorted(listed) == [page.stem for page in howto.PAGES]
    assert len(listed) >= 40


def test_what_a_page_shows_is_what_its_code_gave(tmp_path):
    page = tmp_path / "sum.md"
    page.write_text("# How do I add?\n\n```python\na = 1\nprint(a)\na + 1\n```\n", encoding="utf-8")
    assert "```text\n1\n2\n```" in howto.run(page).text
    page.write_text(
        "# How do I count?\n\n```python\nimport matplotlib.pyplot as plt\nplt.hist([1, 2])\n```\n",
        encoding="utf-8",
    )
    shown = howto.run(page)  # of a histogram the picture, and not the arrays that come with it
    assert "```text" not in shown.text
    assert len(shown.pictures) == 1
    page.write_text("# How do I fail?\n\n```python\n1 / 0\n```\n", encoding="utf-8")
    with pytest.raises(ZeroDivisionError):
        howto.run(page)
