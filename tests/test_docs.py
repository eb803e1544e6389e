"""The documentation: its code runs, its copies agree with the code, and it builds without warnings."""

import doctest
import importlib.util
import inspect
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import neuroarrays as na
from neuroarrays import cli, schema
from neuroarrays.formats.registry import FORMATS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
# Pages that take 3 s or more. What they do has its own tests in tests/collection, explorer and signals.
DEAR = ("allen_archive", "explorer", "formats", "many_sessions", "signals")
RUNNING = [
    pytest.param(page, marks=[pytest.mark.slow] * (page.stem in DEAR), id=page.stem)
    for page in PAGES
]
BLOCK = re.compile(r"^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.M | re.S)


# Words that the glossary has another for, and pages that speak of other things by them.
DOUBLES = {"neuron": "unit", "structure": "area", "region": "area"}
OTHER_THINGS = {
    "glossary": ("neuron", "structure", "region"),  # says what others call it
    "design": ("structure",),  # of a file
    "bring_your_own": ("neuron",),  # a file's own word
    "recordings": ("neuron",),  # a file's own word
}
NOT_PROSE = re.compile(r"^(```|~~~).*?^\1|^\|.*?$|``?[^`]+``?|\]\([^)]*\)|<!--.*?-->", re.M | re.S)


def load(path):
    """A file of docs/ as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def blocks(page, *languages):
    found = BLOCK.finditer(page.read_text(encoding="utf-8"))
    return [match["text"] for match in found if match["language"] in languages]


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A folder to run examples in: with a recording, and the worked example to import."""
    shutil.copy(na.sample_path(), tmp_path / "recording.nwb")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(DOCS / "examples"))


def doubles(text):
    prose = NOT_PROSE.sub(" ", text).lower()
    return [word for word in DOUBLES if re.search(rf"\b{word}s?\b", prose)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_one_word_for_one_thing(page):
    """Prose has the words of the glossary; code, tables and names in backticks may quote others'."""
    found = doubles(page.read_text(encoding="utf-8"))
    assert sorted(set(found) - set(OTHER_THINGS.get(page.stem, ()))) == [], "see docs/glossary.md"


def test_first_lines_of_docstrings_have_the_words_of_the_glossary():
    names = [name for name in na.__all__ if name not in ("plot", "torch", "explore")]
    lines = {name: (inspect.getdoc(getattr(na, name)) or "").partition("\n")[0] for name in names}
    assert {name: line for name, line in lines.items() if doubles(line)} == {}
    assert doubles("Rates of neurons in a `region`.") == ["neuron"]


@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize("page", RUNNING)
def test_code_runs(page):
    """The Python of a page, block after block in one namespace; `>>>` with its outputs."""
    namespace = {}
    for number, text in enumerate(blocks(page, "python")):
        if text.startswith(">>>"):
            parser, runner = doctest.DocTestParser(), doctest.DocTestRunner(verbose=False)
            report = []
            test = parser.get_doctest(text, namespace, page.name, str(page), 0)
            namespace = test.globs
            runner.run(test, out=report.append, clear_globs=False)
            assert runner.summarize(verbose=False).failed == 0, "".join(report)
        else:
            try:
                exec(compile(text, f"{page.name}, block {number}", "exec"), namespace)
            except na.MissingDependency as missing:
                pytest.skip(str(missing))


def test_pages_show_results_and_assert_nothing():
    code = {page.stem: "\n".join(blocks(page, "python", "py")) for page in PAGES}
    assert [name for name, text in code.items() if re.search(r"^\s*assert\b", text, re.M)] == []


def test_a_page_shows_what_its_code_gave(tmp_path):
    outputs = load(DOCS / "outputs.py")
    drawn = "```python\nimport matplotlib.pyplot as plt\nplt.figure().gca().set(xlabel='s')\n```\n"
    text = "# A page\n\n```python\na = 1\na + 1\n```\n\n```python\n>>> 3\n3\n```\n\n" + drawn
    shown = outputs.with_outputs(text, "page", tmp_path)
    assert "a + 1\n```\n\n```text\n2\n```" in shown
    assert shown.count("```text") == 1
    assert shown.rstrip().endswith("](_generated/pages/page_0.png)")
    assert (tmp_path / "page_0.png").read_bytes().startswith(b"\x89PNG")
    missing = "```python\nimport neuroarrays as na\nraise na.MissingDependency('x', '', 'y')\n```\n"
    assert outputs.with_outputs(missing, "page", tmp_path) == missing


@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize("page", RUNNING)
def test_commands_run(page, capsys):
    for text in blocks(page, "sh"):
        for line in text.splitlines():
            if line.startswith("neuroarrays "):
                assert cli.main(shlex.split(line, comments=True)[1:]) == 0, line
                assert capsys.readouterr().err == ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_between_pages_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text)
    targets += re.findall(r"^```\{literalinclude\} (\S+)$", text, re.M)
    for target in targets:
        assert (page.parent / target).is_file(), target


def test_reference_has_every_public_name():
    text = (DOCS / "reference.md").read_text(encoding="utf-8")
    listed = re.findall(r"^   (neuroarrays\.\S+)$", text, re.M)
    assert len(listed) == len(set(listed))
    modules = {name for name in na.__all__ if inspect.ismodule(getattr(na, name))}
    names = set(na.__all__) - modules - {"__version__"}
    assert sorted(n for n in names if f"neuroarrays.{n}" not in listed) == []
    for name in modules:  # where they stand, which is not the name that users say
        module = getattr(na, name)
        own = [
            n for n in getattr(module, "__all__", []) if not inspect.ismodule(getattr(module, n))
        ]
        shared = set(na.batches.__all__) if name == "torch" else set()
        missing = [
            n
            for n in own
            if f"{module.__name__}.{n}" not in listed and n not in shared and n not in names
        ]
        assert missing == [], name
        assert any(each.startswith(f"{module.__name__}.") for each in listed), name


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", DOCS / "measurements.md"], ids=lambda p: p.stem
)
def test_benchmarks_have_their_place(page):
    text = page.read_text(encoding="utf-8")
    assert text.count("<!-- benchmarks -->") == text.count("<!-- /benchmarks -->") == 1
    assert text.index("<!-- benchmarks -->") < text.index("<!-- /benchmarks -->")


# ----------------------------------------------------------------------------------- what is made


@pytest.fixture(scope="module")
def generate():
    return load(DOCS / "generate.py")


def test_every_variable_and_coordinate_is_in_the_tables(generate):
    for tree in (schema.RECORDING, schema.ALIGNED):
        text = generate.tree_tables(tree)
        for spec in schema.SPECS:
            if spec.tree == tree:
                assert spec.doc in text, f"{spec.role}/{spec.name}: no place in generate.PLACES"
    for name, (_, _, doc) in schema.COORDINATES.items():
        assert f"`{name}`" in generate.coordinate_table()
        assert doc in generate.coordinate_table()


def test_every_format_is_in_the_table(generate):
    text = generate.formats_table()
    for format_ in FORMATS:
        assert f"`{format_.name}`" in text
        own = set(format_.load().options()) - {"sessions", "areas"}
        assert format_.load().options().keys() >= {"sessions", "areas"}, (
            "the page says all have them"
        )
        for option in own:
            assert f"`{option}=" in text


def test_every_command_is_on_the_page(generate):
    text = generate.commands()
    for command in ("formats", "info", "catalog", "check", "align", "convert", "demo"):
        assert f"## {command}\n" in text
    assert "--event-clock" in text


def test_every_room_is_on_the_map(generate):
    text = generate.rooms()
    package = Path(na.__file__).parent
    for folder in package.glob("*/__init__.py"):
        assert text.count(f"| `{folder.parent.name}` |") == 1, folder
    assert "| `errors` |" in text


def test_a_table_survives_a_bar(generate):
    assert generate.table(["a"], [["x | y"]]) == "| a |\n| --- |\n| x \\| y |\n"


def test_badges_come_with_the_address_of_the_repository():
    badges = load(DOCS / "badges.py")
    urls = '[project]\nname = "a"\n[project.urls]\nRepository = "https://github.com/{}"\n'
    assert (
        badges.repository(urls.format("lab/code.git"), {"GITHUB_REPOSITORY": "a/b"}) == "lab/code"
    )
    assert badges.repository('[project]\nname = "a"\n', {"GITHUB_REPOSITORY": "a/b"}) == "a/b"
    assert badges.repository('[project]\nname = "a"\n', {}) == ""
    assert badges.links("lab/code", "01_a.ipynb") == {
        "Binder": "https://mybinder.org/v2/gh/lab/code/HEAD?urlpath=lab/tree/notebooks/01_a.ipynb",
        "Colab": "https://colab.research.google.com/github/lab/code/blob/main/notebooks/01_a.ipynb",
    }
    first = badges.NOTEBOOKS[0]
    for name, text in (("lab/code", "git+https://github.com/lab/code"), ("", "jupyter lab")):
        cells = json.loads(badges.with_note(first, name))["cells"]
        assert text in cells[1]["source"]
        assert cells[1]["source"].count("](../_static/badge_") == (2 if name else 0)
        rows = badges.listing(name).splitlines()[2:]
        assert len(rows) == len(badges.NOTEBOOKS)
        assert all("? |" in row for row in rows), "each has its question"
    for picture in re.findall(r"_static/\w+\.svg", badges.where_it_runs("lab/code", first.name)):
        assert "http" not in (DOCS / picture).read_text().replace("http://www.w3.org/2000/svg", "")


# ---------------------------------------------------------------------------- the worked example

sys.path.insert(0, str(DOCS / "examples"))
try:
    _example = load(DOCS / "examples" / "test_gridlab.py")
    _folders = load(DOCS / "examples" / "test_clocklab.py")
finally:
    sys.path.remove(str(DOCS / "examples"))


class TestWorkedExample(_example.TestGridLab):
    """The reader of `adding_a_dataset.md` passes the suite that it shows."""


class TestExampleOfFolders(_folders.TestClockLab):
    """So does the one of folders of arrays."""


def test_example_of_folders_opens_several(tmp_path):
    _folders.test_a_folder_of_sessions_is_one_tree(tmp_path)


@pytest.mark.parametrize("name", ["gridlab", "clocklab"])
def test_a_reader_takes_no_more_than_a_hundred_lines(name):
    assert len((DOCS / "examples" / f"{name}.py").read_text().splitlines()) <= 100


def test_worked_example_names_what_does_not_add_up(tmp_path):
    _example.test_counts_that_do_not_add_up_are_named(tmp_path)


# --------------------------------------------------------------------------------------- building


@pytest.mark.slow
def test_builds_without_warnings(tmp_path):
    for needed in ("sphinx", "myst_nb", "furo", "matplotlib", "torch"):
        pytest.importorskip(needed)
    before = {path.name for path in DOCS.iterdir()} | {"_build", "_generated", "__pycache__"}
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html"]
    done = subprocess.run(
        [*command, "-d", tmp_path / "doctrees", DOCS, tmp_path / "html"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert {path.name for path in DOCS.iterdir()} <= before, "examples leave files behind"
    pages = {path.name for path in (tmp_path / "html").glob("*.html")}
    assert pages >= {f"{path.stem}.html" for path in DOCS.glob("*.md")}
