"""Average the results of a session or tree over the units of each area, for plots."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import xarray as xr

from neuroarrays import schema

_Answer = TypeVar("_Answer", xr.Dataset, xr.DataArray)


def are_labelled(answer: xr.Dataset | xr.DataArray) -> bool:
    """Whether the units of a result have the label `area`, so it is about a session or tree."""
    return schema.AREA in answer.coords and answer.coords[schema.AREA].dims == (schema.UNIT,)


def are_several(answer: xr.Dataset | xr.DataArray) -> bool:
    """Whether a result has units of several areas."""
    return are_labelled(answer) and np.unique(answer.coords[schema.AREA].values).size > 1


def mean_by_area(answer: _Answer) -> _Answer:
    """Compute means and standard errors over the units of each area.

    Parameters
    ----------
    answer : (..., unit_id, ...) Dataset with `mean`, or DataArray
        From `neuroarrays.psth` or `neuroarrays.tuning_curve`, with the label `area` along ``unit_id``.

    Returns
    -------
    (area, ...) Dataset or DataArray
        Means in the same unit. `sem` (ddof 1 over units, NaN for one unit) is a variable of a
        Dataset, or a coordinate of a DataArray. NaN does not count.
    """
    values = answer["mean"] if isinstance(answer, xr.Dataset) else answer
    bare = values.reset_coords(drop=True).drop_vars(schema.UNIT, errors="ignore")
    groups = bare.assign_coords({schema.AREA: answer[schema.AREA].variable}).groupby(schema.AREA)
    mean = groups.mean(schema.UNIT, keep_attrs=True)
    number = groups.count(schema.UNIT)
    sem = groups.std(schema.UNIT, ddof=1) / np.sqrt(number)
    mean, sem = (each.transpose(schema.AREA, ...) for each in (mean, sem))
    if isinstance(answer, xr.Dataset):
        return xr.Dataset({"mean": mean, "sem": sem})
    return mean.assign_coords(sem=sem.where(number > 1))
