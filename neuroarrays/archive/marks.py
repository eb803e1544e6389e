"""The mark of a build: which files its archive will have, and which of them are finished.

The mark ``ARCHIVE/.build/build.json`` is written before anything else, and again before each file
gets its name. If a build is killed at any moment, the mark shows that the archive is unfinished.
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
    """A file of the archive that a build makes.

    Attributes
    ----------
    wanted : str
        A token of the inputs that the file is to be made from.
    made_from : str
        The token of the inputs that it was last made from; "" if sessions are missing in it.
    stamps : list of stamps
        The stamps of the file, and of the one that was about to replace it.
    missing : list of str
        Sessions that should be in it and are not.
    """

    wanted: str = ""
    made_from: str = ""
    stamps: list[list[int]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


class Marks:
    """The mark of a build in the folder of its archive; it is created where there is none.

    Parameters
    ----------
    archive : Path
        The folder of the archive.

    Raises
    ------
    PathExists
        If the folder contains a ``.build`` that no build made.
    """

    def __init__(self, archive: Path):
        self.archive, self.work = archive, archive / WORK
        self.blocks: dict[str, Block] = {}
        self.failures: list[str] = []
        archive.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            self.work.mkdir()
        if self._is_bare():  # created just now, or by a build that was killed at once
            self.write()
            return
        content = None if self.work.is_symlink() else _read(self.work)
        if content is None:
            msg = f"{self.work}: it exists and is not from a build; move it"
            raise PathExists(msg)
        self.blocks, self.failures = content

    def _is_bare(self) -> bool:
        """Return whether the folder is empty, or has only a mark whose writing was interrupted."""
        if self.work.is_symlink() or not self.work.is_dir():
            return False
        return all(name.startswith(f".{_MARK}.") for name in os.listdir(self.work))

    def write(self) -> None:
        """Write the mark to the disk."""
        content = {
            "kind": _KIND,
            "blocks": {name: asdict(block) for name, block in self.blocks.items()},
            "failures": self.failures,
        }
        with written(self.work / _MARK, overwrite=True) as path:
            path.write_text(json.dumps(content), encoding="utf-8")

    def clear(self) -> None:
        """Remove marks that a killed build was writing. The caller holds the lock of the folder."""
        for folder in self.work.glob(f".{_MARK}.*.part"):
            shutil.rmtree(folder, ignore_errors=True)

    def want(self, wanted: dict[str, str], failures: Iterable[str]) -> None:
        """Record which files the archive will have, and which sessions could not be read.

        Parameters
        ----------
        wanted : dict
            Name of each file -> token of the inputs that it is to be made from.
        failures : iterable of str
            Sessions that could not be read.
        """
        for name, token in wanted.items():
            self.blocks.setdefault(name, Block()).wanted = token
        self.failures = list(failures)
        self.write()

    def refuse_strangers(self, names: Iterable[str]) -> None:
        """Refuse to replace a file that no build made.

        Raises
        ------
        PathExists
            If there is such a file under one of the names.
        """
        for name in names:
            path = self.archive / f"{name}.h5"
            if os.path.lexists(path) and not self.blocks.get(name, Block()).stamps:
                msg = f"{path}: it exists and is not from a build; move it, or give"
                raise PathExists(f"{msg} another folder")

    def finished(self, name: str) -> bool:
        """Return whether the file of a block exists, and was made from the wanted inputs."""
        block = self.blocks[name]
        up_to_date = block.made_from and block.made_from == block.wanted
        return bool(up_to_date) and self._stamp(name) in block.stamps

    def about_to(self, name: str, file: Path, missing: list[str]) -> None:
        """Record a file as made, just before it is renamed to its name."""
        block = self.blocks[name]
        stamps = [self._stamp(name), list(stamp(os.stat(file)))]
        block.stamps = [each for each in stamps if each]
        block.made_from, block.missing = "" if missing else block.wanted, missing
        self.write()

    def _stamp(self, name: str) -> list[int]:
        """Return the stamp of the file of a block; [] if there is none."""
        try:
            return list(stamp(os.stat(self.archive / f"{name}.h5")))
        except OSError:
            return []


def unfinished(folder: Probe) -> str:
    """Return what is missing in a folder that a build has not finished; "" for any other folder.

    Files are recognised by their size, which is the same in a copy of the folder.
    """
    try:
        content = _parsed(folder.child(f"{WORK}/{_MARK}").read_json())
    except (FormatError, MissingPath):
        content = None
    if content is None:
        return ""
    blocks, failures = content
    missing = [name for name, block in blocks.items() if not _is_there(folder, name, block)]
    lacking = [f"{session} of {name}" for name, b in blocks.items() for session in b.missing]
    faults = []
    if missing:
        faults.append(f"{len(missing)} of {len(blocks)} files are missing ({shorten(missing, 6)})")
    if lacking:
        faults.append(f"not in it: {shorten(lacking, 6)}")
    if failures:
        faults.append(f"not read: {shorten(failures, 6)}")
    return f"the build of this archive is not finished: {'; '.join(faults)}" if faults else ""


def _is_there(folder: Probe, name: str, block: Block) -> bool:
    """Return whether the file of a block exists with its recorded size, and is up to date."""
    file = folder.child(f"{name}.h5")
    if not file.is_file or not block.stamps:
        return False
    size = block.stamps[-1][1]
    return size == file.size and block.made_from in (block.wanted, "")


def _read(work: Path) -> tuple[dict[str, Block], list[str]] | None:
    """Read the blocks and failures of a mark; None if there is no mark of a build."""
    try:
        return _parsed(json.loads((work / _MARK).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None


def _parsed(content: Any) -> tuple[dict[str, Block], list[str]] | None:
    """Return the blocks and failures in the content of a mark; None if no build wrote it."""
    try:
        if content["kind"] != _KIND:
            return None
        blocks = {name: Block(**block) for name, block in content["blocks"].items()}
        return blocks, list(content["failures"])
    except (KeyError, TypeError, AttributeError):
        return None
