//! `bartizan cost`: what requests of the past have cost, by model, tenant, role and day.
//!
//! The records of the audit log say it; one that is in several logs counts once. With `--prices` their tokens are priced anew, with the table of another policy.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::{Context, bail};
use serde::Serialize;
use serde_json::Value;

use super::explain::shown;
use super::output::{Exit, print, print_json, read_text};
use super::records::{objects, read_log};
use super::replay::is_hash;
use super::source;
use crate::document::{Errors, KeyPath};
use crate::host::Timestamp;
use crate::quota::Tokens;
use crate::quota::price::{Prices, decimal, is_currency, micros};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Logs with audit records; - is stdin
    #[arg(required = true, value_name = "LOG")]
    logs: Vec<PathBuf>,
    /// Price the tokens anew, with the `prices` of this policy
    #[arg(long, value_name = "FILE")]
    prices: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// Millionths of one currency.
type Sums = BTreeMap<String, u128>;

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    /// Records with a cost.
    requests: u64,
    /// Records of requests that reached a model and whose cost nobody knows.
    unpriced: u64,
    currency: String,
    total: String,
    by_model: BTreeMap<String, String>,
    by_tenant: BTreeMap<String, String>,
    by_role: BTreeMap<String, String>,
    by_day: BTreeMap<String, String>,
    /// By how the cost is known.
    by_basis: BTreeMap<String, String>,
}

#[derive(Default)]
struct Sum {
    requests: u64,
    unpriced: u64,
    /// Worker, sequence and time of the records so far: an access log and the proxy's own log have the same ones.
    seen: BTreeSet<(String, u64, String)>,
    currency: Option<String>,
    total: u128,
    parts: [Sums; 5],
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let prices = arguments.prices.as_deref().map(table).transpose()?;
    let (mut sum, mut is_empty) = (Sum::default(), true);
    for log in &arguments.logs {
        for record in objects(&read_log(log)?) {
            if record.get("event.dataset").and_then(Value::as_str) == Some("bartizan.audit") {
                is_empty = false;
                sum.add(&record, prices.as_ref())?;
            }
        }
    }
    let report = sum.report();
    if arguments.json {
        print_json(&report)?;
    } else {
        print(&written(&report))?;
    }
    if is_empty {
        bail!("no audit record was counted");
    }
    Ok(Exit::Fine)
}

/// The prices of a policy. The rest of it need not be right.
fn table(file: &std::path::Path) -> anyhow::Result<Prices> {
    let text = read_text(file)?;
    let is_json = file.extension().is_some_and(|extension| extension == "json");
    let source = source::find(&text, is_json).sources.into_iter().next();
    let source = source.with_context(|| format!("{}: no policy in the file, see `bartizan check`", file.display()))?;
    let section =
        source.parsed.document.prices.as_ref().with_context(|| format!("{}: has no prices", file.display()))?;
    let mut errors = Errors::default();
    let prices = Prices::compile(section, &KeyPath::root().key("prices"), &mut errors);
    let errors = errors.into_vec();
    if let Some(error) = errors.first() {
        bail!("{}: {error}", file.display());
    }
    prices.with_context(|| format!("{}: its prices can't be used", file.display()))
}

impl Sum {
    fn add(&mut self, record: &Value, prices: Option<&Prices>) -> anyhow::Result<()> {
        let text = |key: &str| record.get(key).and_then(Value::as_str);
        let sequence = record.get("bartizan.sequence").and_then(Value::as_u64);
        if let (Some(worker), Some(sequence), Some(time)) = (text("bartizan.worker"), sequence, text("@timestamp"))
            && !self.seen.insert((worker.to_owned(), sequence, time.to_owned()))
        {
            return Ok(());
        }
        let told = || text("bartizan.cost.amount").zip(text("bartizan.cost.currency"));
        let cost = match prices {
            Some(prices) => priced(record, prices).map(|cost| (cost, prices.currency.as_str())),
            None => told()
                .filter(|(_, currency)| is_currency(currency))
                .and_then(|(amount, currency)| Some((read(amount)?, currency))),
        };
        let Some((cost, currency)) = cost else {
            let is_told = text("bartizan.cost.basis") == Some("unpriced") || text("bartizan.cost.amount").is_some();
            self.unpriced += u64::from(is_told || prices.is_some() && has_tokens(record));
            return Ok(());
        };
        match &self.currency {
            Some(known) if known != currency => {
                bail!("records in {known} and in {currency}: give one currency at a time")
            }
            Some(_) => {}
            None => self.currency = Some(currency.to_owned()),
        }
        self.requests += 1;
        self.total += u128::from(cost);
        let role = record.get("user.roles").and_then(|roles| roles.get(0)).and_then(Value::as_str);
        let names = [
            billed(record).or(text("gen_ai.request.model")),
            text("organization.id"),
            role,
            text("@timestamp").and_then(|time| time.get(..10)),
            text("bartizan.cost.basis").or(text("bartizan.tokens.basis")),
        ];
        for (sums, name) in self.parts.iter_mut().zip(names) {
            *sums.entry(name.unwrap_or("none").to_owned()).or_default() += u128::from(cost);
        }
        Ok(())
    }

    fn report(self) -> Report {
        let written = |sums: Sums| sums.into_iter().map(|(name, sum)| (name, amount(sum))).collect();
        let [by_model, by_tenant, by_role, by_day, by_basis] = self.parts.map(written);
        Report {
            requests: self.requests,
            unpriced: self.unpriced,
            currency: self.currency.unwrap_or_default(),
            total: amount(self.total),
            by_model,
            by_tenant,
            by_role,
            by_day,
            by_basis,
        }
    }
}

/// An amount of a record, which may be larger than one of a document.
pub(super) fn read(text: &str) -> Option<u64> {
    let (whole, decimals) = text.split_once('.')?;
    let part = micros(&format!("0.{decimals}"))?;
    let whole = whole.bytes().all(|byte| byte.is_ascii_digit()).then_some(whole)?;
    whole.parse::<u64>().ok()?.checked_mul(1_000_000)?.checked_add(part)
}

pub(super) fn amount(sum: u128) -> String {
    u64::try_from(sum).map_or_else(|_| format!("{}.{:06}", sum / 1_000_000, sum % 1_000_000), decimal)
}

/// The model that the reply named, where that is known: no price had it, or it was no name, where the record has a hash.
fn billed(record: &Value) -> Option<&str> {
    record.get("gen_ai.response.model").and_then(Value::as_str).filter(|model| !is_hash(model))
}

fn has_tokens(record: &Value) -> bool {
    record.get("gen_ai.usage.input_tokens").is_some() || record.get("bartizan.tokens.charged").is_some()
}

/// What a request of the past costs by this table: what was not billed, as it was charged then.
fn priced(record: &Value, prices: &Prices) -> Option<u64> {
    let number = |key: &str| record.get(key).and_then(Value::as_u64);
    let text = |key: &str| record.get(key).and_then(Value::as_str);
    let at = text("@timestamp").and_then(super::replay::seconds).map(Timestamp::from_secs)?;
    let bill = prices.bill(text("gen_ai.request.model")?, at);
    let charged = number("bartizan.tokens.charged");
    let is_refunded = text("bartizan.tokens.basis") == Some("refunded");
    let input = number("gen_ai.usage.input_tokens").or(number("bartizan.tokens.reserved_input"));
    let output = charged.zip(input).map(|(charged, input)| charged.saturating_sub(input));
    let used = Tokens {
        cached: number("gen_ai.usage.cache_read.input_tokens").unwrap_or(0),
        reasoning: number("gen_ai.usage.reasoning.output_tokens").unwrap_or(0),
        images: number("bartizan.cost.images").unwrap_or(0),
        ..Tokens::of(input?, output.or(number("gen_ai.usage.output_tokens"))?)
    };
    let used = if is_refunded { Tokens::default() } else { used };
    let is_split = number("gen_ai.usage.reasoning.output_tokens").is_some();
    prices.cost(&bill, billed(record), &used, is_split)
}

fn written(report: &Report) -> String {
    let shown = |text: &str| text.chars().map(shown).collect::<String>();
    let mut out = format!("{} {}, {} requests", report.total, shown(&report.currency), report.requests);
    if report.unpriced > 0 {
        out += &format!(", {} without a price", report.unpriced);
    }
    out.push('\n');
    let parts = [
        ("model", &report.by_model),
        ("tenant", &report.by_tenant),
        ("role", &report.by_role),
        ("day", &report.by_day),
        ("basis", &report.by_basis),
    ];
    for (title, sums) in parts {
        out += &format!("\n{title}\n");
        for (name, sum) in sums {
            out += &format!("  {sum:>16}  {}\n", shown(name));
        }
    }
    out
}
