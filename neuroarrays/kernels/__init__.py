"""Numeric kernels: arrays and scalars in, arrays out; no labels, no files, no laziness."""
