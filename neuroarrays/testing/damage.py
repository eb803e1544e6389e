"""Files that a reader must survive: those of other formats, and damaged copies of its own."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import numpy as np


def strangers(folder: Path) -> list[Path]:
    """Return files that no reader of recordings should claim."""
    import h5py

    noise = random.Random(0).randbytes(4096)
    contents = {
        "notes.txt": b"spikes were fine today\n",
        "empty.nwb": b"",
        "noise.nwb": noise,
        "noise.h5": noise,
        "table.csv": b"start_time,stop_time\n0,1\n",
        "archive.zip": b"PK\x05\x06" + bytes(18),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    (folder / "empty_folder").mkdir()
    (folder / "folder_of_notes").mkdir()
    (folder / "folder_of_notes" / "notes.txt").write_text("nothing here")
    with h5py.File(folder / "other.h5", "w") as file:
        file["measurements"] = np.arange(3)
    names = [*contents, "empty_folder", "folder_of_notes", "other.h5", "missing.nwb"]
    return [folder / name for name in names]


def damages(golden: Path) -> list[tuple[str, Any]]:
    """Return ways to damage a copy of the golden file, each with a label; always the same ones."""
    draw = random.Random(1)
    if golden.is_dir():
        inside = sorted(p.relative_to(golden) for p in golden.rglob("*") if p.is_file())
        chosen = draw.sample(inside, min(len(inside), 8))
        return [(f"cut{i}", _truncate_inside(name)) for i, name in enumerate(chosen)]
    size = golden.stat().st_size
    cuts = sorted({0, 1, 8, 100, size // 4, size // 2, 3 * size // 4, size - 1})
    return [(f"cut{size}", _truncate(size)) for size in cuts]


def _truncate(size: int) -> Any:
    """Return a function that cuts a file to a size, bytes."""

    def damage(path: Path) -> None:
        os.truncate(path, size)

    return damage


def _truncate_inside(name: Path) -> Any:
    """Return a function that cuts one file of a folder to half its size."""

    def damage(folder: Path) -> None:
        os.truncate(folder / name, (folder / name).stat().st_size // 2)

    return damage
