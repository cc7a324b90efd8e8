"""Counts of `make test-all`, by date."""
