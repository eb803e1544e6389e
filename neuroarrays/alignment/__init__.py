"""Bring spikes and signals to one clock: bins, counts, interpolation."""
