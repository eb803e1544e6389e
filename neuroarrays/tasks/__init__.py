"""Work in several parts: one by one, in threads, in processes or on a cluster."""
