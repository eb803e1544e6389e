"""Bytes of files: where they lie, how they are read, and what may be believed of them."""
