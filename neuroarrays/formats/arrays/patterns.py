"""Group the arrays of a file by their names, such as "spikes/*/time" for one array per unit."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from neuroarrays.files.source import Info
from neuroarrays.schema.names import fitted

#: The most patterns that are looked for; a file with more is shown array by array.
_PATTERNS = 200
_CONTAINER = r"\.(csv|tsv|txt|npz|parquet|mat|h5|hdf5|nc|zarr)"


@dataclass(frozen=True)
class Group:
    """Arrays that one pattern names, such as "spikes/*/time", or one array with its own name.

    `places` counts what each "*" stands for.
    """

    pattern: str
    infos: tuple[Info, ...]
    places: tuple[int, ...] = ()
    names: tuple[str, ...] = ()

    @property
    def info(self) -> Info:
        """Shape and dtype of the first array."""
        return self.infos[0]

    @property
    def leaf(self) -> str:
        """The last part of the name."""
        return self.pattern.rpartition("/")[2]

    @property
    def numbers(self) -> bool:
        """Whether they hold numbers or truth values."""
        return not self.info.text and self.info.dtype.kind in "biuf"

    @property
    def many(self) -> bool:
        """Whether the pattern names several."""
        return "*" in self.pattern

    @property
    def long(self) -> list[int]:
        """Sizes of the axes of the first that are longer than 1."""
        return [n for n in self.info.shape if n > 1]

    @property
    def length(self) -> int:
        """Length of a single array along one axis; 0 for any other."""
        return self.long[0] if not self.many and len(self.long) == 1 else 0

    @property
    def per_row(self) -> int:
        """Number of values along one axis, or of arrays with one value each; 0 for anything else."""
        single = self.many and all(math.prod(info.shape) == 1 for info in self.infos)
        return len(self.infos) if single else self.length


def groups_of(infos: Mapping[str, Info]) -> list[Group]:
    """Return one group for all arrays whose names differ only in numbers, and one for each other array."""
    alike: dict[tuple[str, bool], list[str]] = {}
    for name, info in infos.items():
        alike.setdefault((re.sub(r"\d+", "#", name), info.text), []).append(name)
    groups: dict[str, Group] = {}
    in_file = Counter(map(file_of, infos))
    looked = 0
    for names in alike.values():
        files = {file_of(name) for name in names}
        # Several files with several arrays each are recordings side by side, not units of one recording.
        apart = len(files) == 1 or all(in_file[file] == 1 for file in files)
        looked += len(names) > 1
        group = _group(names, infos) if len(names) > 1 and apart and looked <= _PATTERNS else None
        if group is None:
            groups |= {name: Group(name, (infos[name],)) for name in names}
        else:
            groups[names[0]] = group
    return [groups[name] for name in infos if name in groups]


def _group(names: list[str], infos: Mapping[str, Info]) -> Group | None:
    """Return the arrays as one pattern; None if the pattern fits others too."""
    parts = [re.split(r"(\d+)", name) for name in names]
    pattern = "".join(
        column[0] if len(set(column)) == 1 else "*" for column in zip(*parts, strict=True)
    )
    stars = [fitted(name, pattern) for name in infos]
    fits = [fit for fit in stars if fit is not None]
    if len(fits) != len(names):
        return None
    places = tuple(len(set(star)) for star in zip(*fits, strict=True))
    return Group(pattern, tuple(infos[name] for name in names), places, tuple(names))


def file_of(name: str) -> str:
    """Return the file of an array in a folder; "" for a single file."""
    match = re.match(rf".*?({_CONTAINER}|\.npy)(?=/|$)", name)
    return match[0] if match else ""


def place_of(name: str) -> str:
    """Return the group or file that contains an array; "" for the top."""
    return name.rpartition("/")[0]


def inside(name: str) -> str:
    """Return a name without the file that has several arrays."""
    return re.sub(rf".*?{_CONTAINER}/", "", name, count=1)


def quoted(text: str) -> str:
    """Return a text as a TOML string."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def shown(text: str) -> str:
    """Return a text for a comment, with escapes for control characters and invalid Unicode."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode()
        for c in text
    )


def sayable(text: str) -> bool:
    """Whether TOML can store a text, which must be valid UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def object_of(pattern: str) -> str:
    """Return the object of an array of ALF: "spikes" for "probe00/spikes.times.npy"; else ""."""
    parts = pattern.split("/")[-1].split(".")
    return "/".join([*pattern.split("/")[:-1], parts[0]]) if _is_alf(parts) else ""


def _is_alf(parts: list[str]) -> bool:
    return len(parts) >= 3 and parts[-1] == "npy" and all(parts)
