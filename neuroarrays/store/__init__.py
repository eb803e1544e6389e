"""Writing archives: what is stored how, whole or not at all."""
