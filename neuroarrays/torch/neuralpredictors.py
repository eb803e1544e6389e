"""Loaders that deliver what neuralpredictors' loaders do; see `neuroarrays.torch.dropin`."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch.utils.data import Dataset

from neuroarrays import schema
from neuroarrays.batches import gathering, splits
from neuroarrays.batches.aligned import TrialSamples
from neuroarrays.batches.base import Gathered
from neuroarrays.batches.samplers import Batches
from neuroarrays.batches.scaling import Scaling, scale
from neuroarrays.errors import NotInTree
from neuroarrays.kernels.resize import shrink
from neuroarrays.torch.loading import Loader

ImagePoint = namedtuple("ImagePoint", ["images", "responses"])
BehaviorPoint = namedtuple("BehaviorPoint", ["images", "responses", "behavior"])
CenterPoint = namedtuple("CenterPoint", ["images", "responses", "pupil_center"])
PupilPoint = namedtuple("PupilPoint", ["images", "responses", "behavior", "pupil_center"])
#: That library's batches by their fields. Here, so that batches can go to and from workers.
POINTS: dict[tuple[str, ...], Any] = {
    point._fields: point for point in (ImagePoint, BehaviorPoint, CenterPoint, PupilPoint)
}
#: Variables of the tree in the two fields of signals, in the order of the files.
SIGNALS = {
    "behavior": ("pupil/dilation", "pupil/dilation_derivative", "speed"),
    "pupil_center": ("pupil/x", "pupil/y"),
}


def neuralpredictors(  # noqa: PLR0913  its own options
    tree: xr.DataTree,
    inputs: Sequence[str] = ("stimulus",),
    targets: Sequence[str] = ("responses",),
    *,
    include_behavior: bool = False,
    include_eye_position: bool = False,
    behavior: Sequence[str] = (),
    pupil_center: Sequence[str] = (),
    add_behavior_as_channels: bool = True,
    add_eye_pos_as_channels: bool = False,
    scale: float | None = None,
    exclude: str | Sequence[str] = (),
    batch_size: int = 64,
    seed: int = 0,
    normalize: bool | str = True,
    cache: bool | str = "auto",
    **loading: Any,
) -> dict[str, dict[str, Any]]:
    """`static_loaders` of neuralpredictors and sensorium on a tree.

    Parameters
    ----------
    tree : xr.DataTree
        Areas along presentations, with a column `tier`.
    inputs, targets : sequence of one str
        The images ``(presentation_id, channel, y, x)`` and the responses
        ``(presentation_id, unit_id)``.
    include_behavior, include_eye_position : bool
        Whether samples have the fields `behavior` and `pupil_center`: dilation of the pupil, its
        derivative and speed; horizontal and vertical place of the pupil.
    behavior, pupil_center : sequence of str
        Other variables ``(presentation_id,)`` for these fields, which samples then have.
    add_behavior_as_channels : bool
        With `include_behavior`, each of its values is a channel of the images as well.
    add_eye_pos_as_channels : bool
        Each value of `pupil_center` is a channel of the images as well, the last ones.
    scale : float, optional
        Size of the images that are delivered over that of those stored, at most 1: 0.25 makes
        36 x 64 pixels of 144 x 256. Interpolated linearly, without antialiasing, as there.
    exclude : str or sequence of str
        Fields that are not normalised.
    batch_size : int
        Presentations per batch; a last smaller one is delivered.
    seed : int
        Of the order of training presentations, which that library takes from torch.
    normalize : {True, "train", False}
        True: by the statistics that are stored beside the data, as that library does. "train":
        by those of the train tier (ddof=1, without what is withheld), where none are stored.
    cache : {"auto", True, False}
        As for `TrialDataset`.
    **loading
        For `torch.utils.data.DataLoader`.

    Returns
    -------
    dict of dict of Loader
        By tier and session. What a competition withheld is zero, as there. ``loader.dataset`` has
        the presentations of all tiers, and `neurons`, `trial_info`, `tiers`, as there.

    Raises
    ------
    NotInTree
        If there is no column `tier`, or a statistic or signal is missing.
    ValueError
        If options do not fit each other.
    """
    for what, names in (("inputs", inputs), ("targets", targets)):
        if isinstance(names, str) or len(names) != 1:
            msg = f"{what}: expected a list of one variable, found {names!r}"
            raise ValueError(msg)
    asked = {
        "behavior": (include_behavior, behavior),
        "pupil_center": (include_eye_position, pupil_center),
    }
    as_channels = ["behavior"] * (include_behavior and add_behavior_as_channels)
    as_channels += ["pupil_center"] * add_eye_pos_as_channels
    excluded = _fields(exclude)
    by_side: dict[str, dict[str, Any]] = {}
    for key, area in gathering.areas(tree, [*inputs, *targets]):
        groups = {"images": list(inputs), "responses": list(targets)}
        groups |= {
            field: gathering.names(given) or _signals(area, field)
            for field, (included, given) in asked.items()
            if included or given
        }
        trials = TrialSamples(area, [n for group in groups.values() for n in group], cache=cache)
        scales = _scales(area, groups, excluded, normalize, cache)
        data = Points(trials, groups, scales, as_channels, scale)
        for tier, rows in splits.by_tier(gathering.column(area, "tier")).items():
            batches = BatchesOf(rows, batch_size, shuffle=tier == "train", seed=seed)
            by_side.setdefault(tier, {})[key] = Loader(data, batches, **loading)
    order = [*dict.fromkeys([*splits.NAMES, *by_side])]
    return {tier: by_side[tier] for tier in order if tier in by_side}


def _fields(exclude: str | Sequence[str]) -> set[str]:
    """The fields that are not normalised, checked."""
    excluded = {exclude} if isinstance(exclude, str) else set(exclude)
    if unknown := sorted(excluded - set(PupilPoint._fields)):
        raise NotInTree("field", unknown[0], PupilPoint._fields, where="exclude")
    return excluded


def _signals(area: xr.DataTree, field: str) -> list[str]:
    """The variables of a field that an area has."""
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


class BatchesOf(Batches):
    """Batches of some of a dataset's samples.

    Parameters
    ----------
    rows : (n,) int64
        Numbers of the samples.
    batch_size, **options
        Of `Batches`.
    """

    def __init__(self, rows: np.ndarray, batch_size: int, **options: Any):
        self.rows = rows
        super().__init__(rows.size, batch_size, **options)

    def batches(self, epoch: int) -> list[np.ndarray]:
        return [self.rows[batch] for batch in super().batches(epoch)]


class Points(Dataset[Any]):
    """Presentations of all tiers as that library's namedtuples of tensors.

    Parameters
    ----------
    trials : TrialSamples
        Of the variables in `groups`.
    groups : mapping of str to list of str
        Field -> its variables.
    scales : mapping of str to (array, array)
        Field -> what is subtracted, and what it is multiplied by then.
    as_channels : sequence of str
        Fields whose values become channels of the images.
    size : float, optional
        Of the images that are delivered over that of those stored.

    Attributes
    ----------
    neurons, trial_info : Labels
        Columns of (unit_id,) and of (presentation_id,): ``neurons.cell_motor_coordinates``.
    tiers : (presentation_id,) str
        The tier of each.
    data_keys : tuple of str
        The fields.
    """

    def __init__(
        self,
        trials: TrialSamples,
        groups: Mapping[str, list[str]],
        scales: Mapping[str, tuple[np.ndarray, np.ndarray]],
        as_channels: Sequence[str] = (),
        size: float | None = None,
    ):
        if missing := [field for field in as_channels if field not in groups]:
            option = {"behavior": "include_behavior", "pupil_center": "include_eye_position"}
            msg = f"{missing[0]} as channels needs the field: say {option[missing[0]]}=True"
            raise ValueError(msg)
        self.trials, self.groups, self.scales = trials, dict(groups), dict(scales)
        self.as_channels, self.size = list(as_channels), size
        self.data_keys = tuple(self.groups)
        self.neurons, self.trial_info = trials.neurons, trials.trial_info
        if size is not None:
            shrink(np.zeros(trials.fields[groups["images"][0]].shape[-2:], np.float32), size)

    @property
    def tiers(self) -> np.ndarray:
        """The tier of each presentation, (presentation_id,) str."""
        return self.trials.tiers

    @property
    def n_neurons(self) -> int:
        """Number of units."""
        return int(self.trials.fields[self.groups["responses"][0]].shape[-1])

    @property
    def img_shape(self) -> tuple[int, ...]:
        """Shape of a batch of one image, as it is delivered: (1, channel, y, x)."""
        return (1, *self[0].images.shape)

    def load(self) -> None:
        """Read now what is kept in memory."""
        self.trials.load()

    def __len__(self) -> int:
        return len(self.trials)

    def __getitem__(self, index: int) -> Any:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> Gathered:
        return Gathered(self.batch(indices), len(indices))

    def batch(self, indices: Sequence[int]) -> Any:
        """Presentations by number."""
        arrays = self.trials.batch(indices)
        values = {}
        for field, group in self.groups.items():
            one_variable = field in ImagePoint._fields
            value = arrays[group[0]] if one_variable else np.stack([arrays[n] for n in group], 1)
            if field in self.scales:
                scale(value, *self.scales[field])
            values[field] = value
        images = values["images"]
        if self.size is not None:
            images = shrink(images, self.size)
        if self.as_channels:  # constant planes: one value for all pixels
            planes = np.concatenate([values[field] for field in self.as_channels], axis=1)
            shape = (*planes.shape, *images.shape[2:])
            images = np.concatenate(
                [images, np.broadcast_to(planes[:, :, None, None], shape)], axis=1
            )
        values["images"] = images
        return POINTS[self.data_keys](*map(torch.from_numpy, values.values()))

    def __repr__(self) -> str:
        fields = ", ".join(self.data_keys)
        return f"<{type(self).__name__} of {self.trials.location}: {len(self):,} samples, {fields}>"


def _scales(
    area: xr.DataTree,
    groups: Mapping[str, list[str]],
    excluded: set[str],
    normalize: bool | str,
    cache: bool | str,
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """What is subtracted from each field, and what it is multiplied by then: float32.

    What is constant is divided by 0, as there.
    """
    groups = {field: names for field, names in groups.items() if field not in excluded}
    if not normalize or not groups:
        return {}
    by = _statistics(area, groups, normalize, cache)
    scales = {}
    for field, names in groups.items():
        deviations = by.std if field == "responses" else by.raw
        mean, std = (
            np.stack([np.squeeze(table[name]) for name in names])
            if field in SIGNALS
            else table[names[0]]
            for table in (by.mean, deviations)
        )
        if field == "behavior":
            mean = np.zeros_like(mean)
        with np.errstate(divide="ignore"):
            scales[field] = (mean.astype(np.float32), (1 / std).astype(np.float32))
    return scales


def _statistics(
    area: xr.DataTree, groups: Mapping[str, list[str]], normalize: bool | str, cache: bool | str
) -> Scaling:
    """The statistics to normalise by: those stored, or those of the train tier."""
    if normalize is True:
        if schema.STATISTICS not in area.children:
            hint = 'normalize="train" takes those of the train tier, normalize=False none'
            raise NotInTree(
                "node", schema.STATISTICS, area.children, hint, gathering.location(area)
            )
        return Scaling.stored(area, [name for names in groups.values() for name in names])
    if normalize != "train":
        msg = f'normalize={normalize!r}: expected True, "train" or False'
        raise ValueError(msg)
    tiers = splits.by_tier(gathering.column(area, "tier"))
    if "train" not in tiers:
        raise NotInTree("tier", "train", tiers, "to normalise by", gathering.location(area))
    by = Scaling({}, {}, "train tier, ddof=1; responses not centred")
    for field, names in groups.items():
        for name in names:
            known = TrialSamples(area, (), [name], rows=tiers["train"], cache=cache)
            responses = field == "responses"
            fit = Scaling.fit(known, [name], per_unit=responses, center=not responses)
            deviation = fit.raw[name]
            by.mean[name], by.raw[name] = fit.mean[name], deviation
            least = 0.01 * np.nanmean(deviation) if responses else 0.0
            by.std[name] = np.maximum(deviation, least)
    return by
