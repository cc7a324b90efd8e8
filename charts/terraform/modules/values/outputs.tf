output "yaml" {
  description = "The values as YAML."
  value       = yamlencode(local.values)
}
