"""Examples in the docstrings of public names run, and give what they say."""

import doctest
import inspect

import pytest

import neuroarrays as na

FINDER = doctest.DocTestFinder(recurse=False)
#: Extra that an example needs beside matplotlib, which those of na.plot do.
EXTRA = {"torch": "torch", "plot": "matplotlib"}


def public():
    """Names of public functions and classes, those in public modules as "module.name"."""
    for name in na.__all__:
        value = getattr(na, name, None)
        if inspect.ismodule(value):
            own = getattr(value, "__all__", None) or [n for n in vars(value) if n[0] != "_"]
            yield from (f"{name}.{n}" for n in own if _has_example(getattr(value, n)))
        elif _has_example(value):
            yield name


def _has_example(value):
    is_callable = inspect.isfunction(value) or inspect.isclass(value)
    return is_callable and ">>>" in (value.__doc__ or "")


try:
    NAMES = sorted(set(public()))
except na.MissingDependency as missing:
    pytest.skip(str(missing), allow_module_level=True)


@pytest.mark.parametrize("name", NAMES)
def test_an_example_gives_what_it_says(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if extra := EXTRA.get(name.partition(".")[0]):
        pytest.importorskip(extra, reason=f"the extra for na.{name} is not installed")
    if "matplotlib" in EXTRA.get(name.partition(".")[0], ""):
        import matplotlib as mpl
        from matplotlib import pyplot as plt

        mpl.use("Agg")
    value = na
    for part in name.split("."):
        value = getattr(value, part)
    said = []
    for test in FINDER.find(inspect.unwrap(value), name, globs={}):
        doctest.DocTestRunner(verbose=False).run(test, out=said.append)
    if "plot" in name:
        plt.close("all")
    assert not said, "".join(said)
