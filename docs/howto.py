"""Run the pages of docs/howto and write each with what its code prints and draws.

A page is a question, a few sentences and a few lines of code. All pages run in one process, one after another, each with
names of its own, in a folder with the files that they open. What a page shows is what its code gave when it was built.
"""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import outputs

import neuroarrays as na
from neuroarrays.synthetic import write_nwb, write_phy
from neuroarrays.synthetic.allen import write_allen

HERE = Path(__file__).parent
PAGES = sorted((HERE / "howto").glob("*.md"))


@dataclass(frozen=True)
class Page:
    """A page that was run.

    Attributes
    ----------
    name : str
        Of its file.
    text : str
        Markdown, with what was printed below each block, and a line for each picture.
    pictures : dict of str to bytes
        Name of the file -> PNG.
    """

    name: str
    text: str
    pictures: dict[str, bytes]


def prepare(folder: Path) -> None:
    """Write the files that pages open: the bundled recording, and generated ones."""
    (folder / "A2929-200711.nwb").write_bytes(na.sample_path().read_bytes())
    write_nwb(folder / "session.nwb", task=True, trials=60, duration=160.0, units=8)
    write_phy(folder / "kilosort")
    (folder / "sessions").mkdir()
    for number in range(3):
        write_allen(
            folder / "sessions" / f"session_{715093700 + number}.nwb",
            session_id=715093700 + number,
            units=30,
            channels=48,
            stimuli=("drifting_gratings", "natural_scenes"),
            rows={"drifting_gratings": 120, "natural_scenes": 119},
            parts=("running", "eye", "tuned"),
            rate=3.0,
            sampling=0.2,
            seed=number,
        )


@contextlib.contextmanager
def workplace() -> Iterator[Path]:
    """A folder with the files, which is the current one meanwhile."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as name:
        prepare(Path(name))
        os.chdir(name)
        try:
            yield Path(name)
        finally:
            os.chdir(before)


def run(page: Path) -> Page:
    """Run the blocks of a page one after another; errors are the page's, with its name."""
    text, pictures = outputs.run(page.read_text(encoding="utf-8"), page.stem)
    return Page(page.stem, text, pictures)


def write(folder: Path = HERE / "_generated" / "howto") -> None:
    """Write all pages and their pictures, and the list of questions by subject."""
    folder.mkdir(parents=True, exist_ok=True)
    with workplace():
        pages = [run(page) for page in PAGES]
    for page in pages:
        for name, picture in page.pictures.items():
            (folder / name).write_bytes(picture)
        path = folder / f"{page.name}.md"
        if not path.is_file() or path.read_text(encoding="utf-8") != page.text:
            path.write_text(page.text, encoding="utf-8")


if __name__ == "__main__":
    write()
