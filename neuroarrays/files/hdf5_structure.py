"""The structure of an HDF5 file, fetched level by level before HDF5 walks through it step by step.

HDF5 reads a header, then what it points to, then the next: each step waits for an answer. Here the
pointers of all objects of a level are followed at once. Only what is common in recordings is understood
(headers of version 1, groups with a symbol table, small datasets); whatever else there is, HDF5 finds by
itself, and a misread pointer costs a range that nobody needs.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING

from neuroarrays.files import openings

if TYPE_CHECKING:
    from neuroarrays.files.location import Location, Stamp
    from neuroarrays.files.positioned import PositionedFile

#: Objects that are looked at; bytes fetched of each header, of a node of a tree, and of values.
_MOST, _HEAD, _NODE, _VALUES = 20_000, 1024, 4096, 1 << 16
#: Numbers of messages in a header.
_LAYOUT, _ATTRIBUTE, _CONTINUED, _TABLE = 0x08, 0x0C, 0x10, 0x11
_NOWHERE = (1 << 64) - 1

Range = tuple[int, int]


def opened(location: Location, known: Stamp | None) -> PositionedFile:
    """A file behind an address, with its structure if a recording is opened for the first time."""
    file = location.open(known)
    if file.is_new and openings.current() is not None:
        fetch(file)
    return file


def fetch(file: PositionedFile) -> None:
    """Fetch headers, tables of names, and small values of all objects of a file."""
    head = file.read(0, 2048)
    if not head.startswith(b"\x89HDF\r\n\x1a\n") or len(head) < 96 or head[8] > 1:
        return
    start = 24 if head[8] == 0 else 28
    root = struct.unpack_from("<Q", head, start + 32 + 8)[0]
    level, seen = [root], {root}
    while level and len(seen) < _MOST:
        level = [address for address in _children(file, level) if address not in seen]
        seen.update(level)


def _children(file: PositionedFile, level: list[int]) -> list[int]:
    """Addresses of the objects in the groups of a level; fetches all that is read of the level."""
    file.prefetch([(address, _HEAD) for address in level])
    new = [message for address in level for message in _header(file, address)]
    tables: list[tuple[int, int]] = []
    trees: list[int] = []
    count = 0
    while new and count < 16 * _MOST:
        count += len(new)
        later = _continued(new)
        values, more_trees = _layouts(new)
        more_tables = [
            struct.unpack_from("<QQ", b) for kind, b in new if kind == _TABLE and len(b) >= 16
        ]
        nodes = [(at, _NODE) for at in more_trees] + [(at, _NODE // 4) for at, _ in more_tables]
        texts = [(at, _NODE) for kind, body in new if kind == _ATTRIBUTE for at in _text(body)]
        heads = [(heap, 32) for _, heap in more_tables]
        file.prefetch([*later, *values, *nodes, *texts, *heads])
        tables += more_tables
        trees += more_trees
        new = [message for at, size in later for message in _messages(file.read(at, size))]
    below = [child for tree, _ in tables for child in _leaves(file, tree)]
    heaps = [span for _, heap in tables for span in _heap(file, heap)]
    chunks = [span for tree in trees for span in _chunks(file, tree)]
    file.prefetch([*heaps, *chunks, *((at, 512) for at in below)])
    return [child for at in below for child in _symbols(file, at)]


def _header(file: PositionedFile, address: int) -> Iterator[tuple[int, bytes]]:
    """Kind and body of the messages in the first block of a header of version 1."""
    head = file.read(address, _HEAD)
    if len(head) < 16 or head[0] != 1:
        return
    size = struct.unpack_from("<I", head, 8)[0]
    block = (
        head[16 : 16 + size] if size <= _HEAD - 16 else file.read(address + 16, min(size, _VALUES))
    )
    yield from _messages(block)


def _messages(block: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 8 <= len(block):
        kind, size = struct.unpack_from("<HH", block, at)
        yield kind, block[at + 8 : at + 8 + size]
        at += 8 + size


def _continued(messages: list[tuple[int, bytes]]) -> list[Range]:
    """Where headers go on."""
    spans = [struct.unpack_from("<QQ", b) for k, b in messages if k == _CONTINUED and len(b) >= 16]
    return [(at, size) for at, size in spans if at and 0 < size <= _VALUES]


def _text(body: bytes) -> list[int]:
    """Where the text of an attribute lies, if it is one of any length."""
    if len(body) < 32 or body[0] != 1:
        return []
    name = struct.unpack_from("<H", body, 2)[0]
    kind = body[8 + (name + 7) // 8 * 8] & 0x0F if 8 + name + 8 < len(body) else 0
    count, at, _ = struct.unpack_from("<IQI", body, len(body) - 16)
    return [at] if kind == 9 and count and at else []


def _layouts(messages: list[tuple[int, bytes]]) -> tuple[list[Range], list[int]]:
    """Where small contiguous values lie, and the trees of chunks."""
    values, trees = [], []
    for kind, body in messages:
        if kind != _LAYOUT or len(body) < 18 or body[0] != 3:
            continue
        if body[1] == 1:
            at, size = struct.unpack_from("<QQ", body, 2)
            values += [(at, size)] if at != _NOWHERE and size <= _VALUES else []
        elif body[1] == 2:
            (at,) = struct.unpack_from("<Q", body, 3)
            trees += [at] if at != _NOWHERE else []
    return values, trees


def _leaves(file: PositionedFile, tree: int) -> list[int]:
    """Children of a node of a tree of names."""
    node = file.read(tree, _NODE // 4)
    if node[:4] != b"TREE" or len(node) < 24:
        return []
    used = min(struct.unpack_from("<H", node, 6)[0], (len(node) - 40) // 16)
    children = [struct.unpack_from("<Q", node, 32 + 16 * i)[0] for i in range(used)]
    if node[5] == 0:
        return children
    return [leaf for child in children[:64] for leaf in _leaves(file, child)]


def _heap(file: PositionedFile, heap: int) -> list[Range]:
    """Where the names of a group lie."""
    head = file.read(heap, 32)
    if head[:4] != b"HEAP" or len(head) < 32:
        return []
    size, _, at = struct.unpack_from("<QQQ", head, 8)
    return [(at, min(size, _VALUES))]


def _symbols(file: PositionedFile, node: int) -> list[int]:
    """Addresses of the headers that a node of names lists."""
    entries = file.read(node, 512)
    if entries[:4] != b"SNOD":
        return []
    count = min(struct.unpack_from("<H", entries, 6)[0], (len(entries) - 8) // 40)
    return [struct.unpack_from("<Q", entries, 16 + 40 * i)[0] for i in range(count)]


def _chunks(file: PositionedFile, tree: int) -> list[Range]:
    """Where the chunks of a small dataset lie that has one or two of them."""
    node = file.read(tree, _NODE)
    if node[:4] != b"TREE" or len(node) < 64 or node[5] != 0:
        return []
    used = struct.unpack_from("<H", node, 6)[0]
    size = struct.unpack_from("<I", node, 24)[0]
    if used != 1 or size > _VALUES:
        return []
    for axes in (1, 2, 3):  # an offset for each, and one for the element, which is 0
        at = 24 + 8 + 8 * axes
        zero, child = struct.unpack_from("<QQ", node, at)
        if zero == 0 and 0 < child < file.size:
            return [(child, size)]
    return []
