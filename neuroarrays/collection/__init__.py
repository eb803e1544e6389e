"""Many sessions at once: surveys, builds, and parts of archives."""
