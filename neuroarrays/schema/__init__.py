"""The two trees as one table of records.

`SPECS` holds a record per variable. Validation, the constructors that readers use, the texts of
errors, the documentation page and the Hypothesis strategies are all derived from it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import xarray as xr

from neuroarrays.errors import SchemaError
from neuroarrays.schema import given

VERSION = "1"
RECORDING, ALIGNED = "recording", "aligned"

#: Dimensions of both trees.
SPIKE, UNIT, TIME, PRESENTATION = "spike", "unit_id", "time", "presentation_id"
TRIAL, IMAGE, FRAME = "trial", "image_id", "frame"

EVENT = "event"

#: Dimensions of answers: the other unit of a pair, the time between two spikes; areas by their paths.
OTHER_UNIT, LAG, PATH = "other_unit_id", "lag", "path"
#: Labels of answers over several areas.
SESSION, AREA = "session", "area"
#: Electrodes, sites or other columns of a continuous signal.
CHANNEL = "channel"
#: Of a pose: body parts, the coordinates x, y, z, and animals; how sure the tracker was of a position.
KEYPOINT, SPACE, INDIVIDUAL = "keypoint", "space", "individual"
POSITION, CONFIDENCE = "position", "confidence"

#: Variables of spikes, of events and of tables of a recording.
SPIKE_TIMES, ROW_SIZE, EVENT_TIME = "spike_times", "row_size", "event_time"
START_TIME, STOP_TIME = "start_time", "stop_time"
#: Variables of an area of an aligned tree: counts, signals, and what of them counts.
SPIKE_DATA, RESPONSES = "spike_data", "responses"
VALID, VALID_UNITS, WITHHELD = "valid", "valid_units", "withheld"

#: A label of presentations that is equal for those that show the same.
SHOWN = "stimulus_id"

#: A label of frames that changes where they were not shown, or recorded, one after another.
BLOCK = "block_id"

#: A coordinate of a series: how much later than `time` each of its columns is sampled, s.
SHIFT = "phase_shift"
#: Attribute of `unit_id`: the table of ROIs that it numbers.
ROI_TABLE = "roi_table"

#: Attribute of the root: "by name" where the sessions were asked for by their names.
SESSIONS_ASKED = "sessions_asked"

#: Children of a session that are never areas.
RUNNING, PUPIL, PRESENTATIONS, STIMULUS, EVENTS, OBSERVED = (
    "running", "pupil", "presentations", "stimulus", "events", "observed",
)  # fmt: skip
#: A dimension: stretches of time that were recorded, of a session or of a unit.
INTERVAL = "interval"
SPIKES = "spikes"
#: A child of an area or session of an aligned tree: what point events carry, in bins.
AMOUNTS = "amounts"
#: A child of an area: means, deviations, ... that stand beside the data, by what they are over.
STATISTICS = "statistics"
#: Stored statistics: the mean of the responses' deviations over all units of a session.
SESSION_STD = "responses_std_session"
#: An area that no file tells us.
UNKNOWN_AREA = "unknown"

Role = Literal[
    "spikes", "series", "table", "events", "stimulus", "observed", "session", "area", "behaviour",
    "statistics",
]  # fmt: skip


@dataclass(frozen=True)
class Spec:
    """One variable of a tree.

    Attributes
    ----------
    tree : str
        "recording" or "aligned".
    role : str
        Kind of node it stands in.
    name : str
        Its name; "*" describes every other variable of such a node.
    dims : tuple of tuple of str
        The dims it may have, the usual first; () of () means any.
    kinds : str
        numpy dtype kinds it may have.
    units : str
        Its unit; "" says nothing.
    doc : str
        Meaning, one line.
    """

    tree: str
    role: str
    name: str
    dims: tuple[tuple[str, ...], ...]
    kinds: str
    units: str
    doc: str


_TRIALS = (PRESENTATION, UNIT, TIME)
_ALONG = ((PRESENTATION, TIME), (TIME, PRESENTATION), (PRESENTATION,), (TIME,))
_NUMBER, _ANY = "iuf", "iufbOUST"

SPECS: tuple[Spec, ...] = (
    Spec(RECORDING, "spikes", "spike_times", ((SPIKE,),), "f", "s",
         "spike times on the session clock, unit after unit (CF contiguous ragged array)"),
    Spec(RECORDING, "spikes", "row_size", ((UNIT,),), "iu", "1", "number of spikes of each unit"),
    Spec(RECORDING, "spikes", "observed_start", ((INTERVAL,), (UNIT, INTERVAL)), "f", "s",
         "starts of the stretches in which the units were recorded; padded with NaN where they differ"),
    Spec(RECORDING, "spikes", "observed_stop", ((INTERVAL,), (UNIT, INTERVAL)), "f", "s",
         "stops of these"),
    Spec(RECORDING, "spikes", "*", (), _ANY, "",
         "unit metadata along unit_id (any column of the unit table), values along spike"),
    Spec(RECORDING, "series", "speed", ((TIME,),), _NUMBER, "cm/s", "running speed"),
    Spec(RECORDING, "series", "*", (), _ANY, "",
         "a continuous signal; time is its first dimension and its own clock"),
    Spec(RECORDING, "events", "*", (), _ANY, "", "values of point events (licks, rewards)"),
    Spec(RECORDING, "table", "start_time", ((PRESENTATION,),), "f", "s",
         "start of each presentation, session clock"),
    Spec(RECORDING, "table", "stop_time", ((PRESENTATION,),), "f", "s",
         "stop of each presentation, session clock; NaN where the file has none"),
    Spec(RECORDING, "table", "*", (), _ANY, "", "a parameter of each presentation"),
    Spec(RECORDING, "stimulus", "*", (), _ANY, "", "templates: images or movie frames"),
    Spec(RECORDING, "observed", "start_time", ((INTERVAL,),), "f", "s",
         "start of each stretch of time that was recorded, session clock"),
    Spec(RECORDING, "observed", "stop_time", ((INTERVAL,),), "f", "s",
         "stop of each, which belongs to it"),
    Spec(RECORDING, "observed", "*", (), _ANY, "", "what is known of each stretch"),
    Spec(ALIGNED, "spikes", "spike_times", ((SPIKE,),), "f", "s",
         "spike times that the aligned data were counted from, unit after unit"),
    Spec(ALIGNED, "spikes", "row_size", ((UNIT,),), "iu", "1", "number of spikes of each unit"),
    Spec(ALIGNED, "spikes", "*", (), _ANY, "", "unit metadata, values along spike"),
    Spec(ALIGNED, "session", "stimulus",
         ((TIME, "channel", "y", "x"), (PRESENTATION, "channel", "y", "x"),
          (IMAGE, "channel", "y", "x"), (PRESENTATION, TIME, "channel", "y", "x")), "uf", "",
         "what was shown, stored once per session"),
    Spec(ALIGNED, "session", "*", (), _ANY, "", "any other signal that the areas below share; of a session without units also what else "
         "stands in an area: speed, valid"),
    Spec(ALIGNED, "area", "spike_data", (_TRIALS, (PRESENTATION, TIME, UNIT), (TIME, UNIT)),
         "ui", "1", "spikes per bin"),
    Spec(ALIGNED, "area", "responses",
         ((TIME, UNIT), (PRESENTATION, UNIT), (PRESENTATION, TIME, UNIT), _TRIALS), "f", "",
         "rates, fluorescence or deconvolved events"),
    Spec(ALIGNED, "area", "responses_by_trial",
         ((TRIAL, TIME, UNIT), (TRIAL, PRESENTATION, UNIT)), "f", "",
         "repeats of one stimulus"),
    Spec(ALIGNED, "area", "speed", _ALONG, "f", "cm/s", "running speed"),
    Spec(ALIGNED, "area", "valid", ((PRESENTATION, TIME), (TIME,)), "b", "",
         "False for bins past the stop, padding, bad frames, invalid intervals"),
    Spec(ALIGNED, "area", "valid_units", (_TRIALS, (TIME, UNIT)), "b", "",
         "False where what a unit's probe recorded is not to be trusted; absent where all is"),
    Spec(ALIGNED, "area", "withheld", ((PRESENTATION,),), "b", "",
         "responses that a competition blanked"),
    Spec(ALIGNED, "area", SHOWN, ((PRESENTATION,),), "i", "",
         "the first presentation that shows the same, where no label says what is shown"),
    Spec(ALIGNED, "area", "*", (), _ANY, "", "any other signal along the area's dimensions"),
    Spec(ALIGNED, "events", "valid", ((PRESENTATION, TIME), (TIME,)), "b", "",
         "False for bins past the stop, invalid intervals"),
    Spec(ALIGNED, "events", "*", ((PRESENTATION, TIME), (TIME,)), "ui", "",
         "events per bin (licks, rewards), by the name they have in the recording"),
    Spec(ALIGNED, "behaviour", "*", (), _ANY, "",
         "a behavioural signal on the area's clock (pupil, position, head direction)"),
    Spec(ALIGNED, "statistics", "*", (), _ANY, "",
         "a statistic of a signal, as stored beside the data: responses_mean, speed_std, ..."),
    Spec(ALIGNED, "table", "start_time", ((PRESENTATION,),), "f", "s", "start, session clock"),
    Spec(ALIGNED, "table", "stop_time", ((PRESENTATION,),), "f", "s", "stop, session clock"),
    Spec(ALIGNED, "table", "duration", ((PRESENTATION,),), "f", "s", "stop minus start"),
    Spec(ALIGNED, "table", "*", (), _ANY, "",
         "a parameter of each presentation: the truth for every trial label"),
)  # fmt: skip

#: Coordinates: name -> (dtype kinds, unit, meaning).
COORDINATES: dict[str, tuple[str, str, str]] = {
    UNIT: ("iu", "", "unit identifier, as in the file"),
    PRESENTATION: ("iu", "", "presentation identifier"),
    TIME: ("f", "s", "bin centres relative to onset (trials) or the session clock (series)"),
    TRIAL: ("iu", "", "repeat of one stimulus"),
    IMAGE: ("iu", "", "image identifier"),
}

_BY_KEY = {(spec.tree, spec.role, spec.name): spec for spec in SPECS}


def spec(tree: str, role: str, name: str) -> Spec:
    """The record of a variable, or of "any other" in that kind of node."""
    return _BY_KEY.get((tree, role, name)) or _BY_KEY[tree, role, "*"]


def var(
    role: str,
    name: str,
    data: Any,
    dims: tuple[str, ...] | None = None,
    tree: str = RECORDING,
    **attrs: Any,
) -> xr.Variable:
    """A variable with the dims, unit and meaning that the schema gives it.

    Parameters
    ----------
    role, name : str
        Kind of node, and name in it.
    data : (...) array or lazy array
        Its values, of the shape of `dims` and in the unit of the schema.
    dims : tuple of str, optional
        Needed where the schema allows several of this number of dimensions.
    tree : {"recording", "aligned"}
        Which tree.
    **attrs
        More attributes; None values are left out.
    """
    record = spec(tree, role, name)
    if dims is None:
        dims = next((d for d in record.dims if len(d) == data.ndim), None)
        if dims is None:
            msg = f"{role}/{name} has {data.ndim} dimensions; give dims="
            raise SchemaError(msg)
    given = {"units": record.units, "long_name": "" if record.name == "*" else record.doc}
    given |= attrs
    kept = {key: value for key, value in given.items() if value not in (None, "")}
    return xr.Variable(dims, data, kept)


def root_attrs(tree: str, **attrs: Any) -> dict[str, Any]:
    """Attributes that mark a tree as ours, plus the given ones that are not empty."""
    marked = {"neuroarrays_schema": f"{tree}/{VERSION}"}
    return marked | {key: value for key, value in attrs.items() if value not in (None, "", [])}


def kind_of(tree: xr.DataTree | Mapping[str, Any]) -> str:
    """The kind of tree, "recording" or "aligned", from the attributes of its root.

    Raises
    ------
    SchemaError
        If the mark is missing.
    """
    if not isinstance(tree, xr.DataTree | Mapping) or isinstance(tree, xr.Dataset):
        is_path = isinstance(tree, str | os.PathLike)
        path = repr(os.fspath(tree)) if is_path else "path"
        is_part = isinstance(tree, xr.Dataset | xr.DataArray)
        hint = "give the tree it is of" if is_part else f"open one: tree = na.open_datatree({path})"
        raise SchemaError(f"expected a tree, found {given.described(tree)}; {hint}")
    attrs: Mapping[Any, Any] = tree.root.attrs if isinstance(tree, xr.DataTree) else tree
    mark = str(attrs.get("neuroarrays_schema", ""))
    kind = mark.partition("/")[0]
    if kind not in (RECORDING, ALIGNED):
        msg = (
            f"this tree has no neuroarrays_schema attribute at its root (found {mark!r}); expected "
            "a tree from na.open_datatree(path) or na.align(tree). What xarray makes of a part of "
            "a tree loses the mark: give the tree, or tree['session']"
        )
        raise SchemaError(msg)
    return kind


def node_name(text: str) -> str:
    """A text as the name of a node: "/" would split it, control characters reach a terminal."""
    text = "".join(c if c.isprintable() else " " if c.isspace() else "_" for c in text)
    return re.sub(r"[/\\]+", "_", text).strip(". ") or "unnamed"


def roles(tree: xr.DataTree) -> Iterator[tuple[str, str, xr.DataTree]]:
    """Every node that holds variables: its path, its role and itself."""
    kind = kind_of(tree)
    for path, node in tree.subtree_with_keys:
        if path == ".":
            continue
        data = node.to_dataset(inherit=False)  # a pupil inherits unit_id and is no area
        yield path, role_of(kind, path, data.data_vars, data.sizes, bool(node.children)), node


def role_of(kind: str, path: str, variables: Any, dims: Any, has_children: bool) -> str:
    """The role of a node from its path, variables and dims; "group" if it holds no variables."""
    parent, _, name = path.rpartition("/")
    parent_name = parent.rpartition("/")[2]
    if kind == RECORDING:
        if name == SPIKES and ROW_SIZE in variables:
            return "spikes"
        if parent_name == PRESENTATIONS:
            return "table"
        if parent_name in (STIMULUS, EVENTS):
            return parent_name
        if name == OBSERVED and INTERVAL in dims:
            return "observed"
        return "series" if variables else "group"
    if name == PRESENTATIONS:
        return "table"
    if name == SPIKES and ROW_SIZE in variables:
        return "spikes"
    if STATISTICS in (name, parent_name):
        return "statistics" if variables else "group"
    if UNIT in dims:
        return "area"
    if name == EVENTS:
        return "events" if variables else "group"
    if STIMULUS in variables or has_children:
        return "session" if variables else "group"
    return "behaviour" if variables else "group"


def trial_labels(area: xr.Dataset, rows: xr.Dataset) -> dict[Any, xr.Variable]:
    """Coordinates of an area node that are views of its presentations.

    Every parameter with one value per presentation, unless the area uses its name otherwise. They
    are made when a tree is built or opened; only `presentations` is stored.
    """
    taken = {*area.variables, *area.sizes, *rows.coords}
    return {
        name: column
        for name, column in rows.variables.items()
        if column.dims == (PRESENTATION,) and name not in taken
    }


def area_paths(tree: xr.DataTree) -> list[str]:
    """Paths of the nodes that hold units: areas."""
    paths = []
    for path, role, node in roles(tree):
        if role == "area" or (role == "series" and UNIT in node.sizes):
            paths.append(path if role == "area" else path.rpartition("/")[0])
        elif role == "spikes":
            paths.append(path.rpartition("/")[0])
    return list(dict.fromkeys(paths))
