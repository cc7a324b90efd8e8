"""A retrieval application with two teams, and what the filter makes of it."""
