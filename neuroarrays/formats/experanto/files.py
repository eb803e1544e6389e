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
from neuroarrays.formats.folders import Found, described, find

#: The largest text of metadata that is parsed, bytes: where the spikes of 100,000 units begin.
_LARGEST = 4 << 20
_TRIAL = re.compile(r"\d+")
#: What lies in the folder of a modality.
_DATA = ("meta.yml", "data.mem", "data.npy", "spikes.mem", "spikes.npy", "timestamps.npy")


def is_session(path: str | os.PathLike[str]) -> bool:
    """Whether a path is a session's folder, or a folder with one in it."""
    return os.path.isdir(path) and (
        _has_modalities(path) or any(_has_modalities(child) for child in _folders(path))
    )


def sessions(path: str | os.PathLike[str]) -> tuple[dict[str, Path], Found]:
    """Names of the sessions at a path -> their folders, and what else was found there."""
    root = Path(os.path.abspath(path))
    if not root.exists():
        msg = f"{os.fspath(path)}: no such file or folder"
        raise MissingPath(msg)
    if not root.is_dir():
        return {}, Found([])
    found = find(root, _has_modalities, _is_meant)
    if not (
        os.path.isdir(root) and (found.paths != [root] or _has_modalities(root))
    ):  # a Zarr store
        return {}, Found([])
    names = [_key(folder) or folder.name for folder in found.paths]
    made = [n if names.count(n) == 1 else f.name for n, f in zip(names, found.paths, strict=True)]
    named = {schema.node_name(n): folder for n, folder in zip(made, found.paths, strict=True)}
    return named, found


def _has_modalities(folder: str | os.PathLike[str]) -> bool:
    try:
        return os.path.isdir(folder) and any(not why for _, why in _modalities(folder))
    except OSError:
        return False


def _is_meant(folder: Path) -> bool:
    """Whether what has no modality that can be read is meant to be a session."""
    if not folder.is_dir():
        return folder.is_symlink() and not folder.suffix
    try:
        names = [name for name, _ in _modalities(folder)]
    except OSError:
        return True
    return (folder / "meta.json").is_file() or any(holds_data(folder / name) for name in names)


def modalities(folder: Path) -> dict[str, str]:
    """What lies in a session, in order -> why it states no modality, "" for what does."""
    others = {
        child.name: described(child)
        for child in folder.iterdir()
        if child.name[0] not in "._" and child.name != "meta.json" and not child.is_dir()
    }
    return dict(sorted((others | dict(_modalities(folder))).items()))


def holds_data(folder: Path) -> bool:
    """Whether a folder has files as a modality has them, or cannot be looked into."""
    if not folder.is_dir():
        return not folder.is_file()
    return any(os.path.lexists(folder / name) for name in _DATA)


def _modalities(folder: str | os.PathLike[str]) -> Iterator[tuple[str, str]]:
    """As they lie there, and why they are none; looks at the beginning of meta.yml only."""
    for child in _folders(folder):
        name, path = os.path.basename(child), os.path.join(child, "meta.yml")
        try:
            safety.regular_file(path)
            with open(path, "rb") as file:
                stated = b"modality" in file.read(1 << 16)
        except (OSError, FormatError):
            lies = os.path.lexists(path)
            yield name, f"a meta.yml that is {described(path)}" if lies else "no meta.yml"
        else:
            yield name, "" if stated else "a meta.yml that states no modality"


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
