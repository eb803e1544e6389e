"""Functions of one area taken over the areas of a session or of a whole tree.

`over` does it for a function of the user's; the answers of this package (`psth`, `tuning_curve`, ...)
are marked with `over_areas`, and do it themselves where they are given more than one area. All go
the same way: the areas that have what is wanted, session after session, here or in parallel, and
what they give put together by `joining`.

Memory, one after another: what the largest session takes alone, what is kept of sessions before it
(`running.KEPT`), and the answers. In parallel: that of so many sessions at a time.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ParamSpec, TypedDict, TypeVar

import xarray as xr

from neuroarrays import schema
from neuroarrays.analysis import joining
from neuroarrays.analysis.running import Run
from neuroarrays.errors import NotInTree, SchemaError, many, shorten
from neuroarrays.schema import given
from neuroarrays.tree.places import places_of, without_any

if TYPE_CHECKING:
    from distributed import Client

P = ParamSpec("P")
R = TypeVar("R")


class Over(TypedDict, total=False):
    """How the areas of a session or tree are gone through: keywords of `over` and of all answers."""

    areas: str | Sequence[str] | None
    scheduler: str | Client | None
    workers: int | None
    missing: str | None
    errors: str
    progress: bool | None


#: What each keyword is, for the docstrings of all functions that take them.
_OPTIONS = """areas : str or list of str, optional
    Of a session or tree: names or globs of the areas to take, such as ``"VIS*"``; all unless given.
scheduler : {"threads", "processes", "sync"}, address or distributed.Client, optional
    Of a tree: where its sessions are computed. Unless given, by the dask.distributed client that is
    open in this process, or one after another where there is none ("sync" in any case).
workers : int, optional
    Threads or processes at a time, one for each processor unless given. Without `scheduler` several
    are processes, as everywhere.
missing : {"skip", "raise"}, optional
    What becomes of sessions without such an area, or without the parameter or signal asked for; as in
    `align`. What is skipped stands in the attribute ``notes``.
errors : {"raise", "skip"}
    "skip" leaves a session out that fails (a damaged file, a worker that was killed), with a warning
    and in ``notes``.
progress : bool, optional
    A bar on stderr; unless given, on a terminal or in a notebook, once it takes more than 2 s.
"""
_ALONG = (
    "Of a session or tree: all its areas along ``unit_id``, with labels `session` and `area`; see\n"
    "    `over`."
)
_APART = "Of a session or tree: a DataTree with a node for each area, at its path."
_NAMES = tuple(Over.__annotations__)


@dataclass(frozen=True)
class _How:
    """What a function wants of an area, and whether the answers of areas stay apart."""

    wanted: str | None = None
    apart: bool = False


#: The attribute that says it of a function of one area that takes several too.
_HOW = "_how"


def over_areas(wanted: str, apart: bool = False) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let a function of one area take a session or a whole tree too.

    Parameters
    ----------
    wanted : {"spikes", "rates", "trials", "clock", "either", "traces"}
        What an area has to have, as `neuroarrays.schema.given.has` names it.
    apart : bool
        Whether the answers stay apart, as a tree with a node for each area: they are about pairs of
        units, or on the clock of their session.

    Returns
    -------
    callable
        Decorates a function with ``**over: Unpack[Over]``. Of one area it gives what the function
        gives.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        signature = _signature(function)

        @functools.wraps(function)
        def whole(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                bound = signature.bind(*args, **kwargs)
            except TypeError as error:  # as Python says it of any function
                raise TypeError(f"{function.__name__}() {error}") from None
            options = {
                name: bound.arguments.pop(name) for name in _NAMES if name in bound.arguments
            }
            first: Any = next(iter(bound.arguments.values()), None)
            if not _is_several(first, wanted):
                return function(*bound.args, **bound.kwargs)
            answer: R = over(first, whole, *bound.args[1:], **bound.kwargs, **options)
            return answer

        _describe(
            whole, signature, _documented(function.__doc__ or "", _APART if apart else _ALONG)
        )
        vars(whole)[_HOW] = _How(wanted, apart)
        return whole

    return decorate


def takes_options(function: Callable[P, R]) -> Callable[P, R]:
    """Write the keywords of `Over` into the signature and docstring of a function that passes them on."""
    _describe(function, _signature(function), _documented(function.__doc__ or ""))
    return function


def _describe(function: Any, signature: inspect.Signature, text: str) -> None:
    """Let `help` show a signature and a docstring, whatever the function is written with."""
    function.__signature__, function.__doc__ = signature, text


def _signature(function: Callable[..., Any]) -> inspect.Signature:
    """That of a function with the keywords of `Over` by their names, as `over` has them."""
    own, known = inspect.signature(function), inspect.signature(over).parameters
    parameters = [p for p in own.parameters.values() if p.kind is not p.VAR_KEYWORD]
    return own.replace(parameters=[*parameters, *(known[name] for name in _NAMES)])


def _documented(text: str, after: str = "") -> str:
    """A docstring with the keywords of `Over` at the end of its parameters, and what comes of several areas."""
    text = inspect.cleandoc(text)
    before, heading, rest = text.partition("\n\nReturns\n-------\n")
    result, raises, end = rest.partition("\n\nRaises\n")
    result += f"\n    {after}" if after else ""
    return f"{before}\n{_OPTIONS.rstrip()}{heading}{result}{raises}{end}"


def _is_several(tree: Any, wanted: str) -> bool:
    """Whether something is a session or tree with areas below it, and none itself."""
    return (
        isinstance(tree, xr.DataTree)
        and not given.has(tree, wanted)
        and any(given.has(node, wanted) for node in tree.descendants)
    )


def over(  # noqa: PLR0913  the keywords that all answers have
    tree: xr.DataTree,
    function: Callable[..., Any],
    *args: Any,
    areas: str | Sequence[str] | None = None,
    scheduler: str | Client | None = None,
    workers: int | None = None,
    missing: str | None = None,
    errors: str = "raise",
    progress: bool | None = None,
    as_tree: bool = False,
    **kwargs: Any,
) -> Any:
    """A function of one area over all areas of a session or tree, its answers put together.

    Parameters
    ----------
    tree : DataTree
        Recording or aligned; or a block, a session, or an area of one.
    function : callable
        Takes an area, a node of the tree, and gives a DataArray, Dataset, DataFrame, or one number or
        text; None leaves the area out. For processes and clusters it is pickled by value, so that
        functions of a notebook can be used there.
    *args, **kwargs
        Passed on to the function.
    as_tree : bool
        Keep the answers apart: a tree with a node for each area, at its path.

    Returns
    -------
    xr.DataArray, xr.Dataset, pd.DataFrame or xr.DataTree
        Arrays with ``unit_id`` are put together along it, with the coordinates `session` and `area`
        (and `block` where the tree has several): unit ids that collide stay apart. Arrays without units,
        and numbers, along ``path``, the paths of the areas. Tables below one another. What is about
        pairs of units (``other_unit_id``) is a tree: units of different areas are no pairs. Labels of
        other dimensions are matched by their values, and in order where they differ between areas; where
        an area lacks one it is NaN (texts are empty, the number of presentations `n` is 0). Times,
        lags and bins of behaviour are the same in all. Coordinates that differ get the dimension
        ``unit_id``; attributes that differ are left out.

    Raises
    ------
    SchemaError
        If there is no such area, or answers do not fit together: another unit or type of a
        parameter, other bins or windows. It says which sessions have which.
    NotInTree
        If all sessions lack what the function asks for, or one does with ``missing="raise"``.
    NeuroArraysError
        If a process was killed, or a cluster lacks this package or sees other files.
    ValueError
        If an option is none that there is.

    Examples
    --------
    >>> import neuroarrays as na
    >>> tree = na.load_sample()
    >>> rates = na.over(tree, na.firing_rate)
    >>> rates.groupby("area").mean().sizes["area"]
    2
    >>> na.over(tree, lambda area: area["spikes"].sizes["unit_id"]).dims
    ('path',)
    """
    _check(missing, errors)
    how = getattr(function, _HOW, _How())
    if not isinstance(tree, xr.DataTree) or _is_area(tree, how.wanted):
        return function(tree, *args, **kwargs)
    places = places_of(tree, how.wanted, areas)
    if not places and how.wanted and areas is None:
        return function(tree, *args, **kwargs)  # which says what it wants in its own words
    lacking = without_any(tree, places)
    strict = (missing or _by_default(tree)) == "raise"
    if not places or (lacking and strict):
        raise _no_area(tree, how.wanted, areas, lacking if places else [])
    run = Run(
        tree, places, (function, args, kwargs), strict, errors == "skip", not (how.apart or as_tree)
    )
    name = getattr(function, "__name__", type(function).__name__)
    answers = run.answers(name, scheduler, workers, progress)
    notes = {path: "no such area" for path in lacking} | run.left_out
    if how.apart or as_tree or joining.are_apart(answers):
        out: Any = joining.side_by_side(answers, name)
    else:
        out = joining.together(answers, name)
    if notes:
        texts = [f"{path}: not in this answer, {why}" for path, why in notes.items()]
        out.attrs["notes"] = texts
    return out


over.__doc__ = _documented(over.__doc__ or "")


def _check(missing: str | None, errors: str) -> None:
    if missing not in (None, "skip", "raise"):
        msg = f"missing={missing!r}: expected 'skip' or 'raise'"
        raise ValueError(msg)
    if errors not in ("raise", "skip"):
        msg = f"errors={errors!r}: expected 'raise' or 'skip'"
        raise ValueError(msg)


def _is_area(tree: xr.DataTree, wanted: str | None) -> bool:
    if wanted is not None:
        return given.has(tree, wanted)
    return schema.UNIT in tree.sizes or schema.SPIKES in tree.children


def _by_default(tree: xr.DataTree) -> str:
    """What becomes of sessions that lack something: an error where they were opened by their names."""
    return "raise" if schema.SESSIONS_ASKED in tree.root.attrs else "skip"


def _no_area(
    tree: xr.DataTree, wanted: str | None, areas: str | Sequence[str] | None, lacking: list[str]
) -> Exception:
    """The error where areas are missing: in some sessions, by their name, or altogether."""
    if lacking:
        what = "area" if areas is None else f"area {areas!r}"
        msg = (
            f"{many(len(lacking), 'session')} without {what} that has what is asked for: "
            f"{shorten(lacking, 5)}; missing='skip' leaves them out"
        )
        return SchemaError(msg)
    known = places_of(tree, wanted)
    if known:
        return NotInTree("area", areas, dict.fromkeys(place.area for place in known))
    return SchemaError(f"no area with units in {given.described(tree)}")
