package bartizan_test

import data.bartizan
import rego.v1

request := {
	"version": 1,
	"principal": {"subject": "alice", "tenant": "acme", "roles": ["analyst"]},
	"request": {"operation": "chat", "model": "small", "tools": [], "input_tokens": 10},
	"scan": {"score": 5},
}

test_an_ordinary_request_passes_as_it_is if {
	bartizan.decision == {"allow": true, "obligations": {}} with input as request
}

test_a_suspended_tenant_is_told_so if {
	decision := bartizan.decision with input as request with data.suspended as ["acme"]
	decision == {"allow": false, "reason": "this tenant is suspended"}
}

test_an_agent_does_not_bill if {
	tools := [{"name": "search_web"}, {"name": "billing_refund"}]
	asked := object.union(request, {"principal": {"roles": ["agent"]}, "request": {"tools": tools}})
	decision := bartizan.decision with input as asked
	not decision.allow
}

test_a_trial_gets_short_answers if {
	asked := object.union(request, {"principal": {"roles": ["trial"]}})
	decision := bartizan.decision with input as asked
	decision.obligations.max_output_tokens == 256
}

test_a_doubtful_text_meets_the_strict_guard if {
	asked := object.union(request, {"scan": {"score": 41}})
	decision := bartizan.decision with input as asked
	decision.obligations.guard == "strict"
}

test_a_long_prompt_goes_to_another_model if {
	asked := object.union(request, {"request": {"input_tokens": 9000}})
	decision := bartizan.decision with input as asked with data.long_prompts as {"over": 8000, "model": "long"}
	decision.obligations.model == "long"
}

test_another_version_is_refused if {
	decision := bartizan.decision with input as object.union(request, {"version": 2})
	not decision.allow
}
