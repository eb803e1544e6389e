"""A reader for each family of datasets, and the door that finds the right one."""
