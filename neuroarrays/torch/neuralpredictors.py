"""Loaders with the batches of neuralpredictors; see `neuroarrays.torch.dropin`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.batches import gathering, splits
from neuroarrays.batches.aligned import TrialSamples
from neuroarrays.batches.scaling import Scaling
from neuroarrays.errors import NotInTree
from neuroarrays.schema.given import check, whole_number, yes_or_no
from neuroarrays.torch.loading import Loader
from neuroarrays.torch.points import BatchesOf, MoviePoints, Points, PupilPoint, WindowsOf

#: Variables of the tree in the two fields of signals, in the order of SENSORIUM's files.
SIGNALS = {
    "behavior": ("pupil/dilation", "pupil/dilation_derivative", "speed"),
    "pupil_center": ("pupil/x", "pupil/y"),
}


def neuralpredictors(  # noqa: PLR0913  the options of that library
    tree: xr.DataTree,
    inputs: Sequence[str] = ("stimulus",),
    targets: Sequence[str] = ("responses",),
    *,
    include_behavior: bool = False,
    include_eye_position: bool | None = False,
    behavior: Sequence[str] = (),
    pupil_center: Sequence[str] = (),
    add_behavior_as_channels: bool = True,
    add_eye_pos_as_channels: bool | None = False,
    scale: float | None = None,
    exclude: str | Sequence[str] | None = (),
    frames: int | None = None,
    offset: int = -1,
    max_frame: int | None = None,
    batch_size: int = 64,
    seed: int = 0,
    normalize: bool | str = True,
    cache: bool | str = "auto",
    **loading: Any,
) -> dict[str, dict[str, Any]]:
    """Make the loaders of `static_loaders` of neuralpredictors and sensorium from a tree.

    Parameters
    ----------
    tree : xr.DataTree
        An aligned tree whose areas are along presentations, with a column `tier`.
    inputs, targets : sequence of one str
        The images ``(presentation_id, channel, y, x)`` and the responses
        ``(presentation_id, unit_id)``; movies and their responses also have the axis `time`.
    include_behavior, include_eye_position : bool
        Whether samples have the fields `behavior` (dilation of the pupil, its derivative, speed)
        and `pupil_center` (horizontal and vertical position of the pupil). None means False, as in
        that library.
    behavior, pupil_center : sequence of str
        Other variables ``(presentation_id,)`` for these fields; samples then have the fields.
    add_behavior_as_channels : bool
        With `include_behavior`, each value of `behavior` is also a channel of the images.
    add_eye_pos_as_channels : bool
        Each value of `pupil_center` is also a channel of the images, after those of `behavior`.
    scale : float, optional
        Size of the images in batches divided by the stored size, at most 1: 0.25 makes 36 x 64
        pixels of 144 x 256. Images are interpolated linearly without antialiasing, as in that
        library.
    exclude : str or sequence of str
        Fields that are not normalised; "images" also stands for movies.
    frames : int, frames, optional
        Length of windows of movies (default: whole movies). Normalised movies end where the stored
        statistics end.
    offset : int, frames
        First frame of windows; -1 draws it for each epoch of training, and is 0 for other tiers.
    max_frame : int, frames, optional
        Movies end before this frame.
    batch_size : int
        Presentations per batch; the last batch may be smaller.
    seed : int
        Seed of the order of training presentations, which that library takes from torch.
    normalize : {True, "train", False}
        True normalises by the statistics that are stored beside the data, as that library does.
        "train" normalises by those of the train tier (ddof=1, without withheld values), if none are
        stored.
    cache : {"auto", True, False}
        As for `TrialDataset`.
    **loading
        Options of `torch.utils.data.DataLoader`.

    Returns
    -------
    dict of dict of Loader
        Loaders by tier and session. Values that a competition withholds are 0, as in that library.
        ``loader.dataset`` has the presentations of all tiers, `neurons`, `trial_info` and `tiers`.

    Raises
    ------
    NotInTree
        If there is no column `tier`, or a statistic or signal is missing.
    ValueError
        If options contradict each other.
    """
    for what, names in (("inputs", inputs), ("targets", targets)):
        if isinstance(names, str) or len(names) != 1:
            msg = f"{what}: expected a list of one variable, found {names!r}"
            raise ValueError(msg)
    signal_options = {
        "behavior": (include_behavior, behavior),
        "pupil_center": (include_eye_position, pupil_center),
    }
    as_channels = ["behavior"] * (include_behavior and add_behavior_as_channels)
    as_channels += ["pupil_center"] * bool(add_eye_pos_as_channels)
    excluded = _fields(() if exclude is None else exclude)
    yes_or_no(
        include_behavior=include_behavior,
        include_eye_position=include_eye_position or False,
        add_behavior_as_channels=add_behavior_as_channels,
        add_eye_pos_as_channels=add_eye_pos_as_channels or False,
    )
    _check_windows(frames, offset, max_frame)
    by_side: dict[str, dict[str, Any]] = {}
    for key, area in gathering.areas(tree, [*inputs, *targets]):
        groups = {"images": list(inputs), "responses": list(targets)}
        groups |= {
            field: gathering.names(variables) or _signals(area, field)
            for field, (is_included, variables) in signal_options.items()
            if is_included or variables
        }
        trials = TrialSamples(area, [n for group in groups.values() for n in group], cache=cache)
        scales = _scales(area, groups, excluded, normalize, cache)
        parts = (trials, groups, scales, as_channels, scale)
        movies = schema.TIME in gathering.find(area, inputs[0]).dims
        if not movies and (frames, offset, max_frame) != (None, -1, None):
            msg = (
                f"{gathering.location(area)}: frames, offset and max_frame are for movies, not for "
                "images; leave them out"
            )
            raise ValueError(msg)
        data = MoviePoints(*parts, frames=frames, most=max_frame) if movies else Points(*parts)
        for tier, rows in splits.by_tier(gathering.column(area, "tier")).items():
            batches = _batches(data, rows, offset, batch_size, tier == "train", seed)
            by_side.setdefault(tier, {})[key] = Loader(data, batches, **loading)
    order = [*dict.fromkeys([*splits.NAMES, *by_side])]
    return {tier: by_side[tier] for tier in order if tier in by_side}


def _check_windows(frames: int | None, offset: int, max_frame: int | None) -> None:
    """Check the options of windows of movies."""
    for name, value in (("frames", frames), ("max_frame", max_frame)):
        if value is not None:
            whole_number(value, name, 1)
    if whole_number(offset, "offset", -1) >= 0 and frames is None:
        msg = f"offset={offset} is the first frame of windows: say how long they are, frames="
        raise ValueError(msg)


def _batches(
    data: Points, rows: np.ndarray, offset: int, batch_size: int, train: bool, seed: int
) -> BatchesOf:
    """Make the sampler of a tier; for movies, it also chooses the first frames of windows."""
    if not isinstance(data, MoviePoints) or data.frames is None:
        return BatchesOf(rows, batch_size, shuffle=train, seed=seed)
    room = data.lengths(rows) - data.frames
    if (room < max(offset, 0)).any():
        shortest = int(room.min()) + data.frames
        msg = f"{data.trials.location}: frames={data.frames} from frame {max(offset, 0)}, but a movie has {shortest}"
        raise ValueError(msg)
    if train and offset < 0:
        return WindowsOf(rows, room, len(data), batch_size, shuffle=True, seed=seed)
    numbers = rows + len(data) * max(offset, 0)
    return BatchesOf(numbers, batch_size, shuffle=train, seed=seed)


def _fields(exclude: str | Sequence[str]) -> set[str]:
    """Return the fields that are not normalised, after checking that they exist."""
    check(exclude, str | Sequence, "exclude: expected fields", ValueError)
    excluded = {exclude} if isinstance(exclude, str) else set(exclude)
    if unknown := sorted(excluded - set(PupilPoint._fields)):
        raise NotInTree("field", unknown[0], PupilPoint._fields, where="exclude")
    return excluded


def _signals(area: xr.DataTree, field: str) -> list[str]:
    """Return the variables of a field of signals that an area has."""
    known = []
    for name in SIGNALS[field]:
        try:
            gathering.find(area, name)
        except NotInTree:
            continue
        known.append(name)
    if not known:
        hint = f"say which variables it has, {field}=[...]"
        raise NotInTree("signal of", field, [], hint, gathering.location(area))
    return known


def _scales(
    area: xr.DataTree,
    groups: Mapping[str, list[str]],
    excluded: set[str],
    normalize: bool | str,
    cache: bool | str,
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return, for each field, the mean to subtract and the factor to multiply by after that, float32.

    Constant values are divided by 0, as neuralpredictors does.
    """
    groups = {field: names for field, names in groups.items() if field not in excluded}
    if not normalize or not groups:
        return {}
    statistics = _statistics(area, groups, normalize, cache)
    scales = {}
    for field, names in groups.items():
        deviations = statistics.std if field == "responses" else statistics.raw
        if field in SIGNALS:
            mean = np.stack([np.squeeze(statistics.mean[name]) for name in names])
            std = np.stack([np.squeeze(deviations[name]) for name in names])
        else:
            mean, std = statistics.mean[names[0]], deviations[names[0]]
        if field == "behavior":
            mean = np.zeros_like(mean)
        with np.errstate(divide="ignore"):
            scales[field] = (mean.astype(np.float32), (1 / std).astype(np.float32))
    return scales


def _statistics(
    area: xr.DataTree, groups: Mapping[str, list[str]], normalize: bool | str, cache: bool | str
) -> Scaling:
    """Return the statistics to normalise by: the stored ones, or those of the train tier."""
    if normalize is True:
        if schema.STATISTICS not in area.children:
            hint = 'normalize="train" computes those of the train tier, normalize=False uses none'
            raise NotInTree(
                "node", schema.STATISTICS, area.children, hint, gathering.location(area)
            )
        return Scaling.stored(area, [name for names in groups.values() for name in names])
    if schema.TIME in gathering.find(area, groups[next(iter(groups))][0]).dims:
        msg = f"normalize={normalize!r} is for images: for movies expected True or False"
        raise ValueError(msg)
    if normalize != "train":
        msg = f'normalize={normalize!r}: expected True, "train" or False'
        raise ValueError(msg)
    tiers = splits.by_tier(gathering.column(area, "tier"))
    if "train" not in tiers:
        raise NotInTree("tier", "train", tiers, "to normalise by", gathering.location(area))
    statistics = Scaling({}, {}, "train tier, ddof=1; responses not centred")
    for field, names in groups.items():
        is_response = field == "responses"
        for name in names:
            # As a target the variable is NaN where it is withheld, so the fit leaves that out.
            trials = TrialSamples(area, (), [name], rows=tiers["train"], cache=cache)
            fit = Scaling.fit(trials, [name], per_unit=is_response, center=not is_response)
            deviation = fit.raw[name]
            least = 0.01 * np.nanmean(deviation) if is_response else 0.0
            statistics.mean[name], statistics.raw[name] = fit.mean[name], deviation
            statistics.std[name] = np.maximum(deviation, least)
    return statistics
