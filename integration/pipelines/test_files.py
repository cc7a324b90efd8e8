"""The files of envoy/pipelines that no program here can run, held against the record and against each other."""

import datetime
import json
import re

import pytest
import yaml

from harness import envoy
from harness.paths import ROOT, run_folder

from .proxy import KINDS, PIPELINES, add
from .shippers import LABELS

SOURCE = "".join((ROOT / "src" / "audit" / file).read_text() for file in ("record.rs", "entries.rs"))
TEMPLATE = json.loads((PIPELINES / "elasticsearch-index-template.json").read_text())

# What may be a label: these have a closed list of values, or one that the policy bounds.
BOUNDED = {"bartizan.verdict", "bartizan.reason", "bartizan.protocol", "gen_ai.operation.name"}
FIELD = r'[@a-z_]+(?:\.[a-z_]+)*'


def names_of(struct: str) -> dict[str, str]:
    """Serde's names in a struct of the record, and their Rust types."""
    body = re.search(rf"^pub struct {struct} \{{\n(.*?)^\}}", SOURCE, re.M | re.S)[1]
    found, attributes = {}, ""
    for text in body.splitlines():
        if field := re.match(r"\s+(?:pub(?:\(super\))? )?(\w+): (.+),$", text):
            if "serde(skip)" not in attributes:
                renamed = re.search(r'rename = "([^"]+)"', attributes)
                found[renamed[1] if renamed else field[1]] = field[2]
            attributes = ""
        else:
            attributes += text.split("///")[0]
    assert found, struct
    return found


RECORD = names_of("Record")
# What a chain adds to a line: the published form has it, the struct has not.
PUBLISHED = json.loads((ROOT / "src/manual/audit-record.schema.json").read_text())["properties"]
RECORD |= {name: "u64" if of["type"] == "integer" else "String" for name, of in PUBLISHED.items() if name.startswith("bartizan.chain.")}


def mapping(name: str) -> dict | None:
    """The mapping of a dotted field."""
    node = TEMPLATE["template"]["mappings"]
    for part in name.split("."):
        node = node.get("properties", {}).get(part)
        if node is None:
            return None
    return node


def leaves(properties: dict, path: str = ""):
    for name, entry in properties.items():
        if "type" in entry:
            yield path + name
        else:
            yield from leaves(entry["properties"], f"{path}{name}.")


@pytest.mark.parametrize("name", RECORD)
def test_each_field_of_the_record_has_a_mapping_of_its_kind(name):
    rust = re.sub(r"^(?:Option|Vec)<(.*)>$", r"\1", RECORD[name])
    entry = mapping(name)
    assert entry, f"{name} has no mapping in the index template"
    numbers = {"u8": ("short", "integer", "long"), "u16": ("integer", "long"), "u32": ("long",), "u64": ("long",)}
    if rust in numbers:
        assert entry["type"] in numbers[rust]
    elif rust == "bool":
        assert entry["type"] == "boolean"
    elif rust.endswith("Entry"):
        assert entry["type"] == "nested" and set(entry["properties"]) == set(names_of(rust))
    else:
        assert entry["type"] in ("keyword", "date", "scaled_float")


def test_no_mapping_is_of_a_field_that_is_gone():
    assert set(leaves(TEMPLATE["template"]["mappings"]["properties"])) == set(RECORD)


def test_no_field_is_the_object_of_another():
    """`a.b` beside `a.b.c` can't be stored as objects."""
    assert not [(one, other) for one in RECORD for other in RECORD if other.startswith(f"{one}.")]


def test_policies_keep_for_six_months_and_name_the_template():
    ilm = json.loads((PIPELINES / "elasticsearch-ilm-policy.json").read_text())["policy"]["phases"]
    assert int(ilm["delete"]["min_age"].removesuffix("d")) >= 184
    assert TEMPLATE["template"]["settings"]["index.lifecycle.name"] == "bartizan-audit"
    ism = json.loads((PIPELINES / "opensearch-ism-policy.json").read_text())["policy"]
    states = {state["name"]: state for state in ism["states"]}
    targets = [move for state in states.values() for move in state["transitions"]]
    assert {move["state_name"] for move in targets} <= set(states) and ism["default_state"] in states
    [ages] = [move["conditions"]["min_index_age"] for move in targets if move["state_name"] == "deleted"]
    # Its age counts from the index's creation, a month before its last record.
    assert int(ages.removesuffix("d")) >= 184 + 30
    assert ism["ism_template"][0]["index_patterns"] == TEMPLATE["index_patterns"]


def load(name: str) -> dict:
    return yaml.safe_load((PIPELINES / name).read_text())


def test_labels_are_bounded_and_the_same_everywhere():
    assert set(LABELS.values()) == BOUNDED <= set(RECORD)
    bit = load("fluent-bit.yaml")["pipeline"]
    [copies] = [one["copy"] for one in bit["filters"] if one["name"] == "modify"]
    fields = {new: old for old, new in (pair.split() for pair in copies)}
    [loki] = [one for one in bit["outputs"] if one["name"] == "loki"]
    assert {name.strip("$"): fields[name.strip("$")] for name in loki["label_keys"].split(",")} == LABELS
    assert loki["labels"] == "service=bartizan" and set(loki["remove_keys"].split(",")) == set(fields)
    assert fields["request_id"] == "http.request.id" and loki["structured_metadata"] == "request_id=$request_id"
    vector = load("vector.yaml")
    read = dict(re.findall(r'\.(\w+) = record\."([^"]+)"', vector["transforms"]["records"]["source"]))
    sink = vector["sinks"]["loki"]
    assert {name: read[re.fullmatch(r"\{\{ (\w+) \}\}", value)[1]] for name, value in sink["labels"].items() if name != "service"} == LABELS
    assert sink["structured_metadata"] == {"request_id": "{{ request_id }}"} and read["request_id"] == "http.request.id"


@pytest.mark.parametrize("file", ["fluent-bit.yaml", "vector.yaml", "otel-collector.yaml", "rsyslog.conf"])
def test_every_field_that_a_shipper_names_is_one_of_the_record(file):
    text = (PIPELINES / file).read_text()
    named = set(re.findall(rf'(?<![\w/.-])(?:bartizan|gen_ai|http|event)\.{FIELD}', re.sub(r"#.*", "", text)))
    named -= {"bartizan.audit", "bartizan.db"}
    assert named and named <= set(RECORD), named - set(RECORD)


def test_vector_and_the_collector_connect_what_they_define():
    vector = load("vector.yaml")
    known = {*vector["sources"], *vector["transforms"]}
    for part in (*vector["transforms"].values(), *vector["sinks"].values()):
        assert set(part["inputs"]) <= known
    collector = load("otel-collector.yaml")
    for line in collector["service"]["pipelines"].values():
        for kind, names in line.items():
            assert set(names) <= set(collector[kind]), kind


def read_as_shippers_do(text: bytes) -> None:
    """Time format and filters of the files, on a line that the filter wrote."""
    bit, line = load("fluent-bit.yaml"), json.loads(text)
    [parser] = bit["parsers"]
    moment = datetime.datetime.strptime(line[parser["time_key"]], parser["time_format"].replace("%L", "%f"))
    assert moment.isoformat(timespec="milliseconds") + "Z" == line["@timestamp"]
    [keep] = [one["regex"] for one in bit["pipeline"]["filters"] if one["name"] == "grep"]
    key, pattern = keep.split(" ")
    assert re.search(pattern, line[key])
    [condition] = load("otel-collector.yaml")["processors"]["transform"]["log_statements"][0]["conditions"]
    condition = re.search(r'IsMatch\(body, "([^"]+)"\)', condition)[1].replace("\\\\", "\\")
    assert re.search(condition, text.decode()) and not re.search(condition, "-")
    assert set(line) <= set(RECORD)


@pytest.mark.parametrize("kind", KINDS)
def test_envoy_takes_the_snippet(kind):
    config = envoy.load()
    folder = run_folder("validate")
    add(config, kind, path=folder / "audit.log", port=9)
    path = folder / "envoy.json"
    path.write_text(json.dumps(config))
    code, log = envoy.validate(path)
    assert code == 0, log
