"""The dashboards of `envoy/grafana`: what they are made of, and whether their panels answer."""
