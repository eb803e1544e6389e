"""Parse the text of a condition into a syntax tree of which every part is allowed, or say what is not."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from typing import Any

from neuroarrays.errors import QueryError, quoted

#: The longest text and deepest nesting of a query, far more than anybody writes.
_LENGTH, _DEPTH = 10_000, 50
#: The most characters of a query that a message quotes.
_QUOTED = 60
_ALLOWED = (
    "a condition is made of names (in `backticks` if they have spaces), numbers, texts in quotes, "
    "comparisons, and, or, not, and `in` with a list"
)
#: A part of Python's syntax that is not allowed -> its name in a message.
_NOT_ALLOWED: dict[type[ast.AST], str] = {
    ast.Call: "a function call",
    ast.Attribute: "an attribute",
    ast.Subscript: "an index",
    ast.Lambda: "a function",
    ast.NamedExpr: "an assignment",
    ast.JoinedStr: "a formatted text",
    ast.BinOp: "arithmetic",
    ast.IfExp: "a choice",
}
#: Error of Python's parser -> what it means.
_REASONS = {RecursionError: "nested too deeply", MemoryError: "nested too deeply"}
#: Python's bitwise operator -> the word to write instead.
_BITWISE = {ast.BitAnd: "`and`", ast.BitOr: "`or`"}

#: A name in backticks, or a text in quotes.
_BACKTICKS = re.compile(r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|`(?P<name>[^`]*)`""")
#: Comparisons of two values.
_COMPARISONS = (ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE)


def syntax_of(text: Any) -> ast.expr:
    """Parse a condition into a syntax tree.

    Parameters
    ----------
    text : str
        For example ``"snr > 2 and `stim on` == 1"``: names that are no words of Python stand between
        backticks.

    Returns
    -------
    ast.expr
        Of names, literals, comparisons, and/or/not and `in` with a list of literals. The `id` of a
        name is that of the column.

    Raises
    ------
    QueryError
        If it has anything else; the message names that part.
    """
    if not isinstance(text, str):
        msg = f"expected a condition as text, such as 'contrast > 0.5'; found {text!r:.60}"
        raise QueryError(msg)
    if len(text) > _LENGTH:
        msg = f"the condition has {len(text):,} characters; expected at most {_LENGTH:,}"
        raise QueryError(msg)
    source, names = _without_backticks(text.replace("\n", " ").strip())
    try:
        with warnings.catch_warnings():
            # Python warns of unusual escapes such as "\d" in a literal, which is used as it is.
            warnings.simplefilter("ignore")
            tree = ast.parse(source, mode="eval").body
    except SyntaxError as error:
        near = f" near {source[max(0, (error.offset or 1) - 1) :][:20]!r}"
        has_single_equal = re.search(r"(?<![=<>!])=(?!=)", text)
        equal = "; write == for equal" if has_single_equal else ""
        reason = error.msg.partition(";")[0]
        msg = f"{quoted(text)} is not a condition ({reason}{near}{equal}); {_ALLOWED}"
        raise QueryError(msg) from error
    except (ValueError, RecursionError, MemoryError) as error:
        why = _REASONS.get(type(error), "it has characters that are not allowed")
        raise QueryError(f"{quoted(text)} is not a condition ({why}); {_ALLOWED}") from error
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            node.id = names.get(node.id, node.id)
    for problem, node in _problems(tree, 0):
        msg = f"{quoted(text)}: {text_of(node)!r} is {problem}; {_ALLOWED}"
        raise QueryError(msg)
    return tree


def _without_backticks(text: str) -> tuple[str, dict[str, str]]:
    """The text with plain names for those in backticks, and what these stand for."""
    prefix = "column"
    while prefix in text:
        prefix += "_"
    names: dict[str, str] = {}

    def plain(match: re.Match[str]) -> str:
        if match["name"] is None:  # a text in quotes, in which a backtick is a letter
            return match[0]
        names[f"{prefix}{len(names)}"] = match["name"]
        return f"{prefix}{len(names) - 1}"

    return _BACKTICKS.sub(plain, text), names


def text_of(node: ast.AST) -> str:
    """A part of a condition as it was written, cut to the length of a message."""
    try:
        text = type(node).__name__ if isinstance(node, ast.operator) else ast.unparse(node)
    except (ValueError, RecursionError):  # a number with thousands of digits, or nested too deeply
        return "..."
    return text if len(text) <= _QUOTED else f"{text[:_QUOTED]}..."


def _problems(node: ast.expr, depth: int) -> Iterator[tuple[str, ast.AST]]:
    """The parts that are not allowed, as (what is wrong, syntax node)."""
    if depth > _DEPTH:
        yield "nested too deeply", ast.Constant("...")
    elif isinstance(node, ast.BoolOp):
        for value in node.values:
            yield from _problems(value, depth + 1)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield from _problems(node.operand, depth + 1)
    elif isinstance(node, ast.Compare):
        yield from _sides(node.left)
        last = node.comparators[-1]
        for sign, side in zip(node.ops, node.comparators, strict=True):
            if isinstance(sign, ast.In | ast.NotIn):
                yield from _options(side)
                if side is not last:
                    yield "a list in a chain of comparisons", side
            elif type(sign) in _COMPARISONS:
                yield from _sides(side)
            else:
                yield "a comparison by identity (write == or !=)", node
    else:
        yield from _sides(node)


def _sides(node: ast.expr) -> Iterator[tuple[str, ast.AST]]:
    """Check a side of a comparison, which is a name or a literal."""
    if isinstance(node, ast.BinOp) and type(node.op) in _BITWISE:
        yield f"arithmetic (write {_BITWISE[type(node.op)]} between conditions)", node
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Invert):
        yield "not allowed here (write `not`)", node
    elif isinstance(node, ast.Constant) and node.value is None:
        yield "no value: what is missing fits no condition (`x == x` keeps what is known)", node
    elif not isinstance(node, ast.Name) and not _is_literal(node):
        yield _NOT_ALLOWED.get(type(node), "not allowed here"), node


def _options(node: ast.expr) -> Iterator[tuple[str, ast.AST]]:
    """Check the right side of `in`, which is a list of literals."""
    if not isinstance(node, ast.List | ast.Tuple | ast.Set):
        yield "not a list (write `in [...]`)", node
        return
    for option in node.elts:
        if not _is_literal(option):
            yield _NOT_ALLOWED.get(type(option), "not a number or text"), option


def _is_literal(node: ast.expr) -> bool:
    """Whether a syntax node is a number, a signed number, a text or a truth value."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        node = node.operand
        return isinstance(node, ast.Constant) and type(node.value) in (int, float)
    return isinstance(node, ast.Constant) and type(node.value) in (int, float, str, bool)
