"""What a release changes: two modules judge the same texts on real Envoy."""
