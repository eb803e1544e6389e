"""The mark of a build: what its archive will hold, and which of it is there.

``ARCHIVE/.build/build.json`` is written before anything else, and again before each file gets its
name, so that a build that was killed at any moment leaves an archive that says so.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from neuroarrays.errors import FormatError, MissingPath, PathExists, shorten
from neuroarrays.files.local import stamp
from neuroarrays.files.probe import Probe
from neuroarrays.files.writing import written

WORK, _MARK = ".build", "build.json"
_KIND = "neuroarrays build 1"


@dataclass
class Block:
    """A file of an archive.

    Attributes
    ----------
    wanted : str
        What it is to be made from.
    made_from : str
        What it was made from when it was last made; "" if something is missing in it.
    stamps : list of stamps
        Of the file that is in its place, and of the one that was about to take it.
    missing : list of str
        Sessions that are not in it and should be.
    """

    wanted: str = ""
    made_from: str = ""
    stamps: list[list[int]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


class Marks:
    """The mark of a build in a folder, which is made where there is none.

    Parameters
    ----------
    archive : Path
        The folder of the archive.

    Raises
    ------
    PathExists
        If there is something of the name of the build's folder that no build made.
    """

    def __init__(self, archive: Path):
        self.archive, self.work = archive, archive / WORK
        self.blocks: dict[str, Block] = {}
        self.failures: list[str] = []
        archive.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            self.work.mkdir()
        if self._is_bare():  # made now, or by a build that was killed at once
            self.write()
            return
        known = None if self.work.is_symlink() else _read(self.work)
        if known is None:
            msg = f"{self.work}: it exists and is not from a build; move it"
            raise PathExists(msg)
        self.blocks, self.failures = known

    def _is_bare(self) -> bool:
        """Whether it is a folder in which nothing is, or a mark that was being written."""
        if self.work.is_symlink() or not self.work.is_dir():
            return False
        return all(name.startswith(f".{_MARK}.") for name in os.listdir(self.work))

    def write(self) -> None:
        """Put the mark on the disk."""
        content = {
            "kind": _KIND,
            "blocks": {name: asdict(block) for name, block in self.blocks.items()},
            "failures": self.failures,
        }
        with written(self.work / _MARK, overwrite=True) as path:
            path.write_text(json.dumps(content), encoding="utf-8")

    def clear(self) -> None:
        """Remove marks that a killed build was writing; under the lock of its folder."""
        for folder in self.work.glob(f".{_MARK}.*.part"):
            shutil.rmtree(folder, ignore_errors=True)

    def want(self, wanted: dict[str, str], failures: Iterable[str]) -> None:
        """Record what the archive will hold, and which sessions could not be read."""
        for name, token in wanted.items():
            self.blocks.setdefault(name, Block()).wanted = token
        self.failures = list(failures)
        self.write()

    def refuse_strangers(self, names: Iterable[str]) -> None:
        """Raise an error rather than replace a file that no build made.

        Raises
        ------
        PathExists
            If there is one.
        """
        for name in names:
            path = self.archive / f"{name}.h5"
            if os.path.lexists(path) and not self.blocks.get(name, Block()).stamps:
                msg = f"{path}: it exists and is not from a build; move it, or give"
                raise PathExists(f"{msg} another folder")

    def finished(self, name: str) -> bool:
        """Whether the file of a block is there, and made from what is wanted."""
        block = self.blocks[name]
        up_to_date = block.made_from and block.made_from == block.wanted
        return bool(up_to_date) and self._stamp(name) in block.stamps

    def about_to(self, name: str, file: Path, missing: list[str]) -> None:
        """Mark a file as made just before it is renamed to its name."""
        block = self.blocks[name]
        block.stamps = [known for known in [self._stamp(name), list(stamp(os.stat(file)))] if known]
        block.made_from, block.missing = "" if missing else block.wanted, missing
        self.write()

    def _stamp(self, name: str) -> list[int]:
        try:
            return list(stamp(os.stat(self.archive / f"{name}.h5")))
        except OSError:
            return []


def unfinished(folder: Probe) -> str:
    """What a build has not made of the archive in a folder; "" for any other.

    Files are known by their size, which a copy has too.
    """
    try:
        known = _parsed(folder.child(f"{WORK}/{_MARK}").read_json())
    except (FormatError, MissingPath):
        known = None
    if known is None:
        return ""
    blocks, failures = known
    missing = [name for name, block in blocks.items() if not _is_there(folder, name, block)]
    lacking = [f"{session} of {name}" for name, b in blocks.items() for session in b.missing]
    faults = [f"{len(missing)} of {len(blocks)} files are missing ({shorten(missing, 6)})"] * bool(
        missing
    )
    faults += [f"not in it: {shorten(lacking, 6)}"] * bool(lacking)
    faults += [f"not read: {shorten(failures, 6)}"] * bool(failures)
    return f"the build of this archive is not finished: {'; '.join(faults)}" if faults else ""


def _is_there(folder: Probe, name: str, block: Block) -> bool:
    file = folder.child(f"{name}.h5")
    if not file.is_file:
        return False
    return any(known[1] == file.size for known in block.stamps[-1:]) and block.made_from in (
        block.wanted,
        "",
    )


def _read(work: Path) -> tuple[dict[str, Block], list[str]] | None:
    """The blocks and failures of a mark; None if there is none of ours."""
    try:
        return _parsed(json.loads((work / _MARK).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None


def _parsed(content: Any) -> tuple[dict[str, Block], list[str]] | None:
    """The blocks and failures that a mark says; None if it is none of ours."""
    try:
        if content["kind"] != _KIND:
            return None
        blocks = {name: Block(**block) for name, block in content["blocks"].items()}
        return blocks, list(content["failures"])
    except (KeyError, TypeError, AttributeError):
        return None
