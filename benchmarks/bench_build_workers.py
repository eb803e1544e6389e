"""A build by one worker and by two: wall time, and processor time of this process and of its children.

python benchmarks/bench_build_workers.py [SESSIONS] [--small]
"""

import argparse
import os
import resource
import tempfile
import time
from pathlib import Path

import neuroarrays as na
from neuroarrays.synthetic.allen import write_allen

RESULTS = Path(__file__).parent / "results" / "bench_build_workers.txt"
#: Presentations of each stimulus: as many as a session of Brain Observatory has of the first two.
ROWS = {"natural_scenes": 5950, "drifting_gratings": 628, "gabors": 1200}


def cpu(who):
    """Processor seconds."""
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


def counts_in(archive):
    """Bytes of the counts of an archive."""
    tree = na.open_datatree(archive)
    return sum(n["spike_data"].nbytes for n in tree.subtree if "spike_data" in n.data_vars)


def write(folder, sessions, units, rows):
    """Sessions of the same size."""
    for number in range(sessions):
        write_allen(
            folder / f"{number}.nwb",
            session_id=700000000 + number,
            seed=number,
            units=units,
            bad_units=0,
            rows=rows,
            stimuli=tuple(ROWS),
            parts=("running",),
        )


def build(sessions, archive, workers):
    """A line about a build."""
    before = [cpu(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    begun = time.perf_counter()
    report = na.build(sessions, archive, workers=workers)
    took = time.perf_counter() - begun
    after = [cpu(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    here, below = (b - a for a, b in zip(before, after, strict=True))
    assert not report.failures, report.failures
    size = sum(path.stat().st_size for path in report.written) / 1e6
    line = (
        f"{workers} worker(s): {took:6.2f} s, CPU {here:5.2f} s here + {below:6.2f} s in children, "
        f"{size:.0f} MB written"
    )
    return took, line


def main(argv=None):
    """Write sessions, and build them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sessions", type=int, nargs="?", default=11)
    parser.add_argument("--units", type=int, default=600)
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args(argv)
    count, units, rows = options.sessions, options.units, ROWS
    if options.small:
        count, units, rows = 2, 4, {name: 4 for name in ROWS}
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    lines = [f"{count} sessions x 3 stimuli, {units} units; {os.cpu_count()} cores; load {load}"]
    print(lines[0], flush=True)
    with tempfile.TemporaryDirectory() as folder:
        sessions = Path(folder, "sessions")
        sessions.mkdir()
        write(sessions, count, units, rows)
        times = []
        for workers in (1, 2):
            took, line = build(sessions, Path(folder, f"built{workers}"), workers)
            times.append(took)
            lines.append(line)
            print(line, flush=True)
        read = sum(path.stat().st_size for path in sessions.iterdir()) / 1e9
        made = counts_in(Path(folder, "built1")) / 1e9
    lines.append(
        f"two workers {times[0] / times[1]:.2f} times as fast; files of {read:.2f} GB, counts of "
        f"{made:.2f} GB"
    )
    print(lines[-1])
    if not options.small:
        RESULTS.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
