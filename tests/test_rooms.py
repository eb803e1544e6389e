"""Every module has a card: what it may import, of ours and of others (docs: how a line knows its room).

A failure here means that a line stands in the wrong file, or that a new file needs a card.
"""

import ast
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "neuroarrays"
#: Packages that are not part of Python; any other import of an outside package is a mistake too.
HEAVY = {
    "dask", "distributed", "h5netcdf", "h5py", "hdf5plugin", "hypothesis", "matplotlib",
    "netCDF4", "numba", "numcodecs", "numpy", "pandas", "pytest", "rich", "scipy", "torch",
    "xarray", "zarr", "zstandard",
}  # fmt: skip
#: Folders whose files have a card each; elsewhere a folder has one.
FAMILIES = ("analysis", "cli", "files", "plot", "store", "torch", "tree")
#: Stated, not enforced: review decides.
LINES, FUNCTION, PARAMETERS = 400, 60, 7


@dataclass(frozen=True)
class Card:
    """Rooms of ours that may be imported, packages at module level, packages inside functions."""

    ours: frozenset
    top: frozenset
    inside: frozenset


def card(ours="", top="", inside=""):
    return Card(*(frozenset(text.split()) for text in (ours, top, inside)))


#: Lazy data as the labelled rooms see it.
LAZY = "backend indexes lazy files.source names"
EVERYTHING = (
    f"{LAZY} _open _version alignment analysis.rates binning errors formats kernels plot samples "
    "schema store.saving synthetic torch trains validation"
)
ROOMS = {
    "": card("_version"),
    **dict.fromkeys(("analysis", "files", "store", "tree"), card()),  # a docstring
    "_version": card(),
    "errors": card(),
    "names": card("errors"),
    "schema": card("errors", "xarray"),
    "validation": card("errors schema", "numpy xarray"),
    "files.safety": card("errors", "", "h5py"),
    "files.npy": card("errors", "numpy"),
    "files.pickles": card("errors files.opcodes files.rebuilding files.safety"),
    "files.opcodes": card("files.rebuilding", "numpy"),
    "files.rebuilding": card("", "numpy"),
    "files.members": card("errors files.safety files.source", "numpy"),
    "files.npz": card("errors files.members files.npy files.pickles files.safety files.source", "numpy"),
    "exchange": card("errors indexes schema", "numpy xarray"),
    # files and handles
    "files.source": card("errors files.safety files.chunks files.hdf5 files.zarr", "numpy", "h5py hdf5plugin numcodecs zarr"),
    "files.hdf5": card("errors files.safety files.source files.chunks files.rows", "numpy", "h5py hdf5plugin"),
    "files.zarr": card("errors files.safety files.source", "numpy", "numcodecs zarr"),
    "files.chunks": card("errors files.safety", "numpy", "h5py zstandard"),
    "files.rows": card("files.chunks errors", "numpy", "h5py"),
    # files meet xarray: half-private parts of it stand here only
    "lazy": card("errors files.source", "numpy xarray", "dask"),
    "chunking": card("lazy schema", "xarray", "dask"),
    "indexes": card("errors lazy schema", "numpy pandas xarray"),
    "backend": card("errors indexes lazy schema files.source", "numpy pandas xarray", "dask"),
    # kernels, trains and presentations: the pipelines that others published (formats/allen)
    "formats": card(f"{LAZY} _version store.attributes store.encoding errors formats files.hdf5 kernels files.members files.npy files.npz files.pickles presentations files.safety "
                    "schema trains",
                    "numpy xarray", "h5py hdf5plugin pandas scipy"),
    "_open": card(f"{LAZY} chunking errors formats files.safety schema validation", "xarray", "pandas"),
    "samples": card("_open"),
    # numbers
    "kernels": card("kernels", "numpy numba"),
    # labelled
    "trains": card(f"{LAZY} errors kernels schema tree.columns", "numpy xarray", "dask"),
    "bins": card("kernels schema tree.columns", "numpy xarray"),
    "binning": card(f"{LAZY} bins errors kernels schema trains tree.columns", "numpy xarray", "dask"),
    "interpolation": card(f"{LAZY} errors kernels schema tree.columns", "numpy xarray", "dask"),
    "presentations": card("bins errors schema trains tree.columns", "numpy pandas xarray"),
    "validity": card(f"{LAZY} schema", "numpy xarray"),
    "frames": card("bins lazy schema files.source tree.columns", "numpy xarray"),
    "sessions": card("errors names schema trains", "numpy xarray"),
    "alignment": card("_version binning bins chunking errors formats frames interpolation lazy presentations schema "
                      "sessions validity", "numpy pandas xarray"),
    "analysis.features": card("errors analysis.groups kernels lazy schema files.source", "numpy xarray", "dask"),
    "analysis.deconvolution": card("errors kernels lazy schema files.source", "numpy xarray", "dask"),
    "analysis.query": card("errors", "numpy"),
    "tree.columns": card("", "numpy pandas xarray"),
    "intervals": card("errors schema tree.columns", "numpy pandas xarray"),
    "scoring": card("errors schema", "numpy xarray"),
    "analysis.groups": card("schema", "numpy xarray"),
    "analysis.selection": card("errors analysis.groups indexes lazy analysis.query schema", "numpy xarray"),
    "analysis.restriction": card("errors analysis.groups indexes intervals lazy schema validity tree.columns", "numpy xarray"),
    "analysis.conditions": card("errors analysis.query schema", "numpy xarray"),
    "analysis.rates": card("analysis.conditions errors intervals kernels schema trains validity", "numpy xarray"),
    "analysis.correlations": card("analysis.conditions errors kernels schema trains", "numpy xarray"),
    "analysis.signals": card("analysis.conditions errors schema", "numpy xarray"),
    "analysis.receptive": card("analysis.conditions errors kernels schema analysis.signals", "numpy xarray"),
    "analysis.decoding": card("analysis.conditions errors kernels schema analysis.signals", "numpy xarray"),
    "analysis.tuning": card("binning lazy analysis.conditions errors kernels schema analysis.signals", "numpy xarray"),
    # adapters
    "store.attributes": card("", "numpy"),
    "store.encoding": card("store.attributes errors lazy schema", "numpy xarray"),
    "store.packing": card("store.encoding", "numpy", "zstandard"),
    "store.writers": card("_version store.attributes store.encoding store.packing", "numpy", "h5py hdf5plugin"),
    "store.zarr_writer": card("store.encoding errors store.packing", "numpy", "zarr"),
    "store.layouts": card("_version store.encoding errors store.packing schema", "numpy xarray", "h5py"),
    "store.partials": card("errors"),
    "store.progress": card(),
    "store.saving": card(f"{LAZY} _version store.encoding errors formats store.layouts store.partials store.progress schema "
                  "validation store.writers store.zarr_writer", "numpy xarray", "dask h5py"),
    "torch.splits": card("errors kernels tree.columns", "numpy"),
    "torch.fields": card("errors kernels lazy", "numpy xarray", "dask"),
    "torch.gathering": card("errors torch.fields schema tree.columns", "numpy xarray"),
    "torch.masks": card("torch.fields schema", "numpy xarray"),
    "torch.samplers": card("kernels", "numpy torch"),
    "torch.scaling": card("errors schema", "numpy torch xarray"),
    "torch.batched": card("torch.fields torch.gathering schema", "numpy torch xarray"),
    "torch.datasets": card("torch.batched torch.fields torch.gathering torch.masks schema torch.splits", "numpy torch xarray"),
    "torch.composites": card("torch.batched torch.datasets errors schema", "numpy torch"),
    "torch.windows": card("torch.batched bins errors torch.fields torch.gathering interpolation kernels lazy schema trains tree.columns",
                    "numpy torch xarray"),
    "torch.dropin": card("torch.datasets errors torch.fields torch.gathering torch.loading torch.samplers torch.scaling schema torch.splits",
                   "numpy torch xarray"),
    "archives": card(f"{LAZY} _open errors store.packing files.safety schema store.saving", "numpy xarray"),
    "cli.archive_commands": card("archives errors pipeline surveys", "", "pandas"),
    "tasks": card("errors", "", "dask distributed"),
    "surveys": card(f"{LAZY} _open errors formats schema tasks", "numpy xarray"),
    "pipeline": card(f"{LAZY} _open _version alignment errors formats kernels store.partials presentations "
                     "schema store.saving surveys tasks trains", "numpy xarray"),
    "torch.loading": card("torch.batched torch.samplers", "torch"),
    "torch": card("torch.batched torch.composites torch.datasets torch.dropin errors torch.gathering torch.loading torch.samplers torch.scaling "
                  "schema torch.splits torch.windows", "numpy torch xarray"),
    "description": card("intervals schema validity", "numpy xarray", "rich"),
    "plot.drawing": card("", "numpy xarray"),
    "plot.timelines": card("plot.drawing intervals schema", "numpy xarray"),
    "plot.images": card("plot.drawing errors schema", "matplotlib numpy xarray"),
    "plot.pages": card(
        "analysis.conditions description plot.drawing errors schema plot.timelines", "matplotlib numpy pandas xarray"
    ),
    "openretina": card(f"{LAZY} errors formats schema", "numpy xarray"),
    "plot": card(
        "analysis.conditions plot.drawing errors plot.images plot.pages schema trains", "matplotlib numpy xarray"
    ),
    "cli.printing": card("", "", "pandas rich"),
    "cli.commands": card(f"{EVERYTHING} cli.archive_commands cli.creation cli.printing", "", "distributed"),
    "cli": card("cli.archive_commands cli.commands errors", "", ""),
    "demo": card(EVERYTHING, "numpy xarray", "matplotlib torch h5py pandas"),
    # for tests, ours and others'
    "synthetic": card("errors kernels schema store.saving", "numpy xarray", "h5py scipy"),
    "cli.creation": card("errors", "", ""),
    "testing": card(f"{LAZY} errors formats schema store.saving validation", "numpy pytest xarray", "h5py"),
}  # fmt: skip
MODULES = sorted(
    path for path in PACKAGE.rglob("*.py") if "_sample" not in path.relative_to(PACKAGE).parts
)


def room_of(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return _room("" if parts == ("__init__",) else ".".join(parts))


def _room(module):
    """A module of ours by its room: a whole folder, or where it is one of `FAMILIES`, each file."""
    top, _, rest = module.partition(".")
    own = rest.partition(".")[0]
    return f"{top}.{own}" if top in FAMILIES and own not in ("", "__init__") else top


def imports(tree):
    """Every import that runs: (line, module, whether inside a function)."""

    def walk(node, inside):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name, inside) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import"
            if node.module in ("neuroarrays", *(f"neuroarrays.{name}" for name in FAMILIES)):
                yield from ((node.lineno, f"{node.module}.{a.name}", inside) for a in node.names)
            else:
                yield node.lineno, node.module, inside
        inside = inside or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            yield from walk(child, inside)

    return list(walk(tree, False))


def complaints(path, source):
    """What a module imports that its card does not allow."""
    room = room_of(path)
    if room not in ROOMS:
        return [f"{path.name} has no card: add one to ROOMS"]
    allowed, found = ROOMS[room], []
    for line, module, inside in imports(ast.parse(source)):
        top, _, rest = module.partition(".")
        if top == "neuroarrays":
            other = _room(rest)
            if other and other not in allowed.ours | {room}:
                found.append(f"{path.name}:{line}: {room} may not import {other}")
        elif top in HEAVY and top not in allowed.top | (allowed.inside if inside else frozenset()):
            where = "" if inside else " at module level"
            found.append(f"{path.name}:{line}: {room} may not import {top}{where}")
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_stay_in_their_room(path):
    assert complaints(path, path.read_text(encoding="utf-8")) == []


def test_half_private_parts_of_xarray_stay_where_lazy_data_is_made():
    rooms = {
        room_of(path)
        for path in MODULES
        for _, module, _ in imports(ast.parse(path.read_text(encoding="utf-8")))
        if module.startswith("xarray.")
    }
    assert rooms <= {"lazy", "indexes", "backend"}


@pytest.mark.parametrize(
    ("module", "line", "complaint"),
    [
        ("kernels/counts.py", "import xarray", "kernels may not import xarray"),
        ("kernels/counts.py", "from neuroarrays import schema", "kernels may not import schema"),
        ("errors.py", "from neuroarrays.schema import var", "errors may not import schema"),
        ("schema.py", "import h5py", "schema may not import h5py at module level"),
        ("formats/nwb/nodes.py", "from neuroarrays import store", "formats may not import store"),
        ("formats/nwb/nodes.py", "import dask", "formats may not import dask"),
        ("files/source.py", "import h5py", "files.source may not import h5py at module level"),
        ("files/source.py", "def f():\n    import torch", "files.source may not import torch"),
        ("brand_new.py", "import os", "has no card"),
    ],
)
def test_these_tests_notice(module, line, complaint):
    assert complaint in "".join(complaints(PACKAGE / module, line))
    assert complaints(PACKAGE / "files/source.py", "def f():\n    import h5py") == []


def test_relative_imports_are_refused():
    with pytest.raises(AssertionError, match="a relative import"):
        complaints(PACKAGE / "errors.py", "from . import schema")


def test_budgets_are_stated():
    """Prints what is over budget (pytest -s, or the captured output); fails for nothing."""
    for path in MODULES:
        source, name = path.read_text(encoding="utf-8"), path.relative_to(PACKAGE)
        if (lines := source.count("\n")) > LINES:
            print(f"{name}: {lines} lines (budget {LINES})")
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                length = node.end_lineno - body[0].lineno + 1 if body else 0
                count = len(node.args.args) + len(node.args.kwonlyargs)
                if length > FUNCTION:
                    print(f"{name}: {node.name} has {length} lines (budget {FUNCTION})")
                if count > PARAMETERS + 1:  # and self
                    print(f"{name}: {node.name} has {count} parameters (budget {PARAMETERS})")
