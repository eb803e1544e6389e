"""Answers, labelled: choose units and trials, then ask for rates, tuning, fields, decoding."""
