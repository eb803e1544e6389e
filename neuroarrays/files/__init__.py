"""Files and their bytes, read where they lie: handles, chunks, limits. No xarray."""
