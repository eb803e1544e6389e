"""The rooms of the package: their order stands in pyproject.toml and import-linter holds it."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip(
    "importlinter", reason="import-linter is not installed (pip install --group lint)"
)

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "neuroarrays"
LINT = (
    "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
)


def lint(folder):
    """What import-linter says of the package in a folder."""
    return subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, '.'); {LINT}"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_the_rooms_stand_in_their_order(tmp_path):
    """Looked at once, with one import upwards put in: that is noticed, and nothing else is wrong."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(
        PACKAGE, tmp_path / "neuroarrays", ignore=shutil.ignore_patterns("__pycache__", "_sample")
    )
    with (tmp_path / "neuroarrays" / "files" / "source.py").open("a") as file:
        file.write("\n\ndef climb():\n    from neuroarrays.tree import intervals\n")
    done = lint(tmp_path)
    assert done.returncode != 0
    chains = [line for line in done.stdout.splitlines() if line.startswith("- ") and "->" in line]
    wrong = {line.strip("- ").partition(" (")[0] for line in chains}
    put_in = {"neuroarrays.files.source -> neuroarrays.tree.intervals", ".files -> .tree"}
    assert wrong == put_in, done.stdout[-3000:]


def test_the_insides_of_xarray_stay_in_one_room():
    """xarray promises nothing about its submodules: what breaks with a new one breaks in `lazy`."""
    rooms = set()
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)) if "xarray." in text else ():
            name = node.module if isinstance(node, ast.ImportFrom) else ""
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else [name or ""]
            if any(module.startswith("xarray.") for module in names):
                rooms.add(path.relative_to(PACKAGE).parts[0])
    # A reader is a backend of xarray, and `xarray.backends` is where it documents their base.
    assert rooms <= {"lazy", "formats"}


def test_every_room_says_what_it_is():
    for folder in sorted(path.parent for path in PACKAGE.glob("*/__init__.py")):
        text = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8")))
        assert text, f"{folder.name}/__init__.py has no docstring"
