"""Archives: saving, opening and reading, against xarray's h5netcdf engine on the same file. CPU time.

python benchmarks/bench_archive.py           # full size, writes benchmarks/results/bench_archive.txt
python benchmarks/bench_archive.py --small   # seconds, prints only
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import xarray as xr

import neuroarrays as na
from neuroarrays.archive import chunk_shapes
from neuroarrays.archive.reader import ArchiveReader
from neuroarrays.testing.sources import close_all

LINES = []


def say(text):
    print(text, flush=True)
    LINES.append(text)


def best(function, repeats=5):
    """Least CPU time of a call, all threads, seconds, and its last result."""
    times = []
    for _ in range(repeats):
        begin = time.process_time()
        result = function()
        times.append(time.process_time() - begin)
    return min(times), result


def counts(presentations, units, bins, seed=0):
    """Sparse counts, 5 spikes/s in 20 ms bins."""
    rng = np.random.default_rng(seed)
    return rng.poisson(0.1, (presentations, units, bins)).astype(np.uint8)


def one_session(presentations, units, bins):
    ids = np.arange(presentations)
    table = xr.Dataset(
        {
            "start_time": ("presentation_id", ids * 5.0, {"units": "s"}),
            "stop_time": ("presentation_id", ids * 5.0 + 5.0, {"units": "s"}),
            "orientation": ("presentation_id", ids % 8 * 45.0),
        }
    )
    area = xr.Dataset(
        {
            "spike_data": (
                ("presentation_id", "unit_id", "time"),
                counts(presentations, units, bins),
            )
        },
        coords={"unit_id": np.arange(units), "orientation": table["orientation"]},
    )
    session = xr.Dataset(coords={"presentation_id": ids, "time": (np.arange(bins) + 0.5) * 0.02})
    return xr.DataTree.from_dict(
        {
            "/": xr.Dataset(attrs={"neuroarrays_schema": "aligned/1"}),
            "s": session,
            "s/VISp": area,
            "s/VISp/presentations": table,
        }
    )


def many_sessions(sessions, areas, presentations=40, units=12, bins=14):
    """The shape of the published archive: areas with pupil and presentations in each session."""
    groups = {"/": xr.Dataset(attrs={"neuroarrays_schema": "aligned/1"})}
    ids, time_ = np.arange(presentations), (np.arange(bins) + 0.5) * 0.02
    data = counts(presentations, units, bins)
    pupil = {
        name: (("presentation_id", "time"), np.full((presentations, bins), i, np.float32))
        for i, name in enumerate(("x", "y", "area"))
    }
    table = {
        name: ("presentation_id", ids * float(i + 1))
        for i, name in enumerate(("start_time", "stop_time", "duration", "orientation", "contrast"))
    }
    table["stimulus_name"] = ("presentation_id", np.array(["gratings"] * presentations, object))
    for s in range(sessions):
        shared = xr.Dataset(coords={"presentation_id": ids, "time": time_})
        groups[f"session_{s}"] = shared
        for a in range(areas):
            place = f"session_{s}/area_{a}"
            labels = {name: value for name, value in table.items()}
            groups[place] = xr.Dataset(
                {
                    "spike_data": (("presentation_id", "unit_id", "time"), data),
                    "speed": (("presentation_id", "time"), pupil["x"][1], {"units": "cm/s"}),
                },
                coords={
                    "unit_id": np.arange(units) + 1000 * a,
                    "snr": ("unit_id", np.linspace(1, 5, units)),
                    "depth": ("unit_id", np.linspace(0, 900, units)),
                    **labels,
                },
            )
            groups[f"{place}/presentations"] = xr.Dataset(table)
            groups[f"{place}/pupil"] = xr.Dataset(pupil)
    return xr.DataTree.from_dict(groups)


def bench_values(folder, presentations, units=300, bins=250):
    tree = one_session(presentations, units, bins)
    raw = tree["s/VISp/spike_data"].nbytes
    say(f"\n{presentations} presentations x {units} units x {bins} bins, uint8, {raw / 1e6:.0f} MB")
    path = folder / "one.h5"
    for compression in ("zstd", "portable"):
        seconds, _ = best(
            lambda c=compression: na.save(tree, path, compression=c, overwrite=True), 2
        )
        size = path.stat().st_size
        say(
            f"save {compression:9s} {seconds:7.2f} s  {raw / seconds / 1e6:6.0f} MB/s  "
            f"file {size / 1e6:.1f} MB"
        )
    rng = np.random.default_rng(1)
    default = chunk_shapes.MOST_PRESENTATIONS, chunk_shapes.CHUNK
    for per_chunk in (1, 2, 3, 8, 16, None):
        if per_chunk is None:
            chunk_shapes.MOST_PRESENTATIONS, chunk_shapes.CHUNK = default
        else:
            chunk_shapes.MOST_PRESENTATIONS, chunk_shapes.CHUNK = per_chunk, 1 << 30
        seconds, _ = best(lambda: na.save(tree, path, overwrite=True), 1)
        close_all()
        bench_reads(path, presentations, rng, per_chunk, compare=per_chunk is None)
    chunk_shapes.MOST_PRESENTATIONS, chunk_shapes.CHUNK = default


def bench_reads(path, presentations, rng, per_chunk, compare):
    wanted = rng.integers(0, presentations, 256)

    def measure(tree):
        array = tree["s/VISp/spike_data"].variable
        best(lambda: array[0].values, 1)  # warm: opened, index of the chunks read
        whole, _ = best(lambda: array[:].values, 4)
        many, got = best(lambda: array[wanted].values, 4)
        one, _ = best(lambda: array[int(rng.integers(presentations))].values, 50)
        return whole, many, one, got

    tree = na.open_datatree(path)
    whole, many, one, got = measure(tree)
    raw = tree["s/VISp/spike_data"].nbytes
    label = f"{per_chunk} per chunk" if per_chunk else "default chunks"
    say(
        f"{label:14s} file {path.stat().st_size / 1e6:6.1f} MB | all {raw / whole / 1e9:5.2f} GB/s | "
        f"256 random {many * 1e3:7.1f} ms | one {one * 1e3:6.3f} ms"
    )
    if compare:
        peer = xr.open_datatree(path, engine="h5netcdf")
        p_whole, p_many, p_one, p_got = measure(peer)
        assert np.array_equal(got, p_got)
        peer.close()
        say(
            f"xarray h5netcdf, same file     | all {raw / p_whole / 1e9:5.2f} GB/s | "
            f"256 random {p_many * 1e3:7.1f} ms | one {p_one * 1e3:6.3f} ms"
        )
        say(
            f"ratio: all {p_whole / whole:.1f} x, 256 random {p_many / many:.1f} x, "
            f"one {p_one / one:.1f} x"
        )


def bench_trials(folder, trials, units=8000):
    """Images and responses to them: how large and how fast by what compression."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (trials, 1, 36, 64)).astype(np.float32)
    images = images[
        np.where(np.arange(trials) % 5 == 0, np.arange(trials) % 100, np.arange(trials))
    ]
    along = "presentation_id"
    tree = xr.DataTree.from_dict(
        {
            "/": xr.Dataset(attrs={"neuroarrays_schema": "aligned/1"}),
            "m": xr.Dataset({"stimulus": ((along, "channel", "y", "x"), images)}),
            "m/V1": xr.Dataset(
                {
                    "responses": (
                        (along, "unit_id"),
                        rng.gamma(0.5, 2.0, (trials, units)).astype("f4"),
                    )
                }
            ),
        }
    )
    raw = images.nbytes + tree["m/V1/responses"].nbytes
    say(
        f"\n{trials} trials, float32: 36 x 64 images, a fifth of them of 20 repeated, {units} units, "
        f"{raw / 1e6:.0f} MB; 128 random trials"
    )
    wanted = rng.integers(0, trials, 128)
    for compression in ("zstd", None):
        path = na.save(tree, folder / f"trials-{compression}.h5", compression=compression)
        readers = {"ours": na.open_datatree(path)}
        if compression == "zstd":
            readers["xarray h5netcdf"] = xr.open_datatree(path, engine="h5netcdf")
        for name, opened in readers.items():
            responses, stimulus = opened["m/V1/responses"].variable, opened["m/stimulus"].variable
            if "stimulus_index" in opened["m"]:
                places = opened["m/stimulus_index"].values
                images_of = lambda s=stimulus, p=places: s[p[wanted]].values  # noqa: E731
            else:
                images_of = lambda s=stimulus: s[wanted].values  # noqa: E731
            a, got = best(images_of)
            b, _ = best(lambda r=responses: r[wanted].values)
            assert np.array_equal(got, images[wanted])
            label = f"compression={compression!r}, {name}"
            say(
                f"{label:34s} file {path.stat().st_size / 1e6:6.1f} MB | images "
                f"{a * 1e3:7.2f} ms | responses {b * 1e3:7.2f} ms"
            )


def bench_structure(folder, sessions, areas, peer):
    tree = many_sessions(sessions, areas)
    nodes = len(list(tree.subtree))
    path = folder / "many.h5"
    seconds, _ = best(lambda: na.save(tree, path, overwrite=True), 1)
    say(f"\n{sessions} sessions x {areas} areas, {nodes} nodes")
    say(f"save           {seconds:8.2f} s, file {path.stat().st_size / 1e6:.1f} MB")
    rows = [
        ("catalog", lambda: na.catalog(path)),
        ("one session, na.open_datatree", lambda: na.open_datatree(path, sessions="session_3")),
        ("one session, reader", lambda: ArchiveReader().open_datatree(path, sessions="session_3")),
        (
            "8 areas of it, na.open_datatree",
            lambda: na.open_datatree(
                path, sessions="session_3", areas=[f"area_{i}" for i in range(min(8, areas))]
            ),
        ),
        ("all, reader's groups only", lambda: ArchiveReader().open_groups_as_dict(path)),
        ("all, reader", lambda: ArchiveReader().open_datatree(path)),
        ("all, na.open_datatree", lambda: na.open_datatree(path)),
    ]
    took = {}
    for name, function in rows:
        took[name], _ = best(function, 3)
        say(f"{name:34s} {took[name]:8.4f} s")
    for engine in peer:
        seconds, opened = best(lambda e=engine: xr.open_datatree(path, engine=e), 1)
        opened.close()
        ratio = seconds / took["all, na.open_datatree"]
        say(f"all, xarray {engine:22s} {seconds:8.2f} s   ratio {ratio:.1f} x")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--peer-open", action="store_true", help="h5netcdf opens all (minutes)")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        bench_values(folder, 600 if options.small else 6000)
        bench_trials(folder, 300 if options.small else 5000)
        engines = ["netcdf4", "h5netcdf"] if options.small or options.peer_open else ["netcdf4"]
        bench_structure(folder, *((6, 4) if options.small else (58, 17)), engines)
    if not options.small:
        Path(__file__).parent.joinpath("results", "bench_archive.txt").write_text(
            "\n".join(LINES) + "\n"
        )


if __name__ == "__main__":
    main()
