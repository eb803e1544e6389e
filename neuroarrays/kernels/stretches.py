"""Rows in stretches that two bytes can name a place in; loads nothing that is compiled."""

#: Number of positions that two bytes can tell apart.
STRETCH = 1 << 16


def stretches(width: int) -> int:
    """Number of stretches of 65,536 places that a row of `width` places takes."""
    return max(1, -(-width // STRETCH))
