"""Batches gathered ahead by a thread: CPU time against none, and how long a loop waits for them."""

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

SIZES = (
    {"trials": 2000, "units": 300, "bins": 250, "batch": 256, "neurons": 8000, "batches": 30},
    {"trials": 100, "units": 10, "bins": 20, "batch": 16, "neurons": 50, "batches": 4},
)
ROUNDS, STEP = 5, 0.005


def aligned(size):
    """Spike counts of presentations, images with responses, and one clock, as one tree."""
    import xarray as xr

    rng = np.random.default_rng(0)
    n, units, neurons = size["trials"], size["units"], size["neurons"]
    ids = {"presentation_id": np.arange(n)}
    counts = rng.poisson(0.05, (n, units, size["bins"])).astype(np.uint8)
    images = rng.integers(0, 256, (n, 1, 36, 64)).astype(np.float32)
    responses = rng.gamma(0.5, 2.0, (n, neurons)).astype(np.float32)
    clock = rng.normal(size=(40 * size["bins"], units)).astype(np.float32)
    table = xr.Dataset({"start_time": ("presentation_id", np.arange(n) * 1.0)})
    along = "presentation_id"
    return xr.DataTree.from_dict(
        {
            "/": xr.Dataset(attrs={"neuroarrays_schema": "aligned/1"}),
            "events/V1": xr.Dataset(
                {"spike_data": ((along, "unit_id", "time"), counts)},
                {
                    **ids,
                    "unit_id": np.arange(units),
                    "time": (np.arange(size["bins"]) + 0.5) * 0.01,
                },
            ),
            "events/V1/presentations": table,
            "images": xr.Dataset({"stimulus": ((along, "channel", "y", "x"), images)}, ids),
            "images/V1": xr.Dataset(
                {"responses": ((along, "unit_id"), responses)}, {"unit_id": np.arange(neurons)}
            ),
            "images/V1/presentations": table,
            "clock/V1": xr.Dataset(
                {"responses": (("time", "unit_id"), clock)},
                {"unit_id": np.arange(units), "time": (np.arange(len(clock)) + 0.5) * 0.02},
            ),
        }
    )


def datasets(tree, size):
    """Name -> dataset."""
    import neuroarrays.torch as nt

    images = tree["images/V1"]
    seconds = size["bins"] // 5 * 0.02
    return {
        "events": nt.TrialDataset(tree["events/V1"], ["spike_data"], cache=True),
        "clips": nt.ClipDataset(tree["clock/V1"], ["responses"], seconds, stride=0.02, cache=True),
        "trials": nt.TrialDataset(images, ["stimulus"], ["responses"], cache=True),
        "trials from disk": nt.TrialDataset(images, ["stimulus"], ["responses"], cache=False),
    }


def passed(data, size, prefetch, step):
    """CPU time of a batch, and the share of the time that the loop waited, of one pass."""
    import neuroarrays.torch as nt

    batches = nt.Batches(len(data), size["batch"], shuffle=True, drop_last=True)
    loader = nt.Loader(data, batches, prefetch=prefetch)
    count, waited = 0, 0.0
    begun, cpu = time.perf_counter(), time.process_time()
    while count < size["batches"]:
        running, first = iter(loader), True
        while True:
            asked = time.perf_counter()
            if next(running, None) is None:
                break
            if not first:  # before the first there is no step to hide behind
                waited += time.perf_counter() - asked
            count, first = count + 1, False
            if step:
                time.sleep(step)
    wall = time.perf_counter() - begun
    return 1e3 * (time.process_time() - cpu) / count, waited / wall


def main(argv=None):
    """Write the data, measure every kind of dataset in turn, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="seconds instead of minutes")
    args = parser.parse_args(argv)
    import torch

    import neuroarrays as na

    torch.set_num_threads(1)
    size = SIZES[1 if args.small else 0]
    lines = [
        __doc__,
        ", ".join(f"{key}={value}" for key, value in size.items()),
        f"torch {torch.__version__}, one thread of torch; {os.cpu_count()} cores, "
        f"load {os.getloadavg()[0]:.1f}; median of {ROUNDS} rounds in turn",
        f"A step is a sleep of {1e3 * STEP:.0f} ms, as of a loop that waits for a GPU. CPU is in ms of a batch: in a",
        "loop that does nothing, where each batch is handed over to a loop that waits, and in one with steps.",
        f"{'':<18}{'CPU':>6}{'prefetch=2':>12}{'ratio':>7}{'CPU, steps':>12}{'prefetch=2':>12}{'ratio':>7}"
        f"{'waits, none':>13}{'prefetch=2':>12}",
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = na.save(aligned(size), Path(folder) / "archive.h5")
        for name, data in datasets(na.open_datatree(path), size).items():
            passed(data, size, 2, 0)
            rounds = [
                [passed(data, size, prefetch, step) for prefetch in (0, 2) for step in (0, STEP)]
                for _ in range(ROUNDS)
            ]
            none, none_step, ahead, ahead_step = zip(*rounds, strict=True)
            line = f"{name:<18}"
            for width, pair in ((6, (none, ahead)), (12, (none_step, ahead_step))):
                cpu = [statistics.median(x[0] for x in row) for row in pair]
                ratio = statistics.median(b[0] / a[0] for a, b in zip(*pair, strict=True))
                line += f"{cpu[0]:>{width}.2f}{cpu[1]:>12.2f}{ratio:>7.2f}"
            waits = [statistics.median(x[1] for x in row) for row in (none_step, ahead_step)]
            lines.append(f"{line}{waits[0]:>13.1%}{waits[1]:>12.1%}")
    print("\n".join(lines))
    if not args.small:
        result = Path(__file__).parent / "results" / "bench_torch_prefetch.txt"
        result.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
