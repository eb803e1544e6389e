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
    """With one import upwards put in: that is noticed, and nothing else is wrong."""
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


class Source:
    """A file of the package: its text, and its syntax tree, also as a list of all nodes."""

    def __init__(self, name, text):
        self.name, self.text, self.tree = name, text, ast.parse(text)
        self.nodes = list(ast.walk(self.tree))


@pytest.fixture(scope="module")
def sources():
    """Every file of the package, parsed once for all tests of this file."""
    return [
        Source(path.relative_to(PACKAGE).as_posix(), path.read_text(encoding="utf-8"))
        for path in sorted(PACKAGE.rglob("*.py"))
        if "_sample" not in path.parts
    ]


def test_the_insides_of_xarray_stay_in_one_room(sources):
    """xarray promises nothing about its submodules: what breaks with a new one breaks in `lazy`."""
    rooms = set()
    for source in sources:
        for node in source.nodes if "xarray." in source.text else ():
            name = node.module if isinstance(node, ast.ImportFrom) else ""
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else [name or ""]
            if any(module.startswith("xarray.") for module in names):
                rooms.add(source.name.partition("/")[0])
    # A reader is a backend of xarray, and `xarray.backends` is where it documents their base.
    assert rooms <= {"lazy", "formats"}
    assert "lazy" in rooms


def test_every_room_says_what_it_is(sources):
    rooms = [source for source in sources if source.name.count("/") == 1]
    rooms = [source for source in rooms if source.name.endswith("/__init__.py")]
    assert len(rooms) > 15
    for source in rooms:
        assert ast.get_docstring(source.tree), f"{source.name} has no docstring"


# ------------------------------------------------------------------------------------------- size


LINES, OF_A_FUNCTION, IGNORES, SKIPS = 400, 60, 15, 40


def bodies(source):
    """Functions by name, with the lines of their statements: without signature and docstring."""
    for node in source.nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            statements = node.body[bool(ast.get_docstring(node)) :]
            yield node.name, node.end_lineno - statements[0].lineno + 1 if statements else 0


def test_files_and_functions_are_of_a_size_to_be_read(sources):
    files = {source.name: source.text.count("\n") for source in sources}
    assert {name: n for name, n in files.items() if n > LINES} == {}
    functions = {(source.name, f): n for source in sources for f, n in bodies(source)}
    assert {key: n for key, n in functions.items() if n > OF_A_FUNCTION} == {}
    assert len(functions) > 3000


def test_a_long_function_is_noticed():
    body = "    x = 1\n"
    for lines in (OF_A_FUNCTION, OF_A_FUNCTION + 1):
        text = f'def f(\n    a,\n):\n    """Long.\n\n    text.\n    """\n{body * lines}'
        assert dict(bodies(Source("long.py", text))) == {"f": lines}


def test_types_and_formatting_are_rarely_ignored(sources):
    for words, most in (("# type: " + "ignore", IGNORES), ("# fmt: " + "skip", SKIPS)):
        names = [source.name for source in sources for _ in range(source.text.count(words))]
        assert len(names) <= most, names


def imported(source, modules):
    """Modules of the package that one imports, for its types too."""
    for node in source.nodes:
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


def test_no_circle_of_files_not_even_of_types(sources):
    """import-linter does not look at what is imported for types alone."""
    modules = {
        ".".join(("neuroarrays", *source.name.removesuffix(".py").split("/"))).removesuffix(
            ".__init__"
        ): source
        for source in sources
    }
    graph = {name: set(imported(source, modules)) for name, source in modules.items()}
    del graph["neuroarrays"]  # its names are looked up when they are asked for
    assert circles(graph) == []
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["a", "b", "c"]
    assert circles({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


# ------------------------------------------------------------------------------------------ state

#: Tables that are filled while their module is imported, and never after.
FILLED_ONCE = {"files/opcodes.py": {"STEPS"}}
#: What makes or guards state that outlives a call.
MAKERS = {"Lock", "RLock", "WeakSet", "WeakValueDictionary", "register_at_fork", "OrderedDict"}
OUTSIDE = {"threading", "os", "weakref", "collections"}


def keeps(source):
    """What a module keeps from call to call by itself: names of it."""
    names = []
    for node in source.nodes:
        if isinstance(node, ast.FunctionDef):  # inside a function a cache ends with the call
            decorators = {
                ast.unparse(decorator).partition("(")[0] for decorator in node.decorator_list
            }
            names += decorators & {"cache", "lru_cache", "functools.cache", "functools.lru_cache"}
        elif isinstance(node, ast.ImportFrom) and node.module in OUTSIDE:
            names += [alias.name for alias in node.names if alias.name in MAKERS]
        elif isinstance(node, ast.Attribute) and node.attr in MAKERS:
            names += [node.attr] if getattr(node.value, "id", "") in OUTSIDE else []
    for node in source.tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            value = node.value
            empty = isinstance(value, ast.Dict) and not value.keys
            empty |= isinstance(value, ast.List | ast.Set) and not value.elts
            empty |= (
                isinstance(value, ast.Call)
                and getattr(value.func, "id", "") in ("dict", "list", "set", "ThreadPoolExecutor")
                and not value.args
            )
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if empty and target.id not in FILLED_ONCE.get(source.name, ()):
                names.append(target.id)
    return names


def test_one_module_owns_what_outlives_a_call(sources):
    odd = {}
    for source in sources:
        if source.name != "files/state.py":
            allowed = {"OrderedDict"} if source.name.startswith("files/") else set()  # of objects
            if names := set(keeps(source)) - allowed:
                odd[source.name] = names
    assert odd == {}, "neuroarrays/files/state.py has caches, locks, pools"


@pytest.mark.parametrize(
    "line",
    [
        "from functools import lru_cache\n@lru_cache\ndef f(): ...",
        "import functools\n@functools.cache\ndef f(): ...",
        "import threading\n_LOCK = threading.Lock()",
        "_KEPT: dict[str, int] = {}",
        "_AT = []",
        "import os\nos.register_at_fork(before=print)",
    ],
)
def test_state_elsewhere_is_noticed(line):
    assert keeps(Source("files/brand_new.py", line))
