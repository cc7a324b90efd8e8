# Decides about requests to models, for `authz.opa` with `path: /v1/data/bartizan/decision`.
#
# `input` says who asks for what and what the scan found, in the form of src/manual/opa.md. It holds no text. The answer is
# allow or deny with a reason that the caller is told, and what is to be tightened.
package bartizan

import rego.v1

default decision := {"allow": false, "reason": "no rule allows it"}

decision := {"allow": false, "reason": reason} if {
	some reason in reasons
} else := {"allow": true, "obligations": obligations} if {
	input.version == 1
}

# Why a request is refused.
reasons contains "this tenant is suspended" if input.principal.tenant in data.suspended

reasons contains "agents may not call the billing tools" if {
	"agent" in input.principal.roles
	some tool in input.request.tools
	startswith(tool.name, "billing_")
}

# What is tightened. Each name must exist in Bartizan's policy.
obligations["max_output_tokens"] := 256 if "trial" in input.principal.roles

# A text that looks a little like an attack meets the guard of the careful.
obligations["guard"] := "strict" if input.scan.score >= 40

# Long prompts go to the model that is made for them. The role must allow it.
obligations["model"] := data.long_prompts.model if {
	input.request.input_tokens > data.long_prompts.over
	input.request.model != data.long_prompts.model
}
