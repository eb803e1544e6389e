"""The archives of this library: their layout, their index, their reader and their writers."""
