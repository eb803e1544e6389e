"""Links: what they carry, and what they refuse."""

from dataclasses import replace
from urllib.parse import unquote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("panel", reason="panel is not installed (pip install 'neuroarrays[explore]')")

from neuroarrays.explorer.state import FIELDS, State, changes_in, link_of

TEXT = st.text(max_size=20)
STATES = st.builds(
    State,
    session=TEXT,
    query=TEXT,
    by=TEXT,
    units=st.lists(st.integers(-(2**40), 2**40), max_size=6, unique=True).map(tuple),
    window=st.none() | st.tuples(st.integers(-1000, 0), st.integers(1, 1000)).map(lambda w: tuple(map(float, w))),
    smooth=st.integers(0, 100).map(lambda n: n / 64),
    dark=st.booleans(),
    svg=st.booleans(),
)  # fmt: skip


@given(STATES)
def test_a_link_restores_the_state(state):
    changes, notices = changes_in(link_of(state, lambda state: state))
    assert notices == []
    assert replace(State(), **changes) == state


def test_a_link_is_readable_and_says_only_what_was_chosen():
    state = replace(State(), units=(4, 7), window=(562.5, 712.5), query="rate > 2", by="type")
    link = link_of(state, lambda state: replace(state, by=state.by or "type"))
    assert unquote_plus(link) == "#v=1&q=rate > 2&u=4,7&t=562.5,712.5"
    assert " " not in link


@pytest.mark.parametrize(
    ("part", "word"),
    [
        ("t=nan,1", "number"), ("t=1", "not used"), ("t=5,1", "order"), ("t=0,inf", "number"),
        ("bin=0", "number"), ("bin=1e400", "number"), ("u=a", "not used"), ("u=1,2,3,4,5,6,7", "6 units"),
        ("dark=red", "0 or 1"), ("q=" + "x" * 2000, "characters"), ("before=-1e9", "number"),
    ],
)  # fmt: skip
def test_a_value_that_cannot_be_is_said_and_left_out(part, word):
    changes, notices = changes_in(f"#v=1&by=type&{part}")
    assert changes == {"by": "type"}
    (notice,) = notices
    assert word in notice


def test_a_link_of_another_version_is_not_followed():
    changes, (notice,) = changes_in("#v=2&u=4")
    assert changes == {}
    assert "another version" in notice


def test_unknown_keys_are_ignored():
    assert changes_in("#v=1&token=abc&__class__=x&u=3") == ({"units": (3,)}, [])


def test_no_field_holds_a_path_or_a_token():
    assert not {"path", "token", "address"} & set(FIELDS)
