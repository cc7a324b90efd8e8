"""What an operator sees: records, metrics, alerts, pipelines and reports of one minute of mixed traffic."""
