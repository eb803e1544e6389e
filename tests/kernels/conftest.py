"""What the tests of kernels share."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from neuroarrays.kernels import sharing


@pytest.fixture
def started(monkeypatch):
    """How many threads were asked for, each time that some were."""
    numbers = []

    class Recorded(ThreadPoolExecutor):
        def __init__(self, threads):
            numbers.append(threads)
            super().__init__(threads)

    monkeypatch.setattr(sharing, "ThreadPoolExecutor", Recorded)
    return numbers
