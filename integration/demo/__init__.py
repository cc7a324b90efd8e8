"""`make demo`: real requests through real Envoy, as a table."""
