"""Make the tables of measurements from the results beside this file.

`python benchmarks/table.py` puts all rows between the markers of docs/measurements.md, and a few of them between those
of the README.
"""

import re
from pathlib import Path

HERE = Path(__file__).parent
README = HERE.parent / "README.md"
PAGE = HERE.parent / "docs" / "measurements.md"
BEGIN, END = "<!-- benchmarks -->", "<!-- /benchmarks -->"
NUMBER = r"([\d.,]+)"

#: What is measured, the file with the figures, patterns of ours, theirs and the ratio, the peer.
ROWS = [
    (
        "counts of 5,900 trials x 13 bins, 800 units, 44 M spikes, back to back",
        "bench_trial_counts",
        rf"back to back.*?count_trials +{NUMBER} s",
        rf"back to back.*?as AllenSDK +{NUMBER} s",
        "s",
        "numpy `searchsorted` as AllenSDK does it",
    ),
    (
        "counts of 5,900 trials x 13 bins, 800 units, 44 M spikes, trials spread over the session",
        "bench_trial_counts",
        rf"spread.*?count_trials +{NUMBER} s",
        rf"spread.*?as AllenSDK +{NUMBER} s",
        "s",
        "numpy `searchsorted` as AllenSDK does it",
    ),
    (
        "continuous 20 ms counts, 800 units, 9,000 s, both by default",
        "bench_clock_counts",
        rf"count_clock uint8 +{NUMBER}",
        rf"pynapple int64 +{NUMBER}",
        "s",
        "pynapple `count`",
    ),
    (
        "continuous 20 ms counts, 800 units, 9,000 s, uint8 asked of both",
        "bench_clock_counts",
        rf"pynapple uint8.*?count_clock uint8 +{NUMBER}",
        rf"pynapple uint8 +{NUMBER}",
        "s",
        "pynapple `count`",
    ),
    (
        "open an NWB file of 800 units and read one",
        "bench_nwb",
        rf"neuroarrays, the tree +{NUMBER}",
        rf"looking at all +{NUMBER}",
        "ms",
        "h5py, looking at all that is in the file",
    ),
    (
        "the same",
        "bench_nwb",
        rf"neuroarrays, the tree +{NUMBER}",
        rf"pynwb +{NUMBER}",
        "ms",
        "pynwb",
    ),
    (
        "one presentation of a lazily aligned session",
        "bench_lazy",
        rf"one presentation +ours +{NUMBER}",
        rf"one presentation.*?graph +{NUMBER}",
        "ms",
        "the same through dask",
    ),
    (
        "one unit of a lazily aligned session, 6,000 presentations x 250 bins",
        "bench_lazy",
        rf"one unit +ours +{NUMBER}",
        rf"one unit.*?graph +{NUMBER}",
        "ms",
        "the same through dask",
    ),
    (
        "256 random presentations from an archive on disk",
        "bench_archive",
        rf"default chunks.*?256 random +{NUMBER}",
        rf"h5netcdf, same.*?256 random +{NUMBER}",
        "ms",
        "xarray with h5netcdf",
    ),
    (
        "128 random trials of 8,000 units, float32, from one",
        "bench_archive",
        rf"'zstd', ours.*?responses +{NUMBER}",
        rf"'zstd', xarray.*?responses +{NUMBER}",
        "ms",
        "xarray with h5netcdf",
    ),
    (
        "a sample of SENSORIUM files as they are, first epoch, 8,000 units, batches of 128, CPU",
        "bench_sensorium",
        rf"8000 units.*?first epoch +{NUMBER}",
        rf"8000 units.*?neuralpredictors  +{NUMBER} us",
        "us",
        "neuralpredictors' reader",
    ),
    (
        "the same",
        "bench_sensorium",
        rf"8000 units.*?first epoch +{NUMBER}",
        rf"8000 units.*?np.stack +{NUMBER}",
        "us",
        "`np.load` per file, `np.stack` per batch",
    ),
    (
        "the same from an archive, normalised, to tensors",
        "bench_sensorium",
        rf"8000 units.*?archive, normalised +{NUMBER}",
        rf"8000 units.*?neuralpredictors, normalised +{NUMBER}",
        "us",
        "neuralpredictors, from the folder",
    ),
    (
        "training: 64 movie clips of 50 frames (72 x 64 pixels), archive kept in memory, CPU",
        "bench_torch_clips",
        rf"archive kept in memory +{NUMBER}",
        rf"open-retina +{NUMBER}",
        "ms",
        "open-retina, from memory",
    ),
    (
        "the same straight from disk, in 0.1 GB",
        "bench_torch_clips",
        rf"archive from disk +{NUMBER}",
        rf"open-retina +{NUMBER}",
        "ms",
        "open-retina, from memory",
    ),
    (
        "the same from disk through two workers",
        "bench_torch_clips",
        rf"archive from disk, 2 workers +{NUMBER}",
        rf"open-retina, 2 workers +{NUMBER}",
        "ms",
        "open-retina, from memory, two workers",
    ),
    (
        "training: an image trial of 8,000 neurons from disk, batches of 128, CPU",
        "bench_torch_trials",
        rf"archive from disk +[\d.]+ +{NUMBER}",
        rf"neuralpredictors, no cache +[\d.]+ +{NUMBER}",
        "us",
        "neuralpredictors",
    ),
    (
        "training: a one-second window of 800 units in 20 ms bins, from spikes, CPU",
        "bench_torch_windows",
        rf"neuroarrays, uint8 +[\d.]+ +{NUMBER}",
        rf"torch_brain: slice, bin_spikes +[\d.]+ +{NUMBER}",
        "us",
        "torch_brain",
    ),
    (
        "training: 256 shuffled presentations, 300 units x 250 bins, from memory, CPU",
        "bench_torch_presentations",
        rf"kept as events +{NUMBER}",
        rf"dense numpy in memory, item by item +{NUMBER}",
        "ms",
        "a numpy array, item by item",
    ),
    (
        "the same from disk",
        "bench_torch_presentations",
        rf"archive from disk +{NUMBER}",
        rf"xarray from disk \(h5netcdf\), item by item +{NUMBER}",
        "ms",
        "xarray with h5netcdf, item by item",
    ),
    (
        "a tree of 3,017 nodes from an archive",
        "bench_archive",
        rf"all, na.open_datatree +{NUMBER}",
        rf"all, xarray netcdf4 +{NUMBER}",
        "s",
        "xarray with netCDF4",
    ),
    (
        "PSTHs by 8 conditions, (3,000, 200, 250) uint8, with standard errors",
        "bench_analysis",
        rf"na.psth +{NUMBER}",
        rf"groupby mean, flox +{NUMBER}",
        "s",
        "xarray's `groupby().mean()` with flox, means only",
    ),
    (
        "tuning of 800 units to head direction, 1,200 s, from spikes",
        "bench_analysis",
        rf"ours, from spikes +{NUMBER}",
        rf"pynapple, from spikes +{NUMBER}",
        "s",
        "pynapple",
    ),
    (
        "the same from counts",
        "bench_analysis",
        rf"ours, from spikes.*?from counts +{NUMBER}",
        rf"pynapple, from spikes.*?from counts +{NUMBER}",
        "s",
        "pynapple",
    ),
    (
        "spike-triggered average, 60 units, 20 lags, (50,000, 72, 64) film",
        "bench_analysis",
        rf"spike_triggered_average +{NUMBER}",
        rf"its matrix products +{NUMBER}",
        "s",
        "its matrix products alone, the limit",
    ),
    (
        "crosscorrelograms of 100 units, 1.8 M spikes, 1 ms to 50 ms",
        "bench_analysis",
        rf"crosscorrelogram +{NUMBER}",
        rf"pynapple  +{NUMBER}   one way",
        "s",
        "pynapple, half as many",
    ),
    (
        "open a DRIADA NPZ of 500 neurons x 100,000 frames",
        "bench_driada",
        rf"open +{NUMBER} ms",
        rf"DRIADA, load_experiment +{NUMBER} ms",
        "ms",
        "DRIADA, which loads it",
    ),
    (
        "the same, all of it read",
        "bench_driada",
        rf"read all of it +{NUMBER} ms",
        rf"DRIADA, load_experiment +{NUMBER} ms",
        "ms",
        "DRIADA",
    ),
    (
        "the same",
        "bench_driada",
        rf"read all of it +{NUMBER} ms",
        rf"np.load, all of it +{NUMBER} ms",
        "ms",
        "`np.load`",
    ),
    (
        "types of seven features of a million samples each",
        "bench_features",
        rf"all of them +{NUMBER}",
        rf"all of them.*?DRIADA +{NUMBER}",
        "ms",
        "DRIADA",
    ),
    (
        "a frame of images under eye movements at 60 x 80, CPU",
        "bench_retina",
        rf"neuroarrays +{NUMBER} ms",
        rf"equal to 0.002: +{NUMBER} ms a frame",
        "ms",
        "open-retina, a block of 750 frames on the full screen",
    ),
    (
        "memory for a second of that movie",
        "bench_retina",
        rf"any second of a session.*?neuroarrays +{NUMBER} MB",
        rf"ms a frame, +{NUMBER} MB",
        "MB",
        "open-retina, the block of 750 frames",
    ),
    (
        "memory for a movie of 37 MB in 20 orders for two eyes",
        "bench_retina",
        rf"two eyes, all used.*?neuroarrays +{NUMBER} MB",
        rf"two eyes.*?openretina [\d.]+: +{NUMBER} MB",
        "MB",
        "open-retina",
    ),
]
#: Rows that the README shows: one of each kind of work.
SHOWN = (
    "counts of 5,900 trials x 13 bins, 800 units, 44 M spikes, trials spread over the session",
    "continuous 20 ms counts, 800 units, 9,000 s, uint8 asked of both",
    "open an NWB file of 800 units and read one",
    "one unit of a lazily aligned session, 6,000 presentations x 250 bins",
    "256 random presentations from an archive on disk",
    "PSTHs by 8 conditions, (3,000, 200, 250) uint8, with standard errors",
    "tuning of 800 units to head direction, 1,200 s, from spikes",
    "training: an image trial of 8,000 neurons from disk, batches of 128, CPU",
)


def short(number, digits=3):
    """Return a number to so many digits, without an exponent."""
    return f"{float(f'{number:.{digits}g}'):,.10g}"


def table(rows=ROWS):
    """Return rows as a table in Markdown."""
    lines = ["| work | neuroarrays | beside it | ratio |", "| --- | ---: | --- | ---: |"]
    for work, file, ours, theirs, unit, peer in rows:
        text = (HERE / "results" / f"{file}.txt").read_text()
        found = []
        for pattern in (ours, theirs):
            match = re.search(pattern, text, re.DOTALL)
            if match is None:
                raise SystemExit(f"{file}.txt has nothing like {pattern!r}")
            found.append(float(match.group(1).replace(",", "")))
        ratio = found[1] / found[0]
        lines.append(
            f"| {work} | {short(found[0])} {unit} | {short(found[1])} {unit}, {peer} "
            f"| {short(ratio, 2)} × |"
        )
    return "\n".join(lines)


def put_in(path):
    """Return the text of a page with its table put in: all rows, in the README those of `SHOWN`."""
    before, _, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    shown = [row for row in ROWS if row[0] in SHOWN]
    return f"{before}{BEGIN}\n{table(shown if path == README else ROWS)}\n{END}{after}"


if __name__ == "__main__":
    for path in (README, PAGE):
        path.write_text(put_in(path), encoding="utf-8")
