"""The audit record on its way: Envoy's access loggers, shippers and stores.

`with shippers.pipeline("loki", log) as (store, _): store.find(request_id)` is all that a demonstration needs.
"""
