"""Analyses: rates, tuning, receptive fields, correlations, decoding, scores over repeats."""
