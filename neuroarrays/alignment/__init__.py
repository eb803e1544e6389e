"""One clock out of many: bins, counts, interpolation."""
