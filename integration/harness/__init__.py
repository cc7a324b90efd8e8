"""Real parts under one roof: Envoy with the built module, upstreams, callers and their tokens.

Everything here is written apart from the filter: the tokens come from PyJWT, the HTTP clients and the
upstream speak HTTP/1.1 by hand and HTTP/2 by `h2`, so that nothing of the filter judges itself.
"""
