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
LAZY = "backend indexes lazy source"
EVERYTHING = f"{LAZY} _open _version alignment analysis archive_commands binning chunks encoding errors formats \
hdf5 interpolation kernels plot presentations samples schema store synthetic torch trains validation writers"
ROOMS = {
    "": card("_version"),
    "_version": card(),
    "errors": card(),
    "schema": card("errors", "xarray"),
    "validation": card("errors schema", "numpy xarray"),
    "safety": card("errors", "", "h5py"),
    "npy": card("errors", "numpy"),
    "pickles": card("errors opcodes rebuilding safety"),
    "opcodes": card("rebuilding", "numpy"),
    "rebuilding": card("", "numpy"),
    "members": card("errors safety source", "numpy"),
    "npz": card("errors members npy pickles safety source", "numpy"),
    "exchange": card("errors indexes schema", "numpy xarray"),
    # files and handles
    "source": card("errors safety chunks hdf5 zarr", "numpy", "h5py hdf5plugin numcodecs zarr"),
    "hdf5": card("errors safety source chunks rows", "numpy", "h5py hdf5plugin"),
    "zarr": card("errors safety source", "numpy", "numcodecs zarr"),
    "chunks": card("errors safety", "numpy", "h5py zstandard"),
    "rows": card("chunks errors", "numpy", "h5py"),
    # files meet xarray: half-private parts of it stand here only
    "lazy": card("errors source", "numpy xarray", "dask"),
    "chunking": card("lazy schema", "xarray", "dask"),
    "indexes": card("errors lazy schema", "numpy pandas xarray"),
    "backend": card("errors indexes lazy schema source", "numpy pandas xarray", "dask"),
    # kernels, trains and presentations: the pipelines that others published (formats/allen)
    "formats": card(f"{LAZY} _version attributes encoding errors formats hdf5 kernels members npy npz pickles presentations safety "
                    "schema trains",
                    "numpy xarray", "h5py hdf5plugin pandas scipy"),
    "_open": card(f"{LAZY} chunking errors formats safety schema validation", "xarray", "pandas"),
    "samples": card("_open"),
    # numbers
    "kernels": card("kernels", "numpy numba"),
    # labelled
    "trains": card(f"{LAZY} errors kernels schema", "numpy xarray", "dask"),
    "bins": card("kernels schema", "numpy xarray"),
    "binning": card(f"{LAZY} bins errors kernels schema trains", "numpy xarray", "dask"),
    "interpolation": card(f"{LAZY} errors kernels schema", "numpy xarray", "dask"),
    "presentations": card("bins errors schema trains", "numpy pandas xarray"),
    "validity": card(f"{LAZY} schema", "numpy xarray"),
    "frames": card("bins lazy schema source", "numpy xarray"),
    "sessions": card("backend errors schema trains", "numpy xarray"),
    "alignment": card("_version binning bins chunking errors formats frames interpolation lazy presentations schema "
                      "sessions validity", "numpy pandas xarray"),
    "features": card("errors groups kernels lazy schema source", "numpy xarray", "dask"),
    "deconvolution": card("errors kernels lazy schema source", "numpy xarray", "dask"),
    "query": card("errors", "numpy"),
    "intervals": card("errors schema", "numpy pandas xarray"),
    "scoring": card("errors schema", "numpy xarray"),
    "groups": card("schema", "numpy xarray"),
    "selection": card("errors groups indexes lazy query schema", "numpy xarray"),
    "restriction": card("errors groups indexes intervals lazy schema validity", "numpy xarray"),
    "conditions": card("errors query schema", "numpy xarray"),
    "analysis": card("conditions errors intervals kernels schema trains validity", "numpy xarray"),
    "correlations": card("conditions errors kernels schema trains", "numpy xarray"),
    "signals": card("conditions errors schema", "numpy xarray"),
    "receptive": card("conditions errors kernels schema signals", "numpy xarray"),
    "decoding": card("conditions errors kernels schema signals", "numpy xarray"),
    "tuning": card("binning lazy conditions errors kernels schema signals", "numpy xarray"),
    # adapters
    "attributes": card("", "numpy"),
    "encoding": card("attributes errors lazy schema", "numpy xarray"),
    "packing": card("encoding", "numpy", "zstandard"),
    "writers": card("_version attributes encoding packing", "numpy", "h5py hdf5plugin"),
    "zarr_writer": card("encoding errors packing", "numpy", "zarr"),
    "layouts": card("_version encoding errors packing schema", "numpy xarray", "h5py"),
    "partials": card("errors"),
    "progress": card(),
    "store": card(f"{LAZY} _version encoding errors formats layouts partials progress schema "
                  "validation writers zarr_writer", "numpy xarray", "dask h5py"),
    "splits": card("errors kernels", "numpy"),
    "fields": card("errors kernels lazy", "numpy xarray", "dask"),
    "gathering": card("errors fields schema", "numpy xarray"),
    "masks": card("fields schema", "numpy xarray"),
    "samplers": card("kernels", "numpy torch"),
    "scaling": card("errors schema", "numpy torch xarray"),
    "batched": card("fields gathering schema", "numpy torch xarray"),
    "datasets": card("batched fields gathering masks schema splits", "numpy torch xarray"),
    "composites": card("batched datasets errors schema", "numpy torch"),
    "windows": card("batched bins errors fields gathering interpolation kernels lazy schema trains",
                    "numpy torch xarray"),
    "dropin": card("datasets errors fields gathering loading samplers scaling schema splits",
                   "numpy torch xarray"),
    "archives": card(f"{LAZY} _open errors packing safety schema store", "numpy xarray"),
    "archive_commands": card("archives errors pipeline surveys", "", "pandas"),
    "tasks": card("errors", "", "dask distributed"),
    "surveys": card(f"{LAZY} _open errors formats schema tasks", "numpy xarray"),
    "pipeline": card(f"{LAZY} _open _version alignment errors formats kernels partials presentations "
                     "schema store surveys tasks trains", "numpy xarray"),
    "loading": card("batched samplers", "torch"),
    "torch": card("batched composites datasets dropin errors gathering loading samplers scaling "
                  "schema splits windows", "numpy torch xarray"),
    "description": card("intervals schema validity", "numpy xarray", "rich"),
    "drawing": card("", "numpy xarray"),
    "timelines": card("drawing intervals schema", "numpy xarray"),
    "images": card("drawing errors schema", "matplotlib numpy xarray"),
    "pages": card(
        "conditions description drawing errors schema timelines", "matplotlib numpy pandas xarray"
    ),
    "openretina": card(f"{LAZY} errors formats schema", "numpy xarray"),
    "plot": card(
        "conditions drawing errors images pages schema trains", "matplotlib numpy xarray"
    ),
    "printing": card("", "", "pandas rich"),
    "commands": card(f"{EVERYTHING} creation printing", "", "distributed"),
    "cli": card("archive_commands commands errors", "", ""),
    "demo": card(EVERYTHING, "numpy xarray", "matplotlib torch h5py pandas"),
    # for tests, ours and others'
    "synthetic": card("errors kernels schema store", "numpy xarray", "h5py scipy"),
    "creation": card("errors", "", ""),
    "testing": card(f"{LAZY} errors formats schema store validation", "numpy pytest xarray", "h5py"),
}  # fmt: skip
MODULES = sorted(
    path for path in PACKAGE.rglob("*.py") if "_sample" not in path.relative_to(PACKAGE).parts
)


def room_of(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return "" if parts == ("__init__",) else parts[0]


def imports(tree):
    """Every import that runs: (line, module, whether inside a function)."""

    def walk(node, inside):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name, inside) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import"
            if node.module == "neuroarrays":
                yield from ((node.lineno, f"neuroarrays.{a.name}", inside) for a in node.names)
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
            other = rest.partition(".")[0]
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
        ("source.py", "import h5py", "source may not import h5py at module level"),
        ("source.py", "def f():\n    import torch", "source may not import torch"),
        ("brand_new.py", "import os", "has no card"),
    ],
)
def test_these_tests_notice(module, line, complaint):
    assert complaint in "".join(complaints(PACKAGE / module, line))
    assert complaints(PACKAGE / "source.py", "def f():\n    import h5py") == []


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
