"""Run the code of a page, and put below each block what it printed and drew.

Pages hold plain ``python`` blocks. What is shown below a block is what its code gave when the documentation was built,
so no output can be out of date. `tests/test_docs.py` runs the same blocks.
"""

import ast
import contextlib
import io
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import neuroarrays as na

HERE = Path(__file__).parent
BLOCK = re.compile(r"^```python\n(?!>>>)(.*?)^```$", re.M | re.S)
#: Where the pictures of pages go, and how pages name that folder.
PICTURES = HERE / "_generated" / "pages"


@contextlib.contextmanager
def workplace() -> Iterator[Path]:
    """A folder with the bundled recording as `recording.nwb`, which is the current one meanwhile."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as name:
        Path(name, "recording.nwb").write_bytes(na.sample_path().read_bytes())
        os.chdir(name)
        sys.path.insert(0, str(HERE / "examples"))
        try:
            yield Path(name)
        finally:
            sys.path.remove(str(HERE / "examples"))
            os.chdir(before)


def run(text: str, name: str, place: str = "") -> tuple[str, dict[str, bytes]]:
    """Run the blocks of a page one after another in one namespace.

    Parameters
    ----------
    text : str
        The page.
    name : str
        What it is called: in tracebacks, and in the names of its pictures.
    place : str
        What stands before the names of pictures in the page, such as "_generated/pages/".

    Returns
    -------
    text : str
        The page with outputs and pictures below its blocks.
    pictures : dict of str to bytes
        Name of the file -> PNG.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    plt.close("all")  # what other code of this process left open is none of the page's
    namespace: dict[str, object] = {}
    pictures: dict[str, bytes] = {}
    number = 0

    def with_results(match: re.Match[str]) -> str:
        nonlocal number
        number += 1
        parts = [match.group(0)]
        printed = _execute(match.group(1), namespace, f"{name}, block {number}")
        if printed.strip():
            parts.append(f"```text\n{printed.rstrip()}\n```")
        for figure in plt.get_fignums():
            file = f"{name}_{len(pictures)}.png"
            picture = io.BytesIO()
            plt.figure(figure).savefig(picture, dpi=110, bbox_inches="tight")
            pictures[file] = picture.getvalue()
            parts.append(f"![{name.replace('_', ' ')}]({place}{file})")
        plt.close("all")
        return "\n\n".join(parts)

    try:
        return BLOCK.sub(with_results, text), pictures
    finally:
        plt.close("all")
        na.release()


def _execute(code: str, namespace: dict[str, object], name: str) -> str:
    """Run a block, and give what it printed and the value of its last line, as a notebook does."""
    body = ast.parse(code, name)
    last = body.body.pop() if body.body and isinstance(body.body[-1], ast.Expr) else None
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(body, name, "exec"), namespace)
        if last is not None:
            value = eval(compile(ast.Expression(last.value), name, "eval"), namespace)
            if value is not None and not _is_of_matplotlib(value):
                print(value)
    return printed.getvalue()


def _is_of_matplotlib(value: object) -> bool:
    """Whether a value is axes, lines or texts of a picture, or has some among other things."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return any(map(_is_of_matplotlib, value))  # a histogram gives its counts and edges as well
    return type(value).__module__.startswith("matplotlib")


def with_outputs(text: str, name: str, folder: Path = PICTURES) -> str:
    """A page of the documentation with what its code gives; its pictures are written into the folder.

    A page whose code needs a package that is not installed stays as it is.
    """
    if not BLOCK.search(text):
        return text
    try:
        with workplace():
            shown, pictures = run(text, name, "_generated/pages/")
    except na.MissingDependency:
        return text
    folder.mkdir(parents=True, exist_ok=True)
    for file, picture in pictures.items():
        (folder / file).write_bytes(picture)
    return shown
