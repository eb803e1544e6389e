"""A build by one worker and by two: wall time, and processor time of this process and of its children.

python benchmarks/bench_build_workers.py [SESSIONS]
"""

import argparse
import os
import resource
import tempfile
import time
from pathlib import Path

import neuroarrays as na
from neuroarrays.synthetic.allen import write_allen


def cpu(who):
    """Processor seconds."""
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


def main(argv=None):
    """Write sessions, and build them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sessions", type=int, nargs="?", default=8)
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args(argv)
    count, units = (2, 4) if options.small else (options.sessions, 200)
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    print(f"{count} sessions x 3 stimuli, {units} units; {os.cpu_count()} cores; load {load}")
    with tempfile.TemporaryDirectory() as folder:
        sessions = Path(folder, "sessions")
        sessions.mkdir()
        for number in range(count):
            write_allen(
                sessions / f"{number}.nwb",
                session_id=700000000 + number,
                seed=number,
                units=units,
                rows=units,
                stimuli=("gabors", "drifting_gratings", "natural_scenes"),
                parts=("running",),
            )
        for workers in (1, 2):
            before = [cpu(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
            begun = time.perf_counter()
            report = na.build(sessions, Path(folder, f"built{workers}"), workers=workers)
            took = time.perf_counter() - begun
            after = [cpu(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
            here, below = (b - a for a, b in zip(before, after, strict=True))
            assert not report.failures, report.failures
            size = sum(path.stat().st_size for path in report.written) / 1e6
            print(
                f"{workers} worker(s): {took:6.2f} s, CPU {here:5.2f} s here + {below:6.2f} s in "
                f"children, {size:.1f} MB",
                flush=True,
            )


if __name__ == "__main__":
    main()
