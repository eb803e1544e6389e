"""Parse conditions that are written as text: names, literals, comparisons, and/or/not, in.

A text may come from a shared notebook or a link, so it is never evaluated as Python. The syntax
tree is walked, and anything that is not allowed is an error that names it.
"""

from __future__ import annotations

import ast
import numbers
import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from neuroarrays.errors import NotInTree, QueryError, quoted
from neuroarrays.files.source import text_array
from neuroarrays.tree.query_syntax import syntax_of, text_of

_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
#: Where a condition is true, and where it is false; where a value is missing it is neither.
Truth = tuple[np.ndarray, np.ndarray]
#: A function from the name of a column to its values, or to one value for all rows.
Column = Callable[[str], Any]


@dataclass(frozen=True)
class Coded:
    """A column with few distinct values, such as names of areas: each value is compared once.

    Attributes
    ----------
    values : (value,) array
        The distinct values, and at the end None for missing values.
    codes : (row,) int
        The number of the value of each row; -1 where it is missing.
    """

    values: np.ndarray
    codes: np.ndarray


@dataclass(frozen=True)
class Query:
    """A parsed condition.

    Attributes
    ----------
    text : str
        The condition as it was written.
    tree : ast.expr
        Its syntax tree; all its parts are allowed.
    """

    text: str
    tree: ast.expr

    @property
    def names(self) -> list[str]:
        """Names of the columns in the condition, in order."""
        names_in_order = [node.id for node in ast.walk(self.tree) if isinstance(node, ast.Name)]
        return list(dict.fromkeys(names_in_order))

    @property
    def conditions(self) -> list[Query]:
        """The parts between the outermost `and`, which must all be true."""
        parts = [self.tree]
        if isinstance(self.tree, ast.BoolOp) and isinstance(self.tree.op, ast.And):
            parts = self.tree.values
        return [Query(text_of(part), part) for part in parts]

    def where(self, column: Column, size: int) -> np.ndarray:
        """Tell in which rows the condition is true.

        Parameters
        ----------
        column : callable
            Function from a name to its values (size,), `Coded` or not, or to one value for all
            rows.
        size : int
            Number of rows.

        Returns
        -------
        (size,) bool
            False where a value is missing (NaN, None or an empty text). A missing value fits
            neither a condition nor its `not`, unless the other side of an `or` decides.

        Raises
        ------
        QueryError
            If text is compared with numbers, or a name is used as a truth value and is none.
        """
        true, _ = self._truth(self.tree, column, size)
        return true

    def _truth(self, node: ast.expr, column: Column, size: int) -> Truth:
        """Where a part of the condition is true, and where it is false, each (size,) bool."""
        if isinstance(node, ast.BoolOp):
            parts = [self._truth(value, column, size) for value in node.values]
            yes, no = (np.array(side) for side in zip(*parts, strict=True))
            if isinstance(node.op, ast.And):
                return np.all(yes, axis=0), np.any(no, axis=0)
            return np.any(yes, axis=0), np.all(no, axis=0)
        if isinstance(node, ast.UnaryOp):
            true, false = self._truth(node.operand, column, size)
            return false, true
        if isinstance(node, ast.Compare):
            true, false = np.ones(size, bool), np.zeros(size, bool)
            sides = [node.left, *node.comparators]
            for left, sign, right in zip(sides, node.ops, sides[1:], strict=False):
                yes, no = self._comparison(left, sign, right, column, size)
                true, false = true & yes, false | no
            return true, false
        values = _spread(self._value(node, column), size)
        if values.dtype.kind != "b":
            raise self._error(node, "is neither true nor false: compare it with a value")
        return values, ~values

    def _comparison(
        self, left: ast.expr, sign: ast.cmpop, right: ast.expr, column: Column, size: int
    ) -> Truth:
        """Where a comparison is true, and where it is false, each (size,) bool."""
        value = self._value(left, column)
        if isinstance(value, Coded) and not isinstance(right, ast.Name):
            yes, no = self._compared(left, value.values, sign, right, column)
            return yes[value.codes], no[value.codes]
        return self._compared(left, _spread(value, size), sign, right, column)

    def _compared(
        self, left: ast.expr, subject: np.ndarray, sign: ast.cmpop, right: ast.expr, column: Column
    ) -> Truth:
        """Where a comparison of values, (value,), is true and where it is false."""
        size = len(subject)
        known = ~missing(subject)
        compare: Callable[[Any, Any], Any] = _COMPARISONS.get(type(sign), operator.eq)
        if isinstance(sign, ast.In | ast.NotIn) and isinstance(
            right, ast.List | ast.Tuple | ast.Set
        ):
            others = [_spread(ast.literal_eval(o), size) for o in right.elts]
        else:
            others = [_spread(self._value(right, column), size)]
            known &= ~missing(others[0])
        yes = np.zeros(size, bool)
        for other in others:
            self._check_kinds(left, subject, right, other)
            has_objects = "O" in (subject.dtype.kind, other.dtype.kind)
            try:
                if not has_objects:  # Missing numbers can be compared; they are left out below.
                    yes |= np.asarray(compare(subject, other), bool)
                else:
                    yes[known] |= np.asarray(compare(subject[known], other[known]), bool)
            except (TypeError, ValueError, OverflowError) as error:
                what = f"cannot be compared with {text_of(right)} ({error})"
                raise self._error(left, what) from error
        if isinstance(sign, ast.NotIn):
            yes = ~yes
        return yes & known, ~yes & known

    def _check_kinds(
        self, left: ast.expr, subject: np.ndarray, right: ast.expr, other: np.ndarray
    ) -> None:
        """Refuse to compare text with numbers."""
        kinds = _kind(subject), _kind(other)
        if "" not in kinds and kinds[0] != kinds[1]:
            what = f"is {kinds[0]}, and {text_of(right)} is {kinds[1]}: they cannot be compared"
            raise self._error(left, what)

    def _value(self, node: ast.expr, column: Column) -> Any:
        """The values of one side of a comparison: of a column, or a literal."""
        if not isinstance(node, ast.Name):
            return ast.literal_eval(node)
        values = column(node.id)
        if isinstance(values, Coded):
            self._check_types(node, values.values)
            return values
        values = np.asarray(values)
        if values.dtype.kind not in "biufOUST":
            raise self._error(node, f"has values of type {values.dtype}, which cannot be compared")
        if values.dtype.kind == "S":
            return text_array(values)
        self._check_types(node, values)
        return values

    def _check_types(self, node: ast.expr, values: np.ndarray) -> None:
        """Refuse a column of objects that are neither texts nor numbers."""
        for value in values.ravel().tolist() if values.dtype.kind == "O" else ():
            if not isinstance(value, str | numbers.Real | None) and not _is_missing(value):
                what = f"has values of type {type(value).__name__}, which cannot be compared"
                raise self._error(node, what)

    def _error(self, node: ast.AST, what: str) -> QueryError:
        return QueryError(f"{quoted(self.text)}: {text_of(node)!r} {what}")


def _spread(value: Any, size: int) -> np.ndarray:
    """Values, or one value for all, as an array; numpy's text that may lack values becomes objects."""
    values = value.values[value.codes] if isinstance(value, Coded) else np.asarray(value)
    values = values.astype(object) if values.dtype.kind == "T" else values
    return np.broadcast_to(values, (size,)) if values.ndim == 0 else values


def _kind(values: np.ndarray) -> str:
    """Whether values are text or numbers; "" if all are missing."""
    if values.dtype.kind in "biuf":
        return "a number"
    known = values[~missing(values)]
    return "" if not known.size else "a text" if isinstance(known[0], str) else "a number"


def missing(values: np.ndarray) -> np.ndarray:
    """Tell which values are missing: NaN, None or an empty text.

    Parameters
    ----------
    values : (n,) array
        Numbers, truth values or texts.

    Returns
    -------
    (n,) bool
    """
    if values.dtype.kind == "f":
        nan: np.ndarray = np.isnan(values)
        return nan
    if values.dtype.kind in "biu":
        return np.zeros(values.shape, bool)
    return np.array([_is_missing(value) for value in values.tolist()], bool)


def _is_missing(value: Any) -> bool:
    """Whether a value is NaN, NaT, None, pandas.NA or an empty text."""
    if value is None or isinstance(value, str):
        return not value
    try:
        return bool(value != value)  # NaN, NaT
    except (TypeError, ValueError):  # pandas.NA is not comparable; a list is not missing
        return type(value).__name__ == "NAType"


def parse(text: Any) -> Query:
    """Parse a condition.

    Parameters
    ----------
    text : str
        For example ``"snr > 2 and area in ['VISp', 'VISl']"`` or ``"0 < contrast <= 0.5"``.

    Returns
    -------
    Query

    Raises
    ------
    QueryError
        If it has anything but names, literals, comparisons, and/or/not and `in` with a list of
        literals; the message names that part.
    """
    return Query(text, syntax_of(text))


def check_columns(names: Iterable[str], columns: Iterable[str], where: str) -> None:
    """Check that a table has all columns of a condition or of a list.

    Parameters
    ----------
    names : iterable of str
        The columns that are needed.
    columns : iterable of str
        The columns of the table.
    where : str
        The table, for the message: "the units of this tree".

    Raises
    ------
    NotInTree
        For the first column that does not exist; the message lists those that do.
    """
    known = list(columns)
    for name in names:
        if name not in known:
            raise NotInTree("column", name, known, where=where)
