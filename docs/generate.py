"""The parts of the documentation that the code knows: tables of the trees, formats and commands.

`conf.py` writes them into `_generated/` before each build; pages include them from there.
"""

import argparse
import ast
import inspect
import os
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import badges

import neuroarrays as na
from neuroarrays import cli, schema
from neuroarrays.formats.registry import FORMATS

HERE = Path(__file__).parent
#: Recordings that are no part of the package, for the page about them.
RECORDINGS = Path(os.environ.get("NEUROARRAYS_RECORDINGS", HERE.parents[1] / "shared" / "data"))
KINDS = {"i": "integer", "u": "unsigned integer", "f": "float", "b": "bool", "O": "text"}
#: Where a kind of node stands in each tree.
PLACES = {
    (schema.RECORDING, "spikes"): "<session>/<area>/spikes",
    (schema.RECORDING, "series"): "<session>/<area>/<series>, <session>/<series>",
    (schema.RECORDING, "events"): "<session>/events/<name>",
    (schema.RECORDING, "table"): "<session>/presentations/<table>",
    (schema.RECORDING, "stimulus"): "<session>/stimulus/<name>",
    (schema.RECORDING, "observed"): "<session>/observed",
    (schema.ALIGNED, "session"): "[<block>/]<session>",
    (schema.ALIGNED, "area"): "[<block>/]<session>/<area>",
    (schema.ALIGNED, "spikes"): "<session>/<area>/spikes",
    (schema.ALIGNED, "behaviour"): "<session>/<area>/<series>",
    (schema.ALIGNED, "events"): "<session>/<area>/events",
    (schema.ALIGNED, "statistics"): "<session>/<area>/statistics/<scope>",
    (schema.ALIGNED, "table"): "<session>/<area>/presentations",
}
#: What stands beside the stack of rooms.
BESIDE = ("demo", "synthetic", "testing")


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table in Markdown."""
    lines = [list(header), *(list(row) for row in rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    cells = [[cell.replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells) + "\n"


def code(text: str) -> str:
    """Text as code, or nothing."""
    return f"`{text}`" if text else ""


def tree_tables(tree: str) -> str:
    """A table of variables for each kind of node of a tree, from the schema."""
    parts = []
    for (kind, role), place in PLACES.items():
        if kind != tree:
            continue
        specs = [spec for spec in schema.SPECS if (spec.tree, spec.role) == (kind, role)]
        rest = "*any other*" if len(specs) > 1 else "*any*"
        rows = [
            [
                code(spec.name) if spec.name != "*" else rest,
                " or ".join(code("(" + ", ".join(dims) + ")") for dims in spec.dims) or "any",
                " or ".join(KINDS[k] for k in spec.kinds if k in KINDS)
                if set(spec.kinds) < set("iufb")
                else "any",
                code(spec.units),
                spec.doc,
            ]
            for spec in specs
        ]
        parts.append(
            f"**`{place}`**\n\n{table(['variable', 'dims', 'type', 'unit', 'meaning'], rows)}"
        )
    return "\n".join(parts)


def coordinate_table() -> str:
    """The coordinates, from the schema."""
    rows = [
        [code(name), " or ".join(KINDS[k] for k in kinds), code(unit), doc]
        for name, (kinds, unit, doc) in schema.COORDINATES.items()
    ]
    return table(["coordinate", "type", "unit", "meaning"], rows)


def formats_table() -> str:
    """The formats, from the registry and the readers' signatures."""
    rows = []
    for format_ in FORMATS:
        options = ", ".join(
            code(f"{name}={default!r}")
            for name, default in format_.load().options().items()
            if name not in ("sessions", "areas")
        )
        rows.append(
            [code(format_.name), format_.status, code(format_.extra), format_.description, options]
        )
    return table(["format", "status", "extra", "what it reads", "options of its own"], rows)


def rooms() -> str:
    """The rooms from the top down, as pyproject.toml orders them, each with its modules."""
    package = HERE.parent / "neuroarrays"
    contracts = tomllib.loads((HERE.parent / "pyproject.toml").read_text(encoding="utf-8"))
    layers = contracts["tool"]["importlinter"]["contracts"][0]["layers"]
    rows = []
    for layer in (*layers, " | ".join(BESIDE)):
        for room in layer.replace("|", " ").split():
            folder = package / room
            start = folder / "__init__.py" if folder.is_dir() else package / f"{room}.py"
            text = ast.get_docstring(ast.parse(start.read_text(encoding="utf-8"))) or ""
            inside = sorted({p.stem for p in folder.glob("*.py")} - {"__init__"})
            inside += sorted(p.parent.name + "/" for p in folder.glob("*/__init__.py"))
            rows.append([code(room), text.partition("\n\n")[0], ", ".join(inside)])
    return table(["room", "what it is", "inside"], rows)


def commands() -> str:
    """A section per command, from the parser."""
    parser = cli.build_parser()
    (subparsers,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    parts = [f"```text\n{_help(parser)}```\n"]
    parts += [f"## {name}\n\n```text\n{_help(p)}```\n" for name, p in subparsers.choices.items()]
    return "\n".join(parts)


def titles() -> dict[str, str]:
    """What a page of the reference is called where a name stands elsewhere than users say it."""
    names = {
        f"{module.__name__}.{name}": f"na.{public}.{name}"
        for public in na.__all__
        if inspect.ismodule(module := getattr(na, public))
        for name in getattr(module, "__all__", vars(module))
    }
    return {
        home: name for home, name in names.items() if home != name.replace("na.", "neuroarrays.", 1)
    }


def recordings(folder: Path = RECORDINGS) -> str:
    """What the page about recordings says of how it was made."""
    if folder.is_dir():
        return "It was built with them: each number and picture below comes out of the files.\n"
    return (
        ":::{warning}\nThey were not there when this page was built: the code below was not run, and "
        "its numbers and pictures are\nmissing. `NEUROARRAYS_RECORDINGS` names the folder to build "
        "it with.\n:::\n"
    )


def _help(parser: argparse.ArgumentParser) -> str:
    parser.formatter_class = lambda prog: argparse.RawDescriptionHelpFormatter(prog, width=88)
    return parser.format_help()


def write(folder: Path = HERE / "_generated") -> None:
    """Write every generated part; files that would not change are left alone."""
    folder.mkdir(exist_ok=True)
    repository = badges.repository(badges.PROJECT.read_text(encoding="utf-8"))
    texts = {
        "recording.md": tree_tables(schema.RECORDING),
        "aligned.md": tree_tables(schema.ALIGNED),
        "coordinates.md": coordinate_table(),
        "formats.md": formats_table(),
        "commands.md": commands(),
        "rooms.md": rooms(),
        "recordings.md": recordings(),
        "notebooks.md": badges.listing(repository),
    } | {path.name: badges.with_note(path, repository) for path in badges.NOTEBOOKS}
    for copy in folder.glob("*.ipynb"):  # of a notebook that has another name now
        if copy.name not in texts:
            copy.unlink()
    for name, text in texts.items():
        path = folder / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
