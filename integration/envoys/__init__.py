"""The suite with each version of Envoy that can be had."""
