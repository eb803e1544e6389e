"""Archives of this library: layout, index, reader and writers."""
