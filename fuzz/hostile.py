"""Files made to do harm, and good files damaged at every place: open them, read everything.

    python fuzz/hostile.py --seconds 600 --seed 0 [--kind nwb]

Each file is opened and read in a child with bounds of time and memory. Whatever comes, the answer is
values or an error of this package that names the file; a hang, a crash, too much memory, a read
outside of the folder or any other exception is a finding, which is printed with what made it.
"""

# ruff: noqa: T201
from __future__ import annotations

import argparse
import os
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from neuroarrays.errors import FormatError, NeuroArraysError
from neuroarrays.files import guard
from neuroarrays.testing.hostile import SECRET, damaged, hostile, seeds

#: Words of the errors of `guard`: what they stand for is a finding here.
BAD = ("does not end", "ends the process", "values that fit into", "hat can be read; found")


def tried(path: Path, engine: str | None) -> str:
    """What is wrong with what comes of a file: "" for nothing."""
    try:
        read = guard.in_child("neuroarrays.testing.hostile:read_all", str(path), engine=engine)
    except FormatError as error:
        return next((f"{error}"[:300] for word in BAD if word in str(error)), "")
    except NeuroArraysError:
        return ""
    except Exception as error:
        return f"{type(error).__name__}: {error}"[:300]
    return "it read what lies outside" if SECRET in read else ""


def cases(
    folder: Path, seconds: float, draw: random.Random
) -> Iterator[tuple[str, Path, str | None]]:
    """Files made to do harm, then damaged ones until the time is over."""
    for name, path, engine in hostile(folder):
        yield name, path, engine
    ends, good = time.monotonic() + seconds, seeds(folder / "good")
    while time.monotonic() < ends:
        kind, path, engine = draw.choice(good)
        name, made = damaged(path, folder / "bad", draw)
        yield f"{kind}: {name}", made, engine


def main() -> None:
    """Run the campaign."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", default="")
    arguments = parser.parse_args()
    guard.SECONDS = 20.0
    folder = Path(tempfile.mkdtemp(prefix="hostile-"))
    found: Counter[str] = Counter()
    count = 0
    for name, path, engine in cases(folder, arguments.seconds, random.Random(arguments.seed)):
        if arguments.kind not in name:
            continue
        count += 1
        wrong = tried(path, engine)
        if wrong:
            found[wrong.replace(str(folder), "")[:160]] += 1
            print(f"{name}: {wrong}", flush=True)
    print(f"{count} files, {sum(found.values())} findings of {len(found)} kinds")
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1 if found else 0)


if __name__ == "__main__":
    main()
