"""Pickles: what plain ones hold comes out as it was; nothing in a hostile one runs or takes memory."""

import collections
import contextlib
import datetime
import inspect
import os
import pickle
import pickletools
import re
import struct
import sys
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from neuroarrays.errors import FormatError
from neuroarrays.files.pickles import Global, Record, StoredArray, load_pickle

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
VALUES = {
    "bytes": b"x\x00yz",
    "text": "é\n'\"\u4e2d\ud800",
    "numbers": [0, -5, 255, 65536, -(1 << 40), 10**60, 1.5, float("inf"), True, None],
    "complex": 1 + 2j,
    "nested": (1, (2, (3, [4, {"a": ()}]))),
    "sets": [{1, 2}, frozenset(["x"])],
    "ordered": collections.OrderedDict(b=1, a=2),
    "default": collections.defaultdict(list, {1: [2]}),
    "times": [
        datetime.datetime(2020, 1, 2, 3, tzinfo=datetime.UTC),
        datetime.date(2020, 1, 2),
        datetime.timedelta(1, 2, 3),
    ],
}
ARRAYS = {
    "C": np.arange(6).reshape(2, 3),
    "F": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "big-endian": np.arange(3, dtype=">i4"),
    "bool": np.array([True, False]),
    "text": np.array(["ab", "cde"]),
    "bytes": np.array([b"ab", b"cde"]),
    "objects": np.array([1, "x", None], object),
    "times": np.array(["2020-01-01"], "M8[ns]"),
    "fields": np.array([(1, 2.5)], [("a", "i4"), ("b", ">f8", (2,))]),
    "empty": np.empty((0, 3)),
    "no axes": np.array(2.5),
}


def same(found, expected):
    if isinstance(expected, np.ndarray):
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
    else:
        assert type(found) is type(expected)
        assert found == expected or found != found


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", VALUES)
def test_plain_values(name, protocol):
    assert load_pickle(pickle.dumps(VALUES[name], protocol), allowed=()) == VALUES[name]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", ARRAYS)
def test_arrays(name, protocol):
    same(load_pickle(pickle.dumps(ARRAYS[name], protocol), allowed=()), ARRAYS[name])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_numpy_scalars_and_shared_objects(protocol):
    array = np.arange(3)
    found = load_pickle(pickle.dumps({"a": array, "b": array, "c": np.float32(2.5)}, protocol))
    assert found["a"] is found["b"]
    same(found["c"], np.float32(2.5))


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.datetimes(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(), inner, max_size=4)
        | st.tuples(inner, inner)
    ),
    max_leaves=8,
)


@settings(max_examples=25)
@given(PLAIN, st.sampled_from(list(PROTOCOLS)))
def test_equals_python_on_plain_values(value, protocol):
    assert load_pickle(pickle.dumps(value, protocol), allowed=()) == value


@given(
    hnp.arrays(
        hnp.scalar_dtypes() | hnp.unicode_string_dtypes(min_len=1),
        hnp.array_shapes(min_dims=0, max_dims=4, min_side=0),
    ),
    st.sampled_from(list(PROTOCOLS)),
)
def test_equals_python_on_arrays(array, protocol):
    found = load_pickle(pickle.dumps(array, protocol), allowed=())
    assert found.dtype == array.dtype
    assert found.tobytes() == array.tobytes()


def test_python_2():
    # written by Python 2.7: pickle.dumps({'a': np.arange(2, dtype='<i2')}, 2)
    raw = (
        b"\x80\x02}q\x01U\x01acnumpy.core.multiarray\n_reconstruct\nq\x02cnumpy\nndarray\nq\x03"
        b"K\x00\x85U\x01b\x87Rq\x04(K\x01K\x02\x85cnumpy\ndtype\nq\x05U\x02i2K\x00K\x01\x87R"
        b"q\x06(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x04\x00\x00\x01\x00"
        b"tbs."
    )
    same(load_pickle(raw)["a"], np.array([0, 1], "i2"))


# ----------------------------------------------------------------- other classes: inert records


class Cell:
    """Pickled by name; a reader that has never heard of it must still see what is in it."""

    def __init__(self):
        self.rate, self.trace = 3.5, np.arange(4.0)


class Traces(dict):
    pass


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_objects_are_records(protocol):
    stream = pickle.dumps([Cell(), Traces(a=1), Cell], protocol)
    stream = stream.replace(__name__.encode(), b"x" * len(__name__))  # a module that is not there
    cell, traces, cls = load_pickle(stream)
    assert isinstance(cell, Record)
    assert cell.cls.name == "Cell"
    assert cell.get("rate") == 3.5
    assert cell.get("nothing", 7) == 7
    np.testing.assert_array_equal(cell.get("trace"), np.arange(4.0))
    assert "Cell" in repr(cell)
    assert traces.mapping == {"a": 1}
    assert isinstance(cls, Global)
    with pytest.raises(FormatError, match="found the global .*Cell"):
        load_pickle(stream, allowed=())
    assert isinstance(load_pickle(pickle.dumps(Cell(), 2), [f"{__name__}.Cell"]), Record)


# --------------------------------------------------------------------------------- stored arrays


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_arrays_stay_in_the_file(tmp_path, protocol):
    array = np.asfortranarray(np.arange(6000.0).reshape(60, 100)).astype(">f8")
    (tmp_path / "a.pickle").write_bytes(pickle.dumps({"big": array, "small": [1]}, protocol))
    found = load_pickle(tmp_path / "a.pickle", stored=True)
    stored = found["big"]
    assert found["small"] == [1]
    assert isinstance(stored, StoredArray)
    order = "F" if stored.fortran else "C"
    flat = np.fromfile(tmp_path / "a.pickle", stored.dtype, 6000, offset=stored.offset)
    same(flat.reshape(stored.shape, order=order), array)
    same(load_pickle(tmp_path / "a.pickle")["big"], array)


# ----------------------------------------------------------------------------------- hostile ones


class Marker:
    """Writes a file when it is really unpickled."""

    def __init__(self, function, *args):
        self.call = (function, args)

    def __reduce__(self):
        return self.call


def calling_streams(marker):
    """A stream for every opcode that makes Python call or import something."""
    command = f"touch {marker}".encode()
    text = b"(S'" + command + b"'\n"
    yield "GLOBAL", b"cantigravity\nfly\n."  # importing it is enough
    yield "REDUCE", b"cos\nsystem\n" + text + b"tR."
    yield "REDUCE, protocol 4", pickle.dumps(Marker(os.system, command.decode()), 4)
    yield "STACK_GLOBAL", b"\x80\x04\x8c\x02os\x8c\x06system\x93" + text + b"tR."
    yield "NEWOBJ", b"\x80\x02cos\nsystem\n" + text + b"t\x81."
    yield "NEWOBJ_EX", b"\x80\x04cos\nsystem\n" + text + b"t}\x92."
    yield "INST", text + b"ios\nsystem\n."
    yield "OBJ", b"(cos\nsystem\nS'" + command + b"'\no."
    yield "BUILD", b"\x80\x02cbuiltins\nobject\n)\x81}S'x'\nK\x01sb."
    yield "BUILD of a class", b"cbuiltins\nobject\n}S'__setstate__'\ncos\nsystem\nsb" + text + b"b."
    yield "EXT1", b"\x80\x02\x82\x01" + text + b"tR."
    yield "EXT2", b"\x80\x02\x83\x01\x00" + text + b"tR."
    yield "EXT4", b"\x80\x02\x84\x01\x00\x00\x00" + text + b"tR."
    yield "PERSID", b"P" + command + b"\n."
    yield "BINPERSID", b"S'" + command + b"'\nQ."
    yield "eval", b'cbuiltins\neval\n(S\'__import__("os").system("' + command + b"\")'\ntR."
    yield "getattr", b"cbuiltins\ngetattr\n(cos\n__dict__\nS'system'\ntR" + text + b"tR."
    yield "nested", b"cbuiltins\nmap\n(cos\nsystem\n](S'" + command + b"'\netR."
    yield "a builder's result", b"cnumpy\ndtype\n(S'f8'\ntR" + text + b"tR."
    yield "dotted", b"\x80\x04\x8c\x05numpy\x8c\x0cos.system.ab\x93" + text + b"tR."
    yield "find_class by text", b"cnumpy.testing._private.utils\nrunstring\n(S'x=1'\n}tR."
    yield "APPEND", b"cos\nsystem\n" + text + b"tRI1\na."
    yield "SETITEM", b"cos\nsystem\n" + text + b"tRI1\nI2\ns."
    yield "NEXT_BUFFER", b"\x80\x05cos\nsystem\n" + text + b"tR\x970."
    yield "APPENDS", b"cos\nsystem\n" + text + b"tR(I1\ne."
    yield "SETITEMS", b"cos\nsystem\n" + text + b"tR(I1\nI2\nu."
    yield "ADDITEMS", b"\x80\x04cos\nsystem\n" + text + b"tR(I1\n\x90."


@pytest.mark.parametrize("name", [name for name, _ in calling_streams("x")])
def test_nothing_runs(tmp_path, name):
    marker = tmp_path / "it_ran"
    stream = dict(calling_streams(marker))[name]
    for allowed in (None, ()):
        with contextlib.suppress(FormatError):
            load_pickle(stream, allowed)
        assert not marker.exists()
    assert "antigravity" not in sys.modules
    if name not in ("PERSID", "BINPERSID", "BUILD of a class"):
        with pytest.raises(FormatError, match=r"the global (?!numpy\.dtype)|a call of a value"):
            load_pickle(stream, allowed=())


#: What the code of Python's own unpickler looks like where an opcode imports or calls what a file names.
CALLS = re.compile(
    r"find_class|_instantiate|get_extension|persistent_load|__new__|func\(|setstate|next\(|"
    r"list\.append|\.extend|set_obj|dict\["
)


def test_the_attacks_try_every_opcode_that_can_call():
    names = {ord(op.code): op.name for op in pickletools.opcodes}
    calling = {
        names[code]
        for code, method in pickle._Unpickler.dispatch.items()
        if CALLS.search(inspect.getsource(method))
    }
    tried = {op.name for _, raw in calling_streams("x") for op, _, _ in pickletools.genops(raw)}
    assert {"GLOBAL", "STACK_GLOBAL", "REDUCE", "NEWOBJ", "INST", "OBJ", "BUILD"} < calling
    assert calling <= tried


def test_every_opcode_of_python_is_known_or_refused():
    from neuroarrays.files.opcodes import STEPS

    left = {op.name for op in pickletools.opcodes if ord(op.code) not in STEPS}
    assert left == {"STOP"}
    for op in (b"\x97", b"\x98"):
        with pytest.raises(FormatError, match="outside the stream"):
            load_pickle(b"\x80\x05N" + op + b".")


def array_stream(shape, raw=b"", spec=b"f8"):
    state = pickle.dumps(raw, 3)[2:-1]
    shaped = pickle.dumps(shape, 2)[2:-1]
    return (
        b"\x80\x03cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tC\x01btR(K\x01"
        + shaped
        + b"cnumpy\ndtype\n(S'"
        + spec
        + b"'\nK\x00K\x01tR(K\x03S'<'\nNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        + state
        + b"tb."
    )


def test_the_stream_of_these_tests_is_a_good_one():
    raw = np.arange(3.0).tobytes()
    same(load_pickle(array_stream((3,), raw)), np.arange(3.0))
    same(pickle.loads(array_stream((3,), raw)), np.arange(3.0))


BOMBS = {
    "shape": array_stream((1 << 50,)),
    "many axes": array_stream((2,) * 40, b"x" * 8),
    "negative": array_stream((-1,), b"x" * 8),
    "no bytes per value": array_stream((1 << 60,), b"", b"V0"),
    "wide dtype": array_stream((), b"", b"V999999999"),
    "object array": array_stream((1 << 40,), b"", b"O8"),
    "memo": b"N\x72" + struct.pack("<I", 0xFFFFFFF0) + b".",
    "BINBYTES8": b"\x80\x04\x8e" + struct.pack("<Q", 1 << 50) + b".",
    "BYTEARRAY8": b"\x80\x05\x96" + struct.pack("<Q", 1 << 50) + b".",
    "BINUNICODE8": b"\x80\x04\x8d" + struct.pack("<Q", 1 << 62) + b".",
    "LONG4": b"\x80\x02\x8b" + struct.pack("<i", 0x7FFFFFFF) + b".",
    "LONG4 negative": b"\x80\x02\x8b" + struct.pack("<i", -5) + b".",
    "FRAME": b"\x80\x04\x95" + struct.pack("<Q", 1 << 62) + b"K\x01.",
    "bytearray by number": b"\x80\x02cbuiltins\nbytearray\n\x8a\x05\x00\x00\x00\x00\x40\x85R.",
    "digits": b"I" + b"9" * 100_000 + b"\n.",
    "encoded again and again": b"\x80\x02c_codecs\nencode\nq\x00X"
    + struct.pack("<I", 100_000)
    + b"a" * 100_000
    + b"\x85q\x010"
    + b"h\x00h\x01R" * 5_000
    + b".",
    "copied again and again": b"\x80\x02cbuiltins\nlist\nq\x00]("
    + b"K\x01" * 100_000
    + b"e\x85q\x010"
    + b"h\x00h\x01R" * 5_000
    + b".",
}
HARMLESS = {"memo", "FRAME"}


@pytest.mark.parametrize("name", BOMBS)
def test_no_memory_is_taken(name):
    tracemalloc.start()
    try:
        if name in HARMLESS:  # what they ask Python to allocate is never needed
            load_pickle(BOMBS[name])
        else:
            with pytest.raises(FormatError, match="<bytes>:byte"):
                load_pickle(BOMBS[name])
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()


DEPTH = 50_000
DEEP = {
    "lists": b"]" * DEPTH + b"a" * (DEPTH - 1) + b".",
    "tuples": b"N" + b"\x85" * DEPTH + b".",
    "a key": b"}" + b"N" + b"\x85" * DEPTH + b"Ns.",
    "a member of a set": b"\x8f(" + b"N" + b"\x85" * DEPTH + b"\x90.",
    "a wide key": b"}" + b"N" + b"2\x86" * 12 + b"Ns.",
    "dicts": b"}K\x01" * DEPTH + b"N" + b"s" * DEPTH + b".",
    "records": b"\x80\x02N" + b"\x85q\x000cx\ny\nh\x00R" * DEPTH + b".",
    "marks": b"(" * DEPTH + b".",
}


@pytest.mark.parametrize("name", DEEP)
def test_depth_does_not_exhaust_the_stack(name):
    with pytest.raises(FormatError, match=r"levels|nested|IndexError|pop"):
        load_pickle(DEEP[name])


def test_steps_are_bounded(monkeypatch):
    monkeypatch.setattr("neuroarrays.files.opcodes.MAX_STEPS", 100)
    with pytest.raises(FormatError, match="at most 100 steps"):
        load_pickle(b"N0" * 200 + b"N.")


def test_a_value_that_holds_itself_comes_back():
    cycle = []
    cycle.append(cycle)
    found = load_pickle(pickle.dumps(cycle))
    assert found[0] is found


@pytest.mark.parametrize(
    "raw", [b"", b".", b"\x80", b"\xff.", b"X\x05\x00\x00\x00ab", b"]K\x01s.", b"g9\n.", b"(."]
)
def test_damaged(raw):
    with pytest.raises(FormatError, match="byte"):
        load_pickle(raw)


def test_damaged_file_is_named(tmp_path):
    (tmp_path / "a.pickle").write_bytes(pickle.dumps(np.arange(999.0))[:-40])
    for stored in (False, True):
        with pytest.raises(FormatError, match=r"a\.pickle.*the stream ends"):
            load_pickle(tmp_path / "a.pickle", stored=stored)
    (tmp_path / "empty").write_bytes(b"")
    with pytest.raises(FormatError, match="the end of the stream"):
        load_pickle(tmp_path / "empty", stored=True)


CODES = b"".join(op.code.encode("latin-1") for op in pickletools.opcodes)
SNIPPETS = st.one_of(
    st.sampled_from([bytes([c]) for c in CODES]),
    st.binary(max_size=9),
    st.sampled_from(
        [
            b"cos\nsystem\n",
            b"cnumpy\ndtype\n",
            b"cbuiltins\nset\n",
            b"S'f8'\n",
            b"(",
            b"t",
            b"cnumpy.core.multiarray\n_reconstruct\n",
            b"K\x01",
            b"\x94",
            b"h\x00",
            b"R",
            b"cnumpy.core.multiarray\nscalar\n",
            b"cdatetime\ndatetime\n",
            b"b",
        ]
    ),
)


@given(st.lists(SNIPPETS, max_size=40))
def test_random_opcodes(parts):
    """Whatever comes, it is a value or a FormatError."""
    with contextlib.suppress(FormatError):
        load_pickle(b"".join(parts) + b".")


@given(st.data())
def test_damaged_good_streams(data):
    value = {
        "m": ARRAYS["C"],
        "n": VALUES["nested"],
        "d": VALUES["times"],
        "c": Record(Global("a", "b")),
    }
    stream = bytearray(pickle.dumps(value, data.draw(st.sampled_from(list(PROTOCOLS)))))
    for _ in range(data.draw(st.integers(1, 4))):
        stream[data.draw(st.integers(0, len(stream) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(FormatError):
        load_pickle(bytes(stream))
