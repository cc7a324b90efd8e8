"""Envoy's external processor (ext_proc) beside the filter, in FULL_DUPLEX_STREAMED, on two versions of Envoy."""
