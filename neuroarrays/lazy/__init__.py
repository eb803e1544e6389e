"""Lazy arrays and the indexes on them: the only room that knows the insides of xarray."""
