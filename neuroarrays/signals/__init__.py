"""Continuous signals, filtered and transformed exactly, stretch by stretch and chunk by chunk."""
