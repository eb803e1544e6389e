"""Names and globs that choose among what is there."""

import pytest

from neuroarrays.errors import NotInTree
from neuroarrays.schema.names import chosen


def test_chosen():
    names = ["VISp", "VISl", "CA1", "a[1]"]
    assert chosen(names, None, "area") == names
    assert chosen(names, "VIS*", "area") == ["VISp", "VISl"]
    assert chosen(names, ["CA1", "VISp"], "area") == ["VISp", "CA1"]
    assert chosen(names, "a[1]", "area") == ["a[1]"]  # a name before a glob
    with pytest.raises(NotInTree, match="no area 'CA3'; .*did you mean 'CA1'"):
        chosen(names, ["VISp", "CA3"], "area")
