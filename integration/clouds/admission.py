"""ValidatingAdmissionPolicies by two implementations of CEL: runs in `.cache/clouds`.

Reads `{"policy": ..., "objects": [...]}` and prints, for each object and implementation, which messages refuse it (`null`: no
condition matched). An expression that fails refuses, as `failurePolicy: Fail` says.
"""

import json
import re
import sys

import cel
import celpy


class Python:
    """cel-python: an implementation in Python."""

    def __init__(self):
        self.environment, self.made = celpy.Environment(), {}

    def __call__(self, expression: str, values: dict):
        if expression not in self.made:
            self.made[expression] = self.environment.program(self.environment.compile(expression))
        return self.made[expression].evaluate({name: celpy.json_to_cel(value) for name, value in values.items()})


def rust(expression: str, values: dict):
    """common-expression-language: the crate `cel`. It has no `dyn`, which changes types and no values."""
    return cel.evaluate(re.sub(r"\bdyn\(", "(", expression), values)


def plain(value):
    return json.loads(json.dumps(value, cls=celpy.CELJSONEncoder))


def refusals(evaluate, spec: dict, document: dict) -> list[str] | None:
    values = {"object": document, "variables": {}}
    if not all(evaluate(condition["expression"], values) for condition in spec.get("matchConditions", [])):
        return None
    for variable in spec.get("variables", []):
        values["variables"][variable["name"]] = plain(evaluate(variable["expression"], values))
    found = []
    for rule in spec["validations"]:
        try:
            good = bool(evaluate(rule["expression"], values))
        except Exception as why:  # whatever an implementation raises, the request is refused
            found.append(f"{rule['message']} [{type(why).__name__}: {why}]")
            continue
        if not good:
            found.append(rule["message"])
    return found


given = json.load(sys.stdin)
engines = {"cel-python": Python(), "cel (Rust)": rust}
print(json.dumps([{name: refusals(engine, given["policy"]["spec"], one) for name, engine in engines.items()} for one in given["objects"]]))
