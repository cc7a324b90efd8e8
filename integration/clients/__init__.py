"""Clients and frameworks that need environments of their own, through the filter on real Envoy."""
