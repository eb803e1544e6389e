"""Mean and variance of parts put together, against numpy on all at once."""

import numpy as np
import pytest

from neuroarrays.signals.moments import Moments


@pytest.mark.parametrize("cuts", [[], [1], [1, 2, 3], [7, 7, 30]])
def test_parts_are_as_the_whole(cuts):
    values = np.random.default_rng(0).normal(50, 3, (40, 3))
    values[::5, 1] = values[:, 2] = np.nan
    moments = Moments((3,))
    for part in np.split(values, cuts):
        moments.add(part, np.isfinite(part))
    assert moments.n.tolist() == [40, 32, 0]
    np.testing.assert_allclose(moments.mean[:2], np.nanmean(values[:, :2], axis=0), rtol=1e-13)
    wanted = np.nanvar(values[:, :2], axis=0) * moments.n[:2]
    np.testing.assert_allclose(moments.squares[:2], wanted, rtol=1e-12)
    assert (moments.mean[2], moments.squares[2]) == (0, 0)
