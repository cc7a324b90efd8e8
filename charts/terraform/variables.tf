variable "name" {
  description = "Name of the Helm release."
  type        = string
  default     = "bartizan"
}

variable "namespace" {
  description = "Namespace of the release. The guarded namespaces stand in `guards`."
  type        = string
  default     = "bartizan"
}

variable "chart" {
  description = "The chart: a folder, or an oci:// address."
  type        = string
}

variable "chart_version" {
  description = "Version of the chart; null for a folder."
  type        = string
  default     = null
}

variable "mode" {
  description = "WasmPlugin, TrafficExtension (both weak mode) or EnvoyFilter (strong mode)."
  type        = string
  default     = "WasmPlugin"
}

variable "image" {
  description = "The module's image: repository, digest of its manifest, name of a pull secret."
  type = object({
    repository  = string
    digest      = string
    pull_secret = optional(string)
  })
}

variable "policy" {
  description = "The common policy, as in values.yaml."
  type        = any
}

variable "guards" {
  description = "The guarded places, as in values.yaml."
  type        = any
}

variable "values" {
  description = "Other values of the chart, which replace those made here key by key."
  type        = any
  default     = {}
}

variable "proxy_identity" {
  description = "A service account for the proxy that calls a cloud's models, with the annotations of that cloud's workload identity."
  type = object({
    name        = string
    namespace   = string
    annotations = map(string)
    labels      = optional(map(string), {})
  })
  default = null
}
