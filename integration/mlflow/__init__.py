"""A real model registry (MLflow), whose aliases and tags become a policy."""
