"""Trees of a thousand sessions: saved, opened, catalogued, against plain xarray. CPU time, all threads.

python benchmarks/bench_trees.py           # full size, writes benchmarks/results/bench_trees.txt
python benchmarks/bench_trees.py --small   # seconds, prints only
"""

import argparse
import shutil
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import xarray as xr

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


def bench_saving(folder, tree):
    nodes = len(list(tree.subtree))
    say(f"\nsave {nodes} nodes, {sum(node.nbytes for node in tree.subtree) / 1e6:.1f} MB")

    def xarray_netcdf(engine):
        path = folder / f"peer-{engine}.nc"
        return lambda: tree.to_netcdf(path, engine=engine, mode="w")

    def xarray_zarr():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree.to_zarr(folder / "peer.zarr", mode="w", zarr_format=3)

    works = [
        ("na.save .h5", lambda: na.save(tree, folder / "a.h5", overwrite=True)),
        ("xarray to_netcdf, netcdf4", xarray_netcdf("netcdf4")),
        ("xarray to_netcdf, h5netcdf", xarray_netcdf("h5netcdf")),
        ("na.save .zarr", lambda: na.save(tree, folder / "a.zarr", overwrite=True)),
        ("xarray to_zarr", xarray_zarr),
    ]
    for name, work in works:
        seconds, _ = cpu(work)
        say(f"{name:42s} {seconds:8.2f} s {seconds / nodes * 1e3:8.2f} ms/node")


def bench_opening(folder, sessions, tree):
    path, peer = folder / "a.h5", folder / "peer-netcdf4.nc"
    nodes = len(list(tree.subtree))
    one = f"session_{sessions // 2}"
    say(f"\n{sessions} sessions, {nodes} nodes in one file")
    works = [
        ("na.catalog", lambda: na.catalog(path), 3),
        ("na.open_datatree, one session", lambda: na.open_datatree(path, sessions=one), 3),
        ("   and one area", lambda: na.open_datatree(path, sessions=one, areas="area_0"), 3),
        ("na.open_datatree, all", lambda: na.open_datatree(path), 2),
        ("DataTree.from_dict of as many empty nodes", lambda: bare(tree), 2),
        ("xarray open_dataset, one group of it", lambda: group(peer, f"{one}/area_0"), 1),
        ("xarray open_datatree, netcdf4, all", lambda: xr.open_datatree(peer, engine="netcdf4"), 1),
    ]
    for name, work, repeats in works:
        if not peer.exists() and name.startswith("xarray"):
            continue
        seconds, _ = cpu(work, repeats)
        say(f"{name:42s} {seconds:8.4f} s")


def bare(tree):
    """As many nodes without a variable: what xarray itself takes to put them together."""
    return xr.DataTree.from_dict({node.path: xr.Dataset() for node in tree.subtree})


def group(path, name):
    return xr.open_dataset(path, engine="netcdf4", group=name).close()


def main(argv=None):
    parser = argparse.ArgumentParser()
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tree = many(20 if options.small else 200, 4)
        bench_saving(folder, tree)
        for left in folder.iterdir():
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        sessions = 40 if options.small else 1000
        tree = many(sessions, 2)
        seconds, _ = cpu(lambda: na.save(tree, folder / "a.h5"))
        say(f"\nna.save of {sessions} sessions {seconds:8.2f} s")
        seconds, _ = cpu(lambda: tree.to_netcdf(folder / "peer-netcdf4.nc", engine="netcdf4"))
        say(f"xarray to_netcdf of them {seconds:8.2f} s")
        bench_opening(folder, sessions, tree)
    if not options.small:
        result = Path(__file__).parent / "results" / "bench_trees.txt"
        result.write_text("\n".join(LINES).lstrip() + "\n")


if __name__ == "__main__":
    main()
