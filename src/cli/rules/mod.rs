//! `bartizan rules`: the rules in force, their own samples, and the bundle of a folder of rule files.

mod own;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Subcommand;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::eval;
use super::output::{Exit, print, print_json, read_text};
use crate::enums::Pack;
use crate::hex::hex;
use crate::scan::rulefile::{Bundle, Bundler, RuleFile, Vocabulary};
use crate::scan::{Kind, normalise, samples};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the rules that are in force
    List(List),
    /// Print a rule of a policy's own to begin with, for rules.custom
    New(New),
    /// Print one rule
    Show(Show),
    /// Judge samples: of the rules of a policy's own, or of a folder of rule files, plain and in disguise
    Test(Test),
    /// Make the bundle of a folder of rule files, as the build does
    Build(Build),
}

#[derive(Debug, clap::Args)]
struct List {
    /// The policy; absent: the shipped rules
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct New {
    /// The pack, which says what follows from a finding
    #[arg(long, value_enum, default_value_t = NewPack::Pii)]
    pack: NewPack,
    /// The policy that it is for: its id is the next free one
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum NewPack {
    Pii,
    Secrets,
    Injection,
}

#[derive(Debug, clap::Args)]
struct Show {
    /// The rule's id
    id: String,
    /// The policy; absent: the shipped rules
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The folder of rule files, which say what a shipped rule looks for
    #[arg(long, default_value = "rules")]
    dir: PathBuf,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Test {
    /// A policy with rules of its own, or the folder of rule files
    #[arg(default_value = "rules", value_name = "FILE")]
    dir: PathBuf,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Build {
    /// The folder of rule files
    #[arg(default_value = "rules")]
    dir: PathBuf,
    /// Where to write the bundle; absent: stdout
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print digest and count as JSON instead of the bundle
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    match &arguments.command {
        Command::List(arguments) => list(arguments),
        Command::New(arguments) => own::new(arguments.pack, arguments.config.as_deref()),
        Command::Show(arguments) => own::show(arguments),
        Command::Test(arguments) if arguments.dir.is_file() => own::test(&arguments.dir, arguments.json),
        Command::Test(arguments) => test(arguments),
        Command::Build(arguments) => build(arguments),
    }
}

fn list(arguments: &List) -> anyhow::Result<Exit> {
    let policy = eval::policy(arguments.config.as_deref())?;
    let scanner = &policy.scanner;
    if arguments.json {
        let rules: Vec<_> = scanner
            .cards()
            .iter()
            .map(|card| {
                json!({
                    "id": card.id, "title": card.title, "level": card.level.as_str(), "pack": card.pack.as_str(),
                    "kind": kind(card.kind), "experimental": card.shadow,
                })
            })
            .collect();
        print_json(&json!({ "rulesDigest": scanner.digest(), "rules": rules }))?;
        return Ok(Exit::Fine);
    }
    let mut text = String::new();
    for card in scanner.cards() {
        let shadow = if card.shadow { "  (experimental: never scored)" } else { "" };
        let (pack, level) = (card.pack.as_str(), card.level.as_str());
        text.push_str(&format!("{:8}  {pack:12}  {level:13}  {}{shadow}\n", card.id, card.title));
    }
    let digest = scanner.digest().get(..12).unwrap_or_default();
    text.push_str(&format!("{} rules, digest {digest}\n", scanner.cards().len()));
    print(&text)?;
    Ok(Exit::Fine)
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Attack => "attack",
        Kind::Secret => "secret",
        Kind::Pii(of) | Kind::Own(of, _) => of.as_str(),
    }
}

/// Samples are judged by the rules of this binary, so that a folder with other rules is refused first.
fn test(arguments: &Test) -> anyhow::Result<Exit> {
    let Folder { files, bundle, faults } = Folder::read(&arguments.dir)?;
    let outcome = if faults.is_empty() { samples::judge(&files) } else { samples::SampleReport::default() };
    let other = bundle.as_ref().is_some_and(|(_, digest)| {
        *digest != eval::policy(None).map(|p| p.scanner.digest().to_owned()).unwrap_or_default()
    });
    let fine = faults.is_empty() && outcome.failures.is_empty();
    if arguments.json {
        let failures: Vec<_> = outcome
            .failures
            .iter()
            .map(|failure| {
                json!({ "rule": failure.id, "kind": failure.kind, "form": failure.form, "sample": failure.sample })
            })
            .collect();
        print_json(&json!({
            "ok": fine, "rules": files.len(), "judged": outcome.judged, "faults": faults, "failures": failures,
            "isThisBuild": !other,
        }))?;
    } else {
        for fault in &faults {
            print(&format!("{fault}\n"))?;
        }
        for failure in &outcome.failures {
            let wanted = if failure.kind == "match" { "not found" } else { "found, but harmless" };
            print(&format!("{}: {wanted} ({}): {:?}\n", failure.id, failure.form, failure.sample))?;
        }
        if other {
            eprintln!(
                "bartizan: these are not the rules of this build: samples are judged by the build's; cargo build first"
            );
        }
        let wrong = outcome.failures.len();
        print(&format!(
            "{} rules, {} samples judged, {wrong} wrong, {} faults\n",
            files.len(),
            outcome.judged,
            faults.len()
        ))?;
    }
    Ok(if fine { Exit::Fine } else { Exit::Findings })
}

fn build(arguments: &Build) -> anyhow::Result<Exit> {
    let Folder { files, bundle, faults } = Folder::read(&arguments.dir)?;
    let Some((text, digest)) = bundle else {
        for fault in faults {
            eprintln!("bartizan: {fault}");
        }
        return Ok(Exit::Findings);
    };
    if let Some(file) = &arguments.output {
        std::fs::write(file, &text).with_context(|| file.display().to_string())?;
    }
    if arguments.json {
        print_json(&json!({ "rules": files.len(), "bytes": text.len(), "digest": digest }))?;
    } else if arguments.output.is_some() {
        print(&format!("{} rules, {} bytes, digest {digest}\n", files.len(), text.len()))?;
    } else {
        print(&(text + "\n"))?;
    }
    Ok(Exit::Fine)
}

/// A folder of rule files: its packs, its vocabulary, its closed list of tags.
struct Folder {
    files: Vec<RuleFile>,
    /// The bundle and its digest; `None` when something is wrong.
    bundle: Option<(String, String)>,
    faults: Vec<String>,
}

impl Folder {
    fn read(root: &Path) -> anyhow::Result<Folder> {
        let tags: BTreeSet<String> = read_text(&root.join("TAGS"))?
            .lines()
            .map(|line| line.split('#').next().unwrap_or_default().trim())
            .filter(|line| !line.is_empty())
            .map(String::from)
            .collect();
        let mut bundler = Bundler::new(tags, vocabulary(root)?);
        let (mut files, mut faults) = (Vec::new(), Vec::new());
        for pack in Pack::ALL.iter().map(|pack| pack.as_str()) {
            for path in yaml_files(&root.join(pack)) {
                let place = format!("{pack}/{}", path.file_name().unwrap_or_default().to_string_lossy());
                match serde_norway::from_str::<RuleFile>(&read_text(&path)?) {
                    Ok(file) => {
                        bundler.add(&place, &file, &normalise::to_string);
                        files.push(file);
                    }
                    Err(error) => faults.push(format!("{place}: {error}")),
                }
            }
        }
        let bundle: Option<Bundle> = bundler.finish().map_err(|more| faults.extend(more)).ok();
        let bundle = match bundle {
            Some(bundle) if faults.is_empty() => {
                let text = serde_json::to_string(&bundle)?;
                let digest = hex(&Sha256::digest(text.as_bytes()));
                Some((text, digest))
            }
            _ => None,
        };
        Ok(Folder { files, bundle, faults })
    }
}

/// `vocabulary.yaml` and every file of `vocabulary/`, in one.
fn vocabulary(root: &Path) -> anyhow::Result<Vocabulary> {
    let mut all = Vocabulary::new();
    for path in std::iter::once(root.join("vocabulary.yaml")).chain(yaml_files(&root.join("vocabulary"))) {
        let part: Vocabulary =
            serde_norway::from_str(&read_text(&path)?).with_context(|| path.display().to_string())?;
        for (name, words) in part {
            if all.insert(name.clone(), words).is_some() {
                bail!("{}: group {name} is defined twice", path.display());
            }
        }
    }
    Ok(all)
}

fn yaml_files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|extension| extension == "yaml")).collect();
    files.sort();
    files
}
