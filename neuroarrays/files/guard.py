"""A child process for files that may hang, crash or exhaust memory: HDF5 does on some damaged ones.

One child is kept for the process, or some for several files at a time, and does one thing after another.
It has bounds of memory and of processor time; where it ends, the file that it was at is named, and the
next one gets a new child.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from typing import Any

from neuroarrays import errors
from neuroarrays.errors import FormatError, NeuroArraysError
from neuroarrays.files import addresses, state

#: Seconds of processor time for opening a file, and bytes that are read in one more.
SECONDS, BYTES_PER_SECOND = 30.0, 20 << 20
#: Bytes of memory that a child may take, unless the machine has twice as many.
MEMORY = 4 << 30
#: Waiting is no work: so many times the processor time may pass, and a minute.
_PATIENCE, _MINUTE = 5, 60.0
#: Threads of libraries that each take memory; a child needs none.
_ALONE = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
_SIGXCPU, _SIGKILL = 24, 9


def start(environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """A process with nothing of this one in it, which answers requests (`main`)."""
    return subprocess.Popen(
        [sys.executable, "-m", "neuroarrays.files.guard"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
    )


class Child:
    """The child process and the pipes to it."""

    def __init__(self) -> None:
        environment = {**os.environ, **dict.fromkeys(_ALONE, "1")}
        environment["PYTHONPATH"] = os.pathsep.join(p or os.getcwd() for p in sys.path)
        self.process = start(environment)
        self.lock = state.Lock()
        self.took_too_long = False

    def _end(self) -> None:
        self.took_too_long = True
        self.process.kill()

    def ask(self, request: dict[str, Any], patience: float) -> dict[str, Any] | None:
        """The answer to a request; None if the child ended, as it does after `patience` seconds."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        timer = threading.Timer(patience, self._end)
        timer.daemon = True
        timer.start()
        try:
            self.process.stdin.write(json.dumps(request, default=str).encode() + b"\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except OSError:
            line = b""
        finally:
            timer.cancel()
        return json.loads(line) if line.endswith(b"\n") else None

    def close(self) -> None:
        """End the process; first of all, as a thread that waits for its answer holds the pipe."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError):
                if pipe is not None:
                    pipe.close()


#: By number; most callers have one.
_children: state.Cache[Child] = state.Cache(64, lambda _: 1, close=Child.close, any_session=True)


def in_child(
    function: str,
    path: str | list[str],
    *,
    nbytes: int = 0,
    number: int = 0,
    limit: float | None = None,
    keeps: bool = False,
    **arguments: Any,
) -> Any:
    """Call a function in a child process with limits on time and memory, and return its result.

    Parameters
    ----------
    function : str
        ``module:name``; takes the path and the arguments.
    path : str or list of str
        What is read; errors name it, or the first.
    nbytes : int
        How much is read.
    number : int
        Which child: several are at work at the same time, each for a thread of the caller.
    limit : float, s, optional
        How long it may take by the clock. Unless given its processor time is bounded, by what opening
        takes and `nbytes`, and the clock by five times that and a minute.
    keeps : bool
        Whether the child stays with what it opened and read, for the next thing that it does.
    **arguments
        Of the function: text, numbers, lists and mappings of these, as is its result.

    Raises
    ------
    NeuroArraysError
        What the function raises; a `FormatError` if it does not come back, ends the process, or
        needs more memory than there may be.
    """
    seconds = SECONDS + nbytes / BYTES_PER_SECOND
    patience = _PATIENCE * seconds + _MINUTE
    if limit is not None:  # processor time bounds a child only where nobody is left to end it
        seconds, patience = limit * (os.cpu_count() or 1), limit
    memory = max(MEMORY, _physical() // 2)
    child = _children.get_or_make(number, Child)
    with child.lock:
        request = {
            "function": function,
            "path": path,
            "arguments": arguments,
            "seconds": seconds,
            "memory": memory,
            "typed": errors.typed_options(),
            "keeps": keeps,
        }
        try:
            answer = child.ask(request, patience)
        except BaseException:  # interrupted: what it answers later is nobody's
            _children.drop(number.__eq__)
            raise
        first = addresses.without_secrets(path if isinstance(path, str) else path[0])
        if answer is None:
            _children.drop(number.__eq__)
            code = child.process.returncode
            took_too_long = child.took_too_long or code == -_SIGXCPU
            raise _ended(first, code, (limit or seconds) if took_too_long else None)
    if "error" in answer:
        raise _remade(first, answer["error"], memory)
    return answer["result"]


def _ended(path: str, code: int, seconds: float | None) -> FormatError:
    """The error for a child that is no more, after `seconds` if these were too many."""
    hint = "the file is damaged; compare its size or checksum with the original"
    if seconds is not None:
        problem = f"reading that does not end within {seconds:,.0f} s"
    elif code == -_SIGKILL:
        problem = "that its process was killed (signal 9)"
        hint = "the system kills what needs more memory than there is; or somebody ended it"
    else:
        problem = f"reading that ends the process (exit status {code})"
    return FormatError(path, "", "a file that can be read", problem, hint)


def _remade(path: str, answer: dict[str, Any], memory: int) -> Exception:
    """The error that was raised in the child."""
    if answer["kind"] == "TypeError":  # an option that there is not
        return TypeError(answer["text"])
    kind = getattr(errors, str(answer["kind"]), None)
    if answer["kind"] == "MemoryError":
        return FormatError(
            path,
            "",
            f"values that fit into {memory:,} bytes",
            "more",
            "the file is damaged or made to exhaust memory",
        )
    if isinstance(kind, type) and issubclass(kind, FormatError):
        return kind(*answer["fields"])
    if isinstance(kind, type) and issubclass(kind, NeuroArraysError) and answer["fields"]:
        return kind(*answer["fields"])
    return FormatError(
        path, "", "a file that can be read", f"{answer['kind']}: {answer['text']}"[:300]
    )


def _physical() -> int:
    try:
        return int(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):  # not said on Windows
        return 0


def end(numbers: Iterable[int]) -> None:
    """End some of the child processes."""
    numbers = set(numbers)
    _children.drop(numbers.__contains__)


# ----------------------------------------------------------------------------------- in the child


def main() -> None:
    """Answer requests, one a line, until there are no more."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    for line in sys.stdin.buffer:
        request = json.loads(line)
        answer = _answer(request)
        out.write(json.dumps(answer).encode() + b"\n")
        out.flush()
        if not request["keeps"]:
            state.release()


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    try:
        limits = _limits(request["seconds"], request["memory"])
        with limits, errors.options_typed(request["typed"]):
            module, _, name = request["function"].partition(":")
            function: Callable[..., Any] = getattr(import_module(module), name)
            return {"result": function(request["path"], **request["arguments"])}
    except FormatError as error:
        fields = [error.path, error.where, error.expected, error.found, error.hint]
        return {"error": {"kind": type(error).__name__, "fields": fields, "text": str(error)}}
    except Exception as error:
        known = isinstance(error, NeuroArraysError)
        fields = list(error.__reduce__()[1]) if known else []
        arguments = fields if _is_plain(fields) else [str(error)]
        return {
            "error": {
                "kind": type(error).__name__,
                "fields": arguments if known else [],
                "text": str(error),
            }
        }


def _is_plain(fields: list[Any]) -> bool:
    try:
        json.dumps(fields)
    except (TypeError, ValueError):
        return False
    return True


@contextlib.contextmanager
def _limits(seconds: float, memory: int) -> Iterator[None]:
    """Bounds of this process, where the platform has them."""
    try:
        import resource
    except ImportError:
        yield
        return
    # Of memory that is its own: files that are mapped are no more than files.
    what = resource.RLIMIT_DATA if sys.platform == "linux" else resource.RLIMIT_AS
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    used = resource.getrusage(resource.RUSAGE_SELF)
    limits = (
        (resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime + seconds) + 1),
        (what, memory),
    )
    before = [(which, resource.getrlimit(which)) for which, _ in limits]
    for which, soft in limits:
        hard = resource.getrlimit(which)[1]
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(which, (soft if hard < 0 else min(soft, hard), hard))
    yield
    for which, old in before:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(which, old)


if __name__ == "__main__":
    main()
