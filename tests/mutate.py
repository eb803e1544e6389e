"""Do the tests of a room notice errors in it? A sample of small errors, each made in memory.

    make mutate ARGS="tree lazy -n 30 --seed 1 2"

For each room, lines are drawn by a seed from all lines of its functions that can be changed, and one change
for each: another comparison, number, operator or name, a missing argument or statement. The tests of
``tests/<room>`` are collected once and run once, to see which functions each passes through. For each change
this process forks, exchanges the code of the one function, runs the tests that pass through it, the
quickest first, and stops at the first that fails.

What survived is printed: each is a test that is missing, or a change that changes nothing. Compiling is off,
so that kernels are Python functions. Not seen: tests that start processes of their own, default values, and
statements outside functions. Words of messages and docstrings are free, and are not changed.

Why not mutmut or cosmic-ray: mutmut writes all changes of a room to files before the first runs (six minutes
for kernels) and leaves out decorated functions; cosmic-ray starts an interpreter for each (five seconds).
"""

import argparse
import ast
import contextlib
import gc
import importlib
import json
import math
import os
import pkgutil
import random
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from types import CodeType, FunctionType

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("kernels", "alignment", "tree", "lazy", "archive", "batches")
#: Rooms whose tests stand in the folder of another room too: tensors are made of batches.
ALSO_TESTED = {"batches": ["torch"]}
#: A test that takes longer, in seconds of CPU, is left out.
LONGEST_TEST = 6.0

OPERATORS: dict[type, list[type]] = {
    ast.Lt: [ast.LtE, ast.Gt],
    ast.LtE: [ast.Lt, ast.Gt],
    ast.Gt: [ast.GtE, ast.Lt],
    ast.GtE: [ast.Gt, ast.Lt],
    ast.Eq: [ast.NotEq],
    ast.NotEq: [ast.Eq],
    ast.Is: [ast.IsNot],
    ast.IsNot: [ast.Is],
    ast.In: [ast.NotIn],
    ast.NotIn: [ast.In],
    ast.And: [ast.Or],
    ast.Or: [ast.And],
    ast.Add: [ast.Sub],
    ast.Sub: [ast.Add],
    ast.Mult: [ast.Div],
    ast.Div: [ast.Mult],
    ast.FloorDiv: [ast.Div],
    ast.Mod: [ast.FloorDiv],
    ast.Pow: [ast.Mult],
    ast.BitAnd: [ast.BitOr],
    ast.BitOr: [ast.BitAnd],
    ast.BitXor: [ast.BitAnd],
    ast.LShift: [ast.RShift],
    ast.RShift: [ast.LShift],
    ast.MatMult: [ast.Mult],
}
#: Functions and methods exchanged by name; in both directions.
NAMES = {
    "min": "max",
    "minimum": "maximum",
    "floor": "ceil",
    "any": "all",
    "nanmin": "nanmax",
    "argmin": "argmax",
    "zeros": "ones",
    "first": "last",
    "startswith": "endswith",
    "lstrip": "rstrip",
    "left": "right",
}
NAMES |= {other: name for name, other in NAMES.items()}


@dataclass
class Change:
    """One small error: where it is, what it says, and how it is made in the syntax tree."""

    path: Path
    tree: ast.Module
    function: str
    line: int
    text: str
    apply: Callable[[], None]


# --- what can be changed -----------------------------------------------------------------------------------


def replacements(node: ast.AST) -> Iterator[ast.AST]:
    """Yield other nodes that could stand here."""
    match node:
        case ast.Compare():
            for k, operator in enumerate(node.ops):
                for other in OPERATORS[type(operator)]:
                    yield ast.Compare(
                        node.left, [*node.ops[:k], other(), *node.ops[k + 1 :]], node.comparators
                    )
        case ast.BinOp(left=left, op=operator, right=right):
            yield from (ast.BinOp(left, other(), right) for other in OPERATORS[type(operator)])
        case ast.BoolOp(op=operator, values=values):
            yield from (ast.BoolOp(other(), values) for other in OPERATORS[type(operator)])
        case ast.AugAssign(target=target, op=operator, value=value):
            yield from (
                ast.AugAssign(target, other(), value) for other in OPERATORS[type(operator)]
            )
            yield ast.Assign([target], value)
        case ast.UnaryOp(op=ast.Not() | ast.USub() | ast.Invert(), operand=operand):
            yield operand
        case ast.IfExp(test=test, body=body, orelse=orelse):
            yield ast.IfExp(test, orelse, body)
        case ast.Constant(value=bool() as value):
            yield ast.Constant(not value)
        case ast.Constant(value=int() | float() as value):
            yield ast.Constant(value + 1)
        case ast.Constant(value=str() as value) if " " not in value:
            # Not XX/XX: strip("XX/XX") and kind in "XXbiuXX" would change nothing.
            yield ast.Constant("XX")
        case ast.Name(id=name, ctx=context) if name in NAMES:
            yield ast.Name(NAMES[name], context)
        case ast.Attribute(value=value, attr=name, ctx=context) if name in NAMES:
            yield ast.Attribute(value, NAMES[name], context)
        case ast.Call(func=function, args=arguments, keywords=keywords):
            for k in range(len(keywords)):
                yield ast.Call(function, arguments, keywords[:k] + keywords[k + 1 :])
            for k, argument in enumerate(arguments):
                if not _is_sentence(argument):
                    others = [*arguments[:k], ast.Constant(None), *arguments[k + 1 :]]
                    yield ast.Call(function, others, keywords)
        case ast.Assign(targets=[ast.Name()] as targets, value=value):
            if not isinstance(value, ast.Constant) or value.value is not None:
                yield ast.Assign(targets, ast.Constant(None))
        case ast.Return(value=ast.expr() as value):
            if not isinstance(value, ast.Constant) or value.value is not None:
                yield ast.Return(ast.Constant(None))
        case ast.If(test=test, body=body, orelse=orelse):
            yield ast.If(ast.UnaryOp(ast.Not(), test), body, orelse)
        case ast.Continue():
            yield ast.Break()
        case ast.Break():
            yield ast.Continue()
        case ast.Raise() | ast.Delete():
            yield ast.Pass()
        case ast.Expr(value=ast.Call() | ast.Yield() | ast.YieldFrom()):
            yield ast.Expr(ast.Constant(None))
        case ast.Slice(lower=lower, upper=upper, step=step):
            for parts in ((None, upper, step), (lower, None, step), (lower, upper, None)):
                if parts != (lower, upper, step):
                    yield ast.Slice(*parts)


def changes_below(node: ast.AST, path: Path, tree: ast.Module, function: str) -> Iterator[Change]:
    """Yield the changes of everything in a node: not of annotations, docstrings, defaults, decorators."""
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "args", "decorator_list", "format_spec") and not (
            isinstance(node, ast.Call)
        ):
            continue
        for k, child in enumerate(value if isinstance(value, list) else [value]):
            if not isinstance(child, ast.AST) or _is_text(child):
                continue
            for other in replacements(child):
                if _is_words(child) or ast.dump(other) == ast.dump(child):
                    continue
                ast.fix_missing_locations(ast.copy_location(other, child))
                text = f"{_first_line(child)}   ->   {_first_line(other)}"
                place = (node, field, k if isinstance(value, list) else None)
                yield Change(path, tree, function, child.lineno, text, _setter(place, other))
            yield from changes_below(child, path, tree, function)


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _is_words(node: ast.AST) -> bool:
    """Whether a node is the sentence of an error: ``msg = ...``, ``ValueError(msg)``."""
    match node:
        case ast.Assign(targets=[ast.Name(id="msg")]) | ast.Call(args=[ast.Name(id="msg")]):
            return True
    return False


def _is_sentence(node: ast.AST) -> bool:
    """Whether an argument is words for an error: a text, formatted or not, with a space in it."""
    parts = node.values if isinstance(node, ast.JoinedStr) else [node]
    return any(
        isinstance(part, ast.Constant) and isinstance(part.value, str) and " " in part.value
        for part in parts
    )


def _first_line(node: ast.AST) -> str:
    return ast.unparse(node).partition("\n")[0][:110]


def _setter(place: tuple[ast.AST, str, int | None], other: ast.AST) -> Callable[[], None]:
    node, field, index = place

    def apply() -> None:
        if index is None:
            setattr(node, field, other)
        else:
            getattr(node, field)[index] = other

    return apply


def changes_of(path: Path) -> Iterator[Change]:
    """Yield the changes of all functions and methods of a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))

    def walk(body: list[ast.stmt], prefix: str) -> Iterator[Change]:
        for node in body:
            if isinstance(node, ast.FunctionDef):
                yield from changes_below(node, path, tree, prefix + node.name)
            elif isinstance(node, ast.ClassDef):
                yield from walk(node.body, f"{prefix}{node.name}.")

    yield from walk(tree.body, "")


def sample(room: str, number: int, seed: int) -> list[Change]:
    """Draw lines of a room, and one change of each."""
    by_line: dict[tuple[Path, int], list[Change]] = {}
    for path in sorted((ROOT / "neuroarrays" / room).rglob("*.py")):
        for change in changes_of(path):
            by_line.setdefault((path, change.line), []).append(change)
    draw = random.Random(seed)
    lines = draw.sample(sorted(by_line), min(number, len(by_line)))
    print(f"{room}: {len(lines)} of {len(by_line)} lines that can be changed", flush=True)
    return [draw.choice(by_line[line]) for line in lines]


# --- running tests in forked children ----------------------------------------------------------------------


def in_child(work: Callable[[], object], cpu: float) -> object:
    """Return what `work` gives in a forked child, or None where it dies or takes too much CPU time."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.close(reading)
            silent = os.open(os.devnull, os.O_WRONLY)
            os.dup2(silent, 1)
            os.dup2(silent, 2)
            resource.setrlimit(resource.RLIMIT_CPU, (int(cpu) + 1, int(cpu) + 1))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            signal.alarm(20 * int(cpu + 1))  # for one that waits for ever
            os.write(writing, b"")
            answer = json.dumps(work()).encode()
            with os.fdopen(writing, "wb") as file:
                file.write(answer)
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        answer = file.read()
    os.waitpid(child, 0)
    return json.loads(answer) if answer else None


def functions_below(folder: Path) -> dict[tuple[str, str, int], list[FunctionType]]:
    """Every function object whose code stands in a folder, by file, name and line."""
    functions: dict[tuple[str, str, int], list[FunctionType]] = {}
    for function in gc.get_objects():
        if isinstance(function, FunctionType):
            code = function.__code__
            if code.co_filename.startswith(str(folder)):
                key = code.co_filename, code.co_qualname, code.co_firstlineno
                functions.setdefault(key, []).append(function)
    return functions


def exchange(change: Change, functions: dict) -> bool:
    """Give the function that a change is in its new code; whether it is held anywhere."""
    change.apply()
    new = _code_of(compile(change.tree, str(change.path), "exec"), change.function)
    held = functions.get((str(change.path), new.co_qualname, new.co_firstlineno), [])
    for function in held:
        function.__code__ = new
    return bool(held)


def _code_of(code: CodeType, function: str) -> CodeType:
    for name in function.split("."):
        code = [
            part for part in code.co_consts if isinstance(part, CodeType) and part.co_name == name
        ][-1]
    return code


class Mutation:
    """A plugin of pytest that runs changes instead of tests."""

    def __init__(self, options: argparse.Namespace):
        self.options, self.failed, self.survivors, self.run = options, False, 0, 0

    def pytest_collection(self):
        from hypothesis import Phase, settings

        settings.register_profile(
            "mutation",
            max_examples=25,
            derandomize=True,
            database=None,
            deadline=None,
            phases=(Phase.explicit, Phase.generate),
            suppress_health_check=list(settings().suppress_health_check),
        )
        settings.load_profile("mutation")

    def pytest_runtest_logreport(self, report):
        self.failed |= report.failed

    def pytest_runtestloop(self, session):
        import neuroarrays

        for module in pkgutil.walk_packages(neuroarrays.__path__, "neuroarrays."):
            with contextlib.suppress(ImportError):
                importlib.import_module(module.name)
        gc.unfreeze()  # what conftest.py froze is not among the objects of gc
        self.functions = functions_below(ROOT / "neuroarrays")
        samples = {  # before the tests run for minutes, and somebody edits a file meanwhile
            (room, seed): sample(room, self.options.n, seed)
            for room in self.options.rooms
            for seed in self.options.seed
        }
        gc.freeze()  # so that children share its memory
        for room in self.options.rooms:
            folders = [ROOT / "tests" / name for name in (room, *ALSO_TESTED.get(room, []))]
            items = [item for item in session.items if set(folders) & set(item.path.parents)]
            items = {item.nodeid: item for item in items}
            tests = in_child(lambda r=room, i=items: self.trace(i, ROOT / "neuroarrays" / r), 3000)
            for seed in self.options.seed:
                print(f"\n{room}, seed {seed}", flush=True)
                self.room(samples[room, seed], items, tests)
        return True

    def room(self, changes: list[Change], items: dict, tests: dict) -> None:
        """Run a sample of one room."""
        drawn = list(enumerate(changes))
        drawn = [
            (k, change) for k, change in drawn if not self.options.only or k in self.options.only
        ]
        alive, made = 0, len(drawn)
        for k, change in drawn:
            key = f"{change.path}:{change.function}"
            costs = {name: cpu for name, (cpu, keys) in tests.items() if key in keys}
            chosen = sorted(costs, key=lambda name: (round(math.log2(costs[name])), name))
            limit = 10 + 3 * min(sum(costs.values()), self.options.longest)
            started = time.monotonic()
            result = in_child(
                lambda change=change, chosen=chosen, costs=costs: self.survives(
                    change, items, chosen, costs
                ),
                limit,
            )
            if self.options.v:
                print(f"  {k} {result} {time.monotonic() - started:.1f} s", flush=True)
            made -= result == "not made"
            if result == "survived":
                alive += 1
                where = f"{change.path.relative_to(ROOT)}:{change.line} {change.function}"
                print(f"\n#{k} {where} ({len(chosen)} tests)\n    {change.text}", flush=True)
        self.survivors, self.run = self.survivors + alive, self.run + made
        print(f"\n{made - alive} of {made} noticed", flush=True)

    def passes(self, item, following=None) -> bool:
        """Whether a test passes; fixtures that the `following` one needs too are kept."""
        from _pytest.runner import runtestprotocol

        self.failed = False
        runtestprotocol(item, log=True, nextitem=following)
        return not self.failed

    def trace(self, items: dict, folder: Path) -> dict[str, tuple[float, list[str]]]:
        """Run all tests once; return the CPU time of each that passes, and functions of the folder in it."""
        tests, called, prefix = {}, set(), str(folder)

        def see(frame, event, argument):
            if frame.f_code.co_filename.startswith(prefix):
                called.add(frame.f_code)

        import threading

        for name, item in items.items():
            called.clear()
            started = time.process_time()
            sys.settrace(see)
            threading.settrace(see)
            passed = self.passes(item)
            sys.settrace(None)
            threading.settrace(None)
            cpu = time.process_time() - started
            if passed and cpu < LONGEST_TEST:
                keys = {
                    f"{code.co_filename}:{code.co_qualname.partition('.<locals>')[0]}"
                    for code in called
                }
                tests[name] = (cpu, sorted(keys))
        return tests

    def survives(self, change: Change, items: dict, chosen: list, costs: dict) -> str:
        if not exchange(change, self.functions):
            return "not made"
        started = time.process_time()
        for name, following in zip_longest(chosen, chosen[1:]):
            # A loop that does not end is a failure: the process is ended, though not for a fixture.
            most = 15 + int(time.process_time() + 5 * costs[name])
            _, hard = resource.getrlimit(resource.RLIMIT_CPU)
            resource.setrlimit(resource.RLIMIT_CPU, (min(most, hard), hard))
            if not self.passes(items[name], items.get(following)):
                return name
            if time.process_time() - started > self.options.longest:
                break
        return "survived"


def main() -> int:
    """Run a sample; the exit status says whether nothing survived."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("rooms", nargs="*", default=list(ROOMS), metavar="room")
    parser.add_argument("-n", type=int, default=30, help="how many errors in each room (30)")
    parser.add_argument("--seed", type=int, nargs="+", default=[0], help="a sample for each")
    parser.add_argument("--longest", type=float, default=60, help="CPU seconds for one change (60)")
    parser.add_argument("--only", type=int, nargs="+", help="numbers of the sample to run again")
    parser.add_argument("-v", action="store_true", help="say for each which test noticed it")
    options = parser.parse_args()
    if unknown := [room for room in options.rooms if not (ROOT / "tests" / room).is_dir()]:
        parser.error(f"no tests of {', '.join(unknown)}")
    os.environ["NUMBA_DISABLE_JIT"] = "1"
    os.chdir(ROOT)
    import pytest

    mutation = Mutation(options)
    folders = [
        f"tests/{name}" for room in options.rooms for name in (room, *ALSO_TESTED.get(room, []))
    ]
    arguments = ["-q", "-s", "-p", "no:cacheprovider", "-W", "ignore::RuntimeWarning"]
    status = pytest.main([*arguments, *folders], plugins=[mutation])
    print(f"\n{mutation.run - mutation.survivors} of {mutation.run} noticed")
    return int(status not in (0, 5) or mutation.survivors > 0 or not mutation.run)


if __name__ == "__main__":
    sys.exit(main())
