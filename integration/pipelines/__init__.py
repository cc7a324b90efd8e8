"""The audit record on its way: Envoy's access loggers, shippers and stores. `stores` and `shippers` start them."""
