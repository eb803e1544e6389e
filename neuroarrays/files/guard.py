"""Child processes that read untrusted files, as HDF5 may hang, crash or exhaust memory on damaged ones.

A process keeps one child, or several that work on several files at a time; each answers one request
after another. Memory and processor time of a child are limited. If a child ends, the error names the
file that it was reading, and the next request starts a new child.
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

#: Processor time for opening a file, s, and the bytes for which another second is allowed.
SECONDS, BYTES_PER_SECOND = 30.0, 20 << 20
#: Memory that a child may use, bytes; half of the machine's memory if that is more.
MEMORY = 4 << 30
#: A child may also wait: the time by the clock is limited to this multiple of its processor time,
#: plus a minute.
_PATIENCE, _MINUTE = 5, 60.0
#: Numbers of threads of libraries. A child uses one each, as threads take memory.
_ALONE = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
_SIGXCPU, _SIGKILL = 24, 9


def start(environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start a new Python process that answers requests (`main`); it shares nothing with this one."""
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
        """Send a request and return the answer; None if the child ended.

        The child is killed if it has not answered after `patience` seconds.
        """
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
        """Kill the process, then close the pipes: a thread may be waiting for an answer in a pipe."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError):
                if pipe is not None:
                    pipe.close()


#: The children by number; most callers use one child.
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
        The function as ``module:name``. It is called with the path and the arguments.
    path : str or list of str
        The path, or paths, that the function reads. Errors name the first.
    nbytes : int
        How many bytes it reads; the time limit grows with it.
    number : int
        The number of the child. Threads that work at the same time use different children.
    limit : float, optional
        The longest time by the clock, s. Without it the processor time is limited, to `SECONDS` plus
        one second per `BYTES_PER_SECOND` of `nbytes`, and the time by the clock to five times that
        plus a minute.
    keeps : bool
        Whether the child keeps its open files and caches for the next request.
    **arguments
        Keyword arguments of the function. They and its result consist of text, numbers, lists and
        mappings.

    Raises
    ------
    NeuroArraysError
        An error that the function raised; a `FormatError` if it does not return in time, ends the
        process, or needs more memory than allowed.
    """
    seconds = SECONDS + nbytes / BYTES_PER_SECOND
    patience = _PATIENCE * seconds + _MINUTE
    if limit is not None:  # processor time only bounds a child whose parent is gone
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
        except BaseException:  # interrupted: nobody may read the answer that comes later
            _children.drop(number.__eq__)
            raise
        first = addresses.without_secrets(path if isinstance(path, str) else path[0])
        if answer is None:
            _children.drop(number.__eq__)
            code = child.process.returncode
            took_too_long = child.took_too_long or code == -_SIGXCPU
            raise _ended(first, code, (limit or seconds) if took_too_long else None)
    if "error" in answer:
        raise _rebuilt_error(first, answer["error"], memory)
    return answer["result"]


def _ended(path: str, code: int, seconds: float | None) -> FormatError:
    """Return the error for a child that ended; `seconds` is the time limit if it was exceeded."""
    hint = "the file is damaged; compare its size or checksum with the original"
    if seconds is not None:
        problem = f"reading that does not end within {seconds:,.0f} s"
    elif code == -_SIGKILL:
        problem = "that its process was killed (signal 9)"
        hint = "the system kills what needs more memory than there is; or somebody ended it"
    else:
        problem = f"reading that ends the process (exit status {code})"
    return FormatError(path, "", "a file that can be read", problem, hint)


def _rebuilt_error(path: str, answer: dict[str, Any], memory: int) -> Exception:
    """Return the error that was raised in the child."""
    if answer["kind"] == "TypeError":  # an option that the function does not have
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
    if isinstance(kind, type) and issubclass(kind, NeuroArraysError) and answer["fields"]:
        return kind(*answer["fields"])
    return FormatError(
        path, "", "a file that can be read", f"{answer['kind']}: {answer['text']}"[:300]
    )


def _physical() -> int:
    """Return the memory of this machine, bytes; 0 where the system does not tell (Windows)."""
    try:
        return int(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):
        return 0


def end(numbers: Iterable[int]) -> None:
    """End the child processes with these numbers."""
    numbers = set(numbers)
    _children.drop(numbers.__contains__)


# ----------------------------------------------------------------------------------- in the child


def main() -> None:
    """Answer the requests in standard input, one per line, until it is closed."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # text that a library prints must not be taken for an answer
    for line in sys.stdin.buffer:
        request = json.loads(line)
        answer = _answer(request)
        out.write(json.dumps(answer).encode() + b"\n")
        out.flush()
        if not request["keeps"]:
            state.release()


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    """Run the function of a request, and return its result or error."""
    try:
        limits = _limits(request["seconds"], request["memory"])
        with limits, errors.options_typed(request["typed"]):
            module, _, name = request["function"].partition(":")
            function: Callable[..., Any] = getattr(import_module(module), name)
            return {"result": function(request["path"], **request["arguments"])}
    except Exception as error:
        known = isinstance(error, NeuroArraysError)
        fields = list(error.__reduce__()[1]) if known else []
        arguments = fields if is_json(fields) else [str(error)]
        return {
            "error": {
                "kind": type(error).__name__,
                "fields": arguments if known else [],
                "text": str(error),
            }
        }


def is_json(value: object) -> bool:
    """Return whether a value can be sent to another process as JSON."""
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True


@contextlib.contextmanager
def _limits(seconds: float, memory: int) -> Iterator[None]:
    """Limit processor time (s) and memory (bytes) of this process, where the platform can do so."""
    try:
        import resource
    except ImportError:
        yield
        return
    # On Linux the limit is for private memory, to which mapped files do not count.
    memory_limit = resource.RLIMIT_DATA if sys.platform == "linux" else resource.RLIMIT_AS
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    used = resource.getrusage(resource.RUSAGE_SELF)
    limits = (
        (resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime + seconds) + 1),
        (memory_limit, memory),
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
