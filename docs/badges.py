"""Where the notebooks of the documentation run: badges of Binder and Colab, or a line for a checkout.

The badges need the public address of the repository. Without one, pages say how to run a notebook locally.
"""

import json
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

HERE = Path(__file__).parent
PROJECT = HERE.parent / "pyproject.toml"
NOTEBOOKS = sorted((HERE.parent / "notebooks").glob("*.ipynb"))
LOCALLY = (
    'In a checkout of the repository: `pip install jupyterlab ".[all]"`, then `jupyter lab {path}`.'
)


def repository(project: str, environ: Mapping[str, str] = os.environ) -> str:
    """Find where the repository is on GitHub.

    Parameters
    ----------
    project : str
        Text of pyproject.toml; its `Repository` under `[project.urls]` comes first.
    environ : mapping of str to str
        Environment variables; GitHub Actions sets `GITHUB_REPOSITORY`.

    Returns
    -------
    str
        "owner/name"; "" if neither says it.
    """
    url = tomllib.loads(project)["project"].get("urls", {}).get("Repository", "")
    on_github = re.fullmatch(r"https://github\.com/([\w.-]+/[\w.-]+?)(\.git)?/?", url)
    name = on_github[1] if on_github else environ.get("GITHUB_REPOSITORY", "")
    return name if re.fullmatch(r"[\w.-]+/[\w.-]+", name) else ""


def links(name: str, notebook: str) -> dict[str, str]:
    """Return where a notebook of a repository "owner/name" runs: service -> address."""
    path = f"notebooks/{notebook}"
    return {
        "Binder": f"https://mybinder.org/v2/gh/{name}/HEAD?urlpath=lab/tree/{path}",
        "Colab": f"https://colab.research.google.com/github/{name}/blob/main/{path}",
    }


def pictures_of(name: str, notebook: str, static: str = "_static") -> str:
    """Return the two badges in Markdown; "" without a repository. Their pictures are in `static`."""
    if not name:
        return ""
    return " ".join(
        f"[![Open in {service}]({static}/badge_{service.lower()}.svg)]({address})"
        for service, address in links(name, notebook).items()
    )


def where_it_runs(name: str, notebook: str) -> str:
    """Return the note below the title of a notebook, in Markdown."""
    if not name:
        return LOCALLY.format(path=f"notebooks/{notebook}")
    return (
        f"{pictures_of(name, notebook, '../_static')}\n\nIn Colab, run this line first: "
        f'`%pip install "neuroarrays[all] @ git+https://github.com/{name}"`'
    )


def with_note(notebook: Path, name: str) -> str:
    """Return the text of a notebook, with a cell below its title that says where it runs."""
    content = json.loads(notebook.read_text(encoding="utf-8"))
    note = {
        "cell_type": "markdown",
        "id": "where-it-runs",
        "metadata": {},
        "source": where_it_runs(name, notebook.name),
    }
    content["cells"].insert(1, note)
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def listing(name: str) -> str:
    """Return a table of the notebooks in Markdown: title, question, and how to run it."""
    lines = [f"| notebook | its question | {'run it' if name else 'file'} |", "| --- | --- | --- |"]
    for path in NOTEBOOKS:
        first = "".join(json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"])
        title, _, text = first.removeprefix("# ").partition("\n")
        question = re.search(r"[A-Z][^.?]*\?", " ".join(text.split()))
        place = pictures_of(name, path.name) or f"`{path.name}`"
        lines.append(
            f"| {{doc}}`{title} <_generated/{path.stem}>` | {question[0] if question else ''} | {place} |"
        )
    return "\n".join(lines) + "\n"
