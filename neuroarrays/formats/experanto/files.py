"""What stands where in experanto folders: sessions, modalities, metadata of trials."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from neuroarrays import schema
from neuroarrays.errors import FormatError, MissingPath
from neuroarrays.files import safety

#: The largest text of metadata that is parsed, bytes: where the spikes of 100,000 units begin.
_LARGEST = 4 << 20
_TRIAL = re.compile(r"\d+")


def is_session(path: str | os.PathLike[str]) -> bool:
    """Whether a path is a session's folder, or a folder with one in it."""
    return os.path.isdir(path) and (
        any(_modalities(path)) or any(any(_modalities(child)) for child in _folders(path))
    )


def sessions(path: str | os.PathLike[str]) -> dict[str, Path]:
    """Names of the sessions at a path -> their folders; none for a path of another kind."""
    root = Path(os.path.abspath(path))
    if not root.exists():
        msg = f"{os.fspath(path)}: no such file or folder"
        raise MissingPath(msg)
    if not root.is_dir():
        return {}
    inside = [root] if any(_modalities(root)) else [
        Path(child) for child in sorted(_folders(root)) if any(_modalities(child))
    ]  # fmt: skip
    names = [_key(folder) or folder.name for folder in inside]
    made = [n if names.count(n) == 1 else f.name for n, f in zip(names, inside, strict=True)]
    return {schema.node_name(n): folder for n, folder in zip(made, inside, strict=True)}


def modalities(folder: Path) -> list[str]:
    """Folders of a session that state a modality."""
    return sorted(_modalities(folder))


def _modalities(folder: str | os.PathLike[str]) -> Iterator[str]:
    """As they lie there; looks at the beginning of meta.yml only."""
    for child in _folders(folder):
        path = os.path.join(child, "meta.yml")
        if os.path.isfile(path):
            with open(path, "rb") as file:
                if b"modality" in file.read(1 << 16):
                    yield os.path.basename(child)


def _folders(folder: str | os.PathLike[str]) -> Iterator[str]:
    """The folders in a folder; every reader is asked about any folder, so no file is looked at."""
    with os.scandir(folder) as entries:
        yield from (entry.path for entry in entries if entry.is_dir())


def _key(folder: Path) -> str:
    """`<animal>-<session>-<scan>` of meta.json, "" without it."""
    path = folder / "meta.json"
    if not path.is_file():
        return ""
    try:
        key = json.loads(_text(path)).get("scan_key", {})
        return "-".join(str(int(key[name])) for name in ("animal_id", "session", "scan_idx"))
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""


def trials(screen: Path) -> dict[str, dict[str, Any]]:
    """Trials of a screen in their order: the name of each -> its metadata.

    From ``meta/<number>.yml``; where there are none, from ``combined_meta.json``, the copy of all of
    them that experanto leaves.
    """
    named = {path.stem: path for path in (screen / "meta").glob("*.yml")}
    numbers = sorted(filter(_TRIAL.fullmatch, named), key=int)
    if numbers:
        return {number: mapping(named[number]) for number in numbers}
    path = screen / "combined_meta.json"
    if not path.is_file():
        return {}
    try:
        found = json.loads(_text(path, 16 * _LARGEST))
    except (ValueError, RecursionError) as error:
        raise FormatError(path, "", "JSON", f"{type(error).__name__}: {error}") from error
    if not isinstance(found, dict) or not all(isinstance(one, dict) for one in found.values()):
        raise FormatError(path, "", "a mapping of trials to mappings", type(found).__name__)
    return {str(name): one for name, one in found.items()}


def mapping(path: Path) -> dict[str, Any]:
    """A YAML file with a mapping of plain values; tags make no objects."""
    import yaml

    text = _text(path)
    try:
        found = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise FormatError(path, "", "YAML", f"{type(error).__name__}: {error}") from error
    if not isinstance(found, dict):
        raise FormatError(path, "", "a mapping", type(found).__name__)
    return found


def _text(path: Path, largest: int = _LARGEST) -> str:
    if safety.regular_file(path).st_size > largest:
        raise FormatError(path, "", f"at most {largest:,} bytes", "more")
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FormatError(path, "", "readable text", str(error)) from error
