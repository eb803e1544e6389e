"""Loops over numbers, compiled: arrays and scalars in, arrays out."""
