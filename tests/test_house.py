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


@pytest.mark.slow
def test_the_rooms_stand_in_their_order(tmp_path):
    """With one import upwards put in: that is noticed, and nothing else is wrong.

    Slow, for `make lint` asks import-linter of the package as it is.
    """
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


# ------------------------------------------------------------------------------------------- size


LINES, OF_A_FUNCTION, IGNORES, SKIPS = 400, 60, 15, 40


def sources():
    for path in sorted(PACKAGE.rglob("*.py")):
        if "_sample" not in path.parts:
            yield str(path.relative_to(PACKAGE)), path.read_text(encoding="utf-8")


def bodies(text):
    """Functions by name, with the lines of their statements: without signature and docstring."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            statements = node.body[bool(ast.get_docstring(node)) :]
            yield node.name, node.end_lineno - statements[0].lineno + 1 if statements else 0


def test_files_and_functions_are_of_a_size_to_be_read():
    files = {name: text.count("\n") for name, text in sources()}
    assert {name: n for name, n in files.items() if n > LINES} == {}
    functions = {(name, f): n for name, text in sources() for f, n in bodies(text)}
    assert {key: n for key, n in functions.items() if n > OF_A_FUNCTION} == {}
    assert len(functions) > 3000


def test_a_long_function_is_noticed():
    body = "    x = 1\n"
    for lines in (OF_A_FUNCTION, OF_A_FUNCTION + 1):
        text = f'def f(\n    a,\n):\n    """Long.\n\n    text.\n    """\n{body * lines}'
        assert dict(bodies(text)) == {"f": lines}


def test_types_and_formatting_are_rarely_ignored():
    ignored = [name for name, text in sources() for _ in range(text.count("# type: " + "ignore"))]
    assert len(ignored) <= IGNORES, ignored
    skipped = [name for name, text in sources() for _ in range(text.count("# fmt: " + "skip"))]
    assert len(skipped) <= SKIPS, skipped


def imported(name, text, modules):
    """Modules of the package that one imports, for its types too."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("neuroarrays"):
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in modules else node.module
        elif isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.startswith("neuroarrays"))


def circles(graph):
    """Modules on a circle, or that lead to one: what is left when those that need no other are taken away."""
    graph = {name: {at for at in to if at in graph and at != name} for name, to in graph.items()}
    while leaves := [name for name, to in graph.items() if not to]:
        graph = {name: to.difference(leaves) for name, to in graph.items() if to}
    return sorted(graph)


def test_no_circle_of_files_not_even_of_types():
    """import-linter does not look at what is imported for types alone."""
    texts = {
        ".".join(("neuroarrays", *name.removesuffix(".py").split("/"))).removesuffix(
            ".__init__"
        ): text
        for name, text in sources()
    }
    graph = {name: set(imported(name, text, texts)) for name, text in texts.items()}
    del graph["neuroarrays"]  # its names are looked up when they are asked for
    assert circles(graph) == []
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["a", "b", "c"]
    assert circles({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []
