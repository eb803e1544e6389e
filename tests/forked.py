"""``--jobs N``: tests side by side in N forked processes, for which everything is imported and collected once.

Each process takes file after file from a pipe and sends reports back through another. A process that ends
in the middle of a test fails that test; the rest of its file is run by a new one. Where processes cannot be
forked (Windows), or must not be (macOS), ``-n N --dist loadfile`` of pytest-xdist does the same: there each
process imports everything, which is most of what it costs.
"""

import mmap
import os
import pickle
import signal
import struct
import traceback
from multiprocessing.connection import Pipe, wait

import pytest


class Worker:
    """A forked process as the one that it was forked from sees it."""

    def __init__(self, pid, position):
        self.pid, self.position, self.is_done = pid, position, False


class Forked:
    """The tests of a session, in forked processes.

    Parameters
    ----------
    session : pytest.Session
        With its tests collected.
    *at_end : callable
        What each process does before it ends.
    """

    def __init__(self, session, *at_end):
        self.session, self.hook, self.at_end = session, session.config.hook, at_end
        self.numbers = {item: number for number, item in enumerate(session.items)}
        files = {}
        for item in session.items:
            files.setdefault(item.path, []).append(item)
        self.files = list(files.values())
        self.queue, filling = os.pipe()  # all processes take from it: two bytes, a file
        os.write(filling, struct.pack(f"<{len(files)}H", *range(len(files))))
        os.close(filling)
        self.workers = {}

    def run(self, jobs):
        for _ in range(jobs):
            self.start([])
        try:
            while self.workers:
                for connection in wait(list(self.workers)):
                    self.receive(connection)
        finally:
            for worker in self.workers.values():
                os.kill(worker.pid, signal.SIGTERM)
                os.waitpid(worker.pid, 0)

    # ----------------------------------------------------------------- in the first process

    def start(self, items):
        """Fork a process that begins with these tests."""
        receiving, sending = Pipe(duplex=False)
        position = mmap.mmap(-1, 4)  # shared: the number of the test that it is at
        if pid := os.fork():
            sending.close()
            self.workers[receiving] = Worker(pid, position)
            return
        try:
            receiving.close()
            self.work(items, sending, position)
        except BaseException:
            sending.send(("stopped", {"text": traceback.format_exc()}))
        finally:
            os._exit(0)

    def receive(self, connection):
        """Take one message of a process, or notice that it has ended."""
        worker = self.workers[connection]
        try:
            kind, content = connection.recv()
        except EOFError:
            kind, content = "ended", {}
        if kind == "report":
            report = self.hook.pytest_report_from_serializable(
                config=self.session.config, data=content
            )
            self.hook.pytest_runtest_logreport(report=report)
            if report.when == "teardown":
                self.hook.pytest_runtest_logfinish(nodeid=report.nodeid, location=report.location)
        elif kind == "warning":
            self.hook.pytest_warning_recorded.call_historic(kwargs=content)
        elif kind == "ended":
            self.ended(self.workers.pop(connection))
        else:
            worker.is_done = True
            if kind == "stopped":
                self.fail(self.rest_of_file(worker)[0], content["text"])
        if self.session.shouldfail:
            raise self.session.Failed(self.session.shouldfail)
        if self.session.shouldstop:
            raise self.session.Interrupted(self.session.shouldstop)

    def ended(self, worker):
        _, status = os.waitpid(worker.pid, 0)
        if not worker.is_done:
            item, items = self.rest_of_file(worker)
            self.fail(item, f"the process ended in this test: {os.waitstatus_to_exitcode(status)}")
            self.start(items)

    def rest_of_file(self, worker):
        """The test that a process was at, and those that follow it in its file."""
        item = self.session.items[struct.unpack("<I", worker.position[:])[0]]
        (items,) = (items for items in self.files if item in items)
        return item, items[items.index(item) + 1 :]

    def fail(self, item, text):
        report = pytest.TestReport(item.nodeid, item.location, {}, "failed", text, "call")
        self.hook.pytest_runtest_logreport(report=report)

    # ----------------------------------------------------------------- in a forked process

    def work(self, items, connection, position):
        config = self.session.config
        capturing = config.pluginmanager.getplugin("capturemanager")
        capturing.stop_global_capturing()  # into a file that all would share
        capturing.start_global_capturing()
        config.pluginmanager.unregister(name="terminalreporter")
        config.pluginmanager.register(Sender(config, connection))
        while items or (items := self.next_file()):
            item, *items = items
            position[:] = struct.pack("<I", self.numbers[item])
            # After the last test of a file, what was made for the session stays.
            following = items[0] if items else self.session
            self.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if self.session.shouldfail or self.session.shouldstop:
                break
        self.session._setupstate.teardown_exact(None)
        for end in self.at_end:
            end()
        connection.send(("done", {}))

    def next_file(self):
        number = os.read(self.queue, 2)
        return self.files[struct.unpack("<H", number)[0]] if number else []


class Sender:
    """What a forked process registers in place of the terminal."""

    def __init__(self, config, connection):
        self.config, self.connection = config, connection
        self.sends_all = config.option.durations is not None

    def pytest_runtest_logreport(self, report):
        if self.sends_all or report.when != "setup" or not report.passed:
            data = self.config.hook.pytest_report_to_serializable(config=self.config, report=report)
            self.connection.send(("report", data))

    def pytest_warning_recorded(self, warning_message, when, nodeid, location):
        content = {"when": when, "nodeid": nodeid, "location": location}
        try:
            pickle.dumps(warning_message)
        except Exception:
            warning_message.message = UserWarning(str(warning_message.message))
            warning_message.category, warning_message.source = UserWarning, None
        self.connection.send(("warning", content | {"warning_message": warning_message}))
