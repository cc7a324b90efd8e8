//! The report as a page.

use std::fmt::Write as _;

use super::chart;
use super::sketch::{Ranked, Row, Sum};
use super::tally::{Actions, Count, Money, Report, Traffic, VERDICTS, Worker, written};
use crate::cli::audit::drift::{Drift, percent as share};
use crate::cli::cost::amount;
use crate::cli::explain::shown;
use crate::cli::page;

const STYLE: &str = "
main{max-width:76rem}h1{font-size:1.5rem;margin:0}.lead{color:var(--soft);margin:.2rem 0 1rem}
nav{display:flex;flex-wrap:wrap;gap:.15rem 1.1rem;font-size:.88rem;margin:0 0 1.25rem}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(8rem,1fr));gap:.6rem;margin:0 0 1rem;padding:0;
list-style:none}
.tiles li{background:var(--paper);border:1px solid var(--line);border-radius:10px;padding:.65rem .9rem}
.tiles b{display:block;font-size:1.35rem;font-weight:650;line-height:1.25;font-variant-numeric:tabular-nums}
.tiles span{color:var(--soft);font-size:.82rem}
.pair{columns:2 26rem;column-gap:1rem}.pair section{break-inside:avoid}
.hash{font:.78rem/1.4 ui-monospace,SFMono-Regular,Menlo,monospace}
.n{overflow-wrap:normal;width:1%}
section{padding:.9rem 1.1rem;border-radius:10px}section h3{font-size:1rem;margin:0 0 .4rem;font-weight:600}
.note{color:var(--soft);font-size:.85rem;margin:.35rem 0 0}
table{display:table;font-size:.86rem;font-variant-numeric:tabular-nums}thead,tbody{display:table-row-group}
tr{display:table-row;padding:0}th,td{display:table-cell;padding:.28rem .5rem .28rem 0;vertical-align:middle}
caption{text-align:left;font-weight:600;font-size:1rem;padding:0 0 .35rem}thead th{border-bottom:1px solid var(--line)}
tbody th{font-weight:400;font-size:inherit;color:var(--ink);border-bottom:1px solid var(--line)}
tbody tr:last-child th,tbody tr:last-child td{border:0}td.n,th.n{text-align:right!important;padding-left:.4rem}
td:last-child,th:last-child{padding-right:0}
.share{display:block;height:.24rem;border-radius:9px;background:var(--info);margin-top:.15rem;min-width:1px}
.other th,.other td{color:var(--soft)}
.chart{display:block;width:100%;height:10rem;overflow:visible}
.grid{stroke:var(--line);fill:none;vector-effect:non-scaling-stroke}
.pair>.note{margin:0 0 1rem;padding:0 1.1rem;break-inside:avoid}
:root{--calm:#6f97c7}.b-allow{fill:var(--calm)}.b-one{fill:var(--info)}.f-mask{fill:var(--warn)}
.f-block{fill:var(--bad)}.b-mask{fill:url(#p-mask)}
.b-replace{fill:url(#p-replace)}.b-block{fill:url(#p-block)}.b-rest{fill:var(--soft)}
.ink{stroke:var(--paper);fill:none;stroke-width:1.2}
.dot{fill:var(--paper)}
.axis{display:flex;justify-content:space-between;color:var(--soft);font-size:.78rem;margin:.3rem 0 .4rem;gap:.5rem}
.key{display:flex;flex-wrap:wrap;gap:.2rem 1rem;list-style:none;margin:.2rem 0 .5rem;padding:0;font-size:.86rem}
.key svg{width:.85rem;height:.85rem;vertical-align:-.08rem;margin-right:.35rem}
details>summary{margin:.4rem 0}details[open]>summary{margin-bottom:.6rem}
@media(prefers-color-scheme:dark){:root{--calm:#4f78a8}}
@media(min-width:64rem){td.n{white-space:nowrap}}
@media(max-width:40rem){main{padding:1rem .6rem 2rem}table{display:table;width:100%;font-size:.8rem}
thead,tbody{display:table-row-group}
tr{display:table-row}
th,td{display:table-cell;border-bottom:1px solid var(--line);padding:.28rem .4rem .28rem 0;width:auto}
td.n,th.n{padding-left:0}
caption{display:table-caption}thead th{font-size:.76rem}.hash{font-size:.68rem}
.tiles{grid-template-columns:repeat(2,minmax(0,1fr))}.tiles b{font-size:1.15rem}}
@media print{:root{--calm:#6f97c7}nav{display:none}.pair{columns:2}.b-mask,.b-replace{fill:var(--warn)}
.b-block{fill:var(--bad)}.chart{height:7rem}section,.tiles li{padding:.5rem .7rem}}
";

/// The whole page.
pub(super) fn page(report: &Report) -> String {
    let mut out = page::head("audit report", STYLE);
    let period = match (report.period.first, report.period.last) {
        (Some(first), Some(last)) => format!("{} to {}, UTC", clock(first), clock(last)),
        _ => "no times".to_owned(),
    };
    let _infallible = write!(out, "<h1>Audit report</h1><p class=\"lead\">{period}</p>\n<nav aria-label=\"Sections\">");
    let sections = [
        ("traffic", "Traffic"),
        ("refusals", "Refusals and rules"),
        ("who", "Who"),
        ("cost", "Quotas and cost"),
        ("speed", "Latency"),
        ("gaps", "What was not seen"),
        ("versions", "Versions and workers"),
        ("drift", "Drift and parity"),
    ];
    let shown = sections.len() - usize::from(report.drift.is_none());
    for (id, title) in sections.iter().take(shown) {
        let _infallible = write!(out, "<a href=\"#{id}\">{title}</a>");
    }
    out.push_str("</nav>\n");
    tiles(&mut out, report);
    heading(&mut out, sections.first());
    traffic(&mut out, report);
    heading(&mut out, sections.get(1));
    refusals(&mut out, report);
    heading(&mut out, sections.get(2));
    out.push_str("<div class=\"pair\">\n");
    let titles = [
        ("roles", "Roles", "role"),
        ("tenants", "Tenants", "tenant"),
        ("models", "Models", "model"),
        ("callers", "Callers, by keyed hash", "caller"),
        ("routes", "Routes", "route"),
        ("protocols", "Protocols", "protocol"),
    ];
    for (group, title, head) in titles {
        if let Some(names) = report.traffic.get(group) {
            traffic_table(&mut out, title, head, names);
        }
    }
    out.push_str("</div>\n");
    heading(&mut out, sections.get(3));
    money(&mut out, report);
    heading(&mut out, sections.get(4));
    latency(&mut out, report);
    heading(&mut out, sections.get(5));
    gaps(&mut out, report);
    heading(&mut out, sections.get(6));
    versions(&mut out, report);
    if let Some(found) = &report.drift {
        heading(&mut out, sections.get(7));
        drift(&mut out, found);
    }
    let lines = &report.lines;
    let _infallible = writeln!(
        out,
        "<footer>Bartizan {}. {} lines were read: {} records counted, {} lines of the responder, {} erased, {} duplicates, {} outside the range, {} no audit \
         records, {} records that can't be read.</footer></main></body></html>",
        env!("CARGO_PKG_VERSION"),
        grouped(lines.all),
        grouped(lines.records),
        grouped(lines.responses),
        grouped(lines.erased),
        grouped(lines.duplicates),
        grouped(lines.outside),
        grouped(lines.foreign),
        grouped(lines.broken)
    );
    out
}

fn heading(out: &mut String, section: Option<&(&str, &str)>) {
    if let Some((id, title)) = section {
        let _infallible = writeln!(out, "<h2 id=\"{id}\">{title}</h2>");
    }
}

fn tiles(out: &mut String, report: &Report) {
    let [allow, mask, replace, block, ..] = report.verdicts;
    let all = report.lines.records;
    let share = |part: u64| if all == 0 { String::new() } else { format!(", {}", percent(part, all)) };
    let mut tiles = vec![
        (grouped(all), "requests".to_owned()),
        (grouped(block), format!("refused{}", share(block))),
        (grouped(mask + replace), format!("changed{}", share(mask + replace))),
        (grouped(allow), format!("allowed{}", share(allow))),
        (rough(report.sums.input_tokens.saturating_add(report.sums.output_tokens)), "tokens, as billed".to_owned()),
    ];
    tiles.extend(report.latency_us.as_ref().map(|one| (micros(one.p99), "in the filter, p99".to_owned())));
    let cost = report.cost.iter().map(|(currency, cost)| (money_short(cost.total.amount), format!("cost, {currency}")));
    tiles.extend(cost.take(2));
    out.push_str("<ul class=\"tiles\">");
    for (number, what) in tiles {
        let _infallible = write!(out, "<li><b>{number}</b><span>{}</span></li>", page::escape(&what));
    }
    out.push_str("</ul>\n");
}

fn traffic(out: &mut String, report: &Report) {
    let width = match report.column_secs {
        secs if secs.is_multiple_of(86_400) => format!("{} d", secs / 86_400),
        secs if secs.is_multiple_of(3_600) => format!("{} h", secs / 3_600),
        secs => format!("{} min", secs / 60),
    };
    let most = report.timeline.iter().map(|column| column.verdicts.iter().sum::<u64>()).max().unwrap_or(0);
    let is_used = |verdict: &usize| report.verdicts.get(*verdict).is_some_and(|count| *count > 0);
    let used: Vec<usize> = (0..VERDICTS.len()).filter(is_used).collect();
    let _infallible = write!(
        out,
        "<section><h3>Verdicts over time, a column is {}</h3><ul class=\"key\">",
        width.replace(' ', "\u{a0}")
    );
    for verdict in &used {
        let (class, name) = (chart::class(*verdict), VERDICTS.get(*verdict).unwrap_or(&""));
        let count = report.verdicts.get(*verdict).copied().unwrap_or(0);
        // Each has a shape of its own too.
        let shape = match class {
            "allow" => "<circle cx=\"6\" cy=\"6\" r=\"6\" class=\"b-allow\"/>",
            "mask" => "<path class=\"f-mask\" d=\"M6 0l6 12H0z\"/>",
            "replace" => "<path class=\"f-mask\" d=\"M6 0l6 6-6 6-6-6z\"/>",
            "block" => "<path class=\"f-block\" d=\"M0 0h12v12H0z\"/>",
            _ => "<path class=\"b-rest\" d=\"M0 4h12v4H0z\"/>",
        };
        let _infallible = write!(
            out,
            "<li><svg viewBox=\"0 0 12 12\" aria-hidden=\"true\">{shape}</svg>{name} {}</li>",
            grouped(count)
        );
    }
    out.push_str("</ul>");
    if report.timeline.is_empty() {
        out.push_str("<p class=\"note\">No record has a time.</p></section>\n");
        return;
    }
    let title =
        format!("Requests by verdict over time, at most {most} in a column of {width}; the table below has all");
    out.push_str(&chart::timeline(&report.timeline, &title));
    let at = |index: usize| report.timeline.get(index).map(|column| short(&column.at)).unwrap_or_default();
    let last = report.timeline.len() - 1;
    let _infallible = write!(
        out,
        "<div class=\"axis\"><span>{}</span><span>top: {}</span><span>{}</span></div>",
        at(0),
        grouped(most),
        at(last)
    );
    out.push_str(
        "<details><summary>The same as a table</summary><table>\
        <caption>Requests by verdict and time</caption><thead><tr><th scope=\"col\">from</th>",
    );
    for verdict in &used {
        let _infallible = write!(out, "<th scope=\"col\" class=\"n\">{}</th>", VERDICTS.get(*verdict).unwrap_or(&""));
    }
    out.push_str("</tr></thead><tbody>");
    for column in &report.timeline {
        let _infallible = write!(out, "<tr><th scope=\"row\">{}</th>", short(&column.at));
        for verdict in &used {
            cell(out, &grouped(column.verdicts.get(*verdict).copied().unwrap_or(0)));
        }
        out.push_str("</tr>");
    }
    out.push_str("</tbody></table></details></section>\n");
}

fn refusals(out: &mut String, report: &Report) {
    out.push_str("<div class=\"pair\">\n");
    counts(out, report, "reasons", "Refusals by reason", "reason");
    let rows: Vec<_> = report.rules.top.iter().map(|row| (row.name.as_str(), &row.sum)).collect();
    let cells = |sum: &Actions| [sum.findings, sum.block, sum.change, sum.flag, sum.none].map(grouped).to_vec();
    let heads = ["findings", "block", "change", "flag", "no effect"];
    table(out, "Rules, by what followed", "rule", &heads, &rows, &report.rules, &cells);
    counts(out, report, "shadow", "What shadow mode did not carry out", "reason");
    counts(out, report, "opinions", "Outside opinions", "judge: outcome");
    counts(out, report, "authz", "The operator's policy engine", "decision");
    counts(out, report, "statuses", "Statuses", "status");
    counts(out, report, "cooldownCallers", "Callers whose cool-down began", "caller");
    counts(out, report, "responses", "Bans and lifts by the responder", "what: why");
    out.push_str("</div>\n");
    let sums = &report.sums;
    let _infallible = writeln!(
        out,
        "<p class=\"note\">{} findings (a record lists 32 at most), {} values masked. {} strikes, {} cool-downs began, {} s together.</p>",
        grouped(sums.findings),
        grouped(sums.masked),
        grouped(sums.strikes),
        grouped(sums.cooldowns),
        grouped(sums.cooldown_secs)
    );
}

fn money(out: &mut String, report: &Report) {
    out.push_str("<div class=\"pair\">\n");
    counts(out, report, "crossed", "Shares of limits that were reached", "quota");
    counts(out, report, "quotaRefusals", "Refusals by quota", "role: reason");
    for (currency, cost) in &report.cost {
        for (title, head, names) in
            [("model", "model", &cost.by_model), ("tenant", "tenant", &cost.by_tenant), ("role", "role", &cost.by_role)]
        {
            let rows: Vec<_> = names.top.iter().map(|row| (row.name.as_str(), &row.sum)).collect();
            let cells = |sum: &Money| vec![money_short(sum.amount), grouped(sum.requests)];
            let caption = format!("Cost by {title}, {currency}");
            table(out, &caption, head, &["amount", "requests"], &rows, names, &cells);
        }
    }
    counts(out, report, "basis", "How charges are known", "basis");
    counts(out, report, "countedBy", "Counted without the fleet", "by");
    out.push_str("</div>\n");
    let sums = &report.sums;
    let _infallible = writeln!(
        out,
        "<p class=\"note\">{} requests are unsettled: the store failed as they ended. {} have no price. Amounts of {} more \
         currencies' records are not added up.</p>",
        grouped(sums.unsettled),
        grouped(sums.unpriced),
        grouped(sums.other_currencies)
    );
}

fn latency(out: &mut String, report: &Report) {
    out.push_str("<div class=\"pair\">\n");
    if let Some(one) = &report.latency_us {
        let counts: Vec<u64> = one.doublings.iter().map(|doubling| doubling.count).collect();
        let title = format!("Requests by time in the filter; half of them take at most {}", micros(one.p50));
        let _infallible = write!(out, "<section><h3>Time in the filter</h3>{}", chart::columns(&counts, &title));
        out.push_str("<div class=\"axis\">");
        let ends = one.doublings.first().into_iter().chain(one.doublings.last());
        for doubling in ends {
            let _infallible = write!(out, "<span>below {}</span>", micros(doubling.below));
        }
        out.push_str(
            "</div><p class=\"note\">A column is a doubling. Waits for outside services are part of it.</p>\
            </section>\n",
        );
        out.push_str(
            "<section><table><caption>Percentiles</caption><thead><tr><th scope=\"col\">of requests</th>\
            <th scope=\"col\" class=\"n\">at most</th></tr></thead><tbody>",
        );
        for (share, value) in [
            ("50 %", one.p50),
            ("90 %", one.p90),
            ("95 %", one.p95),
            ("99 %", one.p99),
            ("99.9 %", one.p999),
            ("all", one.most),
            ("mean", one.mean),
        ] {
            let _infallible = write!(out, "<tr><th scope=\"row\">{share}</th>");
            cell(out, &micros(value));
            out.push_str("</tr>");
        }
        let _infallible = writeln!(
            out,
            "</tbody></table>\
            <p class=\"note\">Percentiles are at most 3.2 % too large; the largest value and the mean are exact. \
             {} records have no time.</p></section>",
            grouped(report.sums.without_latency)
        );
    } else {
        out.push_str("<section><p class=\"note\">No record has a time in the filter.</p></section>");
    }
    out.push_str("</div>\n");
}

fn gaps(out: &mut String, report: &Report) {
    out.push_str("<div class=\"pair\">\n");
    counts(out, report, "coverage", "Coverage", "how much was scanned");
    counts(out, report, "unscanned", "Content that was not scanned", "kind");
    let title = "Records by the highest score, from 0 to 100 in steps of ten";
    let _infallible = writeln!(
        out,
        "<section><h3>Scores</h3>{}<div class=\"axis\"><span>0</span><span>50</span><span>100</span></div>\
        <p class=\"note\">By step: {}</p></section>",
        chart::columns(&report.scores, title),
        report.scores.map(grouped).join(", ")
    );
    counts(out, report, "capture", "Captures", "outcome");
    counts(out, report, "skippedCalls", "Services not asked, because they hang", "service");
    counts(out, report, "revocation", "Revocation", "state");
    counts(out, report, "incomplete", "Records without an end, by route", "route");
    out.push_str("</div>\n");
}

fn versions(out: &mut String, report: &Report) {
    out.push_str("<div class=\"pair\">\n");
    let time = |secs: Option<u64>| secs.map_or_else(|| "unknown".to_owned(), clock);
    for (group, title) in [("policies", "Policies"), ("rulesets", "Rulesets")] {
        if let Some(names) = report.versions.get(group) {
            let mut rows: Vec<_> = names.top.iter().map(|row| (row.name.as_str(), &row.sum)).collect();
            rows.sort_by_key(|(_, sum)| sum.first);
            let cells = |sum: &super::tally::Period| vec![grouped(sum.count), time(sum.first), time(sum.last)];
            table(out, title, "digest", &["records", "first", "last"], &rows, names, &cells);
        }
    }
    counts(out, report, "responseModels", "Replies from another model", "asked → answered");
    let mut rows: Vec<_> = report.workers.top.iter().map(|row| (row.name.as_str(), &row.sum)).collect();
    rows.sort_by_key(|(_, sum)| sum.period.first);
    let cells = |sum: &Worker| {
        vec![grouped(sum.period.count), grouped(sum.missing), time(sum.period.first), time(sum.period.last)]
    };
    table(out, "Workers", "worker", &["records", "missing", "first", "last"], &rows, &report.workers, &cells);
    out.push_str(
        "</div>\n<p class=\"note\">A worker that restarts has a new name. \
         Missing are numbers between a worker's first and last record that no record has.</p>\n",
    );
}

/// Findings against a baseline, and rates of groups. What was compared and is alike is a number.
fn drift(out: &mut String, found: &Drift) {
    let _infallible = writeln!(
        out,
        "<p class=\"note\">{} records against a baseline of {}: {} findings in {} tests; {} comparisons have too few \
         records. A finding is large (population stability index) and significant (Benjamini and Hochberg). It says \
         that the records differ, not why.</p>",
        grouped(found.records),
        grouped(found.baseline_records.unwrap_or(0)),
        grouped(found.findings as u64),
        grouped(found.tests as u64),
        grouped(found.untested() as u64)
    );
    let rows = found.differing().into_iter().map(|one| {
        let (index, p) = (one.psi.unwrap_or(0.0), one.adjusted.unwrap_or(1.0));
        let cells = vec![format!("{index:.2}"), format!("{p:.1e}"), one.told()];
        (format!("{}: {}", one.place(), one.feature), cells)
    });
    plain(out, "Drift, the largest index first", "feature", &["index", "p, adjusted", "moved most"], rows);
    let lone = [(&found.new, "new"), (&found.gone, "gone")];
    let rows = lone.into_iter().flat_map(|(list, what)| {
        list.iter().map(move |one| (format!("{} {}", one.by, one.name), vec![what.to_owned(), grouped(one.records)]))
    });
    plain(out, "Names on one side only", "name", &["side", "records"], rows);
    let rows = found.parity.iter().filter(|one| one.events > 0 || one.rest_events > 0).map(|one| {
        let (low, high) = one.interval;
        let cells = vec![
            format!("{} [{}, {}]", share(one.rate), share(low), share(high)),
            share(one.rest_rate),
            one.ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}")),
            one.told().to_owned(),
        ];
        (format!("{} {}: {}", one.by, one.name, one.outcome), cells)
    });
    let heads = ["rate [95 %]", "others", "ratio", "state"];
    plain(out, "Rates, each name against all others", "rate of", &heads, rows);
}

/// Rows of a table of texts; what is beyond is a number.
const MOST: usize = 200;

/// A table of texts.
fn plain(
    out: &mut String,
    caption: &str,
    head: &str,
    heads: &[&str],
    rows: impl Iterator<Item = (String, Vec<String>)>,
) {
    let mut rows = rows.peekable();
    if rows.peek().is_none() {
        let _infallible = writeln!(out, "<p class=\"note\">{caption}: none</p>");
        return;
    }
    let _infallible =
        write!(out, "<section><table><caption>{caption}</caption><thead><tr><th scope=\"col\">{head}</th>");
    for head in heads {
        let _infallible = write!(out, "<th scope=\"col\" class=\"n\">{head}</th>");
    }
    out.push_str("</tr></thead><tbody>");
    for (name, cells) in rows.by_ref().take(MOST) {
        let _infallible = write!(out, "<tr><th scope=\"row\">{}</th>", page::escape(&visible(&name)));
        cells.iter().for_each(|text| cell(out, &visible(text)));
        out.push_str("</tr>");
    }
    out.push_str("</tbody></table>");
    let more = rows.count();
    if more > 0 {
        let _infallible = write!(out, "<p class=\"note\">{} more</p>", grouped(more as u64));
    }
    out.push_str("</section>\n");
}

fn counts(out: &mut String, report: &Report, group: &str, title: &str, head: &str) {
    let Some(names) = report.counts.get(group) else { return };
    let rows: Vec<_> = names.top.iter().map(|row| (row.name.as_str(), &row.sum)).collect();
    table(out, title, head, &["requests"], &rows, names, &|sum: &Count| vec![grouped(sum.count)]);
}

fn traffic_table(out: &mut String, title: &str, head: &str, names: &Ranked<Traffic>) {
    let rows: Vec<_> = names.top.iter().map(|row: &Row<Traffic>| (row.name.as_str(), &row.sum)).collect();
    let cells = |sum: &Traffic| {
        let tokens = sum.input_tokens.saturating_add(sum.output_tokens);
        let mut cells = [sum.requests, sum.blocked, sum.changed].map(grouped).to_vec();
        cells.push(rough(tokens));
        cells
    };
    table(out, title, head, &["requests", "refused", "changed", "tokens"], &rows, names, &cells);
}

/// One group. A group of nothing is one line, so that the page says that there was nothing.
fn table<T: Sum>(
    out: &mut String,
    caption: &str,
    head: &str,
    heads: &[&str],
    rows: &[(&str, &T)],
    names: &Ranked<T>,
    cells: &dyn Fn(&T) -> Vec<String>,
) {
    let caption = page::escape(caption);
    if rows.is_empty() {
        let _infallible = writeln!(out, "<p class=\"note\">{caption}: none</p>");
        return;
    }
    let _infallible = write!(
        out,
        "<section><table><caption>{caption}</caption><thead><tr><th scope=\"col\">{}</th>",
        page::escape(head)
    );
    for head in heads {
        let _infallible = write!(out, "<th scope=\"col\" class=\"n\">{}</th>", page::escape(head));
    }
    out.push_str("</tr></thead><tbody>");
    let largest = rows.iter().map(|(_, sum)| sum.weight()).max().unwrap_or(1).max(1);
    for (name, sum) in rows {
        let width = u8::try_from(sum.weight() * 100 / largest).unwrap_or(100);
        let _infallible = write!(
            out,
            "<tr><th scope=\"row\"><span{}>{}</span><i class=\"share\" style=\"width:{width}%\"></i></th>",
            if crate::cli::replay::is_hash(name) { " class=\"hash\"" } else { "" },
            page::escape(&visible(name))
        );
        cells(sum).iter().for_each(|text| cell(out, text));
        out.push_str("</tr>");
    }
    if let Some(other) = &names.other {
        let more = names.names - names.top.len();
        let least = if names.at_least { "at least " } else { "" };
        let _infallible =
            write!(out, "<tr class=\"other\"><th scope=\"row\">{least}{} others</th>", grouped(more as u64));
        cells(other).iter().for_each(|text| cell(out, text));
        out.push_str("</tr>");
    }
    out.push_str("</tbody></table></section>\n");
}

fn cell(out: &mut String, text: &str) {
    let _infallible = write!(out, "<td class=\"n\">{}</td>", page::escape(text));
}

/// A name of a record may hold what changes the direction of the text around it.
fn visible(name: &str) -> String {
    if name.is_empty() { "(empty)".to_owned() } else { name.chars().map(shown).collect() }
}

/// Thousands apart, by a space that is narrow and does not break.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

/// Three or more digits and a unit.
fn rough(number: u64) -> String {
    let units = [(1_000_000_000_000, "T"), (1_000_000_000, "G"), (1_000_000, "M"), (10_000, "k")];
    match units.into_iter().find(|(least, _)| number >= *least) {
        Some((_, "k")) => format!("{}\u{202f}k", grouped(number / 1_000)),
        Some((unit, name)) => format!("{}.{}\u{202f}{name}", grouped(number / unit), number % unit / (unit / 10)),
        None => grouped(number),
    }
}

fn percent(part: u64, all: u64) -> String {
    let thousandths = u128::from(part) * 1000 / u128::from(all.max(1));
    format!("{}.{} %", thousandths / 10, thousandths % 10)
}

fn micros(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros}\u{a0}µs"),
        1_000..1_000_000 => format!("{}.{:02}\u{a0}ms", micros / 1_000, micros % 1_000 / 10),
        _ => format!("{}.{:02}\u{a0}s", grouped(micros / 1_000_000), micros % 1_000_000 / 10_000),
    }
}

/// An amount in hundredths, where that is enough to be read.
fn money_short(sum: u128) -> String {
    let text = amount(sum);
    if sum < 100_000_000 { text } else { text.get(..text.len() - 4).map(str::to_owned).unwrap_or(text) }
}

fn clock(secs: u64) -> String {
    short(&written(secs))
}

/// A time of the record's form without seconds.
fn short(time: &str) -> String {
    time.get(..16).unwrap_or(time).replace('T', " ")
}
