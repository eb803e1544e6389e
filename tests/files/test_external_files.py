"""Files that a file names: behind an address none is looked for."""

import pytest

from neuroarrays.errors import FormatError
from neuroarrays.files.external_files import external_file
from neuroarrays.files.locating import locate


@pytest.mark.parametrize("name", ["a.png", "../a.png", "https://host.invalid/a.png"])
def test_behind_an_address_nothing_is_looked_for(name):
    location = locate("https://host.invalid/sub-1/session.nwb")
    with pytest.raises(FormatError, match="behind an address|leads out|an address") as caught:
        external_file(location, "/acquisition/camera", name)
    assert "/acquisition/camera" in str(caught.value)
