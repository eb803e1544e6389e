"""Pictures of the explorer, taken by a browser while the documentation is built, and those of examples."""

import doctest
import inspect
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import outputs

import neuroarrays as na

HERE = Path(__file__).parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
#: Name of the picture -> the link it is of, and what is said below it.
EXPLORER = {
    "explorer": (
        "#v=1&u=3,0&smooth=0.02&signals=head_direction/ry,position/x,position/z",
        "The bundled recording: all units along the session with its epochs, behaviour on the same time axis, two "
        "units around sleep ripples, their tuning to head direction, their correlogram.",
    ),
    "explorer_dark": (
        "#v=1&u=3&t=700,760&tune=position/x&map=position/y&signals=head_direction/ry,position/x,position/y&dark=1",
        "A minute of it in dark colours, and where the animal was when the unit fired.",
    ),
}
#: Names of public functions whose examples draw something.
EXAMPLES = tuple(
    f"neuroarrays.plot.{name}"
    for name in na.plot.__all__
    if ">>>" in getattr(na.plot, name).__doc__
)
_MISSING = """:::{note}
No browser was found when this page was built (`pip install --group test`, and Chromium), so its pictures are missing.
:::
"""


def explorer(folder: Path) -> str:
    """Take the pictures, and give what the page says with them, or why there are none."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return _MISSING
    if browser is None:
        return _MISSING
    command = [sys.executable, "-m", "neuroarrays", "explore", str(na.sample_path()), "--no-browser", "--port", "0"]  # fmt: skip
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process,
        sync_playwright() as play,
    ):
        address = process.stdout.readline().split()[0]
        opened = play.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        for name, (link, _) in EXPLORER.items():
            page = opened.new_page(viewport={"width": 1500, "height": 1300})
            page.set_default_timeout(120_000)
            page.goto(address + link)
            page.get_by_text("the recording has no frames").wait_for()
            page.wait_for_function("Bokeh.documents.every((one) => one.is_idle)")
            time.sleep(2)  # the last figure is drawn
            page.screenshot(path=folder / f"{name}.png", full_page=True)
            page.close()
        opened.close()
        process.send_signal(signal.SIGINT)
    parts = [
        f"```{{figure}} _generated/{n}.png\n\n{text}\n```\n" for n, (_, text) in EXPLORER.items()
    ]
    return "\n".join(parts)


def examples(folder: Path) -> None:
    """Run the examples of functions that draw, and keep what they draw."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    folder.mkdir(parents=True, exist_ok=True)
    for full_name in EXAMPLES:
        function = getattr(na.plot, full_name.rpartition(".")[2])
        code = doctest.script_from_examples(inspect.getdoc(function) or "")
        with outputs.workplace():  # some write files
            exec(compile(code, full_name, "exec"), {})
        if plt.get_fignums():
            plt.gcf().savefig(folder / f"{full_name}.png", dpi=100, bbox_inches="tight")
        plt.close("all")


def write(folder: Path = HERE / "_generated") -> None:
    """Write the part of the page that shows them, and the pictures of the reference."""
    examples(folder / "examples")
    (folder / "explorer.md").write_text(explorer(folder), encoding="utf-8")
