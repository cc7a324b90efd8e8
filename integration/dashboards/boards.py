"""Grafana dashboards by code: a panel is a title, what to make of it, a unit and its queries. `python -m dashboards --write` writes them.

Names of metrics and labels are those of `envoy/RUNBOOK.md`. No panel has a label that names a caller.
"""

import dataclasses

RUNBOOK = "https://github.com/bartizan/bartizan/blob/main/envoy/RUNBOOK.md"
SELECTED = 'instance=~"$instance"'


@dataclasses.dataclass(frozen=True)
class Panel:
    """One panel. `queries`: the legend, and PromQL in which `@` stands for the chosen proxies; `expects`: a mixed minute fills it."""

    title: str
    says: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    kind: str = "timeseries"
    expects: bool = False
    anchor: str = "metrics"


def rate(metric: str, by: str = "", more: str = "") -> str:
    """The rate of a counter over the chosen interval."""
    labels = ",".join(part for part in ("@", more) if part)
    inner = f"rate({metric}{{{labels}}}[$__rate_interval])"
    return f"sum by ({by}) ({inner})" if by else f"sum({inner})"


def quantile(share: float, metric: str) -> str:
    return f"histogram_quantile({share}, {rate(metric + '_bucket', 'le')})"


BOARDS: dict[str, tuple[str, tuple[Panel, ...]]] = {
    "overview": ("Bartizan: overview", (
        Panel("Requests", "By what became of them. A step in `block` is an attack or a rule that is wrong.", "reqps",
              (("{{verdict}}", rate("bartizan_requests", "verdict")),), expects=True, anchor="blocks-jump"),
        Panel("Refused, of all", "The share of requests that callers did not get through.", "percentunit",
              (("refused", rate("bartizan_requests", "", 'verdict="block"') + " / " + rate("bartizan_requests")),), "stat", True, "blocks-jump"),
        Panel("Workers that can serve", "One for each worker of each proxy. Fewer: a proxy is silent, or has no keys.", "short",
              (("{{state}}", rate("bartizan_heartbeats", "state")),), expects=True, anchor="silent"),
        Panel("Refusals by reason", "What callers are told. The runbook has a paragraph for each family.", "reqps",
              (("{{reason}}", rate("bartizan_requests", "reason", 'verdict="block"')),), expects=True, anchor="blocks-jump"),
        Panel("By role", "Who uses it, by the first of the roles that granted the request.", "reqps",
              (("{{role}}", rate("bartizan_requests", "role")),), expects=True),
        Panel("Faults", "Any is a bug, of ours or of the host: requests are refused with 503.", "reqps",
              (("internal", rate("bartizan_requests", "", 'reason="internal"')), ("overloaded", rate("bartizan_requests", "", 'reason="overloaded"'))),
              anchor="faults"),
    )),
    "security": ("Bartizan: security", (
        Panel("Findings by rule", "Also those that only flag. A new leader after a release is a rule to look at.", "ops",
              (("{{rule}} {{action}}", "topk(10, " + rate("bartizan_findings", "rule, action") + ")"),), expects=True, anchor="blocks-jump"),
        Panel("Scores", "The highest score of each request: half, and one in twenty, are at or below.", "short",
              (("p50", quantile(0.5, "bartizan_score")), ("p95", quantile(0.95, "bartizan_score"))), expects=True),
        Panel("Not scanned", "Content that can't be scanned, by kind. The policy said what happened to it.", "ops",
              (("{{kind}}", rate("bartizan_unscanned", "kind")),), expects=True, anchor="not-scanned"),
        Panel("Masked values", "Personal data and secrets that did not go on.", "ops", (("masked", rate("bartizan_masked")),), expects=True),
        Panel("Cool-downs", "Callers who were refused as attackers again and again.", "ops",
              (("began", rate("bartizan_abuse_cooldowns")),), expects=True, anchor="cool-downs"),
        Panel("What shadow mode would do", "Refusals and changes that were not carried out, by reason.", "ops",
              (("{{reason}}", rate("bartizan_shadow", "reason")),)),
        Panel("Tokens refused", "By reason: `jwt_signature` is somebody who tries, `jwt_expired` a client that does not renew.", "reqps",
              (("{{reason}}", rate("bartizan_requests", "reason", 'reason=~"jwt_.*"')),), expects=True, anchor="tokens-refused"),
        Panel("Outside judges", "What they said, and why there is no opinion.", "ops", (("{{outcome}}", rate("bartizan_opinions", "outcome")),)),
    )),
    "quotas-and-cost": ("Bartizan: quotas and cost", (
        Panel("Refused by quotas", "By reason and role: a role that is refused all day has too little.", "reqps",
              (("{{reason}} {{role}}", rate("bartizan_requests", "reason, role", 'reason=~"quota_.*"')),)),
        Panel("Tokens", "As the models' replies report them.", "short", (("{{direction}}", rate("bartizan_tokens", "direction")),), expects=True),
        Panel("Tokens by model", "By the words of the policy's roles.", "short", (("{{model}} {{direction}}", rate("bartizan_model_tokens", "model, direction")),), expects=True),
        Panel("Tokens by tenant", "Of tenants that the policy names.", "short", (("{{tenant}} {{direction}}", rate("bartizan_tenant_tokens", "tenant, direction")),)),
        Panel("Cost an hour, by model", "In the currency of `prices`.", "short",
              (("{{model}}", "3600 * " + rate("bartizan_model_cost_micros", "model") + " / 1e6"),)),
        Panel("Shares of budgets that were reached", "Each charge that reached a share of `alertAt`.", "short",
              (("{{role}} {{share}} %", rate("bartizan_budget_alerts", "role, share")),)),
        Panel("Counted without the fleet", "Requests that a proxy counted by itself: n proxies let through n times the limit.", "reqps",
              (("alone", rate("bartizan_fleet_alone")),), anchor="fleet-not-counted"),
    )),
    "latency-and-load": ("Bartizan: latency and load", (
        Panel("Time in the filter", "Microseconds of its own work; waits for services are not in it.", "µs",
              (("p50", quantile(0.5, "bartizan_filter_latency_us")), ("p95", quantile(0.95, "bartizan_filter_latency_us")),
               ("p99", quantile(0.99, "bartizan_filter_latency_us"))), expects=True, anchor="slow"),
        Panel("First bytes of streams", "From when the request went on: this is the model's time.", "ms",
              (("p50", quantile(0.5, "bartizan_first_chunk_ms")), ("p95", quantile(0.95, "bartizan_first_chunk_ms"))), expects=True),
        Panel("Whole exchanges", "From the request's headers to the end of the reply.", "ms",
              (("p50", quantile(0.5, "bartizan_duration_ms")), ("p95", quantile(0.95, "bartizan_duration_ms"))), expects=True),
        Panel("What waits", "The mean number of requests that wait. At 1024 for a service, or 4096 for bodies, a worker refuses.", "short",
              (("{{of}}", rate("bartizan_load_seconds", "of", 'of=~"waiting_.*|calls|settlements"')),), expects=True, anchor="overload"),
        Panel("Buffered bytes", "The mean of what workers hold; `limits.maxBufferedBytesPerWorker` bounds each.", "bytes",
              (("buffered", rate("bartizan_load_seconds", "", 'of="buffered_bytes"')),), expects=True, anchor="overload"),
        Panel("Linear memory", "The most that one worker's VM has had. It never shrinks.", "bytes",
              (("{{instance}}", "max by (instance) (bartizan_vm_memory_bytes{@})"),), expects=True, anchor="overload"),
        Panel("Services that hang", "Requests that did not wait for a service because it hangs.", "reqps",
              (("{{kind}}", rate("bartizan_skipped_calls", "kind")),), anchor="fleet-not-counted"),
        Panel("Checkpoints of the audit trail", "`failed`: the second sink does not take them.", "ops",
              (("{{outcome}}", rate("bartizan_checkpoints", "outcome")),), expects=True, anchor="records-lost"),
    )),
}  # fmt: skip


def query(text: str, selected: str) -> str:
    """The query of these proxies."""
    return text.replace("@", selected)


def target(number: int, legend: str, text: str) -> dict:
    return {"refId": chr(ord("A") + number), "expr": query(text, SELECTED), "legendFormat": legend,
            "datasource": {"type": "prometheus", "uid": "${datasource}"}}  # fmt: skip


def board(name: str) -> dict:
    """One dashboard, as Grafana imports it."""
    title, panels = BOARDS[name]
    drawn = []
    for number, panel in enumerate(panels):
        drawn.append({
            "id": number + 1, "type": panel.kind, "title": panel.title,
            "description": f"{panel.says} [Runbook]({RUNBOOK}#{panel.anchor})",
            "datasource": {"type": "prometheus", "uid": "${datasource}"},
            "gridPos": {"h": 8, "w": 12, "x": 12 * (number % 2), "y": 8 * (number // 2)},
            "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
            "options": {"legend": {"displayMode": "list", "placement": "bottom", "showLegend": True}} if panel.kind == "timeseries" else {},
            "targets": [target(place, legend, text) for place, (legend, text) in enumerate(panel.queries)],
        })  # fmt: skip
    return {
        "uid": f"bartizan-{name}", "title": title, "tags": ["bartizan"], "schemaVersion": 39, "editable": True, "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"}, "timezone": "utc", "panels": drawn,
        "templating": {"list": [
            {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus"},
            {"name": "instance", "type": "query", "label": "Proxy", "query": "label_values(bartizan_heartbeats, instance)", "includeAll": True,
             "multi": True, "allValue": ".*", "current": {"text": "All", "value": "$__all"}, "refresh": 2,
             "datasource": {"type": "prometheus", "uid": "${datasource}"}},
        ]},
    }  # fmt: skip


def asked(prometheus, seconds: int = 60) -> list[tuple[str, Panel, str, bool, int]]:
    """Each query on a real Prometheus: dashboard, panel, query, whether it was answered, and how many series with a number."""
    answers = []
    for name, (_, panels) in BOARDS.items():
        for panel in panels:
            for _, text in panel.queries:
                expr = query(text, 'instance=~".*"').replace("$__rate_interval", f"{seconds}s")
                data = prometheus.ask("query", query=expr)
                series = [one for one in (data or {}).get("result", []) if one["value"][1] != "NaN"]
                answers.append((name, panel, expr, data is not None, len(series)))
    return answers
