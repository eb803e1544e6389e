"""The published archive of Allen Visual Coding: opening it, its size, reading it, building it.

python benchmarks/bench_allen_archive.py           # full size, writes benchmarks/results/
python benchmarks/bench_allen_archive.py --small   # seconds, prints only

The published files cannot be had here: archives of their shape are written by this script, with
made-up values. `--shapes FILE` gives the table of shapes of the real ones (derived_shapes.csv), from
which the last part estimates what the whole archive would weigh in our layout.
"""

import argparse
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import h5py
import numpy as np
import xarray as xr
from peaks import peak_mb

import neuroarrays as na
from neuroarrays.synthetic.allen import write_allen
from neuroarrays.testing.sources import close_all

LINES = []
GAZE = tuple(f"raw_{name}" for name in ("eye_area", "pupil_area", "x_cm", "y_cm", "x_deg", "y_deg"))
SHAPES = (
    Path(__file__).resolve().parents[2] / "shared" / "data" / "allen_truth" / "derived_shapes.csv"
)


def say(text=""):
    print(text, flush=True)
    LINES.append(text)


def best(function, repeats=5):
    """Least wall time of a call, seconds, and its last result (the machine has other work)."""
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        result = function()
        times.append(time.perf_counter() - begin)
    return min(times), result


def cpu_of(function):
    """CPU time of a call, seconds."""
    begin = time.process_time()
    function()
    return time.process_time() - begin


# -------------------------------------------------------------------------------- many nodes


def write_published(path, sessions, areas, presentations=5, bins=14, units=6):
    """An archive with the groups of the published one: four per session and area, small values."""
    rng = np.random.default_rng(0)

    def group(place, dims, variables, labels):
        made = file.create_group(place)
        scales = {}
        for dim in dims:
            scales[dim] = made.create_dataset(dim, data=labels[dim])
            scales[dim].make_scale(dim)
        for name, values in variables.items():
            dataset = made.create_dataset(name, data=values)
            for axis, dim in enumerate(dims):
                dataset.dims[axis].attach_scale(scales[dim])

    with h5py.File(path, "w", track_order=True) as file:
        for s in range(sessions):
            for a in range(areas):
                place = f"session_{715093703 + s}/area_{a:02d}"
                labels = {
                    "presentation_id": np.arange(presentations, dtype="i4"),
                    "time": (np.arange(bins) + 0.5) * 0.02,
                    "unit_id": np.arange(units, dtype="i4") + 1000 * a,
                }
                counts = rng.integers(0, 2, (presentations, bins, units), np.int8)
                signal = np.zeros((bins, presentations), "f4")
                both, rows = ("time", "presentation_id"), np.zeros(presentations, "f4")
                group(
                    f"{place}/spike_data",
                    ("presentation_id", "time", "unit_id"),
                    {"spike_data": counts},
                    labels,
                )
                group(f"{place}/speed", both, {"speed": signal}, labels)
                group(f"{place}/gaze_data", both, dict.fromkeys(GAZE, signal), labels)
                columns = ("frame", "stimulus_block", "start_time", "stop_time", "duration")
                group(
                    f"{place}/presentations",
                    ("presentation_id",),
                    dict.fromkeys(columns, rows),
                    labels,
                )


def nodes_of(sessions, areas):
    return 1 + sessions * (1 + areas * 5)


#: Opens an archive in a process of its own: wall, CPU and memory above the imports.
CHILD = """
import re, sys, time
import xarray as xr, h5py, h5netcdf, netCDF4, hdf5plugin
import neuroarrays as na, neuroarrays.formats.allen_binned, neuroarrays.formats.door
import neuroarrays.formats.nwb, neuroarrays.archive.reader

def memory(field):
    return int(re.search(field + r":\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024

engine, path = sys.argv[1:]
before, begin, cpu = memory("VmRSS"), time.perf_counter(), time.process_time()
tree = na.open_datatree(path) if engine == "ours" else xr.open_datatree(path, engine=engine)
wall, cpu = time.perf_counter() - begin, time.process_time() - cpu
print(wall, cpu, memory("VmHWM") - before, len(list(tree.subtree)))
"""


def opened_apart(engine, path):
    done = subprocess.run(
        [sys.executable, "-c", CHILD, engine, str(path)], capture_output=True, text=True, check=True
    )
    return [float(x) for x in done.stdout.split()]


def bench_nodes(folder, small):
    sessions, many, few = (6, 6, 3) if small else (58, 17, 8)
    wide, path = folder / "wide.h5", folder / "gabors.h5"
    write_published(wide, sessions, many)
    write_published(path, sessions, few)
    say(f"{sessions} sessions x {many} areas x 4 groups")
    one = "session_715093705"
    for name, function in (
        (f"catalog, {sessions * many} rows", lambda: na.catalog(wide)),
        (f"one session, {many} areas", lambda: na.open_datatree(wide, sessions=one)),
    ):
        function()
        cpu = min(cpu_of(function) for _ in range(10))
        seconds, _ = best(function, 10)
        say(f"{name:22s} {seconds:8.3f} s   {cpu:6.3f} s CPU")
    say()
    total = nodes_of(sessions, few)
    say(
        f"{sessions} sessions x {few} areas x 4 groups, {total} groups in the file, all as a lazy tree"
    )
    for engine in ("ours", "netcdf4"):
        wall, cpu, memory, nodes = min(opened_apart(engine, path) for _ in range(3))
        say(f"{engine:12s} {wall:8.2f} s   {cpu:6.2f} s CPU   {memory:6.0f} MB   {nodes:.0f} nodes")
    parts, walls = ((2, 6) if small else (10, 20)), []
    for part in parts:
        smaller = folder / f"part{part}.h5"
        write_published(smaller, part, few)
        wall, cpu, memory, nodes = opened_apart("h5netcdf", smaller)
        walls.append(cpu)
        say(
            f"h5netcdf     {wall:8.2f} s   {cpu:6.2f} s CPU   {memory:6.0f} MB   {nodes:.0f} nodes "
            f"({part} sessions)"
        )
    # a n + b n^2 through both, as many groups as the whole has.
    n = np.array([nodes_of(part, few) for part in parts], float)
    linear, square = np.linalg.solve(np.stack([n, n**2], 1), walls)
    say(
        f"h5netcdf     {linear * total + square * total**2:8.0f} s CPU, extrapolated to {total} groups "
        "from these two (it grows with their square); not measured"
    )


# ------------------------------------------------------------------------------ size and reads


def made_session(presentations, bins, areas, units, seed=0):
    """An aligned tree with the statistics of scenes: 5 spikes/s on average, slow signals."""
    rng = np.random.default_rng(seed)
    both = ("presentation_id", "time")
    clock = np.arange(presentations * bins) * 0.02

    def slow():
        steps = rng.normal(size=clock.size // 25 + 2).cumsum()
        return np.interp(clock, np.arange(steps.size) * 0.5, steps).astype("f4").reshape(-1, bins)

    ids = np.arange(presentations, dtype="i4")
    groups = {
        "/": xr.Dataset(attrs={"neuroarrays_schema": "aligned/1"}),
        "session_1": xr.Dataset(
            coords={"presentation_id": ids, "time": (np.arange(bins) + 0.5) * 0.02}
        ),
    }
    speed = xr.Variable(both, slow())
    pupil = xr.Dataset({name: (both, slow()) for name in GAZE})
    table = xr.Dataset(
        {
            name: ("presentation_id", (ids * step).astype("f4"))
            for name, step in (
                ("start_time", 0.25),
                ("stop_time", 0.25),
                ("frame", 1.0),
                ("duration", 0),
            )
        }
    )
    for a in range(areas):
        rates = rng.lognormal(np.log(5) - 0.5, 1, units) * 0.02
        spikes = rng.poisson(rates[None, :, None], (presentations, units, bins)).clip(0, 1)
        groups[f"session_1/area_{a:02d}"] = xr.Dataset(
            {
                "spike_data": (("presentation_id", "unit_id", "time"), spikes.astype("i1")),
                "speed": speed,
            },
            coords={"unit_id": np.arange(units, dtype="i4") + 1000 * a},
        )
        groups[f"session_1/area_{a:02d}/pupil"] = pupil
        groups[f"session_1/area_{a:02d}/presentations"] = table
    return xr.DataTree.from_dict(groups)


def stored(path, words):
    """Bytes of the datasets whose path holds one of the words, each array once."""
    seen = {}

    def visit(name, node):
        if isinstance(node, h5py.Dataset) and any(w in name for w in words):
            seen[h5py.h5o.get_info(node.id).addr] = node.id.get_storage_size()

    with h5py.File(path) as file:
        file.visititems(visit)
        for session in file.values():  # visititems sees a hard link once
            for area in session.values():
                if isinstance(area, h5py.Group):
                    for name, node in area.items():
                        visit(name, node)
    return sum(seen.values())


def bench_sizes(folder, small):
    presentations, bins, areas, units = (400, 14, 4, 20) if small else (5900, 14, 17, 40)
    tree = made_session(presentations, bins, areas, units)
    own, theirs = folder / "own.h5", folder / "published.h5"
    begin = time.perf_counter()
    na.save(tree, own)
    ours_took = time.perf_counter() - begin
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        begin = time.perf_counter()
        na.save(tree, theirs, layout="allen_binned")
    say()
    say(f"one session: {presentations} presentations x {bins} bins, {areas} areas x {units} units")
    say(
        f"published layout   {theirs.stat().st_size / 1e6:8.1f} MB   saved in "
        f"{time.perf_counter() - begin:.2f} s"
    )
    say(
        f"ours               {own.stat().st_size / 1e6:8.1f} MB   saved in {ours_took:.2f} s   "
        f"{theirs.stat().st_size / own.stat().st_size:.1f} x smaller"
    )
    raw = presentations * bins * areas * units
    spikes = raw / stored(own, ["spike_data"])
    floats = presentations * bins * 4 * 7 / stored(own, ["speed", "raw_"])
    say(
        f"of which spikes are {spikes:.1f} x smaller, speed and gaze {floats:.1f} x and stored once"
    )
    rng = np.random.default_rng(1)
    wanted = np.sort(rng.choice(presentations, 256, replace=False))
    peers = {
        "ours": na.open_datatree(own)["session_1/area_03/spike_data"],
        "published, our reader": na.open_datatree(theirs)["session_1/area_03/spike_data"],
    }
    for engine in ("netcdf4", "h5netcdf"):
        group = xr.open_dataset(theirs, engine=engine, group="session_1/area_03/spike_data")
        peers[f"published, xarray {engine}"] = group["spike_data"]
    say(f"{'read of one area':28s} one presentation   256 random ones")
    got = {}
    for name, array in peers.items():
        variable = array.variable
        _ = variable[0].values
        one, _ = best(lambda v=variable: v[int(rng.integers(presentations))].values, 50)
        many, values = best(lambda v=variable: v[{"presentation_id": wanted}].values, 5)
        got[name] = np.asarray(values) if array.dims[1] == "unit_id" else values.transpose(0, 2, 1)
        say(f"{name:28s} {one * 1e3:10.3f} ms {many * 1e3:14.1f} ms")
    assert all(np.array_equal(values, got["ours"]) for values in got.values())
    close_all()
    return spikes, floats


# ------------------------------------------------------------------------------------ building


def bench_build(folder, small):
    count, rows, units = (2, 20, 10) if small else (4, 600, 120)
    sessions = folder / "sessions"
    sessions.mkdir()
    for i in range(count):
        write_allen(
            sessions / f"{i}.nwb",
            session_id=700000000 + i,
            seed=i,
            units=units,
            rows=rows,
            stimuli=("gabors", "drifting_gratings", "natural_scenes"),
            probes=4,
            parts=("running", "eye"),
        )
    say()
    size = sum(path.stat().st_size for path in sessions.iterdir()) / 1e6
    say(
        f"build: {count} sessions x 3 stimuli, {units} units, {rows} presentations each, "
        f"{size:.0f} MB of NWB, imports and start of workers included"
    )
    took = {}
    for workers in (1, 2):
        for name, compat in (("ours", None), ("compat", "mlynarski")):
            out = folder / f"built_{name}_{workers}"
            begin = time.perf_counter()
            report = na.build(sessions, out, compat=compat, workers=workers)
            took[name, workers] = time.perf_counter() - begin
            assert not report.failures, report.failures
            size = sum(path.stat().st_size for path in report.written) / 1e6
            say(
                f"{name:8s} {workers} worker{'s' * (workers > 1):1s} {took[name, workers]:8.2f} s   "
                f"{size:6.1f} MB   peak of the first process until now {peak_mb():.0f} MB"
            )
    for name in ("ours", "compat"):
        say(f"{name:8s} speed-up with two: {took[name, 1] / took[name, 2]:.2f}")


# -------------------------------------------------------------------------- the whole of it


def estimate(shapes, spikes, floats):
    """What the published archive would weigh in our layout, from its shapes and our ratios."""
    import pandas as pd

    table = pd.read_csv(shapes)
    cells = table["n_presentations"] * table["n_bins"]
    binned = (cells * table["n_units"]).sum()
    signals = (cells * 4 * (1 + 6 * table["has_gaze"])).sum()
    rows = (table["n_presentations"] * 8 * 8).sum()
    ours = binned / spikes + signals / floats + rows
    say()
    say(
        f"estimate: the {len(table)} session files of the published archive (its shapes are real, "
        "the values behind these ratios are not)"
    )
    say(f"published  20.2 GB, {binned / 1e9:.1f} GB of them spikes")
    say(
        f"ours       {ours / 1e9:.1f} GB: spikes {binned / spikes / 1e9:.1f} GB ({spikes:.1f} x), speed and "
        f"gaze {signals / floats / 1e9:.2f} GB ({floats:.1f} x), tables {rows / 1e9:.2f} GB (not compressed)"
    )


def main(argv=None):
    parser = argparse.ArgumentParser()
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--shapes", type=Path, default=SHAPES)
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        bench_nodes(folder, options.small)
        ratios = bench_sizes(folder, options.small)
        bench_build(folder, options.small)
        if options.shapes.is_file():
            estimate(options.shapes, *ratios)
    if not options.small:
        out = Path(__file__).parent / "results" / f"{Path(__file__).stem}.txt"
        out.write_text("\n".join(LINES) + "\n")


if __name__ == "__main__":
    main()
