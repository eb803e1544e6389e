"""Apply functions of one area to all areas of a session or of a tree.

`over` does this for a function of the user. The analyses of this package (`psth`, `tuning_curve`,
...) are decorated with `over_areas`, and do it themselves if they are given more than one area.
Both find the areas that have the needed data, run the function session by session, one after
another or in parallel, and join the results with `joining`.

Memory in series: that of the largest session, the data kept of earlier sessions (`running.KEPT`),
and the results. In parallel: that of several sessions at a time.
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
from neuroarrays.tree.areas import list_areas, sessions_without

if TYPE_CHECKING:
    from distributed import Client

P = ParamSpec("P")
R = TypeVar("R")


class Over(TypedDict, total=False):
    """The keywords of `over`, and of all analyses that take several areas."""

    areas: str | Sequence[str] | None
    scheduler: str | Client | None
    workers: int | None
    missing: str | None
    errors: str
    progress: bool | None


#: The docstring of these keywords, for all functions that take them.
_OPTIONS = """areas : str or list of str, optional
    For a session or tree: names or patterns of the areas, such as ``"VIS*"`` (default: all).
scheduler : {"threads", "processes", "sync"}, address or distributed.Client, optional
    For a tree: where its sessions are computed (default: by the dask.distributed client that is
    open in this process, else one after another). "sync" always computes one after another.
workers : int, optional
    Number of threads or processes (default: one per processor). Without `scheduler`, more than one
    means processes.
missing : {"skip", "raise"}, optional
    What to do with sessions without such an area, parameter or signal; the default is that of
    `align`. The attribute ``notes`` lists the skipped sessions.
errors : {"raise", "skip"}
    "skip" leaves out a session that fails (a damaged file, a killed worker), with a warning
    and an entry in ``notes``.
progress : bool, optional
    Show a bar on stderr (default: in a terminal or notebook, after 2 s).
"""
_ALONG = (
    "For a session or tree: all areas along ``unit_id``, with labels `session` and `area`; see\n"
    "    `over`."
)
_APART = "For a session or tree: a DataTree with a node for each area, at its path."
_NAMES = tuple(Over.__annotations__)


@dataclass(frozen=True)
class _Needs:
    """What a function needs in an area, and whether the results of areas stay separate."""

    wanted: str | None = None
    apart: bool = False


#: Attribute of a function for one or several areas that holds these facts.
_NEEDS = "_needs"


def over_areas(wanted: str, apart: bool = False) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let a function of one area also take a session or a whole tree.

    Parameters
    ----------
    wanted : {"spikes", "rates", "trials", "clock", "either", "traces"}
        What an area must have, as `neuroarrays.schema.given.has` names it.
    apart : bool
        Whether the results stay separate, as a tree with a node for each area, because they are
        about pairs of units or on the clock of their session.

    Returns
    -------
    callable
        A decorator for a function with ``**over: Unpack[Over]``. For one area the result is that of
        the function.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        signature = _signature(function)

        @functools.wraps(function)
        def whole(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                bound = signature.bind(*args, **kwargs)
            except TypeError as error:  # with the words of Python
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
        vars(whole)[_NEEDS] = _Needs(wanted, apart)
        return whole

    return decorate


def takes_options(function: Callable[P, R]) -> Callable[P, R]:
    """Add the keywords of `Over` to the signature and docstring of a function."""
    _describe(function, _signature(function), _documented(function.__doc__ or ""))
    return function


def _describe(function: Any, signature: inspect.Signature, text: str) -> None:
    """Set the signature and docstring that `help` shows."""
    function.__signature__, function.__doc__ = signature, text


def _signature(function: Callable[..., Any]) -> inspect.Signature:
    """The signature of a function with the keywords of `over`."""
    signature, known = inspect.signature(function), inspect.signature(over).parameters
    parameters = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    return signature.replace(parameters=[*parameters, *(known[name] for name in _NAMES)])


def _documented(text: str, after: str = "") -> str:
    """A docstring with the keywords of `Over`, and the result for several areas."""
    text = inspect.cleandoc(text)
    before, heading, rest = text.partition("\n\nReturns\n-------\n")
    result, raises, end = rest.partition("\n\nRaises\n")
    result += f"\n    {after}" if after else ""
    return f"{before}\n{_OPTIONS.rstrip()}{heading}{result}{raises}{end}"


def _is_several(tree: Any, wanted: str) -> bool:
    """Whether something is a session or tree with areas below it, and not an area."""
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
    """Apply a function of one area to all areas of a session or tree, and join the results.

    Parameters
    ----------
    tree : DataTree
        A recording or aligned tree, or a block, session or area of one.
    function : callable
        Takes an area (a node of the tree), and returns a DataArray, Dataset, DataFrame, number or
        text; None leaves the area out. For processes and clusters it is pickled by value, so
        functions of a notebook can be used.
    *args, **kwargs
        Arguments for the function.
    as_tree : bool
        Keep the results separate, as a tree with a node for each area at its path.

    Returns
    -------
    xr.DataArray, xr.Dataset, pd.DataFrame or xr.DataTree
        Arrays with ``unit_id`` are joined along it, with the coordinates `session` and `area` (and
        `block`, if the tree has several), so equal unit ids can be told apart. Arrays without
        units, and numbers, are joined along ``path``, the paths of the areas. Tables are joined by
        rows. Results about pairs of units (``other_unit_id``) become a tree, because units of
        different areas make no pairs. Labels of other dimensions are matched by value and sorted if
        they differ; an area without a label has NaN there (text is empty, the number of
        presentations `n` is 0). Times, lags and bins of behaviour must be equal in all areas.
        Coordinates that differ get the dimension ``unit_id``; attributes that differ are left out.
        Units of measurement must be equal, and are kept.

    Raises
    ------
    SchemaError
        If there is no such area, or results cannot be joined: their units, types of a parameter,
        bins or windows differ. The message lists which areas have which.
    NotInTree
        If all sessions lack what the function needs, or one does and ``missing="raise"``.
    NeuroArraysError
        If a process was killed, or a cluster does not have this package or the same files.
    ValueError
        If an option has an unknown value.

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
    wanted = "function: expected a function that takes an area, such as na.firing_rate"
    given.check(function, Callable, wanted, TypeError)
    wants = getattr(function, _NEEDS, _Needs())
    if not isinstance(tree, xr.DataTree) or _is_area(tree, wants.wanted):
        return function(tree, *args, **kwargs)
    area_paths = list_areas(tree, wants.wanted, areas)
    if not area_paths and wants.wanted and areas is None:
        return function(tree, *args, **kwargs)  # its error tells what it needs
    lacking = sessions_without(tree, area_paths)
    strict = (missing or _by_default(tree)) == "raise"
    if not area_paths or (lacking and strict):
        raise _no_area(tree, wants.wanted, areas, lacking if area_paths else [])
    run = Run(
        tree,
        area_paths,
        (function, args, kwargs),
        strict,
        errors == "skip",
        not (wants.apart or as_tree),
    )
    name = getattr(function, "__name__", type(function).__name__)
    answers = run.answers(name, scheduler, workers, progress)
    notes = {path: "no such area" for path in lacking} | run.left_out
    if wants.apart or as_tree or joining.are_apart(answers):
        out: Any = joining.side_by_side(answers, name)
    else:
        out = joining.together(answers, name)
    if notes:
        texts = [f"{path}: not in this result, {why}" for path, why in notes.items()]
        out.attrs["notes"] = texts
    return out


over.__doc__ = _documented(over.__doc__ or "")


def _check(missing: str | None, errors: str) -> None:
    given.choice(missing or "skip", "missing", ("skip", "raise"))
    given.choice(errors, "errors", ("raise", "skip"))


def _is_area(tree: xr.DataTree, wanted: str | None) -> bool:
    if wanted is not None:
        return given.has(tree, wanted)
    return schema.UNIT in tree.sizes or schema.SPIKES in tree.children


def _by_default(tree: xr.DataTree) -> str:
    """What to do with sessions that lack something: an error if they were opened by name."""
    return "raise" if schema.SESSIONS_ASKED in tree.root.attrs else "skip"


def _no_area(
    tree: xr.DataTree, wanted: str | None, areas: str | Sequence[str] | None, lacking: list[str]
) -> Exception:
    """The error if areas are missing: in some sessions, or in all."""
    if lacking:
        what = "area" if areas is None else f"area {areas!r}"
        msg = (
            f"{many(len(lacking), 'session')} without {what} that has the needed data: "
            f"{shorten(lacking, 5)}; missing='skip' leaves them out"
        )
        return SchemaError(msg)
    known = list_areas(tree, wanted)
    if known:
        return NotInTree("area", areas, dict.fromkeys(area.area for area in known))
    return SchemaError(f"no area with units in {given.described(tree)}")
