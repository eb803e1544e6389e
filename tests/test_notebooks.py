"""The notebooks run from top to bottom, and the repository holds them without their outputs."""

import ast
import json
from pathlib import Path

import pytest

import neuroarrays as na

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))

# Run each time: the first that a new user opens, and the one about recordings of one's own.
QUICK = ("first_look", "bring_your_own")
every = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def code_cells(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, marks=[pytest.mark.slow] * (path.stem[3:] not in QUICK), id=path.stem)
        for path in NOTEBOOKS
    ],
)
def test_runs(path, tmp_path, monkeypatch):
    """In this process, so a warning of ours is an error; building the documentation takes kernels."""
    pyplot = pytest.importorskip("matplotlib.pyplot")
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "__main__"}
    cells = code_cells(path)
    if any("torch" in "".join(cell["source"]) for cell in cells):
        pytest.importorskip(
            "torch", reason="torch is not installed: pip install 'neuroarrays[torch]'"
        )
    for number, cell in enumerate(cells, 1):
        code = ast.parse("".join(cell["source"]))
        value = code.body.pop().value if isinstance(code.body[-1], ast.Expr) else None
        exec(compile(code, f"{path.name}, cell {number}", "exec"), namespace)
        if value is not None:  # the last line, which a notebook shows
            place = f"{path.name}, last line of cell {number}"
            shown = eval(compile(ast.Expression(value), place, "eval"), namespace)
            assert getattr(shown, "_repr_html_", shown.__repr__)(), place
    pyplot.close("all")
    assert not list(tmp_path.iterdir()), "it leaves files behind"


@every
def test_is_kept_without_outputs(path):
    for cell in code_cells(path):
        assert cell["outputs"] == []
        assert cell["execution_count"] is None


@every
def test_uses_the_public_names_only(path):
    for cell in code_cells(path):
        source = "".join(cell["source"])
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [getattr(node, "module", None) or "", *(a.name for a in node.names)]
                inner = [name for name in names if name.startswith("neuroarrays.")]
                # Writers of example files are not the interface, and a notebook may need a file.
                assert all(name.startswith("neuroarrays.synthetic") for name in inner), source
            attribute = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
            if attribute and node.value.id == "na":
                assert node.attr in na.__all__
