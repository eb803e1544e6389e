"""Retina datasets that open-retina loads, as aligned trees: ``<block>/<session>/retina``.

A module per family. Blocks are ``train`` and ``test`` (or the names of stimuli); a session holds
`stimulus` and the clock, ``retina`` the responses. Frames are stamped with their onset.
"""
