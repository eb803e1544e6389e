"""`build`: align many sessions and save them as one archive, resumable and in bounded memory.

`build` first reads the tables of all sessions, because the normal duration of a presentation (the
median) and the number of bins (the longest) are pooled over them. Then each session and stimulus is
aligned and saved as a part, a complete archive, in ``ARCHIVE/.build``. The parts of a stimulus are
joined to ``ARCHIVE/<stimulus>.h5`` by copying their chunks. All of this runs as tasks
(`neuroarrays.tasks.runner`), by default in child processes: a task that hangs or dies is reported,
and the others continue.

A part gets its name when it is complete, and the name depends on its input and options. So an
interrupted build continues with the missing parts, and old parts are never taken for new ones.

Memory of one worker: the spikes of one session (8 bytes each: 0.4 GB for the good units of the
largest Allen session, 1.1 GB if none are filtered), its series, and four blocks of 16 MB. A worker
drops the data of a session when it starts with another.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuroarrays import schema
from neuroarrays.alignment.bins import check_bin_width, check_window
from neuroarrays.alignment.interpolation import check_gap
from neuroarrays.alignment.spikes import check_dtype
from neuroarrays.archive.marks import WORK, Marks
from neuroarrays.collection.build_tasks import JOINED, Join, Joined, forget, join_parts, make_part
from neuroarrays.collection.plan import Job, contents_of, jobs_of, list_names
from neuroarrays.collection.recipes import Recipe
from neuroarrays.collection.sources import Source, sources_of
from neuroarrays.collection.surveys import Survey, SurveyTask, survey
from neuroarrays.errors import NeuroArraysError, option
from neuroarrays.files import partials
from neuroarrays.files.writing import replace
from neuroarrays.formats import registry
from neuroarrays.formats.reader import Reader
from neuroarrays.schema.given import check
from neuroarrays.tasks.runner import Progress, Runner

if TYPE_CHECKING:
    import pandas as pd
    from distributed import Client


@dataclass
class Report:
    """The result of a build.

    Attributes
    ----------
    written : list of Path
        Files that were written.
    unchanged : list of Path
        Files that were complete already.
    parts_made : int
        Number of parts (a session and a stimulus) that were made now.
    parts_reused : int
        Number of parts from an earlier run.
    failures : list of (name, error)
        Sessions, or sessions and stimuli, that are not in the archive.
    notes : list of str
        What was left out for other reasons.
    """

    written: list[Path] = field(default_factory=list)
    unchanged: list[Path] = field(default_factory=list)
    parts_made: int = 0
    parts_reused: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def build(  # noqa: PLR0913  one question each, all but two by name
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] | pd.DataFrame,
    archive: str | os.PathLike[str],
    *,
    stimuli: str | Sequence[str] | None = None,
    areas: str | Sequence[str] | None = None,
    units: str | None = None,
    bin_width: float = 0.02,
    window: Sequence[float] | None = None,
    event: str = schema.START_TIME,
    event_clock: str | None = None,
    clip: bool = True,
    series: str | Sequence[str] | None = None,
    method: str | None = None,
    max_gap: float | None = None,
    dtype: Any = "uint8",
    binarize: bool = False,
    blanks: str = "drop",
    responses: str | None = None,
    compat: str | None = None,
    layout: str | None = None,
    engine: str | type[Reader] | None = None,
    workers: int = 1,
    scheduler: str | Client | None = None,
    timeout: float = 1800.0,
    strict: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Align many sessions to their stimuli, and save an archive with a file per stimulus.

    An interrupted build continues when it is called again. Only new or changed sessions are aligned
    again.

    Parameters
    ----------
    paths : path, address, iterable of these, or DataFrame
        Recordings that any reader opens. A folder means the ``.nwb`` files in it; without such
        files, or with `engine`, it means the recordings that a reader finds in it or in the folders
        below. For rows of a table of `neuroarrays.units`, only these sessions, areas and units are
        used.
    archive : path
        The folder of the archive; it is created if needed.
    stimuli : str or list of str, optional
        Names or patterns of tables of presentations (default: all; for an Allen session those of
        its schedule); or of point events (licks), each of which is an onset; these need `window`.
        Tables joined by "+", as in `align`, become one file: those that a session has, one after
        another.
    areas : str or list of str, optional
        Names or patterns of areas (default: all).
    units : str, optional
        A condition, as for `select_units`. In a session that lacks one of its columns, no unit
        fits.
    bin_width, event, event_clock, clip, series, method, max_gap, dtype, binarize, blanks, responses
        As for `align`; `bin_width` and `max_gap` in seconds.
    window : (float, float), s, optional
        Start and stop relative to each onset (default: from the onset to the end of the longest
        presentation of all sessions, without odd durations and blanks).
    compat : {"mlynarski"}, optional
        Make the published archive of Allen Visual Coding, with its bins, names, types and layout
        (`neuroarrays.formats.allen_binned.pipeline.published`); options of bins are then not
        allowed.
    layout : {"allen_binned"}, optional
        As for `save`.
    engine : str or type of Reader, optional
        As for `open_datatree`: the reader of all `paths`.
    workers : int
        Number of tasks at the same time.
    scheduler : str or distributed.Client, optional
        Where tasks run. "processes" (default): in child processes, also for one worker. "threads"
        or "sync": in this process, which a damaged file may then crash. Or a dask.distributed
        client, or the address of its scheduler; its workers must see the same files.
    timeout : float, s
        The longest time for one session and stimulus in "processes". A task that takes longer is
        ended and listed in `failures`, and the build continues. Reading the tables of a recording
        may take half a minute of processor time and 3.5 minutes (or `timeout`, if it is below a
        minute).
    strict : bool
        If True, stop at the first session that fails, instead of reporting it at the end.
    progress : callable, optional
        A function that is called with the number of finished tasks, of all tasks, and the name of a
        task.

    Returns
    -------
    Report
        A report of what was written and what failed. `open_datatree` of the folder gives a tree
        with a block per stimulus.

    Raises
    ------
    ValueError
        If an option has a value that is not possible, or point events are given without `window`.
    QueryError
        If `units` is not a condition.
    NothingLeft
        If no session has a unit that fits, or a table to align to.
    NotInTree
        If no session has a given stimulus or area.
    FormatError
        If two files have the same session.
    PathExists
        If the folder has a file of that name that is not from a build.
    NeuroArraysError
        If no session could be read, or, with `strict`, if any could not.

    Examples
    --------
    >>> import neuroarrays as na
    >>> report = na.build(["sessions/"], "archive", areas="VIS*")  # doctest: +SKIP
    >>> na.open_datatree("archive")  # doctest: +SKIP
    """
    check_seconds(timeout)
    recipe = Recipe(
        stimuli=_names(stimuli),
        areas=_names(areas),
        units=units,
        bin_width=check_bin_width(bin_width),
        window=None if window is None else check_window(window),
        event=event,
        event_clock=event_clock,
        clip=clip,
        series=_names(series),
        method=method,
        max_gap=check_gap(max_gap),
        dtype=check_dtype(dtype).name,
        binarize=binarize,
        blanks=blanks,
        responses=responses,
        compat=compat,
        layout=layout,
    )
    scheduler = "processes" if scheduler is None else scheduler
    run = Runner(workers, scheduler, strict, progress or (lambda done, total, name: None))
    report = Report(failures=run.failures)
    folder = Path(archive).expanduser().absolute()
    address = registry.address(engine) if isinstance(engine, type) else engine
    try:
        _Build(folder, recipe, run, timeout, report).of(sources_of(paths, address))
    finally:
        run.close()
        forget()
    return report


def check_seconds(timeout: object) -> None:
    """Refuse a timeout that is not a positive number of seconds."""
    is_number = isinstance(timeout, int | float) and not isinstance(timeout, bool)
    if not (is_number and 0 < float(str(timeout)) < threading.TIMEOUT_MAX):
        msg = f"{option('timeout', timeout)}: expected seconds, more than 0"
        raise ValueError(msg)


def _names(names: str | Sequence[str] | None) -> tuple[str, ...] | None:
    """Return a name or several names as a tuple; None stands for all names."""
    if names is None:
        return None
    expected = "stimuli, areas, series: expected a name or a list of names"
    check(names, str | Iterable, expected, TypeError)
    return (names,) if isinstance(names, str) else tuple(names)


@dataclass
class _Build:
    """A build: the folder of its archive, its recipe, the runner of its tasks, and its report."""

    folder: Path
    recipe: Recipe
    run: Runner
    timeout: float
    report: Report

    def of(self, sources: Sequence[Source]) -> None:
        """Survey all sessions, make the parts that are missing, and join them."""
        report, work = self.report, self.folder / WORK
        blocks = jobs_of(self._surveys(sources), self.recipe, work, report.notes)
        marks = Marks(self.folder)
        with partials.locked(marks.work, self.folder):
            marks = Marks(self.folder)  # another build may have changed it before we had the lock
            marks.refuse_strangers(blocks)
            unread = [os.path.basename(name) for name, _ in report.failures]
            marks.want({block: contents_of(jobs) for block, jobs in blocks.items()}, unread)
            unfinished = {b: jobs for b, jobs in blocks.items() if not marks.finished(b)}
            report.unchanged += [
                self.folder / f"{block}.h5" for block in blocks if block not in unfinished
            ]
            marks.clear()
            shutil.rmtree(work / JOINED, ignore_errors=True)
            _clear_dead(self.folder, blocks)
            self._make(unfinished)
            self._join(unfinished, marks)
            if not report.failures:
                shutil.rmtree(work / "parts", ignore_errors=True)

    def _surveys(self, sources: Sequence[Source]) -> list[Survey]:
        """Return the surveys of all sessions that can be read, in the order of their sources."""
        in_child = self.run.where not in ("sync", "threads")
        tasks = [SurveyTask(self.recipe, source, in_child) for source in sources]
        # Without a limit, opening a file has the time limits of `neuroarrays.files.guard`.
        surveys = self.run(
            survey, tasks, limit=lambda _: self.timeout if self.timeout < 60 else None
        )
        if not surveys:
            failed = "; ".join(error for _, error in self.report.failures)
            msg = f"no session could be read: {failed}"
            raise NeuroArraysError(msg)
        order = {source: number for number, source in enumerate(sources)}
        every = [summary for of_recording in surveys for summary in of_recording]
        return sorted(every, key=lambda summary: order[summary.source])

    def _make(self, blocks: dict[str, list[Job]]) -> None:
        """Make the parts that do not exist yet."""
        todo = [job for jobs in blocks.values() for job in jobs if not Path(job.part).is_file()]
        self.report.parts_reused = sum(map(len, blocks.values())) - len(todo)
        # The largest recordings come first, so that no worker is still busy with one at the end.
        todo.sort(key=lambda job: (-sum(job.stamp[1:2]), job.session, job.stimulus))
        parts = self.run(
            make_part,
            todo,
            limit=lambda _: self.timeout,
            same=lambda job: (job.source, job.session),
        )
        self.report.parts_made = len(parts)

    def _join(self, blocks: dict[str, list[Job]], marks: Marks) -> None:
        """Join the parts of each file, and give the file its name as soon as it is complete."""
        layout = self.recipe.layout or ("allen_binned" if self.recipe.compat else None)
        folder = marks.work / JOINED
        folder.mkdir(exist_ok=True)
        joins, missing = [], {}
        for block, jobs in blocks.items():
            parts = tuple(job.part for job in jobs if Path(job.part).is_file())
            missing[block] = [job.session for job in jobs if job.part not in parts]
            if parts:
                joins.append(Join(block, parts, str(folder / f"{block}.h5"), layout))
        joins.sort(key=lambda join: join.seconds, reverse=True)
        left_out: dict[str, list[str]] = {}

        def publish(joined: Joined) -> None:
            if joined.disk_full is not None:
                raise joined.disk_full
            path, whole = self.folder / f"{joined.block}.h5", Path(joined.whole)
            marks.about_to(joined.block, whole, missing[joined.block])
            replace(whole, path, overwrite=True)
            self.report.written.append(path)
            self.report.notes += [f"{joined.block}: {note}" for note in joined.notes]
            for item in joined.left_out:
                left_out.setdefault(item, []).append(joined.block)

        try:
            self.run(
                join_parts, joins, each=publish, limit=lambda join: self.timeout + join.seconds
            )
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        self.report.written.sort()
        texts = [
            item if len(files) == len(blocks) else f"{item} ({list_names(files)})"
            for item, files in left_out.items()
        ]
        if texts:
            self.report.notes.append(f"the layout has no place for: {'; '.join(texts)}")


def _clear_dead(folder: Path, blocks: dict[str, list[Job]]) -> None:
    """Remove unfinished files of earlier builds that were killed, and nothing else."""
    for block, jobs in blocks.items():
        for path in (folder / f"{block}.h5", *(Path(job.part) for job in jobs)):
            partials.clear_dead(path)
