"""The files of versions say what pyproject.toml says."""

import re
import tomllib
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS = PROJECT["project"]["optional-dependencies"]
#: Large, or not ours to install by default: no constraint.
LEFT_OUT = {"driada"}
NEEDED = {
    canonicalize_name(one.name): one
    for text in chain(PROJECT["project"]["dependencies"], *EXTRAS.values())
    if (one := Requirement(text)).name not in {"neuroarrays", *LEFT_OUT}
}


def pinned(name):
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if "==" in line and not line.startswith("#")]
    return {canonicalize_name(package): Version(version) for package, version in pairs}


@pytest.mark.parametrize("name", NEEDED)
def test_every_requirement_is_constrained(name):
    newest, lowest = pinned("constraints.txt"), pinned("constraints-lowest.txt")
    assert newest[name] in NEEDED[name].specifier
    assert lowest[name] in NEEDED[name].specifier
    (bound,) = [Version(one.version) for one in NEEDED[name].specifier if one.operator == ">="]
    if name != "torch":  # old builds are gigabytes
        assert lowest[name].release[: len(bound.release)] == bound.release


def test_all_is_every_extra_that_it_may_be():
    (text,) = EXTRAS["all"]
    assert Requirement(text).extras == set(EXTRAS) - {"all", "deconvolve", "driada"}


def test_hooks_of_a_commit_have_the_versions_of_the_constraints():
    """`make lint` and CI run them, so that style is said in one place."""
    newest = pinned("constraints.txt")
    text = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    used = set(re.findall(r"additional_dependencies: \[([^]]*)\]", text))
    assert {one.partition("==")[0] for one in used} == {
        "pre-commit-hooks",
        "ruff",
        "codespell",
        "nbstripout",
    }
    for one in used:
        name, _, version = one.partition("==")
        assert newest[canonicalize_name(name)] == Version(version), one
    assert "rev:" not in text, "hooks come from the package index"
    assert "pre-commit run --all-files" in (ROOT / "Makefile").read_text(encoding="utf-8")
