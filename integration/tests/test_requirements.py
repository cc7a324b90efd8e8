"""The table of what was asked for: every file and test that it names is there."""

import re

import pytest

from harness.paths import ROOT

PAGE = ROOT / "src/manual/requirements.md"
ROWS = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in PAGE.read_text().splitlines() if line.startswith("| ") and "asked for |" not in line]
# Words of what the project was asked for; each has a row.
ASKED = [
    "/auth", "/llm", "helm install", "policies", "Loki", "Fluentd", "Elasticsearch", "OPA", "mTLS", "RBAC", "rate limits", "Falco", "MLflow",
    "GraphQL", "vector stores", "Terraform", "serverless", "explainability", "drift",
]  # fmt: skip
# Rows whose parts are being built; a row that is finished must leave this list.
OPEN: set[str] = set()


def is_there(test: str) -> bool:
    path, _, name = test.partition("::")
    file = ROOT / path
    if not name:
        return file.exists()
    form = rf"^\s*fn {name}\b" if path.endswith(".rs") else rf"^def {name}\("
    return file.is_file() and re.search(form, file.read_text(), re.M) is not None


def is_open(row: list[str]) -> bool:
    return "to be written" in row[2]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:30])
def test_what_a_row_names_exists(row):
    assert len(row) == 3
    tests = re.findall(r"`((?:integration|tests)/[^`]+)`", row[2])
    assert is_open(row) != bool(tests), "a row has its tests, or says that they are to be written"
    assert not [test for test in tests if not is_there(test)]
    files = re.findall(r"`((?:envoy|istio|charts|src)/[^`]*)`", row[1])
    assert not [name for name in files if not (ROOT / name).exists()]
    pages = re.findall(r"\]\(([a-z]+\.md)\)", row[1])
    assert not [name for name in pages if not (PAGE.parent / name).exists()]


def test_everything_that_was_asked_for_has_a_row():
    for word in ASKED:
        rows = [row for row in ROWS if word in row[0]]
        assert rows, word
        assert any(map(is_open, rows)) == (word in OPEN), f"{word}: OPEN says otherwise"


def test_a_name_that_is_not_there_is_noticed():
    assert not is_there("integration/tests/test_quota.py::test_nothing") and not is_there("tests/nothing.rs")
    assert is_there("tests/suite/explain_record.rs::a_refusal_is_explained_without_the_text")
