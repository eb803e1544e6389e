"""The explorer in the notebooks that people use, in a real browser: one smoke test each."""

import importlib.util
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager

import pytest

pytest.importorskip("panel", reason="panel is not installed (pip install 'neuroarrays[explore]')")

from tests.explorer.test_browser import DEEP, PATIENCE

pytestmark = pytest.mark.slow
CODE = "import neuroarrays as na\n\nna.explore(na.load_sample(), state='#v=1&u=3')"
MARIMO = f"""import marimo

app = marimo.App(width="full")


@app.cell
def _():
    {CODE.replace(chr(10), chr(10) + "    ")}
    return


if __name__ == "__main__":
    app.run()
"""
#: The units whose means are drawn, as the page in the notebook knows them.
LABELS = """() => (window.Bokeh?.documents ?? []).flatMap(
  (one) => one.get_model_by_name("trials")?.data["dh"] ?? [])"""


def needs(package):
    """Skip where a host is not installed."""
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed (pip install {package})")


@contextmanager
def served(command, port, folder):
    """Run a server of notebooks until it answers; ended afterwards."""
    log = (folder / "log.txt").open("w")
    process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    try:
        for _ in range(300):
            assert process.poll() is None, (folder / "log.txt").read_text()
            try:
                urllib.request.urlopen(f"http://localhost:{port}/", timeout=5).close()
                break
            except OSError:
                time.sleep(0.2)
        yield
    finally:
        process.terminate()
        process.wait(60)
        log.close()


def free_port():
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def use(page, wrong):
    """Wait for the figures, choose a unit in the table, and see that the panels follow."""
    page.wait_for_function(f"{DEEP}.length >= 5")
    page.get_by_text("7 units", exact=True).wait_for()
    before = page.evaluate(LABELS)
    page.locator(".slick-row").nth(5).click()
    page.locator(".slick-row").nth(4).click(modifiers=["Control"])
    page.wait_for_function(f"(before) => ({LABELS})().join() !== before.join()", arg=before)
    if folder := os.environ.get("PICTURES"):
        page.screenshot(path=f"{folder}/{page.title()[:8]}.png")
    assert wrong == []


@pytest.fixture
def page(browser):
    """A page, and what it did wrong: errors that name what is ours, and foreign requests."""
    context = browser.new_context(viewport={"width": 1500, "height": 1300})
    page, wrong = context.new_page(), []
    page.set_default_timeout(PATIENCE)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on(
        "request",
        lambda r: (
            wrong.append(r.url)
            if r.url.startswith("http") and not r.url.startswith("http://localhost")
            else None
        ),
    )
    yield page, wrong
    context.close()


def test_jupyterlab(page, tmp_path):
    needs("jupyterlab")
    page, wrong = page
    cell = {"cell_type": "code", "execution_count": None, "id": "a", "metadata": {}, "outputs": [], "source": CODE}  # fmt: skip
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    notebook = {"cells": [cell], "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}
    (tmp_path / "look.ipynb").write_text(json.dumps(notebook))
    port = free_port()
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}"]
    command += ["--IdentityProvider.token=", "--ServerApp.password=", "--ServerApp.port_retries=0"]
    command += ["--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]  # fmt: skip
    with served(command, port, tmp_path):
        page.goto(f"http://localhost:{port}/lab/tree/look.ipynb")
        page.locator(".jp-CodeCell .cm-content").first.click()
        page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
        page.keyboard.press("Shift+Enter")
        use(page, wrong)


def test_marimo(page, tmp_path):
    needs("marimo")
    page, wrong = page
    (tmp_path / "look.py").write_text(MARIMO)
    port = free_port()
    command = [sys.executable, "-m", "marimo", "run", "look.py", "--headless", "--no-token"]
    with served([*command, "--port", str(port), "--host", "localhost"], port, tmp_path):
        page.goto(f"http://localhost:{port}/")
        use(page, wrong)
