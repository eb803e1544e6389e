"""Run a function on the sessions of a tree, one after another or in parallel."""

from __future__ import annotations

import contextlib
import pickle
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import xarray as xr

from neuroarrays.errors import (
    FormatError,
    NeuroArraysError,
    NothingLeft,
    NotInTree,
    SchemaError,
    many,
    warn,
    warnings_held,
)
from neuroarrays.files import state
from neuroarrays.files.progress import Bar, is_watched
from neuroarrays.lazy.trees import tree_of
from neuroarrays.tasks.runner import Outcome, Runner, cpus, current_client, error_text
from neuroarrays.tree.areas import AreaPath

if TYPE_CHECKING:
    from distributed import Client

#: The most bytes to keep of data read from finished sessions, for the next analysis.
KEPT = 256 << 20
#: Schedulers whose tasks can use the tree directly.
_HERE = ("sync", "threads")
#: Errors that are made from their text only.
_PLAIN = (SchemaError, NothingLeft, NeuroArraysError, ValueError, TypeError, RuntimeError, OSError)


@dataclass
class _KeptBytes:
    """The number of bytes that may still be kept."""

    left: int

    def take(self, nbytes: int) -> bool:
        """Whether some bytes may be kept; if so, they are counted."""
        fits = nbytes <= self.left
        self.left -= nbytes if fits else 0
        return fits


@dataclass(frozen=True)
class _Task:
    """One session: its name, its areas, the function, and its nodes or their source."""

    name: str
    area_paths: tuple[AreaPath, ...]
    call: Any
    tree: Any
    kept_bytes: _KeptBytes | None
    quiet: bool
    load: bool


@dataclass
class Run:
    """The results of the areas of a tree; `left_out` has the paths of areas and sessions, and why.

    With `load`, results are computed together with their session, labels of units included.
    """

    tree: xr.DataTree
    area_paths: list[AreaPath]
    call: tuple[Callable[..., Any], tuple[Any, ...], Mapping[str, Any]]
    strict: bool
    skip: bool
    load: bool
    left_out: dict[str, str] = field(default_factory=dict)

    def answers(
        self,
        name: str,
        scheduler: str | Client | None,
        workers: int | None,
        progress: bool | None,
    ) -> dict[AreaPath, Any]:
        """Results by area, in the order of the tree."""
        number = cpus() if workers is None else workers
        several = "processes" if workers is not None and workers > 1 else "sync"
        where = scheduler or current_client() or several
        tasks = self._tasks(where)
        watched = is_watched() if progress is None else progress
        with Bar(watched, name, len(tasks), of_bytes=False) as bar:

            def done(_: int, __: int, session: str) -> None:
                bar.at(session)
                bar.add(1)

            runner = Runner(number, where, not self.skip, done)
            try:
                results = runner(_session, tasks)
            finally:
                runner.close()
        for session, error in runner.failures:
            self.left_out[session] = error
        if runner.failures:
            failed = "; ".join(f"{session}: {error}" for session, error in runner.failures[:3])
            failed += f"; and {len(runner.failures) - 3} more" if runner.failures[3:] else ""
            msg = f"{len(runner.failures)} of {many(len(tasks), 'session')} failed: {failed}"
            if not results:
                raise NeuroArraysError(msg)
            warn(msg)
        return self._in_order(results)

    def _tasks(self, where: Any) -> list[_Task]:
        """A task for each session, with its nodes, or with their source for another process."""
        by_session: dict[str, list[AreaPath]] = {}
        for area in self.area_paths:
            by_session.setdefault(area.of_session, []).append(area)
        call: Any = self.call
        if where not in _HERE:
            import cloudpickle  # dask needs it too

            call = cloudpickle.dumps(self.call)
        root, kept_bytes = self.tree.root, None if where not in _HERE else _KeptBytes(KEPT)
        quiet = where != "threads"  # catching warnings in one thread catches them in all
        tree: Callable[[str], Any] = (
            (lambda path: root) if kept_bytes else lambda path: _Detached(root, path)
        )
        return [
            _Task(path, tuple(area_paths), call, tree(path), kept_bytes, quiet, self.load)
            for path, area_paths in by_session.items()
        ]

    def _in_order(self, results: Sequence[_Answers]) -> dict[AreaPath, Any]:
        """Results in the order of the areas; what sessions lack or warn about is reported once."""
        by_area: dict[AreaPath, Any] = {}
        lacking: dict[AreaPath, NotInTree | NothingLeft] = {}
        caught: dict[tuple[type[Warning], str], list[str]] = {}
        for result in results:
            by_area |= result.by_area
            lacking |= result.lacking
            for kind, text, path in result.warned:
                caught.setdefault((kind, text), []).append(path)
        for (kind, text), paths in caught.items():
            warn(f"{paths[0] if len(paths) == 1 else many(len(paths), 'area')}: {text}", kind)
        if lacking and (self.strict or not by_area):
            raise located(next(iter(lacking.values())), next(iter(lacking)).path)
        self.left_out |= {area.path: str(error) for area, error in lacking.items()}
        answers = {p: by_area[p] for p in self.area_paths if by_area.get(p) is not None}
        if not answers:
            msg = (
                "the function returned None for each area; expected an array, a table, a "
                "number or text"
            )
            raise SchemaError(msg)
        return answers


class _Detached:
    """A session for another process: its nodes, and those above it."""

    def __init__(self, root: xr.DataTree, path: str):
        node: Any = root[path]
        nodes = {each.path: each.to_dataset(inherit=False) for each in node.parents}
        nodes |= {each.path: each.to_dataset(inherit=False) for each in node.subtree}
        self.nodes = nodes

    def open(self) -> xr.DataTree:
        """The tree of this session alone."""
        return tree_of(self.nodes)


@dataclass
class _Answers:
    """The outcome of a session: results, areas that lack data, warnings (kind, text, path)."""

    by_area: dict[AreaPath, Any] = field(default_factory=dict)
    lacking: dict[AreaPath, NotInTree | NothingLeft] = field(default_factory=dict)
    warned: list[tuple[type[Warning], str, str]] = field(default_factory=list)


def _session(task: _Task) -> Outcome:
    """Run the function on the areas of one session."""
    answers, at = _Answers(), task.name
    travelled = isinstance(task.tree, _Detached)
    try:
        with state.passing() if task.kept_bytes is None else state.passing(task.kept_bytes.take):
            tree = task.tree.open() if travelled else task.tree
            function, args, kwargs = pickle.loads(task.call) if travelled else task.call
            for area in task.area_paths:
                at = area.path
                with _noting(answers, at, task.quiet):
                    try:
                        answer = function(tree[at], *args, **kwargs)
                        is_lazy = task.load and isinstance(answer, xr.DataArray | xr.Dataset)
                        answers.by_area[area] = answer.compute() if is_lazy else answer
                    except (NotInTree, NothingLeft) as error:
                        answers.lacking[area] = error
    except Exception as error:
        named = located(error, at)
        text = error_text(named)
        return Outcome(task.name, error=text, exception=_portable(named) if travelled else named)
    return Outcome(task.name, answers)


@contextlib.contextmanager
def _noting(answers: _Answers, path: str, of_all: bool) -> Iterator[None]:
    """Keep warnings, so that a warning of many areas is shown once, at the line of the user's program.

    `of_all` says whether to keep also those of other packages, which would be caught in all threads.
    """
    with contextlib.ExitStack() as stack:
        held = stack.enter_context(warnings_held())
        caught: Any = ()
        if of_all:
            caught = stack.enter_context(warnings.catch_warnings(record=True))
            warnings.simplefilter("always")
        yield
    kinds = [(kind, str(text)) for text, kind in held]
    kinds += [(each.category, str(each.message)) for each in caught]
    answers.warned += [(kind, text, path) for kind, text in dict.fromkeys(kinds)]


def located(error: Exception, path: str) -> Exception:
    """The same error, with the area in its text."""
    text = str(error)
    if path in text or isinstance(error, FormatError):
        return error
    if isinstance(error, NotInTree):
        where = f"{error.where} of {path}" if error.where else path
        named: Exception = error.changed(where=where)
    elif type(error) in _PLAIN:
        named = type(error)(f"{path}: {text}")
    else:
        error.add_note(f"in {path}")
        return error
    named.__cause__ = error
    return named


def _portable(error: Exception) -> Exception:
    """An error that can be pickled, for another process."""
    try:
        if type(pickle.loads(pickle.dumps(error))) is type(error):
            return error
    except Exception:
        pass
    return NeuroArraysError(error_text(error))
