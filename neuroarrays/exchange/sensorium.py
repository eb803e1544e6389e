"""Files that are handed in to the SENSORIUM competition, written and read back.

One csv file for each of the two test tiers, a row per presentation: the lists in it are as Python
prints them, which is also JSON. Predictions are of the responses divided by each neuron's stored
deviation, as `na.torch.Normalize.stored` and ``compat="neuralpredictors"`` deliver them.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from neuroarrays import schema
from neuroarrays.batches.labels import presentation_labels, unit_labels
from neuroarrays.errors import FormatError, MissingPath, NotInTree, SchemaError, shorten
from neuroarrays.files.writing import written
from neuroarrays.schema import given

__all__ = ["read_submission", "write_submission"]


def __dir__() -> list[str]:
    return sorted(__all__)


#: The tiers that are handed in, and what their files are called after.
TIERS = {"test": "live_test", "final_test": "final_test"}
COLUMNS = ["trial_indices", "image_ids", "prediction", "neuron_ids"]


def write_submission(
    area: xr.DataTree,
    predictions: xr.DataArray | Mapping[str, Any],
    folder: str | os.PathLike[str],
    *,
    overwrite: bool = False,
) -> dict[str, Path]:
    """Write the files that are handed in for a session of images (SENSORIUM 2022).

    Parameters
    ----------
    area : xr.DataTree
        The area of the session, with `tier`, `trial_idx` and `image_id` of its presentations.
    predictions : (presentation_id, unit_id) xr.DataArray, or mapping
        With these labels, of the two test tiers or more; or, by tier ("test", "final_test"),
        ``(presentation of the tier, unit)`` in the order of the tree, which is that of its loaders.
        Responses over their stored deviation. Other tiers are not written.
    folder : str or path
        Where the files go; it is there.
    overwrite : bool
        Replace files that are there.

    Returns
    -------
    dict of str to Path
        By tier: ``submission_file_live_test.csv`` of "test", ``submission_file_final_test.csv``.

    Raises
    ------
    SchemaError
        If there is no test tier, or predictions are not of each presentation and unit, once and
        finite.
    NotInTree
        If labels are missing.

    Examples
    --------
    >>> import neuroarrays as na
    >>> from neuroarrays.synthetic.sensorium import StaticOptions, write_static
    >>> truth = write_static("static1-2-3", StaticOptions(units=4, competition=True))
    >>> area = na.open_datatree("static1-2-3")["1-2-3/V1"]
    >>> files = na.sensorium.write_submission(area, area["responses"], ".")
    >>> {tier: file.name for tier, file in files.items()}
    {'test': 'submission_file_live_test.csv', 'final_test': 'submission_file_final_test.csv'}
    """
    _check_area(area)
    rows = _rows(area)
    if not rows:
        tiers = shorten(sorted(set(presentation_labels(area)["tiers"].tolist())))
        msg = f"{area.path}: no presentation of test or final_test, the tiers that are handed in; there are {tiers}"
        raise SchemaError(msg)
    values = {tier: _predicted(area, predictions, tier, which) for tier, which in rows.items()}
    trials, units = presentation_labels(area), unit_labels(area)["unit_ids"].tolist()
    paths = {}
    for tier, which in rows.items():
        columns = (trials["trial_idx"][which], trials["image_id"][which], values[tier])
        path = Path(folder) / f"submission_file_{TIERS[tier]}.csv"
        with written(path, overwrite=overwrite) as new, open(new, "x", newline="") as file:
            lines = csv.writer(file, lineterminator="\n")
            lines.writerow(COLUMNS)
            for trial, image, row in zip(*(column.tolist() for column in columns), strict=True):
                lines.writerow([trial, image, row, units])
        paths[tier] = path
    return paths


def read_submission(area: xr.DataTree, path: str | os.PathLike[str]) -> xr.DataArray:
    """Read a file to be handed in, whoever wrote it, and check it against its session.

    Parameters
    ----------
    area : xr.DataTree
        The area of the session that it is of.
    path : str or path
        The csv file, of either test tier.

    Returns
    -------
    (presentation_id, unit_id) float64 xr.DataArray
        The predictions with the labels of the tree and in its order, as `na.scoring` takes them.
        Responses over their stored deviation.

    Raises
    ------
    MissingPath
        If there is no such file.
    FormatError
        Where it does not have each presentation of one tier and each unit, once and finite.

    Examples
    --------
    >>> import neuroarrays as na
    >>> from neuroarrays.synthetic.sensorium import StaticOptions, write_static
    >>> truth = write_static("static1-2-3", StaticOptions(units=4, competition=True))
    >>> area = na.open_datatree("static1-2-3")["1-2-3/V1"]
    >>> files = na.sensorium.write_submission(area, area["responses"], ".")
    >>> dict(na.sensorium.read_submission(area, files["test"]).sizes)
    {'presentation_id': 20, 'unit_id': 4}
    """
    _check_area(area)
    lines = _lines(path)
    trials, units = presentation_labels(area), unit_labels(area)["unit_ids"]
    place = {str(trial): row for row, trial in enumerate(trials["trial_idx"].tolist())}
    tiers, images = trials["tiers"], trials["image_id"]
    found: dict[int, np.ndarray] = {}
    for number, line in enumerate(lines, 2):
        where = f"line {number}"
        row = place.get(line["trial_indices"])
        if row is None or tiers[row] not in TIERS:
            told = "a trial of a test tier of this session"
            raise FormatError(path, where, told, line["trial_indices"])
        if row in found:
            raise FormatError(path, where, "each trial once", f"{line['trial_indices']} again")
        if line["image_ids"] != str(images[row]):
            raise FormatError(path, where, f"image {images[row]}", line["image_ids"])
        ids = _numbers(path, f"{where}, neuron_ids", line["neuron_ids"], units.size)
        order = np.argsort(ids, kind="stable")
        if not np.array_equal(ids[order], np.sort(units)):
            odd = sorted(set(ids.tolist()) ^ set(units.tolist()))
            told = f"others, such as {shorten([f'{i:g}' for i in odd])}" if odd else "some twice"
            raise FormatError(path, f"{where}, neuron_ids", "each unit of the session once", told)
        values = _numbers(path, f"{where}, prediction", line["prediction"], units.size)
        found[row] = values[order][np.argsort(np.argsort(units, kind="stable"), kind="stable")]
    rows = np.array(sorted(found), np.int64)
    _check_tier(path, tiers, rows)
    labels = {
        schema.PRESENTATION: area.coords[schema.PRESENTATION].values[rows],
        schema.UNIT: area.coords[schema.UNIT].values,
    }
    return xr.DataArray(
        np.stack([found[row] for row in rows.tolist()]),
        labels,
        (schema.PRESENTATION, schema.UNIT),
        "prediction",
        {"long_name": "predicted response over its stored deviation"},
    )


def _check_area(area: Any) -> None:
    """Refuse what is no area along presentations, such as the whole tree."""
    if not isinstance(area, xr.DataTree) or not {schema.PRESENTATION, schema.UNIT} <= set(
        area.dims
    ):
        msg = f"expected the area of a session of images, found {given.described(area)}"
        raise SchemaError(f"{msg}; {given.instead(area, 'trials')}")


def _rows(area: xr.DataTree) -> dict[str, np.ndarray]:
    """Positions of the presentations of each test tier that there is."""
    tiers = presentation_labels(area)["tiers"]
    rows = {tier: np.flatnonzero(tiers == tier) for tier in TIERS}
    return {tier: which for tier, which in rows.items() if which.size}


def _predicted(area: xr.DataTree, predictions: Any, tier: str, rows: np.ndarray) -> np.ndarray:
    """`(presentation, unit)` what is predicted of a tier, in the order of the tree."""
    dims = (schema.PRESENTATION, schema.UNIT)
    if isinstance(predictions, Mapping):
        if tier not in predictions:
            raise NotInTree("tier", tier, predictions, where="predictions")
        try:
            values = np.asarray(predictions[tier])
        except (ValueError, RuntimeError, TypeError) as error:  # ragged; a tensor with a gradient
            msg = f"predictions of {tier!r}: expected an array of numbers; {error}"
            raise SchemaError(msg) from error
    elif isinstance(predictions, xr.DataArray) and set(predictions.dims) == set(dims):
        wanted = (area.coords[dims[0]].values[rows], area.coords[dims[1]].values)
        labelled = predictions.transpose(*dims)
        for dim, labels in zip(dims, wanted, strict=True):
            if dim not in predictions.coords:
                msg = f"predictions have no labels along {dim}: assign those of the area, or give arrays by tier"
                raise SchemaError(msg)
            known = predictions.get_index(dim)
            if not known.is_unique:
                msg = f"predictions have {dim} {shorten(known[known.duplicated()].tolist())} twice"
                raise SchemaError(msg)
            places = known.get_indexer(labels)
            if (places < 0).any():
                missing = shorten(labels[places < 0].tolist())
                msg = f"predictions lack {dim} {missing} of {area.path}, tier {tier!r}"
                raise SchemaError(msg)
            labelled = labelled.isel({dim: places})
        values = labelled.values
    else:
        msg = f"predictions: expected a DataArray along {dims}, or arrays by tier"
        raise SchemaError(msg)
    expected = (rows.size, area.sizes[schema.UNIT])
    if values.shape != expected or values.dtype.kind not in "iuf":
        msg = f"predictions of {tier!r}: expected {expected} numbers, found {values.dtype} {values.shape}"
        raise SchemaError(msg)
    if not np.isfinite(values).all():
        msg = f"predictions of {tier!r}: {(~np.isfinite(values)).sum():,} are NaN or infinite"
        raise SchemaError(msg)
    return values


def _lines(path: str | os.PathLike[str]) -> list[dict[str, str]]:
    """The rows of a csv file with the columns that are handed in."""
    if not Path(path).is_file():
        what = (
            "it is a folder: give the csv file" if Path(path).is_dir() else "there is no such file"
        )
        msg = f"{os.fspath(path)}: {what}"
        raise MissingPath(msg)
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except ValueError as error:  # of pandas, and of text that is none
        raise FormatError(path, "", "a csv file", str(error).strip()) from error
    if sorted(table.columns) != sorted(COLUMNS):
        raise FormatError(path, "line 1", f"columns {', '.join(COLUMNS)}", shorten(table.columns))
    return [{str(k): v for k, v in row.items()} for row in table.to_dict("records")]


def _numbers(path: Any, where: str, text: str | None, size: int) -> np.ndarray:
    """`(size,)` float64: the numbers of a list as it is printed."""
    expected = f"a list of {size} finite numbers"
    try:
        values = np.array(json.loads(text or ""), np.float64)
    except (ValueError, TypeError, RecursionError) as error:
        raise FormatError(path, where, expected, f"{text!r:.60}") from error
    if values.shape != (size,) or not np.isfinite(values).all():
        what = f"{values.shape}" if values.shape != (size,) else "NaN or infinity"
        raise FormatError(path, where, expected, what)
    return values


def _check_tier(path: Any, tiers: np.ndarray, rows: np.ndarray) -> None:
    """Refuse rows that are not the whole of one tier."""
    present = sorted(set(tiers[rows].tolist()))
    if len(present) != 1:
        raise FormatError(
            path, "", f"one of the tiers {shorten(TIERS)}", shorten(present) or "none"
        )
    wanted = int((tiers == present[0]).sum())
    if rows.size != wanted:
        raise FormatError(path, "", f"the {wanted:,} trials of {present[0]}", f"{rows.size:,}")
