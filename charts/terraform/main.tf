# The values come from a module without providers, so that Terraform can run it anywhere, without a cluster.
module "values" {
  source = "./modules/values"

  mode   = var.mode
  image  = var.image
  policy = var.policy
  guards = var.guards
  values = var.values
}

resource "helm_release" "bartizan" {
  name             = var.name
  namespace        = var.namespace
  create_namespace = true
  chart            = var.chart
  version          = var.chart_version
  values           = [module.values.yaml]

  # An upgrade that fails goes back to the last release. The proxies keep the last good policy in any case.
  atomic          = true
  cleanup_on_fail = true
  timeout         = 300
}

resource "kubernetes_service_account_v1" "proxy" {
  count = var.proxy_identity == null ? 0 : 1

  metadata {
    name        = var.proxy_identity.name
    namespace   = var.proxy_identity.namespace
    annotations = var.proxy_identity.annotations
    labels      = var.proxy_identity.labels
  }
}
