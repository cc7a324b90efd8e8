# Google GKE with Istio of your own (Google's managed mesh supports neither WasmPlugin nor EnvoyFilter), models on Vertex AI.
# The gateway's pods run under a Google service account by Workload Identity; envoy/clouds/vertex.yaml and tokens.py use it.
terraform {
  required_version = ">= 1.6"
  required_providers {
    helm = {
      source  = "hashicorp/helm"
      version = "~> 3.0"
    }
    kubernetes = {
      source  = "hashicorp/kubernetes"
      version = ">= 2.30"
    }
  }
}

variable "cluster" {
  description = "The cluster: its name, the address of its API server, its certificate authority in base64."
  type        = object({ name = string, endpoint = string, ca = string })
}

variable "digest" {
  description = "Digest of the image's manifest; `make image` prints it."
  type        = string
}

variable "project" {
  description = "The project of the registry."
  type        = string
}

variable "location" {
  description = "The registry's location, such as europe-west4."
  type        = string
}

variable "service_account" {
  description = "Google service account of the gateway, with roles/aiplatform.user and nothing else."
  type        = string
}

locals {
  exec = {
    api_version = "client.authentication.k8s.io/v1beta1"
    command     = "gke-gcloud-auth-plugin"
    args        = []
  }
}

provider "helm" {
  kubernetes = {
    host                   = var.cluster.endpoint
    cluster_ca_certificate = base64decode(var.cluster.ca)
    exec                   = local.exec
  }
}

provider "kubernetes" {
  host                   = var.cluster.endpoint
  cluster_ca_certificate = base64decode(var.cluster.ca)
  exec {
    api_version = local.exec.api_version
    command     = local.exec.command
    args        = local.exec.args
  }
}

module "bartizan" {
  source = "../.."

  # From the root of a checkout; or the oci:// address of a chart that you have pushed, with `chart_version`.
  chart = "${path.module}/../../../bartizan"

  image = {
    repository  = "${var.location}-docker.pkg.dev/${var.project}/llm/bartizan"
    digest      = var.digest
    pull_secret = "artifact-registry-pull"
  }

  policy = {
    version = 1
    authn = {
      issuers = [{
        name       = "corp"
        issuer     = "https://idp.example.com/realms/llm"
        audiences  = ["llm"]
        algorithms = ["RS256"]
        jwks       = { cluster = "outbound|443||idp.example.com", authority = "idp.example.com", path = "/jwks" }
        claims     = { roles = "/roles", tenant = "/tenant" }
      }]
    }
    roles = {
      analyst = {
        operations      = ["chat"]
        models          = ["gemini-*", "claude-*"]
        maxOutputTokens = 1024
        quotas          = [{ per = "subject", requests = 60, window = "1m" }]
      }
    }
    # Shadow first: it decides and records, and changes nothing.
    guards = { standard = { mode = "shadow" } }
  }

  # The egress gateway to the provider: istio/egress has the topology around it.
  guards = {
    egress = {
      namespace = "llm-egress"
      place     = "gateway"
      selector  = { istio = "llm-egress" }
      ports     = [443]
    }
  }

  proxy_identity = {
    name        = "llm-egress"
    namespace   = "llm-egress"
    annotations = { "iam.gke.io/gcp-service-account" = var.service_account }
  }
}

output "values" {
  value = module.bartizan.values
}
