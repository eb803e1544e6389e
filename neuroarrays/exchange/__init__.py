"""Trees as the objects of other libraries, and back."""
