"""Cut the golden file: `python make.py SESSION.h5`, of the session that the README names."""

import sys
from pathlib import Path

import h5py
import numpy as np

START, STOP = 20.0, 26.0
FILE = Path(__file__).parent / "c_20131003_cut.h5"


def cut(source, target):
    """Copy a group with the rows that lie within START and STOP."""
    for name, value in source.attrs.items():
        target.attrs[name] = value
    rows = slice(None)
    if "timestamps" in source:
        rows = np.flatnonzero(
            (source["timestamps"][:] >= START) & (source["timestamps"][:] <= STOP)
        )
    elif "start" in source:
        rows = np.flatnonzero((source["start"][:] < STOP) & (source["end"][:] > START))
    for name, item in source.items():
        if isinstance(item, h5py.Group):
            cut(item, target.create_group(name))
        elif name != "timestamp_indices_1s":
            values = item[:][rows]
            if name in ("start", "end") and "domain" in source.name:
                values = np.clip(values, START, STOP)
            packed = {"compression": "gzip", "shuffle": True} if values.size > 1000 else {}
            target.create_dataset(name, data=values, dtype=item.dtype, **packed)
    if "timestamp_indices_1s" in source:
        grid = np.arange(START, STOP + 1)
        target["timestamp_indices_1s"] = np.searchsorted(source["timestamps"][:][rows], grid)


if __name__ == "__main__":
    with h5py.File(sys.argv[1]) as whole, h5py.File(FILE, "w", libver=("v110", "v110")) as part:
        cut(whole, part)
