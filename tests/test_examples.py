"""Examples in the docstrings of public names run, and give what they say."""

import doctest
import functools
import inspect

import pytest

import neuroarrays as na
import neuroarrays.synthetic
from neuroarrays.lazy.trees import tree_of

FINDER = doctest.DocTestFinder(recurse=False)
#: Extra that an example needs beside matplotlib, which those of na.plot do.
EXTRA = {"torch": "torch", "plot": "matplotlib"}


def public():
    """Names of public functions and classes but errors, those in public modules as "module.name"."""
    for name in [*na.__all__, "synthetic", "batches.splits"]:
        value = _value(name)
        if inspect.ismodule(value):
            own = getattr(value, "__all__", None) or [n for n in vars(value) if n[0] != "_"]
            yield from (f"{name}.{n}" for n in own if _is_called(getattr(value, n)))
        elif _is_called(value):
            yield name


def _is_called(value):
    is_error = inspect.isclass(value) and issubclass(value, Exception)
    return inspect.isfunction(value) or (inspect.isclass(value) and not is_error)


def _has_example(name):
    return ">>>" in (inspect.getdoc(_value(name)) or "")


def _value(name):
    value = na
    for part in name.split("."):
        value = getattr(value, part, None)
    return value


try:
    PUBLIC = sorted(set(public()))
    ONCE = {id(_value(name)): name for name in PUBLIC}  # na.batches.Batches is na.torch.Batches
    NAMES = sorted(name for name in ONCE.values() if _has_example(name))
except na.MissingDependency as missing:
    pytest.skip(str(missing), allow_module_level=True)


def test_every_public_name_has_an_example():
    assert [name for name in PUBLIC if not _has_example(name)] == []


@pytest.fixture
def opened_once(monkeypatch):
    """Each example has the bundled recording as if it had opened it: a third of their time went there."""
    datasets, load_sample = _sample(), na.load_sample
    monkeypatch.setattr(
        na,
        "load_sample",
        lambda **options: (
            load_sample(**options)
            if options
            else tree_of({path: node.copy() for path, node in datasets.items()})
        ),
    )


@functools.cache
def _sample():
    nodes = na.load_sample().subtree_with_keys
    return {path: node.to_dataset(inherit=False) for path, node in nodes}


@pytest.mark.usefixtures("opened_once")
@pytest.mark.parametrize("name", NAMES)
def test_an_example_gives_what_it_says(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if extra := EXTRA.get(name.partition(".")[0]):
        pytest.importorskip(extra, reason=f"the extra for na.{name} is not installed")
    if "matplotlib" in EXTRA.get(name.partition(".")[0], ""):
        import matplotlib as mpl
        from matplotlib import pyplot as plt

        mpl.use("Agg")
    said = []
    for test in FINDER.find(inspect.unwrap(_value(name)), name, globs={}):
        doctest.DocTestRunner(verbose=False).run(test, out=said.append)
    if "plot" in name:
        plt.close("all")
    assert not said, "".join(said)
