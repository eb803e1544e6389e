"""What a tree holds, when it was recorded, and how to choose from it."""
