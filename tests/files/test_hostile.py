"""A small sample of the campaign of fuzz/hostile.py: files made to do harm, and damaged ones."""

import random

import pytest

from neuroarrays.errors import FormatError, NeuroArraysError
from neuroarrays.files import guard, state
from neuroarrays.testing.hostile import SECRET, damaged, hostile, seeds

pytest.importorskip("zarr", reason="the extra `zarr` is not installed")


@pytest.fixture(autouse=True, scope="module")
def _no_child_left():
    yield
    state.release()


def wrong(path, engine):
    """What is wrong with what comes of a file; "" for values, or an error that names it."""
    try:
        read = guard.in_child("neuroarrays.testing.hostile:read_all", str(path), engine=engine)
    except NeuroArraysError as error:
        said = str(error)
        bad = ("does not end", "ends the process", "values that fit into")
        unnamed = isinstance(error, FormatError) and path.name not in said
        return said if unnamed or any(word in said for word in bad) else ""
    return "what lies outside" if SECRET in read else ""


def test_files_made_to_do_harm(tmp_path):
    found = {name: wrong(path, engine) for name, path, engine in hostile(tmp_path)}
    assert len(found) > 40
    assert {name: said for name, said in found.items() if said} == {}
    assert not (tmp_path / "ran").exists()


def test_damaged_files(tmp_path):
    draw, found = random.Random(5), {}
    good = seeds(tmp_path / "good")
    for number in range(40):
        kind, path, engine = good[number % len(good)]
        name, made = damaged(path, tmp_path / "bad", draw)
        if said := wrong(made, engine):
            found[f"{kind}: {name}"] = said
    assert found == {}
