locals {
  # The chart's schema refuses null, so that a key without a value is left out.
  image = { for key, value in {
    repository = var.image.repository
    digest     = var.image.digest
    pullSecret = var.image.pull_secret
  } : key => value if value != null }

  values = merge({
    mode   = var.mode
    image  = local.image
    policy = var.policy
    guards = var.guards
  }, var.values)
}
