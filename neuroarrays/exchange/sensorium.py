"""Write and read the files that are submitted to the SENSORIUM 2022 competition.

There is one csv file for each of the two test tiers, with a row for each presentation. Its lists are
written as Python prints them, which is also JSON. Predictions are of responses divided by the stored
standard deviation of each neuron, as `na.torch.Normalize.stored` and ``compat="neuralpredictors"``
give them.
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


#: Tier that is submitted -> the end of the name of its file.
TIERS = {"test": "live_test", "final_test": "final_test"}
COLUMNS = ["trial_indices", "image_ids", "prediction", "neuron_ids"]


def write_submission(
    area: xr.DataTree,
    predictions: xr.DataArray | Mapping[str, Any],
    folder: str | os.PathLike[str],
    *,
    overwrite: bool = False,
) -> dict[str, Path]:
    """Write the files that are submitted for a session of images (SENSORIUM 2022).

    Parameters
    ----------
    area : xr.DataTree
        The area of the session, with `tier`, `trial_idx` and `image_id` of its presentations.
    predictions : (presentation_id, unit_id) xr.DataArray, or mapping
        Predicted responses, divided by the stored standard deviation of each neuron (no unit).
        Either a labelled array with at least the two test tiers, or arrays ``(presentation of the
        tier, unit)`` by tier ("test", "final_test"), in the order of the tree and its loaders.
        Other tiers are not written.
    folder : str or path
        An existing folder.
    overwrite : bool
        Replace existing files.

    Returns
    -------
    dict of str to Path
        The files by tier: ``submission_file_live_test.csv`` for "test",
        ``submission_file_final_test.csv`` for "final_test".

    Raises
    ------
    SchemaError
        If there is no test tier, or `predictions` do not have one finite value for each
        presentation and unit.
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
        msg = (
            f"{area.path}: no presentation of test or final_test, the tiers that are submitted; "
            f"there are {tiers}"
        )
        raise SchemaError(msg)
    values = {tier: _predicted(area, predictions, tier, in_tier) for tier, in_tier in rows.items()}
    trials, units = presentation_labels(area), unit_labels(area)["unit_ids"].tolist()
    paths = {}
    for tier, in_tier in rows.items():
        columns = (trials["trial_idx"][in_tier], trials["image_id"][in_tier], values[tier])
        path = Path(folder) / f"submission_file_{TIERS[tier]}.csv"
        with written(path, overwrite=overwrite) as new, open(new, "x", newline="") as file:
            lines = csv.writer(file, lineterminator="\n")
            lines.writerow(COLUMNS)
            for trial, image, row in zip(*(column.tolist() for column in columns), strict=True):
                lines.writerow([trial, image, row, units])
        paths[tier] = path
    return paths


def read_submission(area: xr.DataTree, path: str | os.PathLike[str]) -> xr.DataArray:
    """Read a file of a submission, from any program, and check it against its session.

    Parameters
    ----------
    area : xr.DataTree
        The area of the session of the file.
    path : str or path
        The csv file of one of the test tiers.

    Returns
    -------
    (presentation_id, unit_id) float64 xr.DataArray
        The predicted responses, divided by the stored standard deviation of each neuron (no unit),
        with the labels and in the order of the tree, as `na.scoring` takes them.

    Raises
    ------
    MissingPath
        If there is no such file.
    FormatError
        If it does not have one finite value for each presentation of one tier and each unit.

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
    row_of = {str(trial): row for row, trial in enumerate(trials["trial_idx"].tolist())}
    tiers, images = trials["tiers"], trials["image_id"]
    predictions: dict[int, np.ndarray] = {}
    for number, line in enumerate(lines, 2):
        where = f"line {number}"
        row = row_of.get(line["trial_indices"])
        if row is None or tiers[row] not in TIERS:
            expected = "a trial of a test tier of this session"
            raise FormatError(path, where, expected, line["trial_indices"])
        if row in predictions:
            raise FormatError(path, where, "each trial once", f"{line['trial_indices']} again")
        if line["image_ids"] != str(images[row]):
            raise FormatError(path, where, f"image {images[row]}", line["image_ids"])
        ids = _numbers(path, f"{where}, neuron_ids", line["neuron_ids"], units.size)
        order = np.argsort(ids, kind="stable")
        if not np.array_equal(ids[order], np.sort(units)):
            others = sorted(set(ids.tolist()) ^ set(units.tolist()))
            found = "some twice"
            if others:
                found = f"others, such as {shorten([f'{unit:g}' for unit in others])}"
            raise FormatError(path, f"{where}, neuron_ids", "each unit of the session once", found)
        values = _numbers(path, f"{where}, prediction", line["prediction"], units.size)
        ranks = np.argsort(np.argsort(units, kind="stable"), kind="stable")
        predictions[row] = values[order][ranks]
    rows = np.array(sorted(predictions), np.int64)
    _check_tier(path, tiers, rows)
    labels = {
        schema.PRESENTATION: area.coords[schema.PRESENTATION].values[rows],
        schema.UNIT: area.coords[schema.UNIT].values,
    }
    return xr.DataArray(
        np.stack([predictions[row] for row in rows.tolist()]),
        labels,
        (schema.PRESENTATION, schema.UNIT),
        "prediction",
        {"long_name": "predicted response divided by its stored standard deviation"},
    )


def _check_area(area: Any) -> None:
    """Refuse anything but an area with presentations and units, such as a whole tree."""
    if not isinstance(area, xr.DataTree) or not {schema.PRESENTATION, schema.UNIT} <= set(
        area.dims
    ):
        msg = f"expected the area of a session of images, found {given.described(area)}"
        raise SchemaError(f"{msg}; {given.instead(area, 'trials')}")


def _rows(area: xr.DataTree) -> dict[str, np.ndarray]:
    """The positions of the presentations of each test tier that the area has."""
    tiers = presentation_labels(area)["tiers"]
    rows = {tier: np.flatnonzero(tiers == tier) for tier in TIERS}
    return {tier: in_tier for tier, in_tier in rows.items() if in_tier.size}


def _predicted(area: xr.DataTree, predictions: Any, tier: str, rows: np.ndarray) -> np.ndarray:
    """The predictions of a tier, (presentation, unit), in the order of the tree."""
    dims = (schema.PRESENTATION, schema.UNIT)
    if isinstance(predictions, Mapping):
        if tier not in predictions:
            raise NotInTree("tier", tier, predictions, where="predictions")
        try:
            values = np.asarray(predictions[tier])
        except (ValueError, RuntimeError, TypeError) as error:
            # The array is ragged, or a tensor that requires a gradient.
            msg = f"predictions of {tier!r}: expected an array of numbers; {error}"
            raise SchemaError(msg) from error
    elif isinstance(predictions, xr.DataArray) and set(predictions.dims) == set(dims):
        wanted = (area.coords[dims[0]].values[rows], area.coords[dims[1]].values)
        labelled = predictions.transpose(*dims)
        for dim, labels in zip(dims, wanted, strict=True):
            if dim not in predictions.coords:
                msg = (
                    f"predictions have no labels along {dim}: assign those of the area, or give "
                    "arrays by tier"
                )
                raise SchemaError(msg)
            known = predictions.get_index(dim)
            if not known.is_unique:
                msg = f"predictions have {dim} {shorten(known[known.duplicated()].tolist())} twice"
                raise SchemaError(msg)
            positions = known.get_indexer(labels)
            if (positions < 0).any():
                missing = shorten(labels[positions < 0].tolist())
                msg = f"predictions lack {dim} {missing} of {area.path}, tier {tier!r}"
                raise SchemaError(msg)
            labelled = labelled.isel({dim: positions})
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
    """The rows of the csv file of a submission."""
    if not Path(path).is_file():
        what = (
            "it is a folder: give the csv file" if Path(path).is_dir() else "there is no such file"
        )
        msg = f"{os.fspath(path)}: {what}"
        raise MissingPath(msg)
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except ValueError as error:  # pandas cannot parse it, or it is not text
        raise FormatError(path, "", "a csv file", str(error).strip()) from error
    if sorted(table.columns) != sorted(COLUMNS):
        raise FormatError(path, "line 1", f"columns {', '.join(COLUMNS)}", shorten(table.columns))
    return [{str(k): v for k, v in row.items()} for row in table.to_dict("records")]


def _numbers(path: Any, where: str, text: str | None, size: int) -> np.ndarray:
    """The numbers of a printed list, (size,) float64."""
    expected = f"a list of {size} finite numbers"
    try:
        values = np.array(json.loads(text or ""), np.float64)
    except (ValueError, TypeError, RecursionError) as error:
        raise FormatError(path, where, expected, f"{text!r:.60}") from error
    if values.shape != (size,) or not np.isfinite(values).all():
        found = f"{values.shape}" if values.shape != (size,) else "NaN or infinity"
        raise FormatError(path, where, expected, found)
    return values


def _check_tier(path: Any, tiers: np.ndarray, rows: np.ndarray) -> None:
    """Refuse rows that are not all presentations of one tier."""
    present = sorted(set(tiers[rows].tolist()))
    if len(present) != 1:
        raise FormatError(
            path, "", f"one of the tiers {shorten(TIERS)}", shorten(present) or "none"
        )
    n_trials = int((tiers == present[0]).sum())
    if rows.size != n_trials:
        raise FormatError(path, "", f"the {n_trials:,} trials of {present[0]}", f"{rows.size:,}")
