"""Theta and ripples of 385 channels x 80 s of int16: CPU, peak memory and error, beside others.

python benchmarks/bench_signals.py           # full size, writes benchmarks/results/bench_signals.txt
python benchmarks/bench_signals.py --small   # a few seconds, writes nothing
python benchmarks/bench_signals.py --tenth   # a tenth of an hour, ours alone: results/bench_signals_tenth.txt
python benchmarks/bench_signals.py --python spikeinterface=ENV/bin/python --python elephant=ENV/bin/python

Each filters the same file in a process of its own, with one thread. Its peak is that of the memory
above what its imports take; its error is the largest difference from scipy's `sosfiltfilt` of the
whole in float64, in standard deviations of that. A package that is not installed is left out:
spikeinterface and elephant need other versions of what we need, so give a Python of their own.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from peaks import peak_mb

RATE = 2500.0
BANDS = {"theta 4-12 Hz": (4.0, 12.0), "ripples 100-250 Hz": (100.0, 250.0)}
#: Channels that are compared.
SHOWN = slice(None, None, 48)
LINES = []


def say(line):
    print(line, flush=True)
    LINES.append(line)


def write(path, seconds, channels):
    """A random walk that leaks, with theta and noise, int16: much more power below than in ripples."""
    import h5py
    from scipy import signal

    rng = np.random.default_rng(0)
    n = int(seconds * RATE)
    time_s = np.arange(n) / RATE
    theta = 200 * np.sin(2 * np.pi * 8 * time_s)
    with h5py.File(path, "w") as file:
        data = file.create_dataset("lfp", (n, channels), "i2", chunks=(8192, min(channels, 64)))
        for low in range(0, channels, 64):
            some = min(64, channels - low)
            noise = rng.normal(size=(n, some)).astype("f4")
            slow = signal.lfilter([1.0], [1.0, -0.995], noise, axis=0) * 15
            data[:, low : low + some] = (slow + 30 * noise + theta[:, None]).round()


# ---------------------------------------------------------- each of them, in a process of its own


def neuroarrays(path, low, high):
    import xarray as xr

    import neuroarrays as na

    clock = np.arange(1000) / RATE  # what is imported when it is first called
    na.filter(xr.DataArray(np.zeros(1000), {"time": clock}, "time"), 100, 250).load()
    yield
    stored = xr.open_dataset(path, engine="h5netcdf", phony_dims="sort")["lfp"]
    stored = stored.rename(dict(zip(stored.dims, ("time", "channel"), strict=True)))
    stored = stored.assign_coords(time=np.arange(stored.sizes["time"]) / RATE)
    band = na.filter(stored, low, high)
    step = 1 << 16
    begins = range(0, band.sizes["time"], step)
    yield np.concatenate([band[b : b + step].values[:, SHOWN].copy() for b in begins])


def scipy(path, low, high):
    import h5py
    from scipy import signal

    yield
    sections = signal.butter(4, [low, high], "bandpass", fs=RATE, output="sos")
    with h5py.File(path) as file:
        values = file["lfp"][:].astype(float)
    yield signal.sosfiltfilt(sections, values, axis=0)[:, SHOWN].copy()


def pynapple(path, low, high):
    import h5py
    import pynapple as nap

    nap.apply_bandpass_filter(nap.Tsd(np.arange(1000) / RATE, np.zeros(1000)), (100, 250), RATE)
    yield
    with h5py.File(path) as file:
        values = file["lfp"][:]
    frame = nap.TsdFrame(t=np.arange(len(values)) / RATE, d=values)
    found = nap.apply_bandpass_filter(frame, (low, high), RATE, mode="butter", order=4)
    yield np.asarray(found.values[:, SHOWN])


def elephant(path, low, high):
    import h5py
    import quantities as pq
    from elephant.signal_processing import butter
    from neo import AnalogSignal

    yield
    with h5py.File(path) as file:
        values = file["lfp"][:].astype(float)
    series = AnalogSignal(values, units="uV", sampling_rate=RATE * pq.Hz)
    found = butter(
        series, highpass_frequency=low * pq.Hz, lowpass_frequency=high * pq.Hz, order=4,
        filter_function="sosfiltfilt",
    )  # fmt: skip
    yield np.asarray(found.magnitude[:, SHOWN])


def spikeinterface(path, low, high):
    import h5py
    import spikeinterface as si
    import spikeinterface.preprocessing as spre

    yield
    with h5py.File(path) as file:
        recording = si.NumpyRecording([file["lfp"][:]], RATE)
    found = spre.bandpass_filter(
        recording, freq_min=low, freq_max=high, filter_order=4, dtype="float32",
        margin_ms=3000, ignore_low_freq_error=True,
    )  # fmt: skip
    n = recording.get_num_samples()
    step = 1 << 16
    blocks = []
    for begin in range(0, n, step):
        end = min(begin + step, n)
        blocks.append(found.get_traces(start_frame=begin, end_frame=end)[:, SHOWN].copy())
    yield np.concatenate(blocks)


WHO = {f.__name__: f for f in (neuroarrays, scipy, pynapple, elephant, spikeinterface)}


def child(name, path, low, high, out):
    """Filter, and print CPU and peak above the imports; the first step of each only imports."""
    steps = WHO[name](path, float(low), float(high))
    next(steps)
    before, at = peak_mb(), time.process_time()
    found = next(steps)
    cpu = time.process_time() - at
    np.save(out, found)
    print(json.dumps({"cpu": cpu, "peak": peak_mb() - before, "dtype": str(found.dtype)}))


def measured(python, name, path, band, folder):
    out = str(Path(folder) / "out.npy")
    threads = dict.fromkeys(
        ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"
    )
    command = [python, __file__, "--child", name, path, *map(str, band), out]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | threads)
    if done.returncode:
        return None, (done.stderr.strip().splitlines() or ["failed"])[-1]
    return json.loads(done.stdout.splitlines()[-1]), np.load(out)


def in_threads(path, band):
    """Seconds by the clock of the whole band with one and with two threads of dask, in a process each."""
    seconds = []
    for number in (1, 2):
        command = [sys.executable, __file__, "--threads", str(number), path, *map(str, band)]
        alone = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
        done = subprocess.run(
            command, capture_output=True, text=True, env=os.environ | alone, check=True
        )
        seconds.append(float(done.stdout))
    return seconds


def threaded(number, path, low, high):
    """Print how long the largest value of each chunk of a band takes with so many threads."""
    import dask
    import xarray as xr

    import neuroarrays as na

    stored = xr.open_dataset(path, engine="h5netcdf", phony_dims="sort", chunks={})["lfp"]
    stored = stored.rename(dict(zip(stored.dims, ("time", "channel"), strict=True)))
    stored = stored.assign_coords(time=np.arange(stored.sizes["time"]) / RATE)
    band = na.filter(stored.chunk(time=1 << 15, channel=128), float(low), float(high))
    na.filter(stored[:5000, :1].load(), float(low), float(high)).load()  # imports
    with dask.config.set(scheduler="threads", num_workers=int(number)):
        begin = time.perf_counter()
        band.max().compute()
        print(time.perf_counter() - begin)


def compare(path, pythons, folder):
    for title, band in BANDS.items():
        say(f"{title}, order 4, zero-phase")
        _, want = measured(sys.executable, "scipy", path, band, folder)
        for name in WHO:
            found, values = measured(pythons.get(name, sys.executable), name, path, band, folder)
            if found is None:
                say(f"  {name:15} left out: {values:.80}")
                continue
            known = np.isfinite(values)
            error = np.abs(np.where(known, values - want, 0)).max() / want.std()
            say(
                f"  {name:15} {found['cpu']:6.2f} s CPU  {found['peak']:7,.0f} MB  error {error:.1e} sd"
                f"  {found['dtype']}  {100 * (~known).mean():.1f} % NaN"
            )


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--python", action="append", default=[], metavar="PACKAGE=PYTHON")
    parser.add_argument("--child", nargs=5)
    parser.add_argument("--threads", nargs=4)
    parser.add_argument("--tenth", action="store_true")
    options = parser.parse_args(argv)
    if options.child:
        child(*options.child)
        return
    if options.threads:
        threaded(*options.threads)
        return
    size = (10.0, 8) if options.small else (360.0 if options.tenth else 80.0, 385)
    pythons = dict(pair.split("=", 1) for pair in options.python)
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "lfp.h5")
        write(path, *size)
        say(f"{size[1]} channels x {size[0]:g} s at {RATE:g} Hz, int16; one thread each")
        if options.tenth:
            tenth(path, folder)
        else:
            compare(path, pythons, folder)
        for title, band in BANDS.items():
            one, two = in_threads(path, band)
            say(
                f"{title}: 1 thread {one:.1f} s, 2 threads {two:.1f} s by the clock, {one / two:.2f} x"
            )
    if not options.small:
        name = "bench_signals_tenth" if options.tenth else "bench_signals"
        result = Path(__file__).parent / "results" / f"{name}.txt"
        result.write_text("\n".join(LINES) + "\n")


def tenth(path, folder):
    """CPU and peak of a tenth of an hour, and what an hour takes by it: the peak does not grow."""
    for title, band in BANDS.items():
        found, _ = measured(sys.executable, "neuroarrays", path, band, folder)
        say(
            f"{title}: {found['cpu']:.1f} s CPU, {found['peak']:,.0f} MB; an hour {found['cpu'] / 6:.1f} min"
        )


if __name__ == "__main__":
    main()
