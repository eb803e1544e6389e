"""Find sessions, modalities and metadata of trials in folders of experanto."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from neuroarrays import schema
from neuroarrays.errors import FormatError, NeuroArraysError
from neuroarrays.files.probe import Probe, asked
from neuroarrays.formats.sessions import Sessions, find

#: The most bytes of a text of metadata that is parsed; it may list where the spikes of 100,000 units
#: begin.
_LARGEST = 4 << 20
_TRIAL = re.compile(r"\d+")
#: Names of files in the folder of a modality.
_DATA = ("meta.yml", "data.mem", "data.npy", "spikes.mem", "spikes.npy", "timestamps.npy")


def is_session(probe: Probe) -> bool:
    """Whether a path is a session's folder or tar, or a folder or tar with one in it."""
    try:
        folder = entered(probe, anyway=True)
    except FormatError:  # no other reader opens tars, so this one reports what is wrong
        return True
    return folder.is_folder and any(
        asked(_holds_session, path) for path in (folder, *folder.children)
    )


def _holds_session(probe: Probe) -> bool:
    return has_modalities(entered(probe))


def _called(probe: Probe) -> str:
    """Return the name of the folder of a session; for a tar that cannot be listed, its own name."""
    try:
        return entered(probe).name
    except FormatError:
        return probe.stem


def entered(probe: Probe, anyway: bool = False) -> Probe:
    """Return the first folder in a tar that has more than a folder; any other path as it is.

    A file that is not called ``.tar`` is not looked at, unless `anyway`.
    """
    if not (anyway or probe.suffix == ".tar") or probe.container != "tar":
        return probe
    folder = probe.inside
    while len(folder.children) == 1 and folder.children[0].is_folder and not has_modalities(folder):
        folder = folder.children[0]
    return folder


def sessions(probe: Probe) -> Sessions:
    """Return sessions as <animal>-<session>-<scan> by meta.json, or by the folder's name."""
    folder = entered(probe, anyway=True)
    if not folder.is_folder:
        return Sessions()
    inside = find(folder, _holds_session, _is_meant, called=_called)
    good = {name: entered(child) for name, child in inside.good.items()}
    notes = list(inside.notes)
    keys = {name: _key(session, notes) for name, session in good.items()}
    stated = list(keys.values())
    named = {name: key for name, key in keys.items() if key and stated.count(key) == 1}
    renamed = {
        schema.node_name(named.get(name, name)): good.get(name, session)
        for name, session in inside.items()
    }
    return Sessions(renamed, notes)


def has_modalities(folder: Probe) -> bool:
    """Whether a folder has folders in it that describe a modality."""
    return folder.kind == "folder" and any(not why for _, why in _modalities(folder))


def _is_meant(folder: Probe) -> bool:
    """Whether a path without a readable modality is meant to be a session."""
    if folder.kind != "folder":
        return bool(folder.status.link) and not folder.suffix
    try:
        folder.check_listing()
    except NeuroArraysError:
        return True
    names = [name for name, _ in _modalities(folder)]
    return folder.child("meta.json").is_file or any(holds_data(folder.child(n)) for n in names)


def modalities(folder: Probe) -> dict[str, str]:
    """Return the folders of a session, each with the reason why it is no modality, or ""."""
    others = {
        child.name: child.described()
        for child in folder.children
        if child.name[0] != "_" and child.name != "meta.json" and child.kind != "folder"
    }
    return dict(sorted((others | dict(_modalities(folder))).items()))


def holds_data(folder: Probe) -> bool:
    """Whether a folder has files like those of a modality, or cannot be read."""
    if folder.kind != "folder":
        return not folder.is_file
    return any(name in folder.listing for name in _DATA)


def _modalities(folder: Probe) -> Iterator[tuple[str, str]]:
    """Return what `modalities` returns; only the beginning of each meta.yml is read."""
    for child in folder.children:
        if child.kind != "folder":
            continue
        meta = child.child("meta.yml")
        try:
            stated = meta.is_file and b"modality" in meta.location.read([(0, 1 << 16)])[0]
        except OSError as error:
            yield child.name, f"a meta.yml that is something unreadable ({error.strerror})"
            continue
        if meta.is_file:
            yield child.name, "" if stated else "a meta.yml that states no modality"
        else:
            lies = meta.exists or meta.status.link
            yield child.name, f"a meta.yml that is {meta.described()}" if lies else "no meta.yml"


def _key(folder: Probe, notes: list[str]) -> str:
    """Return `<animal>-<session>-<scan>` of meta.json, or ""; an unreadable one adds a note."""
    file = folder.child("meta.json")
    if not file.is_file:
        return ""
    try:
        key = file.read_json(_LARGEST)["scan_key"]
        return "-".join(str(int(key[name])) for name in ("animal_id", "session", "scan_idx"))
    except NeuroArraysError as error:
        notes.append(f"the session is called by its folder, because of {error}")
    except (ValueError, KeyError, TypeError):
        pass
    return ""


def trials(screen: Probe) -> dict[str, dict[str, Any]]:
    """Return the metadata of the trials of a screen by name, in order.

    It is read from ``meta/<number>.yml``, or else from ``combined_meta.json``, which experanto makes from
    these files.
    """
    named = {file.stem: file for file in screen.glob("meta/*.yml")}
    numbers = sorted(filter(_TRIAL.fullmatch, named), key=int)
    if numbers:
        return {number: mapping(named[number]) for number in numbers}
    file = screen.child("combined_meta.json")
    if not file.is_file:
        return {}
    combined = file.read_json(16 * _LARGEST)
    if not isinstance(combined, dict) or not all(isinstance(v, dict) for v in combined.values()):
        raise FormatError(
            file.as_given, "", "a mapping of trials to mappings", type(combined).__name__
        )
    return {str(name): trial for name, trial in combined.items()}


def lost_trials(screen: Probe, trials: Mapping[str, Any]) -> list[str]:
    """Return numbers of trials without metadata: between others, or with a file of frames."""
    known = {int(name) for name in trials if _TRIAL.fullmatch(name)}
    if len(known) < len(trials) or not known:
        return []
    stems = [file.stem for file in screen.glob("data/*.npy")]
    every = {int(stem) for stem in stems if _TRIAL.fullmatch(stem)} | {*range(max(known))}
    width = len(next(iter(trials)))
    return [f"{number:0{width}}" for number in sorted(every - known)]


def mapping(file: Probe) -> dict[str, Any]:
    """Read a YAML file with a mapping of plain values; its tags create no objects."""
    import yaml

    text = file.read_text(_LARGEST)
    try:
        content = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise FormatError(file.as_given, "", "YAML", f"{type(error).__name__}: {error}") from error
    if not isinstance(content, dict):
        raise FormatError(file.as_given, "", "a mapping", type(content).__name__)
    return content
