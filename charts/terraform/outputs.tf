output "values" {
  description = "The chart's values, as YAML: `bartizan check` reads what `helm template` makes of them."
  value       = module.values.yaml
}
