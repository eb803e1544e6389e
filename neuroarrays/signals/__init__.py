"""Filter and transform continuous signals, lazily and without crossing gaps."""
