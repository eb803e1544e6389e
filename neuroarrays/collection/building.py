"""Many sessions to one archive: a task per session and stimulus, resumable, in bounded memory.

`build` first looks at the tables of all sessions, because what a normal duration is (the median)
and how long a presentation lasts (the bins) are pooled over them. Then each session and stimulus is
aligned and saved as a part, a finished archive of its own, in ``ARCHIVE/.build``; the parts of a
stimulus are put together into ``ARCHIVE/<stimulus>.h5`` by copying their chunks as they are.

A part has its name only when it is complete, and its name says what it was made from: an
interrupted build goes on with what is missing, and nothing old is taken for new.

Memory of one worker: the spikes of one session (8 bytes each: 0.4 GB for the good units of the
largest Allen session, 1.1 GB if none are filtered), its series, and four blocks of 16 MB. What a
worker kept of a session is dropped when it begins with another.
"""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import xarray as xr

from neuroarrays.alignment.align import align
from neuroarrays.alignment.bins import check_bin_width, check_window
from neuroarrays.alignment.presentations import select
from neuroarrays.archive import saving as store
from neuroarrays.archive.marks import WORK, Marks
from neuroarrays.collection.plan import Job, contents_of, jobs_of, listed
from neuroarrays.collection.surveys import Recipe, survey
from neuroarrays.errors import FormatError, NeuroArraysError, UnknownFormat, shorten
from neuroarrays.files import partials, state
from neuroarrays.files.locating import locate
from neuroarrays.files.location import Location
from neuroarrays.files.probe import Probe, probe_of
from neuroarrays.formats import registry
from neuroarrays.formats.allen_binned import pipeline as mlynarski
from neuroarrays.formats.allen_binned.writing import LeftOut
from neuroarrays.formats.door import open_datatree, reader_of
from neuroarrays.formats.reader import Reader
from neuroarrays.lazy.tasks import Outcome, Progress, Runner, error_text
from neuroarrays.schema.given import check


@dataclass
class Report:
    """The result of a build.

    Attributes
    ----------
    written, unchanged : list of Path
        Files made, and those that were complete already.
    made, reused : int
        Parts made now, and found from an earlier run.
    failures : list of (name, error)
        Sessions, or sessions and stimuli, that are not in the archive.
    notes : list of str
        What was left out for other reasons.
    """

    written: list[Path] = field(default_factory=list)
    unchanged: list[Path] = field(default_factory=list)
    made: int = 0
    reused: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def build(  # noqa: PLR0913  one question each, all but two by name
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    archive: str | os.PathLike[str],
    *,
    stimuli: str | Sequence[str] | None = None,
    areas: str | Sequence[str] | None = None,
    bin_width: float = 0.02,
    window: Sequence[float] | None = None,
    clip: bool = True,
    binarize: bool = False,
    compat: str | None = None,
    layout: str | None = None,
    engine: str | type[Reader] | None = None,
    workers: int = 1,
    scheduler: str | None = None,
    strict: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Align many sessions to all their stimuli and save an archive with a file per stimulus.

    Interrupted, it goes on where it was when it is called again; sessions that are new or changed
    are the only ones that are made anew.

    Parameters
    ----------
    paths : path or iterable of paths
        One recording each. A folder stands for the ``.nwb`` files in it; where there are none, or
        with `engine`, for the sessions that the reader finds there.
    archive : path
        The folder of the archive; made if it is not there.
    stimuli, areas : str or list of str, optional
        Names or globs; all unless given. Of an Allen session all stimuli of its schedule, of others
        every table of presentations. Stimuli joined by "+", as in `align`, are one file: those that
        a session showed, one after another.
    bin_width : float, s
        Width of a bin.
    window : (float, float), s, optional
        Relative to each onset; by default to the end of the longest presentation of all sessions
        that is not of odd duration.
    clip, binarize : bool
        As for `align`.
    compat : {"mlynarski"}, optional
        Make the published archive of Allen Visual Coding, with its bins, names, types and layout
        (`neuroarrays.formats.allen_binned.pipeline.published`); it fixes the options of bins.
    layout : {"allen_binned"}, optional
        As for `save`.
    engine : str or type of Reader, optional
        As for `open_datatree`: the reader of all `paths`.
    workers : int
        Tasks at a time; 1 stays in this process.
    scheduler : str, optional
        "processes" (the default with several workers), "threads", or the address of a
        dask.distributed scheduler, whose workers see the same files.
    strict : bool
        Stop at the first session that fails, instead of reporting it at the end.
    progress : callable, optional
        Told the number of finished tasks, of all tasks, and the name of one.

    Returns
    -------
    Report
        What was written and what failed. `open_datatree` of the folder gives a tree with a block
        per stimulus.

    Raises
    ------
    ValueError
        If `bin_width`, `compat` or the number of workers is none that there can be.
    NotInTree
        If no session has a stimulus or area asked for.
    FormatError
        If two files hold the same session.
    PathExists
        If the folder holds a file of that name that no build made.
    NeuroArraysError
        If nothing could be read, and with `strict` if anything could not.

    Examples
    --------
    >>> import neuroarrays as na
    >>> report = na.build(["sessions/"], "archive", areas="VIS*")  # doctest: +SKIP
    >>> na.open_datatree("archive")  # doctest: +SKIP
    """
    width = check_bin_width(bin_width)
    address = registry.address(engine) if isinstance(engine, type) else engine
    recipe = Recipe(
        stimuli=_names(stimuli),
        areas=_names(areas),
        bin_width=width,
        compat=compat,
        layout=layout,
        engine=address,
        window=None if window is None else check_window(window),
        clip=clip,
        binarize=binarize,
    )
    report = Report()
    run = Runner(workers, scheduler, strict, progress or (lambda done, total, name: None))
    report.failures = run.failures
    several = [paths] if isinstance(paths, str | os.PathLike) else paths
    try:
        _build(several, archive, recipe, run, report)
    finally:
        run.close()
        _trees.release()
    return report


def _names(wanted: str | Sequence[str] | None) -> tuple[str, ...] | None:
    """A name or several as a tuple; None for all."""
    if wanted is None:
        return None
    check(wanted, str | Iterable, "stimuli, areas: expected a name or a list of names", TypeError)
    return (wanted,) if isinstance(wanted, str) else tuple(wanted)


def _build(
    paths: Iterable[str | os.PathLike[str]],
    archive: str | os.PathLike[str],
    recipe: Recipe,
    run: Runner,
    report: Report,
) -> None:
    """Survey all sessions, make the parts that are missing, and join them."""
    tasks = [(recipe, location) for location in _recordings(paths, recipe.engine)]
    surveys = [outcome for outcome in run(survey, tasks) if outcome is not None]
    if not surveys:
        msg = f"no session could be read: {'; '.join(error for _, error in report.failures)}"
        raise NeuroArraysError(msg)
    folder = Path(archive).expanduser().absolute()
    wanted = jobs_of(surveys, recipe, folder / WORK, report.notes)
    marks = Marks(folder)
    with partials.locked(marks.work, folder):
        marks = Marks(folder)  # as the build before left it
        marks.refuse_strangers(wanted)
        unread = [os.path.basename(name) for name, _ in report.failures]
        marks.want({b: contents_of(jobs, recipe) for b, jobs in wanted.items()}, unread)
        open_ = {b: jobs for b, jobs in wanted.items() if not marks.finished(b)}
        report.unchanged += [folder / f"{block}.h5" for block in wanted if block not in open_]
        marks.clear()
        _clear_dead(folder, wanted)
        # One session after another: a worker keeps the spikes of the one it is at.
        todo = [job for jobs in open_.values() for job in jobs if not Path(job.part).is_file()]
        report.reused = sum(map(len, open_.values())) - len(todo)
        todo.sort(key=lambda job: (job.session, job.stimulus))
        report.made = len([name for name in run(make_part, todo) if name])
        left: dict[str, list[str]] = {}
        for block, jobs in open_.items():
            for what in _put_together(block, jobs, recipe, marks, report):
                left.setdefault(what, []).append(block)
        if left:
            said = (w if len(b) == len(open_) else f"{w} ({listed(b)})" for w, b in left.items())
            report.notes.append(f"the layout has no place for: {'; '.join(said)}")
        if not report.failures:
            shutil.rmtree(marks.work / "parts", ignore_errors=True)


def _clear_dead(folder: Path, wanted: dict[str, list[Job]]) -> None:
    """Remove unfinished files of earlier builds that were killed, and nothing else."""
    for block, jobs in wanted.items():
        for path in (folder / f"{block}.h5", *(Path(job.part) for job in jobs)):
            partials.clear_dead(path)


# ------------------------------------------------------------------------------------- the tasks


#: The session that a worker is at, opened once for all its stimuli.
_trees: state.Cache[xr.DataTree] = state.Cache(0, lambda _: 1)


def make_part(job: Job) -> Outcome:
    """Align one session to one stimulus and save it."""
    name = f"{job.session}, {job.stimulus}"
    try:
        state.keep_for(job.location)
        tree = _trees.get_or_make(
            (job.location, job.stamp, job.recipe.engine, job.areas),
            lambda: open_datatree(
                Probe(job.location), engine=job.recipe.engine, areas=list(job.areas)
            ),
        )
        if job.recipe.compat is None:
            tables = select(tree, "+".join(job.tables), medians=dict(job.medians))
            longest = None if job.longest is None else (0.0, job.longest)
            aligned = align(
                tree,
                tables,
                job.recipe.bin_width,
                job.recipe.window or longest,
                clip=job.recipe.clip,
                binarize=job.recipe.binarize,
            )
        else:
            aligned = mlynarski.published(tree, job.stimulus, medians=dict(job.medians))
        aligned.attrs["stimulus"] = job.stimulus
        Path(job.part).parent.mkdir(parents=True, exist_ok=True)
        store.save(aligned, job.part, overwrite=True, progress=False)
    except Exception as error:
        return Outcome(name, error=error_text(error))
    return Outcome(name, name)


# -------------------------------------------------------------------------------------- the plan


def _recordings(paths: Iterable[str | os.PathLike[str]], engine: str | None) -> list[Location]:
    """Where the recordings are that paths and addresses stand for."""
    probes = [probe_of(path) for path in paths]
    recordings: list[Location] = []
    for probe in probes:
        recordings += _in_folder(probe, engine) if probe.is_folder else [probe.location]
    if not recordings:
        msg = (
            f"no sessions in {shorten([probe.given for probe in probes])}: expected NWB files, or "
            "folders of sessions that a reader recognises; engine= says which reader"
        )
        raise NeuroArraysError(msg)
    return list(dict.fromkeys(recordings))


def _in_folder(folder: Probe, engine: str | None) -> list[Location]:
    """The recordings in a folder: of NWB unless another format is asked for, or alone is there."""
    files = [file.location for file in folder.glob("*.nwb")] if engine is None else []
    if files:
        return files
    try:
        reader = reader_of(folder, engine)
    except UnknownFormat:
        if engine is None:
            return []
        raise
    # An error stands for a session that is damaged, and has its path.
    sessions = reader.list_sessions(folder)
    pathless = [name for name, s in sessions.items() if not isinstance(s, Probe | FormatError)]
    if pathless:
        msg = (
            f"{folder.given}: the reader {reader.name!r} has no path for the sessions "
            f"{shorten(pathless)}; give build the paths of the sessions, not of their folder"
        )
        raise NeuroArraysError(msg)
    return [
        session.location if isinstance(session, Probe) else locate(session.path)
        for session in sessions.values()
    ]


# ----------------------------------------------------------------------------------- the archive


def _put_together(
    block: str, jobs: list[Job], recipe: Recipe, marks: Marks, report: Report
) -> list[str]:
    """Join the parts that exist into the file of one stimulus; gives what its layout cannot hold."""
    parts = [job.part for job in jobs if Path(job.part).is_file()]
    if not parts:
        return []
    path = marks.archive / f"{block}.h5"
    layout = recipe.layout or ("allen_binned" if recipe.compat else None)
    missing = [job.session for job in jobs if job.part not in parts]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        store.join(
            parts,
            path,
            layout=layout,
            overwrite=True,
            before=lambda partial_file: marks.about_to(block, partial_file, missing),
        )
    left: list[str] = []
    for warning in caught:
        if isinstance(warning.message, LeftOut):
            left += warning.message.left
        elif warning.category is UserWarning:
            report.notes.append(f"{block}: {warning.message}")
    report.written.append(path)
    return left
