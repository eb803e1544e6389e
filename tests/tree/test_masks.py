"""Bins that do not count for a unit: when it was not recorded, and when its probe cannot be trusted."""

import numpy as np
import xarray as xr

from neuroarrays.tree.masks import unit_validity
from neuroarrays.tree.stretches import Stretches

EDGES = np.array([[0.0, 1.0, 2.0, 3.0], [5.0, 6.0, 7.0, 8.0]])
EARLY = Stretches(np.array([[0.0, 2.0]]), False)
LATE = Stretches(np.array([[5.0, 8.0]]), False)
WHOLE = Stretches(np.array([[0.0, 8.0]]), True)
MASKS = {
    "": np.ones((2, 3), bool),
    "p": np.array([[1, 0, 0], [0, 0, 1]], bool),
    "q": np.array([[0, 0, 0], [0, 1, 0]], bool),
}
PROBES = {"probe": xr.Variable("unit_id", np.array(["p", "", "q", "p"], object))}
OBSERVED = (EARLY, EARLY, LATE, WHOLE)
#: (presentation, unit, bin)
VALID = [
    [[0, 1, 0], [1, 1, 0], [0, 0, 0], [0, 1, 1]],
    [[0, 0, 0], [0, 0, 0], [1, 0, 1], [1, 1, 0]],
]


def test_bins_count_in_what_was_recorded_and_can_be_trusted():
    mask = unit_validity(MASKS, OBSERVED, PROBES, EDGES, ("presentation_id", "time"))
    assert mask.dims == ("presentation_id", "unit_id", "time")
    assert mask.values.astype(int).tolist() == VALID
    assert mask[1, 2:0:-1].values.astype(int).tolist() == [VALID[1][2], VALID[1][1]]
    clock = {name: rows[0] for name, rows in MASKS.items()}
    mask = unit_validity(clock, OBSERVED, PROBES, EDGES[0], ("time",))
    assert mask.dims == ("time", "unit_id")
    assert mask.T.values.astype(int).tolist() == VALID[0]


def test_of_probes_alone_and_of_what_was_recorded_alone():
    mask = unit_validity(MASKS, (), PROBES, EDGES, ("presentation_id", "time"))
    assert (~mask.values[:, 0] == MASKS["p"]).all()
    assert mask.values[:, 1].all()
    mask = unit_validity({}, OBSERVED[:3], {}, EDGES[0], ("time",))
    assert mask.values.astype(int).T.tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 0]]


def test_no_mask_where_all_bins_of_all_units_count():
    everywhere = {"": MASKS["p"], "another probe": MASKS["p"]}
    assert unit_validity(everywhere, (WHOLE,) * 4, PROBES, EDGES[0], ("time",)) is None
