"""Answers: rates, tuning, receptive fields, correlations, decoding, repeats."""
