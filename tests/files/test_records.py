"""npy files of records: each field an array under every index; what is none is refused."""

import numpy as np
import pytest

from neuroarrays.errors import FormatError
from neuroarrays.files.members import npy_records


def test_fields_are_arrays(tmp_path):
    records = np.zeros(50, [("sample", ">i8"), ("x", "<f4")])
    records["sample"], records["x"] = np.arange(50) ** 2, np.linspace(0, 1, 50)
    np.save(tmp_path / "spikes.npy", records)
    source = npy_records(tmp_path / "spikes.npy")
    assert source.names() == ["sample", "x"]
    for key in (7, slice(3, 40, 5), np.array([4, 4, 49, 0]), slice(None)):
        for name in source.names():
            read = source.read(name, (key,))
            np.testing.assert_array_equal(read, records[name][key])
            assert read.dtype == source.info(name).dtype == records[name].dtype.newbyteorder("=")
    with pytest.raises(FormatError, match="an array"):
        source.read("y")


@pytest.mark.parametrize("values", [np.arange(3), np.zeros(2, [("a", "O")])])
def test_what_is_no_records_of_numbers_is_refused(tmp_path, values):
    np.save(tmp_path / "x.npy", values, allow_pickle=True)
    with pytest.raises(FormatError, match="records of numbers"):
        npy_records(tmp_path / "x.npy")
    (tmp_path / "x.npy").write_bytes(b"")
    with pytest.raises(FormatError, match="an npy file"):
        npy_records(tmp_path / "x.npy")
