"""Faults under load: what the client saw, what was lost, and what a proxy holds afterwards."""
