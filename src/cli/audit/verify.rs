//! `bartizan audit verify`: whether records are those that the proxies wrote, all of them, in their order.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::bail;
use serde::Serialize;

use super::counters::Stats;
use super::keys;
use super::lines::{self, Kind, Members};
use super::order::out_of_order;
use crate::audit::chain::{digest, is_signed, key_id, signed_part, split};
use crate::cli::explain::shown;
use crate::cli::output::{Exit, print, print_json};
use crate::cli::records;

/// Findings that are written out; the rest is counted.
const MOST: usize = 1000;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Logs with audit records and checkpoints, also rotated ones in any order; - is stdin
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// A public key that signs records and checkpoints, or the file that holds it; may be given again
    #[arg(long, value_name = "KEY")]
    key: Vec<String>,
    /// A public key that signs tombstones; may be given again
    #[arg(long, value_name = "KEY")]
    eraser: Vec<String>,
    /// The files are an excerpt: chains may begin, and end, outside of them
    #[arg(long)]
    excerpt: bool,
    /// Envoy's counters (the text of its admin /stats): how many requests there were, and what access loggers dropped
    #[arg(long, value_name = "FILE")]
    stats: Vec<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

type Digest = [u8; 32];

/// Where a line is: the file's place among the arguments, and the line, from 1.
type Place = (u32, u32);

/// One record, or what an erasure left of it.
#[derive(Clone, Debug)]
struct Entry {
    place: Place,
    sequence: u64,
    previous: Option<Digest>,
    digest: Digest,
    every: Option<u64>,
    /// The digest is that of the line's own bytes.
    is_own: bool,
    is_tombstone: bool,
    signature: Signature,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signature {
    None,
    /// There is one, and no key was given to check it with.
    Unchecked,
    Good,
    Bad,
    /// It is by a key that was not given.
    Stranger,
}

impl Signature {
    /// True for one that nothing speaks against.
    const fn holds(self) -> bool {
        matches!(self, Signature::Good | Signature::Unchecked)
    }
}

/// What a checkpoint says of a chain.
#[derive(Clone, Debug)]
struct Head {
    place: Place,
    sequence: u64,
    digest: Digest,
}

#[derive(Debug, Serialize)]
struct Finding {
    kind: &'static str,
    file: String,
    line: u32,
    #[serde(skip_serializing_if = "String::is_empty")]
    worker: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence: Option<u64>,
    message: String,
}

#[derive(Debug, Serialize)]
struct ChainReport {
    worker: String,
    first: u64,
    last: u64,
    records: u64,
    /// Records behind the last signature and the last checkpoint.
    open: u64,
}

#[derive(Debug, Default, Serialize)]
struct Report {
    records: u64,
    proxies: usize,
    chains: Vec<ChainReport>,
    checkpoints: u64,
    tombstones: u64,
    findings: Vec<Finding>,
    #[serde(rename = "findingsTotal")]
    total: usize,
    /// What these files can't tell.
    unknown: Vec<String>,
}

#[derive(Default)]
struct Reader {
    names: Vec<String>,
    keys: Vec<(String, Digest)>,
    erasers: Vec<(String, Digest)>,
    chains: BTreeMap<String, Vec<Entry>>,
    heads: BTreeMap<String, Vec<Head>>,
    records: u64,
    checkpoints: u64,
    provisional: Vec<Place>,
    tombstones: Vec<(Place, Signature)>,
    single: Vec<Place>,
    /// Lines that are longer than a record can be.
    long: Vec<Place>,
    /// Records that another file has, too.
    copies: u64,
    /// Tombstones of records that were in no chain.
    erased_singles: u64,
    /// Chains that begin with a tombstone nobody vouches for.
    untold: Vec<String>,
    findings: Vec<(Place, &'static str, String, Option<u64>, String)>,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let given = |option: &str, keys: &[String]| -> anyhow::Result<Vec<(String, Digest)>> {
        keys.iter().map(|key| keys::public(option, key).map(|key| (key_id(&key), key))).collect()
    };
    let (keys, erasers) = (given("--key", &arguments.key)?, given("--eraser", &arguments.eraser)?);
    let mut read = Reader { keys, erasers, ..Reader::default() };
    for file in &arguments.files {
        read.file(file)?;
    }
    let mut stats = Stats::default();
    for file in &arguments.stats {
        if !stats.add(&crate::cli::output::read_text(file)?) {
            bail!("{}: has no counter of ours: expected the text of Envoy's /stats or of Prometheus", file.display());
        }
    }
    if read.is_empty() {
        bail!("no audit record, checkpoint or tombstone was read: packed files must be unpacked");
    }
    let report = read.report(arguments.excerpt, (!arguments.stats.is_empty()).then_some(&stats));
    if arguments.json {
        print_json(&report)?;
    } else {
        print(&written(&report))?;
    }
    Ok(if report.total == 0 { Exit::Fine } else { Exit::Findings })
}

impl Reader {
    /// Nothing of ours was in the files.
    fn is_empty(&self) -> bool {
        let places = [&self.provisional, &self.single];
        self.records == 0
            && self.checkpoints == 0
            && self.tombstones.is_empty()
            && self.findings.is_empty()
            && places.iter().all(|places| places.is_empty())
    }

    fn file(&mut self, path: &Path) -> anyhow::Result<()> {
        let index = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        self.names.push(path.display().to_string());
        let mut number = 0;
        records::lines(path, &mut |line, _| {
            number += 1;
            match line {
                Some(line) => {
                    lines::read(line, &mut |kind, own, members| self.line((index, number), kind, own, members));
                }
                None => self.long.push((index, number)),
            }
        })
    }

    fn find(&mut self, place: Place, kind: &'static str, (worker, sequence): (&str, Option<u64>), message: String) {
        self.findings.push((place, kind, worker.to_owned(), sequence, message));
    }

    fn line(&mut self, place: Place, kind: Kind, own: &str, members: Option<&Members<'_>>) {
        let Some(members) = members else {
            if kind == Kind::Damaged {
                self.find(place, "damaged", ("", None), "the line is of ours and can't be read".to_owned());
            }
            return;
        };
        let worker = members.worker.as_ref();
        match kind {
            Kind::Chained | Kind::Tombstone => {
                let entry = split(own).and_then(|parts| {
                    let keys = if kind == Kind::Tombstone { &self.erasers } else { &self.keys };
                    let is_theirs = |key: &str| self.keys.iter().any(|(id, _)| id == key);
                    let signature = match parts.signature {
                        // A proxy erases nothing.
                        Some((key, _, _)) if kind == Kind::Tombstone && is_theirs(key) => Signature::Stranger,
                        Some((key, signature, text)) => check(keys, key, text, signature),
                        None => Signature::None,
                    };
                    Some(Entry {
                        place,
                        sequence: members.sequence,
                        previous: match members.previous.as_deref() {
                            Some(previous) => Some(decode(previous)?),
                            None => None,
                        },
                        digest: decode(parts.digest)?,
                        every: members.every,
                        is_own: digest(parts.body) == parts.digest,
                        is_tombstone: kind == Kind::Tombstone,
                        signature,
                    })
                });
                match entry.filter(|entry| entry.sequence > 0 && proxy(worker).is_some()) {
                    Some(entry) => {
                        if entry.is_tombstone {
                            self.tombstones.push((place, entry.signature));
                        }
                        self.records += 1;
                        self.chains.entry(worker.to_owned()).or_default().push(entry);
                    }
                    None if kind == Kind::Tombstone => {
                        self.erased_singles += 1;
                        self.tombstones.push((place, Signature::None));
                    }
                    None => self.find(place, "damaged", (worker, None), "no place in a chain".to_owned()),
                }
            }
            Kind::Single if members.verdict == "incomplete" && members.sequence == 0 => self.provisional.push(place),
            Kind::Single => {
                self.records += 1;
                self.single.push(place);
            }
            Kind::Checkpoint => self.checkpoint(place, own, members),
            Kind::Damaged => {
                let sequence = Some(members.sequence).filter(|sequence| *sequence > 0);
                self.find(
                    place,
                    "edited",
                    (worker, sequence),
                    "the end of the line is not as it was written".to_owned(),
                );
            }
            Kind::Foreign => {}
        }
    }

    fn checkpoint(&mut self, place: Place, own: &str, members: &Members<'_>) {
        self.checkpoints += 1;
        let signed = signed_part(own).and_then(|(text, signature)| {
            let (_, key) = text.rsplit_once(",\"bartizan.chain.key\":\"")?;
            Some(check(&self.keys, key.strip_suffix('"')?, text, signature))
        });
        let worker = members.worker.as_ref();
        let proxy = proxy(worker).map(|(proxy, _)| proxy);
        match (signed, proxy) {
            (Some(Signature::Good | Signature::Unchecked), Some(proxy)) => {
                for (ordinal, sequence, digest) in &members.heads {
                    if let Some(digest) = decode(digest) {
                        let head = Head { place, sequence: *sequence, digest };
                        self.heads.entry(format!("{proxy}-{ordinal}")).or_default().push(head);
                    }
                }
            }
            (Some(Signature::Stranger), _) => {
                self.find(
                    place,
                    "stranger",
                    (worker, None),
                    "a checkpoint that is signed by a key that was not given".to_owned(),
                );
            }
            _ => self.find(
                place,
                "forged",
                (worker, None),
                "a checkpoint whose signature is not over this line".to_owned(),
            ),
        }
    }

    fn report(mut self, is_excerpt: bool, stats: Option<&Stats>) -> Report {
        self.order_files();
        let mut report = Report {
            records: self.records,
            checkpoints: self.checkpoints,
            tombstones: self.tombstones.len() as u64,
            ..Report::default()
        };
        let chains = std::mem::take(&mut self.chains);
        for (worker, entries) in &chains {
            let chain = self.chain(worker, entries.clone(), is_excerpt);
            report.chains.push(chain);
        }
        self.missing_chains(&chains, is_excerpt);
        if !chains.is_empty() || !self.keys.is_empty() {
            for place in std::mem::take(&mut self.single) {
                self.find(
                    place,
                    "single",
                    ("", None),
                    "a record outside of every chain, where all must be in one".to_owned(),
                );
            }
        }
        report.proxies =
            chains.keys().filter_map(|worker| proxy(worker)).map(|(proxy, _)| proxy).collect::<BTreeSet<_>>().len();
        report.unknown = self.unknown(&report, stats);
        if let Some(stats) = stats {
            self.lost(stats, &report);
        }
        let mut findings = std::mem::take(&mut self.findings);
        findings.sort();
        report.total = findings.len();
        findings.truncate(MOST);
        report.findings = findings
            .into_iter()
            .map(|((file, line), kind, worker, sequence, message)| Finding {
                kind,
                file: self.name(file),
                line,
                worker,
                sequence,
                message,
            })
            .collect();
        report
    }

    /// Rotated files come in any order: the lowest number that each has of a chain tells theirs.
    fn order_files(&mut self) {
        for entries in self.chains.values_mut() {
            let mut least: BTreeMap<u32, u64> = BTreeMap::new();
            for entry in entries.iter() {
                let least = least.entry(entry.place.0).or_insert(entry.sequence);
                *least = entry.sequence.min(*least);
            }
            let rank = |file: u32| (least.get(&file).copied(), file);
            entries.sort_by_key(|entry| (rank(entry.place.0), entry.place.1));
        }
    }

    fn name(&self, file: u32) -> String {
        self.names.get(file as usize).cloned().unwrap_or_default()
    }

    fn say(&self, place: Place, from: Place) -> String {
        if place.0 == from.0 { format!("line {}", place.1) } else { format!("{}:{}", self.name(place.0), place.1) }
    }

    /// Checks one chain, whose entries are in the order of the files.
    fn chain(&mut self, worker: &str, entries: Vec<Entry>, is_excerpt: bool) -> ChainReport {
        let entries = self.ordered(worker, entries);
        let (Some(first), Some(last)) = (entries.first().cloned(), entries.last().cloned()) else {
            return ChainReport { worker: worker.to_owned(), first: 0, last: 0, records: 0, open: 0 };
        };
        if first.sequence > 1 && !is_excerpt {
            let message = format!("records 1 to {} of this chain are missing before it", first.sequence - 1);
            self.find(first.place, "missing", (worker, Some(first.sequence)), message);
        }
        // A tombstone says what it likes, unless it is signed.
        let tells = !first.is_tombstone || first.signature == Signature::Good;
        let every = if first.sequence == 1 && tells { first.every } else { None };
        if !tells {
            self.untold.push(worker.to_owned());
        }
        for (at, entry) in entries.iter().enumerate() {
            let next = entries.get(at + 1);
            self.entry(worker, entry, every);
            let Some(next) = next else { continue };
            if next.sequence > entry.sequence + 1 {
                let (from, to) = (entry.sequence + 1, next.sequence - 1);
                let records =
                    if from == to { format!("record {from} is") } else { format!("records {from} to {to} are") };
                let message = format!("{records} missing between {} and here", self.say(entry.place, next.place));
                self.find(next.place, "missing", (worker, Some(next.sequence)), message);
            } else if next.previous != Some(entry.digest) {
                // Whoever fits to the record behind it is the one that was there.
                let behind = entries.get(at + 2).filter(|behind| behind.sequence == next.sequence + 1);
                let is_next_whole = next.is_own && behind.is_none_or(|behind| behind.previous == Some(next.digest));
                let (culprit, other) = if is_next_whole { (entry, next) } else { (next, entry) };
                if culprit.is_own || culprit.is_tombstone {
                    let message = format!(
                        "not the record that was here: {} tells of another one",
                        self.say(other.place, culprit.place)
                    );
                    self.find(culprit.place, "replaced", (worker, Some(culprit.sequence)), message);
                }
            }
        }
        let signed = entries.iter().rev().find(|entry| entry.signature.holds() && !entry.is_tombstone);
        let mut covered = signed.map_or(0, |entry| entry.sequence);
        for head in self.heads.remove(worker).unwrap_or_default() {
            covered = covered.max(head.sequence);
            let told = self.say(head.place, last.place);
            if head.sequence > last.sequence {
                if !is_excerpt {
                    let message = format!(
                        "the chain ends here with record {}, and the checkpoint at {told} tells of record {}",
                        last.sequence, head.sequence
                    );
                    self.find(last.place, "truncated", (worker, Some(last.sequence)), message);
                }
            } else if let Ok(at) = entries.binary_search_by_key(&head.sequence, |entry| entry.sequence)
                && let Some(entry) = entries.get(at)
                && entry.digest != head.digest
            {
                let message = format!("not the record that the checkpoint at {told} tells of");
                self.find(entry.place, "replaced", (worker, Some(entry.sequence)), message);
            }
        }
        let open = entries.iter().filter(|entry| entry.sequence > covered).count() as u64;
        ChainReport {
            worker: worker.to_owned(),
            first: first.sequence,
            last: last.sequence,
            records: entries.len() as u64,
            open,
        }
    }

    /// What one record says by itself.
    fn entry(&mut self, worker: &str, entry: &Entry, every: Option<u64>) {
        let of = (worker, Some(entry.sequence));
        match entry.signature {
            Signature::Bad => {
                let message = "the signature is not over this line".to_owned();
                self.find(entry.place, "forged", of, message);
            }
            Signature::Stranger => {
                self.find(entry.place, "stranger", of, "signed by a key that was not given".to_owned());
            }
            _ => {}
        }
        if entry.is_tombstone {
            if entry.signature == Signature::None && !self.erasers.is_empty() {
                self.find(entry.place, "unsigned", of, "a tombstone without a signature".to_owned());
            }
            return;
        }
        if !entry.is_own {
            self.find(entry.place, "edited", of, "the line is not the one that its digest was made of".to_owned());
        }
        let begins = entry.sequence == 1;
        if begins != entry.previous.is_none() || begins != entry.every.is_some() {
            self.find(entry.place, "edited", of, "a chain begins with its first record, and nowhere else".to_owned());
        }
        let is_due = begins || every.is_some_and(|every| every > 0 && entry.sequence.is_multiple_of(every));
        if is_due && entry.signature == Signature::None {
            self.find(
                entry.place,
                "unsigned",
                of,
                "a record that is signed by its number, without a signature".to_owned(),
            );
        }
    }

    /// The entries in the order of their numbers, each number once. What stands elsewhere in the files, or twice, is told.
    fn ordered(&mut self, worker: &str, entries: Vec<Entry>) -> Vec<Entry> {
        let entries = self.without_copies(entries);
        let mut by_number: Vec<Entry> = Vec::with_capacity(entries.len());
        let moved = out_of_order(&entries.iter().map(|entry| entry.sequence).collect::<Vec<_>>());
        let mut sorted: Vec<(bool, Entry)> =
            entries.into_iter().enumerate().map(|(at, entry)| (moved.contains(&at), entry)).collect();
        sorted.sort_by_key(|(is_moved, entry)| (entry.sequence, *is_moved));
        for (is_moved, entry) in sorted {
            let of = (worker, Some(entry.sequence));
            match by_number.last() {
                Some(known) if known.sequence == entry.sequence => {
                    let told = self.say(known.place, entry.place);
                    let (kind, message) = if known.digest == entry.digest {
                        ("repeated", format!("the same record as at {told}"))
                    } else {
                        ("fork", format!("another record with the number of the one at {told}"))
                    };
                    self.find(entry.place, kind, of, message);
                }
                _ => {
                    if is_moved {
                        self.find(entry.place, "moved", of, "not in the order in which it was written".to_owned());
                    }
                    by_number.push(entry);
                }
            }
        }
        by_number
    }

    /// The same record in two files is no news: an access log and the proxy's own log both have it.
    fn without_copies(&mut self, mut entries: Vec<Entry>) -> Vec<Entry> {
        let mut seen: BTreeMap<(u64, Digest), u32> = BTreeMap::new();
        let before = entries.len();
        entries.retain(|entry| {
            // What does not hold by itself is looked at wherever it stands.
            let is_plain = entry.is_own && !entry.is_tombstone;
            let first = seen.entry((entry.sequence, entry.digest)).or_insert(entry.place.0);
            !is_plain || *first == entry.place.0
        });
        self.copies += (before - entries.len()) as u64;
        entries
    }

    /// Chains of which there is no record, told by other chains' numbers and by checkpoints.
    fn missing_chains(&mut self, chains: &BTreeMap<String, Vec<Entry>>, is_excerpt: bool) {
        if is_excerpt {
            return;
        }
        let mut told: BTreeMap<String, Place> = BTreeMap::new();
        for (worker, entries) in chains {
            if let (Some((proxy, ordinal)), Some(entry)) = (proxy(worker), entries.first()) {
                for earlier in 1..ordinal {
                    told.entry(format!("{proxy}-{earlier}")).or_insert(entry.place);
                }
            }
        }
        for (worker, heads) in std::mem::take(&mut self.heads) {
            if let Some(head) = heads.first() {
                told.insert(worker, head.place);
            }
        }
        for (worker, place) in told {
            if !chains.contains_key(&worker) {
                self.find(place, "missing", (&worker, None), "tells of a chain of which no record is here".to_owned());
            }
        }
    }

    /// What these files can't tell.
    fn unknown(&self, report: &Report, stats: Option<&Stats>) -> Vec<String> {
        let mut unknown = Vec::new();
        let list = |places: &[Place]| -> String {
            let shown: Vec<String> =
                places.iter().take(10).map(|place| format!("{}:{}", self.name(place.0), place.1)).collect();
            let more = places.len().saturating_sub(shown.len());
            if more > 0 { format!("{} and {more} more", shown.join(", ")) } else { shown.join(", ") }
        };
        if self.keys.is_empty() {
            unknown.push("no --key was given: no signature was checked, and whoever can write the files can have made all of it anew".to_owned());
        }
        let open: u64 = report.chains.iter().map(|chain| chain.open).sum();
        if open > 0 {
            unknown.push(format!(
                "{open} records are behind the last signature and the last checkpoint: they may have \
                 been changed, and others cut off behind them"
            ));
        }
        if !self.provisional.is_empty() {
            unknown.push(format!(
                "{} provisional records of requests whose end the filter did not see (a VM that trapped, a proxy that was \
                 killed); they are in no chain, and nothing says that they are true: {}",
                self.provisional.len(),
                list(&self.provisional)
            ));
        }
        let unsigned: Vec<Place> = self
            .tombstones
            .iter()
            .filter(|(_, signature)| *signature != Signature::Good)
            .map(|(place, _)| *place)
            .collect();
        if !unsigned.is_empty() {
            unknown.push(format!(
                "{} tombstones without a checked signature: nobody says who erased: {}",
                unsigned.len(),
                list(&unsigned)
            ));
        }
        if !self.single.is_empty() && report.chains.is_empty() {
            unknown.push(format!(
                "{} records are in no chain: the policy has no audit.chain, or somebody took it out of all of them; --key says \
                 that there is one",
                self.single.len()
            ));
        }
        if !self.untold.is_empty() {
            unknown.push(format!(
                "which records of {} must be signed: it begins with a tombstone that nobody vouches for",
                self.untold.join(", ")
            ));
        }
        if self.copies > 0 {
            unknown.push(format!("{} records are in more than one file, alike: each counts once", self.copies));
        }
        if !self.long.is_empty() {
            unknown.push(format!(
                "{} lines are longer than a record can be, and were not read: {}",
                self.long.len(),
                list(&self.long)
            ));
        }
        if let Some(stats) = stats
            && stats.requests < self.told(report)
        {
            unknown.push(format!(
                "the counters tell of {} requests, and more are here: a proxy began anew, or one is not among them; whether \
                 access loggers dropped lines is not known",
                stats.requests
            ));
        }
        if stats.is_none() {
            unknown.push("no --stats were given: whether access loggers dropped lines is not known".to_owned());
        }
        unknown.push("the order of records of different workers, a proxy of which nothing is here, a chain with a higher number than all \
                      others of its proxy and that no checkpoint here tells of, and what the owner of a node with its key made up"
                .to_owned());
        unknown
    }

    /// Requests that these files tell of.
    fn told(&self, report: &Report) -> u64 {
        let placed: u64 = report.chains.iter().map(|chain| chain.records).sum();
        let single = report.records.saturating_sub(placed + self.copies);
        // A tombstone of a record that was in no chain has no number.
        placed + single + self.provisional.len() as u64 + self.erased_singles
    }

    /// Compares with the proxies' counters.
    fn lost(&mut self, stats: &Stats, report: &Report) {
        let here = self.told(report);
        let gone = stats.requests.saturating_sub(here);
        if gone > 0 {
            let dropped = stats.dropped.min(gone);
            let message = format!(
                "the proxies counted {} requests and {here} records are here: {gone} are lost, of which access loggers say that \
                 they dropped {dropped}",
                stats.requests
            );
            self.find((0, 0), "lost", ("", None), message);
        }
    }
}

fn decode(text: &str) -> Option<Digest> {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
}

fn check(keys: &[(String, Digest)], key: &str, text: &str, signature: &str) -> Signature {
    if keys.is_empty() {
        return Signature::Unchecked;
    }
    match keys.iter().find(|(id, _)| id == key) {
        None => Signature::Stranger,
        Some((_, key)) if is_signed(key, text, signature) => Signature::Good,
        Some(_) => Signature::Bad,
    }
}

/// The proxy and the chain's number in the name of a worker whose records are chained.
fn proxy(worker: &str) -> Option<(&str, u32)> {
    let (proxy, ordinal) = worker.split_once('-')?;
    let is_name = proxy.len() == 16 && proxy.bytes().all(|byte| byte.is_ascii_hexdigit());
    Some((proxy, ordinal.parse().ok().filter(|ordinal| is_name && (1..=1_000_000).contains(ordinal))?))
}

fn written(report: &Report) -> String {
    let clean = |text: &str| text.chars().map(shown).collect::<String>();
    let plural = |count: u64, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    let mut out = format!(
        "{} in {} of {}, {}, {}\n",
        plural(report.records, "record"),
        plural(report.chains.len() as u64, "chain"),
        if report.proxies == 1 { "1 proxy".to_owned() } else { format!("{} proxies", report.proxies) },
        plural(report.checkpoints, "checkpoint"),
        plural(report.tombstones, "tombstone"),
    );
    for finding in &report.findings {
        let at = if finding.line == 0 { String::new() } else { format!("{}:{}: ", clean(&finding.file), finding.line) };
        let number = finding.sequence.map(|number| format!(" record {number}")).unwrap_or_default();
        let of =
            if finding.worker.is_empty() { String::new() } else { format!(" ({}{number})", clean(&finding.worker)) };
        let _infallible = writeln!(out, "{at}{}: {}{of}", finding.kind, clean(&finding.message));
    }
    if report.total > report.findings.len() {
        let _infallible = writeln!(out, "and {} findings more", report.total - report.findings.len());
    }
    out += if report.total == 0 { "nothing speaks against them\n" } else { "" };
    out += "not known:\n";
    for line in &report.unknown {
        let _infallible = writeln!(out, "  {}", clean(line));
    }
    out
}
