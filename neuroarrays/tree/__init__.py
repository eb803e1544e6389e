"""What a tree holds, and choosing from it."""
