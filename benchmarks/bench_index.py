"""Many sessions: the index made, asked and opened; one session of a folder; millions of rows.

`python benchmarks/bench_index.py --lazynwb PYTHON` also asks lazynwb, in the interpreter of an environment
that has it. CPU seconds of this process and those that it starts; arrow's and polars' threads count.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

#: lazynwb's way to the units of all files that fit a condition, and the spike times of ten of them.
LAZYNWB = """
import glob, json, sys, time
import lazynwb, polars as pl
paths = sorted(glob.glob(sys.argv[1] + "/*.nwb"))
for _ in range(2):
    begun = time.process_time()
    frame = lazynwb.get_df(paths, "/units", exact_path=True, as_polars=True)
    query = time.process_time() - begun
    hits = frame.filter(pl.col("snr") > float(sys.argv[2]))  # its units have no area
print(json.dumps([query, hits.height, frame.height]))
"""


def cpu():
    """CPU seconds of this process, its threads and the children that ended."""
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(use.ru_utime + use.ru_stime for use in both)


def best(function, times=5):
    """The least CPU seconds of several calls, and what the last one gave."""
    least, result = np.inf, None
    for _ in range(times):
        begun = cpu()
        result = function()
        least = min(least, cpu() - begun)
    return least, result


def write(folder, count, units, distinct=10):
    """Sessions of so many units each; `distinct` of them, and copies under other names."""
    from neuroarrays.synthetic.nwb import write_nwb

    folder.mkdir()
    names = [folder / f"s{number:04d}.nwb" for number in range(count)]
    for number, path in enumerate(names):
        if number < distinct:
            parts = ("units", "trials", "running", "pupil")
            areas = ("VISp", "VISl", "LP", "CA1")
            options = {"trials": 200, "duration": 120.0, "index_dtype": "uint32"}
            write_nwb(path, seed=number, units=units, areas=areas, parts=parts, **options)
        else:
            shutil.copy(names[number % distinct], path)


def opened_files(function, folder):
    """How many HDF5 files of a folder are opened by a call."""
    import neuroarrays as na
    from neuroarrays.files.hdf5 import HDF5Source

    na.release()
    names, real = set(), HDF5Source._file

    def noted(self):
        names.add(self.path)
        return real(self)

    HDF5Source._file = noted
    try:
        function()
    finally:
        HDF5Source._file = real
    return len([name for name in names if name.startswith(str(folder))])


def one_session(top, count, units):
    import neuroarrays as na

    folder = top / f"of{count}"
    write(folder, count, units)
    wanted = f"s{count // 2:04d}"

    def open_one():
        na.release()
        return na.open_datatree(folder, sessions=wanted)

    open_one()
    seconds, _ = best(open_one)
    files = opened_files(open_one, folder)
    print(f"one session of a folder of {count:5,}  {seconds:8.3f} s, {files} file opened")


def index(top, count, units):
    import neuroarrays as na

    folder = top / "sessions"
    write(folder, count, units)
    print(f"{count} sessions x {units} units of 4 areas, 200 trials")
    for workers in (1, 2):
        begun, wall = cpu(), time.perf_counter()
        frame = na.units(folder, cache=False, workers=workers)
        spent, wall = cpu() - begun, time.perf_counter() - wall
        what = f"index built, {workers} worker{'s' * (workers > 1)}"
        print(f"  {what:33s} {spent:8.2f} s CPU, {wall:.2f} s by the clock")
    os.environ["NEUROARRAYS_CACHE"] = str(top / "cache")
    na.units(folder)
    limit = float(np.sort(frame.loc[frame["area"] == "VISp", "snr"])[-max(2, len(frame) // 2400)])
    condition = f"area == 'VISp' and snr >= {limit}"
    na.units(folder, condition)
    seconds, hits = best(lambda: na.units(folder, condition))
    print(f"  query, {len(frame):,} rows, 3 columns out   "[:36].ljust(36), end="")
    few, _ = best(lambda: na.units(folder, condition, columns=["session", "unit_id", "snr"]))
    print(f"{few:8.3f} s; every column {seconds:.3f} s")
    for number in (5, 10):
        rows = hits.drop_duplicates("session").head(number)

        def open_hits(rows=rows):
            na.release()
            return na.open_datatree(rows)

        open_hits()
        seconds, _ = best(open_hits)
        what = f"open {len(rows)} units of {rows['session'].nunique()} sessions"
        print(f"  {what:33s} {seconds:8.3f} s")
    seconds, _ = best(lambda: na.catalog(folder))
    print(f"  {'catalogue of all':33s} {seconds:8.3f} s")
    return folder, limit


def millions(top, rows):
    import pandas as pd
    from pyarrow import parquet

    import neuroarrays as na
    from neuroarrays.collection import layout

    random = np.random.default_rng(0)
    sessions = rows // 500
    names = np.array([f"session_{number:06d}" for number in range(sessions)], object)
    number = np.repeat(np.arange(sessions), 500)
    areas = np.array(["VISp", "VISl", "VISal", "LP", "CA1", "DG"], object)
    area = areas[random.integers(6, size=rows)]
    columns = {
        "path": "/data/" + names[number] + ".nwb",
        "session": names[number],
        "area": area,
        "unit_id": np.arange(rows),
    }
    columns |= {f"metric_{i:02d}": random.normal(size=rows) for i in range(25)}
    columns |= {"snr": random.gamma(2, 2, rows), "presence_ratio": random.uniform(0.5, 1, rows)}
    frame = pd.DataFrame(columns | {"row": np.arange(rows) % 500, "format": "nwb"})
    entries = [layout.Entry(f"/data/{name}.nwb", [1, 2], "nwb", 500) for name in names]
    path = top / "units.parquet"
    layout.write(path, layout.from_pandas(frame), "units", entries, relative=False)
    del frame, columns
    wanted = ["area", "snr", "presence_ratio"]
    na.units(path, columns=wanted)
    ours, _ = best(lambda: na.units(path, columns=wanted))
    theirs, _ = best(lambda: parquet.read_table(path, columns=wanted).to_pandas())
    print(
        f"{rows:,} rows of {sessions:,} sessions, 3 columns of 33 out, {os.cpu_count()} threads each"
    )
    print(f"  na.units                          {ours:8.3f} s")
    print(f"  pyarrow, to_pandas                {theirs:8.3f} s")
    condition = "area == 'VISp' and presence_ratio > 0.99"
    ours, hits = best(lambda: na.units(path, condition, columns=wanted), 3)
    print(f"  na.units, {len(hits):,} rows that fit    "[:36].ljust(36) + f"{ours:8.3f} s")


def lazynwb(python, folder, limit):
    done = subprocess.run(
        [python, "-c", LAZYNWB, str(folder), str(limit)], capture_output=True, text=True
    )
    if done.returncode:
        print(f"  lazynwb: {done.stderr.strip().splitlines()[-1:]}")
        return
    query, hits, rows = json.loads(done.stdout.splitlines()[-1])
    print(f"  {'lazynwb, all units as a frame':33s} {query:8.2f} s each time ({rows:,} rows)")
    print(f"    of which fit: {hits}")


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--lazynwb", metavar="PYTHON")
    arguments = parser.parse_args(argv)
    count, units, rows = (6, 12, 20_000) if arguments.small else (200, 120, 2_500_000)
    print(
        f"CPU seconds, best of 5 but for the building; {os.cpu_count()} cores, load of the machine"
    )
    print(f"at the beginning {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as folder:
        top = Path(folder)
        os.environ["NEUROARRAYS_CACHE"] = "off"
        sessions, limit = index(top, count, units)
        if arguments.lazynwb:
            lazynwb(arguments.lazynwb, sessions, limit)
        for number in (8, 16) if arguments.small else (256, 1000):
            one_session(top, number, units)
        millions(top, rows)


if __name__ == "__main__":
    sys.exit(main())
