"""Trees of a thousand sessions: saved, opened, catalogued, against plain xarray. CPU time, all threads.

python benchmarks/bench_trees.py           # full size, writes benchmarks/results/bench_trees.txt
python benchmarks/bench_trees.py --small   # seconds, prints only
"""

import argparse
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import xarray as xr
from peaks import peak_mb

import neuroarrays as na

LINES = []


def say(text):
    print(text, flush=True)
    LINES.append(text)


def cpu(function, repeats=1):
    """Least CPU time of a call, seconds, and what it returned."""
    times = []
    for _ in range(repeats):
        na.release()
        begin = time.process_time()
        result = function()
        times.append(time.process_time() - begin)
    return min(times), result


def many(sessions, areas, presentations=40, units=12, bins=14):
    """An aligned tree: per session a clock and areas, each with counts, unit columns and a table of trials."""
    rng = np.random.default_rng(0)
    ids, clock = np.arange(presentations), (np.arange(bins) + 0.5) * 0.02
    columns = ("start_time", "stop_time", "duration", "orientation", "contrast")
    groups = {"/": xr.Dataset(attrs={"neuroarrays_schema": "aligned/1"})}
    for session in range(sessions):
        groups[f"session_{session}"] = xr.Dataset(coords={"presentation_id": ids, "time": clock})
        table = {name: ("presentation_id", rng.random(presentations)) for name in columns}
        table["stimulus_name"] = "presentation_id", np.array(["gratings"] * presentations, object)
        for area in range(areas):
            counts = rng.poisson(0.1, (presentations, units, bins)).astype(np.uint8)
            path = f"session_{session}/area_{area}"
            groups[path] = xr.Dataset(
                {"spike_data": (("presentation_id", "unit_id", "time"), counts)},
                coords={
                    "unit_id": np.arange(units) + 1000 * area,
                    "snr": ("unit_id", rng.random(units)),
                    "depth": ("unit_id", rng.random(units)),
                    **table,
                },
            )
            groups[f"{path}/presentations"] = xr.Dataset(table)
    return xr.DataTree.from_dict(groups)


def bench_saving(folder, sessions, zarr_sessions):
    """Ours and xarray's writers, the same tree, each of as many nodes as it is given time for."""
    tree = many(sessions, 4)
    nodes = len(list(tree.subtree))
    say(f"\nsave {nodes} nodes, {sum(node.nbytes for node in tree.subtree) / 1e6:.1f} MB")
    works = [
        ("na.save .h5", lambda: na.save(tree, folder / "a.h5")),
        ("xarray to_netcdf, netcdf4", lambda: tree.to_netcdf(folder / "b.nc", engine="netcdf4")),
        ("xarray to_netcdf, h5netcdf", lambda: tree.to_netcdf(folder / "c.nc", engine="h5netcdf")),
    ]
    for name, work in works:
        seconds, _ = cpu(work)
        say(f"{name:44s} {seconds:8.2f} s {seconds / nodes * 1e3:8.2f} ms/node")
    small = many(zarr_sessions, 4)
    few = len(list(small.subtree))

    def plain_zarr():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            small.to_zarr(folder / "b.zarr", zarr_format=3, consolidated=False)

    for name, work in [
        ("na.save .zarr", lambda: na.save(small, folder / "a.zarr")),
        ("xarray to_zarr, not consolidated", plain_zarr),
    ]:
        seconds, _ = cpu(work)
        say(f"{name + f', {few} nodes':44s} {seconds:8.2f} s {seconds / few * 1e3:8.2f} ms/node")


def bench_opening(folder, sessions):
    tree = many(sessions, 2)
    path, nodes = folder / "many.h5", len(list(tree.subtree))
    seconds, _ = cpu(lambda: na.save(tree, path))
    say(
        f"\n{sessions} sessions, {nodes} nodes in one file; most memory of the process after each line"
    )
    say(f"{'na.save':44s} {seconds:8.2f} s {seconds / nodes * 1e3:8.2f} ms/node {memory()}")
    one = f"session_{sessions // 2}"
    works = [
        ("na.catalog", lambda: na.catalog(path), 3),
        ("na.open_datatree, one session", lambda: na.open_datatree(path, sessions=one), 3),
        ("   and one area", lambda: na.open_datatree(path, sessions=one, areas="area_0"), 3),
        ("na.open_datatree, all", lambda: na.open_datatree(path), 2),
        ("   of it what xarray takes for empty nodes", lambda: empty(tree), 2),
    ]
    for name, work, repeats in works:
        seconds, _ = cpu(work, repeats)
        say(f"{name:44s} {seconds:8.4f} s {seconds / nodes * 1e3:8.2f} ms/node {memory()}")
    ours, _ = cpu(lambda: na.open_datatree(folder / "a.h5"), 2)
    theirs, opened = cpu(lambda: xr.open_datatree(folder / "b.nc", engine="netcdf4"))
    fewer = len(list(opened.subtree))
    opened.close()
    say(
        f"\nopen all of {fewer} nodes, na.open_datatree {ours:.2f} s, xarray netcdf4 {theirs:.2f} s"
    )


def memory():
    """The most memory that this process has had, as text."""
    return f"{peak_mb():6.0f} MB"


def empty(tree):
    """As many nodes without a variable: what xarray itself takes to put them together."""
    return xr.DataTree.from_dict({node.path: xr.Dataset() for node in tree.subtree})


def main(argv=None):
    parser = argparse.ArgumentParser()
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args(argv)
    small = options.small
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        na.save(many(2, 1), folder / "warm.h5")  # imports
        na.open_datatree(folder / "warm.h5")
        na.catalog(folder / "warm.h5")
        bench_saving(folder, 5 if small else 60, 1 if small else 10)
        tree = many(10 if small else 200, 4)
        nodes = len(list(tree.subtree))
        seconds, _ = cpu(lambda: na.save(tree, folder / "more.h5"))
        say(f"na.save .h5, {nodes} nodes {seconds:8.2f} s {seconds / nodes * 1e3:8.2f} ms/node")
        bench_opening(folder, 20 if small else 1000)
    if not small:
        result = Path(__file__).parent / "results" / "bench_trees.txt"
        result.write_text("\n".join(LINES).lstrip() + "\n")


if __name__ == "__main__":
    main()
