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
from neuroarrays.batches import gathering
from neuroarrays.batches.aligned import TrialSamples
from neuroarrays.batches.base import Gathered
from neuroarrays.batches.samplers import Batches
from neuroarrays.batches.scaling import Scaling, scale
from neuroarrays.batches.splits import by_tier
from neuroarrays.errors import NotInTree
from neuroarrays.torch.loading import Loader

ImagePoint = namedtuple("ImagePoint", ["images", "responses"])
BehaviorPoint = namedtuple("BehaviorPoint", ["images", "responses", "behavior"])
PupilPoint = namedtuple("PupilPoint", ["images", "responses", "behavior", "pupil_center"])
POINTS: dict[int, Any] = {2: ImagePoint, 3: BehaviorPoint, 4: PupilPoint}


def neuralpredictors(  # noqa: PLR0913  its own options
    tree: xr.DataTree,
    inputs: Sequence[str] = ("stimulus",),
    targets: Sequence[str] = ("responses",),
    *,
    behavior: Sequence[str] = (),
    pupil_center: Sequence[str] = (),
    batch_size: int = 64,
    seed: int = 0,
    normalize: bool | str = True,
    cache: bool | str = "auto",
    **loading: Any,
) -> dict[str, dict[str, Any]]:
    """`static_loaders` with `NeuroNormalizer` and `ToTensor` on a tree.

    Parameters
    ----------
    tree : xr.DataTree
        Areas along presentations, with a column `tier`.
    inputs, targets : sequence of one str
        The images ``(presentation_id, channel, y, x)`` and the responses
        ``(presentation_id, unit_id)``.
    behavior, pupil_center : sequence of str
        Variables ``(presentation_id,)`` of the fields `behavior` and `pupil_center`.
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
        By tier and session. What a competition withheld is zero, as there.

    Raises
    ------
    NotInTree
        If there is no column `tier`, or a statistic is missing.
    """
    groups = {
        "images": list(inputs),
        "responses": list(targets),
        "behavior": list(behavior),
        "pupil_center": list(pupil_center),
    }
    if groups["pupil_center"] and not groups["behavior"]:
        msg = "pupil_center= needs behavior=: the field comes after it"
        raise ValueError(msg)
    names = [name for group in groups.values() for name in group]
    by_side: dict[str, dict[str, Any]] = {}
    for key, area in gathering.areas(tree, names):
        scales = (
            _neuro_normalizer(groups, _statistics(area, groups, normalize, cache))
            if normalize
            else {}
        )
        for tier, rows in by_tier(gathering.column(area, "tier")).items():
            data = _Points(TrialSamples(area, names, rows=rows, cache=cache), groups, scales)
            batches = Batches(len(data), batch_size, shuffle=tier == "train", seed=seed)
            by_side.setdefault(tier, {})[key] = Loader(data, batches, **loading)
    return by_side


class _Points(Dataset[Any]):
    """Presentations as that library's namedtuples of tensors."""

    def __init__(
        self,
        trials: TrialSamples,
        groups: Mapping[str, list[str]],
        scales: Mapping[str, tuple[np.ndarray, np.ndarray]],
    ):
        self.trials, self.scales = trials, dict(scales)
        self.groups = {name: group for name, group in groups.items() if group}

    def load(self) -> None:
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
        values = []
        for name, group in self.groups.items():
            one_variable = name in ImagePoint._fields
            value = arrays[group[0]] if one_variable else np.stack([arrays[n] for n in group], 1)
            if name in self.scales:
                scale(value, *self.scales[name])
            values.append(torch.from_numpy(value))
        return POINTS[len(values)](*values)


def _neuro_normalizer(
    groups: Mapping[str, list[str]], by: Scaling
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """What is subtracted from each field, and what it is multiplied by then: float32.

    What is constant is divided by 0, as there.
    """
    scales = {}
    for field, names in groups.items():
        if not names:
            continue
        deviations = by.std if field == "responses" else by.raw
        mean, std = (
            np.stack([np.squeeze(table[name]) for name in names])
            if field in ("behavior", "pupil_center")
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
    tiers = by_tier(gathering.column(area, "tier"))
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
