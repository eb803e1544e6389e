"""FORMATS is the only registry: the entry points say the same."""

import re
import tomllib
from importlib.metadata import PackageNotFoundError, distribution, entry_points
from pathlib import Path

import pytest

from neuroarrays.formats.reader import Reader
from neuroarrays.formats.registry import FORMATS

PYPROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"
REGISTRY = {format_.name: format_.reader for format_ in FORMATS}


def project():
    return tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]


def test_entry_points_in_pyproject():
    assert project()["entry-points"]["xarray.backends"] == REGISTRY


def test_entry_points_as_installed():
    try:
        distribution("neuroarrays")
    except PackageNotFoundError:
        pytest.skip("neuroarrays is not installed")
    points = entry_points(group="xarray.backends")
    assert {p.name: p.value for p in points if p.dist.name == "neuroarrays"} == REGISTRY


def test_names_are_unique():
    assert len(REGISTRY) == len(FORMATS)


@pytest.mark.parametrize("format_", FORMATS, ids=lambda format_: format_.name)
def test_each_format(format_):
    reader = format_.load()
    assert isinstance(reader, Reader)
    assert reader.name == format_.name
    assert reader.description == format_.description
    assert format_.status in ("stable", "beta")
    assert not format_.extra or format_.extra in project()["optional-dependencies"]
    assert {"sessions", "areas"} <= set(reader.options())
    assert set(reader.open_dataset_parameters) == {
        "filename_or_obj",
        "drop_variables",
        "group",
        *reader.options(),
    }


def test_extras_that_errors_name_can_be_installed():
    package, extras = PYPROJECT.parent / "neuroarrays", project()["optional-dependencies"]
    text = "".join(path.read_text(encoding="utf-8") for path in package.rglob("*.py"))
    named = re.findall(r'(?:MissingDependency|required)\(\s*[^,()]+, "([^"]+)"', text)
    assert len(named) > 15
    assert set(named) <= set(extras)
