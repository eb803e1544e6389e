"""Print plain aligned text in a terminal, coloured if rich is installed."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from neuroarrays.errors import printable

if TYPE_CHECKING:
    import xarray as xr

#: Style of a piece of text -> what rich makes of it.
_STYLES = {
    "": "",
    "title": "bold",
    "node": "bold cyan",
    "faint": "dim",
    "good": "green",
    "warn": "yellow",
    "bad": "bold red",
}
#: Pieces of text with their styles.
Line = list[tuple[str, str]]


def _width() -> int:
    """Return the width of the terminal in characters, at least 40."""
    return max(shutil.get_terminal_size((100, 24)).columns, 40)


def show(lines: Sequence[Line]) -> None:
    """Print lines, coloured on a terminal if rich is installed; escape control characters."""
    plain = [[(printable(text), style) for text, style in line] for line in lines]
    if sys.stdout.isatty():
        try:
            from rich.console import Console
            from rich.text import Text
        except ImportError:
            pass
        else:
            console = Console(highlight=False, markup=False, soft_wrap=True)
            for line in plain:
                console.print(Text.assemble(*((text, _STYLES[style]) for text, style in line)))
            return
    for line in plain:
        print("".join(text for text, _ in line).rstrip())


def say(text: object, file: TextIO | None = None) -> None:
    """Print plain text; keep its line ends and escape other control characters."""
    print(printable(text, keep="\n"), file=file)


def table(header: list[str], rows: list[list[str]], right: Sequence[str] = ()) -> list[Line]:
    """Return rows in aligned columns; the last column is wrapped to the terminal, nothing is cut."""
    cells = [header, *rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    indent = sum(widths[:-1]) + 2 * (len(widths) - 1)
    room = max(_width() - indent, 20)
    lines: list[Line] = []
    for number, row in enumerate(cells):
        style = "title" if number == 0 else ""
        padded = [
            cell.rjust(width) if name in right else cell.ljust(width)
            for cell, width, name in zip(row[:-1], widths, header, strict=False)
        ]
        last = row[-1].rjust(widths[-1]) if header[-1] in right else row[-1]
        wrapped = [last] if header[-1] in right else textwrap.wrap(last, room) or [""]
        lines.append([("  ".join([*padded, wrapped[0]]), style)])
        lines += [[(" " * indent + more, style)] for more in wrapped[1:]]
    return lines


def attributes(attrs: Mapping[Any, Any], hidden: Sequence[str]) -> list[Line]:
    """Return the names of attributes, with their texts wrapped beside them."""
    shown = {str(key): value for key, value in attrs.items() if key not in hidden}
    pad = max((len(key) for key in shown), default=0) + 4
    lines: list[Line] = []
    for key, value in shown.items():
        text = value if isinstance(value, str) else ", ".join(map(str, _listed(value)))
        room = max(_width() - pad, 20)
        parts = [part for line in text.splitlines() for part in textwrap.wrap(line, room)] or [""]
        lines.append([(f"  {key}".ljust(pad), "faint"), (parts[0], "")])
        lines += [[(" " * pad + part, "")] for part in parts[1:]]
    return lines


def _listed(value: Any) -> list[Any]:
    """Return a value as a list."""
    return list(value) if isinstance(value, list | tuple) else [value]


def bullets(label: str, texts: Sequence[str], style: str) -> list[Line]:
    """Return wrapped texts one below the other, each after its label."""
    lines: list[Line] = []
    for text in texts:
        lead = f"{label}: " if label else "  "
        wrapped = textwrap.wrap(
            text, max(_width() - len(lead), 20), break_long_words=False, break_on_hyphens=False
        )
        lines.append([(lead, style), (wrapped[0] if wrapped else "", "")])
        lines += [[(" " * len(lead) + more, "")] for more in wrapped[1:]]
    return lines


def tree(session: xr.DataTree) -> list[Line]:
    """Return the nodes below a session and their variables, in aligned columns."""
    rows: list[tuple[str, str, list[str], str]] = []
    _walk(session, "", rows)
    facts = [cells for _, _, cells, _ in rows if len(cells) > 1]
    widths = [max((len(cells[i]) for cells in facts), default=0) for i in range(4)]
    longest = max((len(lead + name) for lead, name, cells, _ in rows if len(cells) > 1), default=0)
    room = min(longest, max(_width() - sum(widths) - 2 * len(widths), 20))
    lines: list[Line] = []
    for lead, name, cells, style in rows:
        head: Line = [(lead, "faint"), (name, style)]
        if len(cells) <= 1:
            below = lead.replace("├", "│").replace("└", " ").replace("─", " ")
            below += " " * (len(name) + 2)
            wrapped = textwrap.wrap("".join(cells), max(_width() - len(below), 20)) or [""]
            lines.append([*head, (f"  {wrapped[0]}" if cells else "", "faint")])
            lines += [[(below + more, "faint")] for more in wrapped[1:]]
            continue
        if len(lead + name) > room:  # a long name gets a line of its own
            lines.append(head)
            head = [(lead, "faint")]
        gap = " " * (room - sum(len(text) for text, _ in head))
        padded = [
            cell.rjust(width) if i in (0, 3) else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        lines.append([*head, ("  ".join([gap, *padded]), "")])
    return lines


def _walk(node: xr.DataTree, lead: str, rows: list[tuple[str, str, list[str], str]]) -> None:
    """Collect a row per variable and per child: lead, name, cells, style."""
    dataset = node.to_dataset(inherit=False)
    below = f"{lead}{'│' if node.children else ' '}    "
    for name, variable in dataset.data_vars.items():
        unit = str(variable.attrs.get("units", ""))
        size = "" if variable.dtype.kind == "O" else size_text(variable.nbytes)
        shape = " × ".join(f"{n:,}" for n in variable.shape) or "one value"
        cells = [shape, dtype_name(variable.dtype), unit if unit != "1" else "", size]
        rows.append((below, str(name), cells, ""))
    labels = [str(name) for name in dataset.coords]
    if labels:
        room = max(_width() - len(below) - 2, 20)
        parts = textwrap.wrap("labelled by " + ", ".join(labels), room, subsequent_indent="  ")
        rows += [(below, part, [], "faint") for part in parts]
    children = list(node.children.items())
    for number, (name, child) in enumerate(children):
        last = number == len(children) - 1
        sizes = child.to_dataset(inherit=False).sizes
        dims = [", ".join(f"{dim} {size:,}" for dim, size in sizes.items())] if sizes else []
        rows.append((f"{lead}{'└─' if last else '├─'} ", name, dims, "node"))
        _walk(child, f"{lead}{'   ' if last else '│  '}", rows)


def dims(variable: xr.DataArray) -> str:
    """Return the dimensions and sizes of a variable as text."""
    return " × ".join(f"{dim} {size:,}" for dim, size in variable.sizes.items())


def dtype_name(dtype: Any) -> str:
    """Return the name of a dtype for people: "text" for any kind of text."""
    return "text" if dtype.kind in "OUST" else str(dtype)


def size_text(nbytes: float) -> str:
    """Return a number of bytes as text, to two or three figures."""
    number, unit = float(nbytes), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if number < 999.5:
            break
        number, unit = number / 1000, larger
    return f"{number:.0f} {unit}" if unit == "B" or number >= 9.95 else f"{number:.1f} {unit}"


def cell_text(value: Any) -> str:
    """Return a value of a table as text; "-" for a missing value."""
    import pandas as pd

    if isinstance(value, dict):
        return ", ".join(f"{name} ({number:,})" for name, number in value.items()) or "-"
    if pd.api.types.is_scalar(value) and (pd.isna(value) or value == ""):
        return "-"
    return f"{value:,}" if pd.api.types.is_integer(value) else str(value)
