"""What lazy arrays are called, so that dask and the caches tell them apart; what dtype they promise."""

import importlib
import pickle
from dataclasses import dataclass, field, make_dataclass, replace
from pathlib import Path

import dask
import h5py
import numpy as np
import pytest
import xarray as xr
from dask.base import tokenize

import neuroarrays as na
from neuroarrays.errors import FormatError
from neuroarrays.files.source import Source
from neuroarrays.lazy.arrays import (
    FileArray,
    LazyArray,
    array_of,
    exact_token,
    file_array,
    identity,
    origin,
)
from neuroarrays.lazy.computed import (
    Computed,
    Elementwise,
    OfVariable,
    RegularClock,
    as_lazy,
    averaged,
)
from neuroarrays.lazy.views import (
    Arranged,
    Blocks,
    Folded,
    InMemory,
    Joined,
    Segments,
    Stacked,
    Taken,
    side_by_side,
    transposed,
)
from neuroarrays.testing import indexers, outer, same_values
from neuroarrays.testing.reads import innermost
from neuroarrays.testing.sources import close_all, open_source

SAMPLE = Path(na.__file__).parent / "demo" / "_sample" / "A2929-200711.nwb"


class Memory(Source):
    """A source whose arrays say which they are: "a" is full of 97."""

    def names(self, group="/"):
        return []

    def info(self, name):
        return None

    def attrs(self, name="/"):
        return {}

    def read(self, name, key=()):
        return np.full((4, 4), float(ord(name)))[key]


class Turned(Folded):
    """Fields as its base has them."""


def ramp(places, columns, slope):
    return places[:, None] * slope + columns


def steep(places, columns, slope):
    return places[:, None] ** 2 * slope + columns


def times(values, factor):
    return values * factor


def plus(values, factor):
    return values + factor


A = FileArray(Memory("p", (1, 2)), "a", (4, 4), np.dtype("f8"))
LINE = replace(A, shape=(4,))
ONE, TWO = np.array([0, 2]), np.array([1, 1])
#: Arrays of which no two have the same values, whatever they share.
DIFFERENT = {
    "array": A,
    "another name": replace(A, name="b"),
    "another path": replace(A, source=Memory("q", (1, 2))),
    "another stamp": replace(A, source=Memory("p", (1, 3))),
    "scaled": replace(A, scale=2.0),
    "moved": replace(A, offset=2.0),
    "another dtype": replace(A, dtype=np.dtype("f4")),
    "transposed": transposed(A),
    "folded": Folded(A),
    "of another class": Turned(A),
    "blocks": Blocks(A, 2),
    "longer blocks": Blocks(A, 4),
    "averaged": averaged(A),
    "with an axis": Arranged(A, (1, Arranged.NEW, 0)),
    "stacked": Stacked((A, A), (2,)),
    "stacked otherwise": Stacked((A, A), (1, 2)),
    "stacked with another": Stacked((A, replace(A, name="b")), (2,)),
    "joined": Joined((A, A)),
    "joined with another": Joined((A, replace(A, name="b"))),
    "joined along another axis": Joined((A, A), 1),
    "stretches": Segments(LINE, ONE, TWO),
    "other stretches": Segments(LINE, TWO, TWO),
    "longer stretches": Segments(LINE, ONE, ONE),
    "held": InMemory(ONE),
    "other held": InMemory(TWO),
    "slice": Taken(LINE, range(0, 4, 2)),
    "another slice": Taken(LINE, range(0, 4, 3)),
    "place": Taken(A, 1),
    "another place": Taken(A, 2),
    "place of another axis": Taken(A, 1, 1),
    "places": Taken(A, ONE),
    "other places": Taken(A, TWO),
    "clock": RegularClock(0.0, 2.0, 4),
    "later clock": RegularClock(1.0, 2.0, 4),
    "faster clock": RegularClock(0.0, 3.0, 4),
    "longer clock": RegularClock(0.0, 2.0, 5),
    "computed": Computed(ramp, (3, 2), np.dtype("f8"), (2.0,)),
    "another function": Computed(steep, (3, 2), np.dtype("f8"), (2.0,)),
    "another argument": Computed(ramp, (3, 2), np.dtype("f8"), (3.0,)),
    "another shape": Computed(ramp, (3, 3), np.dtype("f8"), (2.0,)),
    "product": Elementwise(times, (A,), np.dtype("f8"), (2,)),
    "sum": Elementwise(plus, (A,), np.dtype("f8"), (2,)),
    "another product": Elementwise(times, (A,), np.dtype("f8"), (3,)),
    "product of another": Elementwise(times, (LINE,), np.dtype("f8"), (2,)),
    "product in another dtype": Elementwise(times, (A,), np.dtype("f4"), (2,)),
    "variable": OfVariable(xr.Variable("x", [1.0, 2.0])),
    "another variable": OfVariable(xr.Variable("x", [1.0, 3.0])),
}


def test_every_difference_has_a_name_of_its_own():
    names = {label: tokenize(array) for label, array in DIFFERENT.items()}
    assert len(set(names.values())) == len(DIFFERENT), names
    for label, array in DIFFERENT.items():
        assert tokenize(pickle.loads(pickle.dumps(array))) == names[label], label


def test_arrays_are_equal_if_their_names_are():
    """So that an index knows its clock again, and a writer what it has written already."""
    for label, array in DIFFERENT.items():
        again = pickle.loads(pickle.dumps(array))
        assert again == array, label
        assert hash(again) == hash(array), label
        assert sum(array == other for other in DIFFERENT.values()) == 1, label
    assert A != "a"
    assert identity(A.variable(("y", "x"))) == identity(replace(A).variable(("y", "x")))
    assert identity(A.variable(("y", "x"))) != identity(transposed(A).variable(("y", "x")))


def every_kind(base):
    for kind in base.__subclasses__():
        yield kind
        yield from every_kind(kind)


def test_no_class_compares_in_a_way_of_its_own():
    package = Path(na.__file__).parent
    for path in package.rglob("*.py"):
        if "(LazyArray)" in path.read_text(encoding="utf-8"):
            parts = path.relative_to(package.parent).with_suffix("").parts
            importlib.import_module(".".join(parts).removesuffix(".__init__"))
    kinds = [kind for kind in every_kind(LazyArray) if kind.__module__.startswith("neuroarrays.")]
    for kind in kinds:
        assert kind.__eq__ is LazyArray.__eq__, f"{kind}: @dataclass(frozen=True, eq=False)"
        assert kind.__hash__ is LazyArray.__hash__, kind
    assert len(kinds) <= 30, kinds
    assert len({kind.__name__ for kind in kinds}) == len(kinds), "two of one name"


def test_what_holds_the_values_of_a_variable():
    lazy = A.variable(("y", "x"))
    assert array_of(lazy) is as_lazy(lazy) is A
    values = np.arange(3.0)
    held = xr.Variable("x", values)
    assert array_of(held) is values
    assert as_lazy(held) == InMemory(values)
    part = lazy[1:]
    assert not isinstance(array_of(part), LazyArray | np.ndarray)
    assert array_of(part).shape == (3, 4)
    assert as_lazy(part).load().tolist() == [[97.0] * 4] * 3
    assert not part._in_memory
    dasked = held.chunk(2)
    assert array_of(dasked) is dasked.data
    assert as_lazy(dasked).outer((np.array([2, 0]),)).tolist() == [2.0, 0.0]
    of_small = as_lazy(dasked.astype("f4"))
    assert (of_small.shape, of_small.dtype) == ((3,), np.float32)


def test_arrays_that_dask_computes_together_are_not_mixed_up():
    chunked = [
        DIFFERENT[label].variable(("y", "x")).chunk(2) for label in ("array", "another name")
    ]
    found = dask.compute(*(one.data for one in chunked))
    assert [float(values.max()) for values in found] == [97.0, 98.0]


@pytest.mark.parametrize("size", [3, 100_000])
def test_long_arrays_count_to_their_middle(size):
    one = np.zeros(size)
    two = one.copy()
    two[size // 2] = 1
    assert tokenize(exact_token((one, 3))) != tokenize(exact_token((two, 3)))
    assert tokenize(exact_token(one)) != tokenize(exact_token(one.astype("i8")))  # the same bytes
    assert tokenize(exact_token(one)) != tokenize(exact_token(one[None]))
    assert tokenize(exact_token(one)) == tokenize(exact_token(one.copy()))
    text = np.array(["a"] * size, object)
    other = text.copy()
    other[size // 2] = "b"
    assert tokenize(exact_token(text)) != tokenize(exact_token(other))
    again = np.array(["".join("ab") for _ in range(size)], object)  # other objects of one text
    assert exact_token(again) == exact_token(np.array(["ab"] * size, object))


@dataclass(frozen=True)
class Named:
    """What an array may depend on, and a note that says nothing of its values."""

    values: np.ndarray
    note: str = field(default="", compare=False)


class Tokened:
    """Something whose token holds an array."""

    def __init__(self, values):
        self.values = values

    def __dask_tokenize__(self):
        return "tokened", self.values


def test_tokens_of_what_holds_arrays():
    one, two = np.zeros(5000), np.zeros(5000)
    two[2500] = 1
    for kind in (Named, Tokened):
        assert repr(exact_token(kind(one))) == repr(exact_token(kind(one.copy()))), kind
        assert repr(exact_token(kind(one))) != repr(exact_token(kind(two))), kind
    assert exact_token(Named(one, "a")) == exact_token(Named(one, "b"))
    first, second = (lambda: 1), (lambda: 2)  # of one name
    assert exact_token(first) != exact_token(second)
    here, there = (
        make_dataclass("Named", ["a"], namespace={"__module__": name}) for name in ("here", "there")
    )
    assert exact_token(here(1)) != exact_token(there(1))
    assert exact_token((Named, Tokened)) == (Named, Tokened)  # the classes themselves


# ------------------------------------------------------------------------------------- dtypes


@pytest.mark.parametrize(
    ("dtypes", "want"),
    [
        (("f4", "f8"), "f8"),
        (("f8", "f4"), "f8"),
        (("u1", "i1"), "i2"),
        (("i8", "f4"), "f8"),
        (("f4", "f4"), "f4"),
    ],
)
def test_stacked_arrays_have_the_dtype_that_holds_them_all(dtypes, want):
    stacked = side_by_side([replace(A, dtype=np.dtype(one)) for one in dtypes])
    assert stacked.dtype == want
    every = slice(None)
    for key in (
        (every, every, every),
        (every, every, slice(0, 1)),
        (0, every, 0),
        (every, 1, 1),
        (every, every, slice(0, 0)),
    ):
        values = stacked.variable(("y", "x", "n"))[key].values
        assert values.dtype == want, key
        assert values.shape == np.empty(stacked.shape)[key].shape


# ------------------------------------------------------------------------------------ of files


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    path = tmp_path_factory.mktemp("backend") / "a.h5"
    random = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        file["matrix"] = random.normal(size=(6, 9))
        file["counts"] = random.integers(-2000, 2000, (11, 4)).astype(np.int16)
        file["big_endian"] = np.arange(12, dtype=">i4")
        file["float32"] = random.normal(size=8).astype(np.float32)
    yield path
    close_all()


#: What is read -> the array, its scale and offset, and what it stands for.
READ = {
    "as it is": ("matrix", (), lambda v: v),
    "scaled": ("counts", (0.5, 2.0), lambda v: (v * 0.5 + 2.0).astype("f4")),
    "moved": ("counts", (1.0, 2.0), lambda v: (v + 2.0).astype("f4")),
    "scaled float": ("float32", (2.0,), lambda v: (v * 2.0).astype("f4")),
    "scaled long": ("big_endian", (2.0,), lambda v: v * 2.0),
    "big endian": ("big_endian", (), lambda v: v.astype("i4")),
}


@pytest.mark.parametrize("name", READ)
def test_an_array_of_a_file_equals_numpy(stored, name):
    name, factors, stands_for = READ[name]
    with h5py.File(stored) as file:
        values = stands_for(file[name][()])
    array = file_array(open_source(stored), name, *factors)
    assert array.shape == values.shape
    assert array.dtype == values.dtype
    variable = array.variable([f"d{i}" for i in range(values.ndim)])
    assert not variable._in_memory
    for key in indexers(values.shape):
        found = variable[key].values
        assert same_values(found, outer(values, key)), key
        assert found.dtype == values.dtype, key
    into = np.zeros(values.shape, values.dtype)
    array.into((slice(None),) * values.ndim, into)
    assert same_values(into, values)
    again = pickle.loads(pickle.dumps(array))
    assert same_values(again.load(), values)
    assert repr(array) == (
        f"<FileArray {values.dtype} {values.shape}, not read: {name} of {stored}>"
    )


def test_no_array_of_that_name(stored):
    with pytest.raises(FormatError, match=r"a\.h5:absent: expected an array; found nothing"):
        file_array(open_source(stored), "absent")


def test_lazy_arrays_say_where_they_come_from(tmp_path):
    """Also those made of others: spikes of an area, counts, interpolated and saved series."""
    recording = na.load_sample()
    aligned = na.align(recording, bin_width=0.02)
    chosen = na.select_units(recording, "unit_id > 1")
    saved = na.open_datatree(na.save(aligned, tmp_path / "saved.h5"))
    seen = set()
    for tree, path in (
        (recording, SAMPLE),
        (aligned, SAMPLE),
        (chosen, SAMPLE),
        (saved, tmp_path / "saved.h5"),
    ):
        for node in tree.subtree:
            for variable in node.to_dataset(inherit=False).data_vars.values():
                data = innermost(variable.variable._data)
                if isinstance(data, LazyArray):
                    seen.add(type(data).__name__)
                    assert repr(data).endswith(f" of {path}>"), data
                    assert "not read: " in repr(data)
    assert seen >= {"FileArray", "Segments", "ClockCounts", "Interpolated"}


@dataclass(frozen=True, eq=False, repr=False)
class Placed(LazyArray):
    """An array that says where it lies: a path, or what it is made of, and perhaps a name."""

    path: object
    name: object = None
    shape = (3,)
    dtype = np.dtype("f8")

    def outer(self, key):
        raise AssertionError("read")


@pytest.mark.parametrize(
    ("array", "where"),
    [
        (Placed("b.h5", "x"), "b.h5"),
        (Placed(Path("b.h5")), "b.h5"),
        (Placed(Placed("b.h5"), "x"), "x of b.h5"),
        (Placed(Placed("b.h5")), "b.h5"),
        (Placed(Placed("b.h5"), 3), "b.h5"),
        (Placed(Placed("b.h5"), ""), "b.h5"),
        (Placed((Placed("b.h5"), Placed("c.h5")), "x"), "x of b.h5"),
        (Placed(Placed(Placed("b.h5"), "x"), "y"), "x of b.h5"),
        (Placed([]), ""),
        (Placed(3, "x"), ""),
    ],
)
def test_where_an_array_lies_in_words(array, where):
    assert origin(array) == where
    assert repr(array).endswith(
        f"(3,), not read: {where}>" if where else "made where it is indexed>"
    )


@dataclass(frozen=True, eq=False)
class Failing(LazyArray):
    path: str
    name: str
    error: Exception
    shape = (3,)
    dtype = np.dtype("f8")

    def outer(self, key):
        raise self.error


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (KeyError("chunk"), FormatError, r"b\.h5: .*KeyError: 'chunk'"),
        (OSError("unpacking failed"), FormatError, r"b\.h5: .*unpacking failed"),
        (MemoryError("3 GB"), MemoryError, "3 GB"),
        (FormatError("a.h5", "x", "numbers", "text"), FormatError, r"a\.h5.*numbers"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_fails_while_values_are_read_is_an_error_of_the_file(error, kind, message):
    variable = Failing("b.h5", "x", error).variable(["time"])
    with pytest.raises(kind, match=message):
        _ = variable[:2].values


def test_what_fails_without_a_file_is_the_error_itself():
    with pytest.raises(ZeroDivisionError, match="by hand"):
        Failing(None, "", ZeroDivisionError("by hand")).load()
