"""Answers over a tree of many sessions: against their areas one by one, in memory, on two workers."""

import argparse
import contextlib
import io
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

from peaks import peak_mb

import neuroarrays as na
from neuroarrays.synthetic.allen import write_allen

RESULTS = Path(__file__).parent / "results" / "bench_over.txt"
STIMULI = ("drifting_gratings", "flashes")


def written(folder, sessions, units, rows):
    """Generated Allen-like sessions, cut short: two stimuli, units that answer to orientations."""
    for i in range(sessions):
        write_allen(
            folder / f"session_{700_000_000 + i}.nwb",
            seed=i,
            session_id=700_000_000 + i,
            stimuli=STIMULI,
            rows={"drifting_gratings": rows, "flashes": 10},
            units=units + i % 7,
            bad_units=0,
            rate=20.0,
            parts=("running",),
        )


def opened(folder):
    """The sessions aligned to their gratings, lazily."""
    tree = na.open_datatree(folder)
    return na.align(tree, "drifting_gratings", bin_width=0.02, window=(0, 2))


def areas_of(tree):
    return [path for path, node in tree.subtree_with_keys if "spike_data" in node.data_vars]


def one_by_one(tree):
    """PSTHs of each area by hand, of which nothing is put together; read anew after each session."""
    answers, last = [], None
    for path in areas_of(tree):
        if (session := path.split("/")[0]) != last:
            na.release()
            last = session
        answers.append(na.psth(tree[path], "orientation").load())
    return answers


def cpu(function, repeats=3):
    """Least processor time, s, over all threads of this process, from an empty cache each time."""
    times = []
    for _ in range(repeats):
        na.release()
        begun = time.process_time()
        answer = function()
        times.append(time.process_time() - begun)
    return min(times), answer


def peak(folder, which):
    """The most memory, MB, of a fresh process that opens the folder and asks for some PSTHs."""
    done = subprocess.run(
        [sys.executable, __file__, "--peak", which, "--folder", str(folder)],
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)


def print_peak(folder, which):
    tree = opened(folder)
    largest = max(tree.children, key=lambda name: _counts(tree[name]))
    warnings.simplefilter("ignore")
    if which == "none":
        na.psth(tree[areas_of(tree)[0]].to_dataset().isel(presentation_id=slice(2)))
    elif which == "one":
        na.psth(tree[largest], "orientation", progress=False)
    else:
        na.psth(tree, "orientation", progress=False)
    print(peak_mb())


def _counts(session):
    return sum(
        node["spike_data"].size for node in session.subtree if "spike_data" in node.data_vars
    )


def report(folder, sessions):
    tree = opened(folder)
    size = sum(path.stat().st_size for path in folder.glob("*.nwb")) / 1e6
    number = sum(tree[path].sizes["unit_id"] for path in areas_of(tree))
    counted = sum(_counts(session) for session in tree.children.values())
    print(
        f"PSTHs of {number:,} units of {sessions} sessions ({size:,.0f} MB, {counted / 1e6:,.0f} MB of "
        "counts as uint8) by orientation, from files; least CPU s of 3"
    )
    na.psth(tree[areas_of(tree)[0]], "orientation")  # compiles
    alone, answers = cpu(lambda: one_by_one(tree))
    whole, answer = cpu(lambda: na.psth(tree, "orientation", progress=False))
    assert answer.sizes["unit_id"] == number == sum(each.sizes["unit_id"] for each in answers)
    print(f"  areas one by one                  {alone:6.2f}")
    print(
        f"  the whole tree in one call        {whole:6.2f}   ratio {whole / alone:.2f} (asked for: 1.1)"
    )
    base, one, every = (peak(folder, which) for which in ("none", "one", "all"))
    print("most memory of a process that opens the tree and then asks, MB")
    print(f"  for nothing but a few trials      {base:6.0f}")
    print(f"  for the largest session           {one:6.0f}")
    print(
        f"  for all sessions                  {every:6.0f}   of which the answer {answer.nbytes / 1e6:.0f}"
    )
    for scheduler in ("threads", "processes"):
        times = []
        for workers in (1, 2):
            na.release()
            begun = time.perf_counter()
            na.psth(tree, "orientation", progress=False, scheduler=scheduler, workers=workers)
            times.append(time.perf_counter() - begun)
        ratio = times[0] / times[1]
        print(
            f"{scheduler}: wall s, one worker {times[0]:.2f}, two {times[1]:.2f}, ratio {ratio:.2f}"
        )


def main(argv=None):
    """Write sessions, and answer over them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=58)
    parser.add_argument("--units", type=int, default=60)
    parser.add_argument("--rows", type=int, default=120)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--peak", choices=("none", "one", "all"))
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args(argv)
    if options.peak:
        print_peak(options.folder, options.peak)
        return
    sessions = 2 if options.small else options.sessions
    units, rows = (4, 8) if options.small else (options.units, options.rows)
    text = io.StringIO()
    with (
        tempfile.TemporaryDirectory() as made,
        contextlib.redirect_stdout(text),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        written(Path(made), sessions, units, rows)
        report(Path(made), sessions)
    print(text.getvalue(), end="")
    if not options.small:
        RESULTS.write_text(text.getvalue())


if __name__ == "__main__":
    main()
