"""Do the tests of a room notice errors in it? A sample of small errors, made by mutmut in a copy.

    make mutate ARGS="tree lazy -n 30"

mutmut writes every small change that it knows (another comparison, number, name, argument, ...) and
runs those tests of ``tests/<room>`` that pass through the changed function. Added here: the sample,
drawn by a seed; kernels, which it would leave out because they are decorated (numba is off, so
nothing is lost without); and no changes of prose, which messages are free to be in.

The checkout is copied and not touched. What survived is printed: each is a test that is missing, or
a change that changes nothing.
"""

import argparse
import os
import random
import re
import shutil
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("kernels", "alignment", "tree", "lazy", "archive", "batches")
#: Rooms whose tests stand in the folder of another room too: tensors are made of batches.
ALSO_TESTED = {"batches": ["torch"]}
#: What tests look at in a checkout.
COPIED = ("neuroarrays", "tests", "docs", "pyproject.toml", "constraints.txt", "README.md")
LITERAL = re.compile(r'"[^"\n]*"')
CONFIGURATION = """
[tool.mutmut]
source_paths = ["neuroarrays"]
only_mutate = [{mutated}]
pytest_add_cli_args_test_selection = [{tested}]
pytest_add_cli_args = ["-p", "no:cacheprovider", "-W", "ignore::RuntimeWarning"]
also_copy = ["tests", "docs", "constraints.txt", "README.md"]
use_git_change_detection = false
"""


def copy(folder: Path, rooms: list[str]) -> None:
    """Copy the checkout, to be mutated in some of its rooms; kernels as plain functions."""
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(
                ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        else:
            shutil.copy(ROOT / name, folder / name)
    for path in (folder / "neuroarrays" / "kernels").glob("*.py"):
        text = path.read_text(encoding="utf-8")
        path.write_text(re.sub(r"^@compiled.*\n", "", text, flags=re.M), encoding="utf-8")
    tested = [folder for room in rooms for folder in (room, *ALSO_TESTED.get(room, []))]
    quoted = [", ".join(f'"{pattern.format(room)}"' for room in names)
              for pattern, names in (("neuroarrays/{}/*", rooms), ("tests/{}", tested))]  # fmt: skip
    with (folder / "pyproject.toml").open("a", encoding="utf-8") as file:
        file.write(CONFIGURATION.format(mutated=quoted[0], tested=quoted[1]))


def is_prose(diff: str) -> bool:
    """Whether nothing but a text with a space in it is changed."""
    lines = [line for line in diff.splitlines() if line[:3] not in ("---", "+++")]
    old, new = ("\n".join(line[1:] for line in lines if line[:1] == sign) for sign in "-+")
    if LITERAL.sub("", old) != LITERAL.sub("", new):
        return False
    pairs = zip(LITERAL.findall(old), LITERAL.findall(new), strict=True)
    return any(" " in one for one, other in pairs if one != other)


def run(folder: Path, rooms: list[str], number: int, seed: int) -> tuple[int, int]:
    """Make and run a sample; how many survived, and how many there were."""
    copy(folder, rooms)
    os.chdir(folder)
    sys.path[0] = str(folder)
    from mutmut import __main__ as mutmut
    from mutmut.mutation.diff_apply import get_diff_for_mutant

    collect, drawn = mutmut.collect_source_file_mutation_data, []

    def sample(*, mutant_names):
        mutants, files = collect(mutant_names=mutant_names)
        print(f"{len(mutants)} mutants of {', '.join(rooms)}")
        for one in random.Random(seed).sample(mutants, len(mutants)):
            if len(drawn) < number and not is_prose(get_diff_for_mutant(one[1])):
                drawn.append(one)
        return drawn, files

    mutmut.collect_source_file_mutation_data = sample
    mutmut._run((), 1)
    alive = 0
    for file, name, _ in drawn:
        file.load()
        status = mutmut.status_by_exit_code[file.exit_code_by_key[name]]
        if status in ("survived", "no tests"):
            alive += 1
            print(f"\n{status}: {name}\n{get_diff_for_mutant(name)}")
    return alive, len(drawn)


def main() -> int:
    """Run a sample; the exit status says whether nothing survived."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("rooms", nargs="*", default=list(ROOMS), metavar="room")
    parser.add_argument("-n", type=int, default=30, help="how many errors (30)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if unknown := [room for room in options.rooms if not (ROOT / "tests" / room).is_dir()]:
        parser.error(f"no tests of {', '.join(unknown)}")
    os.environ["NUMBA_DISABLE_JIT"] = "1"
    os.environ.pop("CI", None)  # fewer generated examples
    folder, parent = Path(tempfile.mkdtemp()), os.getpid()
    try:
        alive, drawn = run(folder, options.rooms, options.n, options.seed)
    finally:
        if os.getpid() == parent:  # mutants run in forked children, which may come here too
            shutil.rmtree(folder, ignore_errors=True)
    print(f"\n{drawn - alive} of {drawn} noticed")
    return bool(alive)


if __name__ == "__main__":
    sys.exit(main())
