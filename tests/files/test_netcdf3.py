"""Classic netCDF files against scipy, and damaged ones."""

import numpy as np
import pytest

from neuroarrays.errors import FormatError
from neuroarrays.files.netcdf3 import netcdf3_source
from neuroarrays.testing import same_values

netcdf = pytest.importorskip("scipy.io")
DTYPES = ("i1", "i2", "i4", "f4", "f8", "S1")


def write(path, version=2):
    """An array of each type, odd lengths, attributes; gives what was written."""
    rng = np.random.default_rng(0)
    arrays = {dtype: rng.integers(65, 90, (3, 5)).astype(dtype) for dtype in DTYPES}
    with netcdf.netcdf_file(path, "w", version=version) as file:
        file.history = "written for a test"
        file.createDimension("row", 3)
        file.createDimension("column", 5)
        for dtype, values in arrays.items():
            variable = file.createVariable(f"of_{dtype}", dtype, ("row", "column"))
            variable[:] = values
            variable.units = "s"
        file.createVariable("alone", "f8", ())[...] = 2.5
    return arrays


@pytest.mark.parametrize("version", [1, 2])
def test_values_and_dimensions(tmp_path, version):
    arrays = write(tmp_path / "a.nc", version)
    source = netcdf3_source(tmp_path / "a.nc")
    assert source.names() == [*(f"of_{dtype}" for dtype in DTYPES), "alone"]
    for dtype, values in arrays.items():
        name = f"of_{dtype}"
        assert source.dims(name) == ("row", "column")
        assert source.info(name).shape == (3, 5)
        if dtype != "S1":
            assert same_values(source.read(name), values)
            assert same_values(source.read(name, (1, slice(2, 5))), values[1, 2:5])
    assert source.read("alone") == 2.5
    assert source.dims("nothing") == ()


def test_what_lies_in_pieces_is_left_out(tmp_path):
    with netcdf.netcdf_file(tmp_path / "a.nc", "w") as file:
        file.createDimension("time", None)
        file.createDimension("x", 2)
        file.createVariable("pieces", "f4", ("time", "x"))[:] = np.ones((4, 2))
        file.createVariable("whole", "f4", ("x",))[:] = [1, 2]
    source = netcdf3_source(tmp_path / "a.nc")
    assert source.names() == ["whole"]
    assert source.left_out() == {"pieces": "along an unlimited dimension"}


def test_damaged_headers(tmp_path):
    write(tmp_path / "a.nc")
    whole = (tmp_path / "a.nc").read_bytes()
    damaged = tmp_path / "b.nc"
    for cut in (2, 5, 9, 30, 100, 200):
        damaged.write_bytes(whole[:cut])
        with pytest.raises(FormatError, match=r"b\.nc"):
            netcdf3_source(damaged)
    damaged.write_bytes(whole[:-4])
    with pytest.raises(FormatError, match="truncated"):
        netcdf3_source(damaged)
    for at in range(0, 300):
        damaged.write_bytes(whole[:at] + b"\xff" + whole[at + 1 :])
        try:
            source = netcdf3_source(damaged)
            for name in source.names():
                source.read(name)
        except FormatError:
            pass
