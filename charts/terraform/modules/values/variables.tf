variable "mode" {
  description = "How the filter gets into the proxies."
  type        = string
  default     = "WasmPlugin"

  validation {
    condition     = contains(["WasmPlugin", "TrafficExtension", "EnvoyFilter"], var.mode)
    error_message = "mode is WasmPlugin, TrafficExtension or EnvoyFilter."
  }
}

variable "image" {
  description = "The module's image."
  type = object({
    repository  = string
    digest      = string
    pull_secret = optional(string)
  })

  validation {
    condition     = can(regex("^sha256:[0-9a-f]{64}$", var.image.digest)) && !can(regex("^sha256:0+$", var.image.digest))
    error_message = "image.digest is the digest of the image's manifest, sha256:..., not a tag."
  }
}

variable "policy" {
  description = "The common policy."
  type        = any

  validation {
    condition     = try(length(var.policy.authn.issuers) > 0, length(var.policy.authn) > 0, false)
    error_message = "policy.authn is empty: name your issuers."
  }
}

variable "guards" {
  description = "The guarded places."
  type        = any

  validation {
    condition     = length(var.guards) > 0
    error_message = "guards is empty: nothing would be guarded."
  }
}

variable "values" {
  description = "Other values of the chart."
  type        = any
  default     = {}

  validation {
    condition     = !can(var.values.failStrategy) || try(contains(["FAIL_RELOAD", "FAIL_CLOSE"], var.values.failStrategy), false)
    error_message = "failStrategy is FAIL_RELOAD or FAIL_CLOSE: a filter that fails open guards nothing."
  }
}
