"""The content of a tree, when it was recorded, and how to select from it."""
