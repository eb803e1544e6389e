"""The bundled recording and the demonstration on it."""
