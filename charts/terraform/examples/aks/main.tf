# Azure AKS with Istio of your own (the add-on blocks WasmPlugin), models on Azure OpenAI. The gateway's pods exchange their
# service account token for one of Microsoft Entra ID; envoy/clouds/azure-federated.yaml and tokens.py do it.
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

variable "registry" {
  description = "Name of the Azure Container Registry."
  type        = string
}

variable "client_id" {
  description = "Client id of the managed identity, with the role Cognitive Services OpenAI User and nothing else."
  type        = string
}

locals {
  exec = {
    api_version = "client.authentication.k8s.io/v1beta1"
    command     = "kubelogin"
    args        = ["get-token", "--login", "azurecli", "--server-id", "6dae42f8-4368-4678-94ff-3960e28e3630"]
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
    repository  = "${var.registry}.azurecr.io/llm/bartizan"
    digest      = var.digest
    pull_secret = "acr-pull"
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
        models          = ["gpt-4o-mini"]
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

  # The gateway's pod template also needs the label azure.workload.identity/use: "true".
  proxy_identity = {
    name        = "llm-egress"
    namespace   = "llm-egress"
    annotations = { "azure.workload.identity/client-id" = var.client_id }
    labels      = { "azure.workload.identity/use" = "true" }
  }
}

output "values" {
  value = module.bartizan.values
}
