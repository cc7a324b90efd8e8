# `terraform init && terraform test` in this folder: no provider, no cluster.
variables {
  image  = { repository = "registry.example.com/llm/bartizan", digest = "sha256:1111111111111111111111111111111111111111111111111111111111111111" }
  policy = { authn = { issuers = [{ name = "corp" }] } }
  guards = { llm = { namespace = "llm", place = "sidecar" } }
}

run "what_is_not_given_is_left_out" {
  command = plan

  assert {
    condition     = !can(yamldecode(output.yaml).image.pullSecret)
    error_message = "null stands in the values"
  }
}

run "a_tag_is_no_digest" {
  command = plan
  variables {
    image = { repository = "registry.example.com/llm/bartizan", digest = "latest" }
  }
  expect_failures = [var.image]
}

run "the_chart_s_zeros_are_no_digest" {
  command = plan
  variables {
    image = { repository = "registry.example.com/llm/bartizan", digest = "sha256:0000000000000000000000000000000000000000000000000000000000000000" }
  }
  expect_failures = [var.image]
}

run "no_issuer" {
  command = plan
  variables {
    policy = { authn = {} }
  }
  expect_failures = [var.policy]
}

run "nothing_guarded" {
  command = plan
  variables {
    guards = {}
  }
  expect_failures = [var.guards]
}

run "it_never_fails_open" {
  command = plan
  variables {
    values = { failStrategy = "FAIL_OPEN" }
  }
  expect_failures = [var.values]
}
