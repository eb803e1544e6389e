"""Prefetching the structure of a remote HDF5 file, level by level, before HDF5 walks through it.

HDF5 reads one object header, then what it points to, and so on; over a network each step waits for an
answer. This module follows the pointers of all objects of a level together. It understands the parts
of the HDF5 file format specification that are common in recordings (object headers of version 1,
groups with a symbol table, small datasets); HDF5 finds all others by itself. If a pointer is misread,
a range is fetched that nobody needs, and nothing else goes wrong.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING

from neuroarrays.files import openings

if TYPE_CHECKING:
    from neuroarrays.files.location import Location, Stamp
    from neuroarrays.files.positioned import PositionedFile

#: The largest number of objects that are followed.
_MOST = 20_000
#: Bytes that are fetched of each header and of each node of a B-tree, and of small values at most.
_HEAD, _NODE, _VALUES = 1024, 4096, 1 << 16
#: Types of messages in an object header: data layout, attribute, continuation, symbol table.
_LAYOUT, _ATTRIBUTE, _CONTINUED, _TABLE = 0x08, 0x0C, 0x10, 0x11
#: The address that HDF5 writes for data that do not exist.
_NOWHERE = (1 << 64) - 1

#: First byte and number of bytes.
Range = tuple[int, int]


def opened(location: Location, known: Stamp | None) -> PositionedFile:
    """Open a remote file; fetch its structure if a recording is being opened for the first time."""
    file = location.open(known)
    if file.is_new and openings.current() is not None:
        fetch(file)
    return file


def fetch(file: PositionedFile) -> None:
    """Fetch the headers, tables of names and small values of all objects of a file."""
    head = file.read(0, 2048)
    if not head.startswith(b"\x89HDF\r\n\x1a\n") or len(head) < 96 or head[8] > 1:
        return
    start = 24 if head[8] == 0 else 28
    root = struct.unpack_from("<Q", head, start + 32 + 8)[0]
    level, known = [root], {root}
    while level and len(known) < _MOST:
        level = [address for address in _children(file, level) if address not in known]
        known.update(level)


def _children(file: PositionedFile, level: list[int]) -> list[int]:
    """Return the addresses of the objects in the groups of a level.

    On the way all is fetched that HDF5 will read about the objects at the addresses in `level`.
    """
    file.prefetch([(address, _HEAD) for address in level])
    messages = [message for address in level for message in _header(file, address)]
    tables: list[tuple[int, int]] = []  # B-tree and heap of each group
    trees: list[int] = []  # B-trees of chunks
    count = 0
    while messages and count < 16 * _MOST:
        count += len(messages)
        continued = _continuations(messages)
        values, new_trees = _layouts(messages)
        new_tables = [
            struct.unpack_from("<QQ", body)
            for kind, body in messages
            if kind == _TABLE and len(body) >= 16
        ]
        attributes = [body for kind, body in messages if kind == _ATTRIBUTE]
        nodes = [(tree, _NODE) for tree in new_trees]
        nodes += [(tree, _NODE // 4) for tree, _ in new_tables]
        texts = [(address, _NODE) for body in attributes for address in _text(body)]
        heads = [(heap, 32) for _, heap in new_tables]
        file.prefetch([*continued, *values, *nodes, *texts, *heads])
        tables += new_tables
        trees += new_trees
        blocks = [file.read(start, size) for start, size in continued]
        messages = [message for block in blocks for message in _messages(block)]
    symbol_nodes = [node for tree, _ in tables for node in _leaves(file, tree)]
    heaps = [span for _, heap in tables for span in _heap(file, heap)]
    chunks = [span for tree in trees for span in _chunks(file, tree)]
    file.prefetch([*heaps, *chunks, *((node, 512) for node in symbol_nodes)])
    return [child for node in symbol_nodes for child in _symbols(file, node)]


def _header(file: PositionedFile, address: int) -> Iterator[tuple[int, bytes]]:
    """Yield type and body of the messages in the first block of an object header of version 1."""
    head = file.read(address, _HEAD)
    if len(head) < 16 or head[0] != 1:
        return
    size = struct.unpack_from("<I", head, 8)[0]
    block = (
        head[16 : 16 + size] if size <= _HEAD - 16 else file.read(address + 16, min(size, _VALUES))
    )
    yield from _messages(block)


def _messages(block: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield type and body of the messages in a block of an object header."""
    offset = 0
    while offset + 8 <= len(block):
        kind, size = struct.unpack_from("<HH", block, offset)
        yield kind, block[offset + 8 : offset + 8 + size]
        offset += 8 + size


def _continuations(messages: list[tuple[int, bytes]]) -> list[Range]:
    """Return the ranges in which headers are continued."""
    spans = [struct.unpack_from("<QQ", b) for k, b in messages if k == _CONTINUED and len(b) >= 16]
    return [(address, size) for address, size in spans if address and 0 < size <= _VALUES]


def _text(body: bytes) -> list[int]:
    """Return the address of an attribute's text, in a list, if it is text of variable length."""
    if len(body) < 32 or body[0] != 1:
        return []
    name = struct.unpack_from("<H", body, 2)[0]
    kind = body[8 + (name + 7) // 8 * 8] & 0x0F if 8 + name + 8 < len(body) else 0
    count, address, _ = struct.unpack_from("<IQI", body, len(body) - 16)
    return [address] if kind == 9 and count and address else []


def _layouts(messages: list[tuple[int, bytes]]) -> tuple[list[Range], list[int]]:
    """Return the ranges of small contiguous datasets, and the addresses of B-trees of chunks."""
    values, trees = [], []
    for kind, body in messages:
        if kind != _LAYOUT or len(body) < 18 or body[0] != 3:
            continue
        if body[1] == 1:
            address, size = struct.unpack_from("<QQ", body, 2)
            values += [(address, size)] if address != _NOWHERE and size <= _VALUES else []
        elif body[1] == 2:
            (address,) = struct.unpack_from("<Q", body, 3)
            trees += [address] if address != _NOWHERE else []
    return values, trees


def _leaves(file: PositionedFile, tree: int) -> list[int]:
    """Return the addresses of the symbol table nodes below a node of a group's B-tree."""
    node = file.read(tree, _NODE // 4)
    if node[:4] != b"TREE" or len(node) < 24:
        return []
    used = min(struct.unpack_from("<H", node, 6)[0], (len(node) - 40) // 16)
    children = [struct.unpack_from("<Q", node, 32 + 16 * i)[0] for i in range(used)]
    if node[5] == 0:
        return children
    return [leaf for child in children[:64] for leaf in _leaves(file, child)]


def _heap(file: PositionedFile, heap: int) -> list[Range]:
    """Return the range of the names of a group, in a list."""
    head = file.read(heap, 32)
    if head[:4] != b"HEAP" or len(head) < 32:
        return []
    size, _, address = struct.unpack_from("<QQQ", head, 8)
    return [(address, min(size, _VALUES))]


def _symbols(file: PositionedFile, node: int) -> list[int]:
    """Return the addresses of the object headers that a symbol table node lists."""
    entries = file.read(node, 512)
    if entries[:4] != b"SNOD":
        return []
    count = min(struct.unpack_from("<H", entries, 6)[0], (len(entries) - 8) // 40)
    return [struct.unpack_from("<Q", entries, 16 + 40 * i)[0] for i in range(count)]


def _chunks(file: PositionedFile, tree: int) -> list[Range]:
    """Return the range of the chunk of a small dataset that has only one, in a list."""
    node = file.read(tree, _NODE)
    if node[:4] != b"TREE" or len(node) < 64 or node[5] != 0:
        return []
    used = struct.unpack_from("<H", node, 6)[0]
    size = struct.unpack_from("<I", node, 24)[0]
    if used != 1 or size > _VALUES:
        return []
    for axes in (1, 2, 3):  # the key of a chunk has an offset per axis, then a zero
        offset = 24 + 8 + 8 * axes
        zero, child = struct.unpack_from("<QQ", node, offset)
        if zero == 0 and 0 < child < file.size:
            return [(child, size)]
    return []
