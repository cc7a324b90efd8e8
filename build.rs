//! Makes one bundle out of `rules/`: the only place where rule files meet the module.
//!
//! A fault in a rule is a build error that names the file. The form and its checks are the crate's own
//! (`src/scan/rulefile.rs`); patterns and samples are judged by the crate's tests and `bartizan rules test`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{env, fs};

#[allow(dead_code, missing_docs)]
#[path = "src/scan/normalise/mod.rs"]
mod normalise;
#[allow(dead_code, missing_docs)]
#[path = "src/scan/patterns.rs"]
mod patterns;
#[allow(dead_code, missing_docs)]
#[path = "src/scan/rulefile.rs"]
mod rulefile;

fn main() {
    println!("cargo:rerun-if-changed=rules");
    println!("cargo:rerun-if-changed=src/scan/normalise");
    println!("cargo:rerun-if-changed=src/scan/patterns.rs");
    println!("cargo:rerun-if-changed=src/scan/rulefile.rs");
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default()).join("rules");
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("rules.json");
    match bundle(&root) {
        Ok(json) => fs::write(&out, json).unwrap_or_else(|error| fail(&[error.to_string()])),
        Err(faults) => fail(&faults),
    }
}

fn fail(faults: &[String]) {
    for fault in faults {
        println!("cargo:error={}", fault.replace('\n', " "));
    }
    std::process::exit(1);
}

fn bundle(root: &Path) -> Result<String, Vec<String>> {
    let tags: BTreeSet<String> = read(&root.join("TAGS"))?
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim())
        .filter(|line| !line.is_empty())
        .map(String::from)
        .collect();
    let vocabulary = vocabulary(root)?;
    let mut bundler = rulefile::Bundler::new(tags, vocabulary);
    let mut faults = Vec::new();
    for (pack, _) in rulefile::PACKS {
        for path in rule_files(&root.join(pack)) {
            let place = format!("{pack}/{}", path.file_name().unwrap_or_default().to_string_lossy());
            match serde_norway::from_str::<rulefile::RuleFile>(&read(&path)?) {
                Ok(file) => bundler.add(&place, &file, &normalise::to_string),
                Err(error) => faults.push(format!("rules/{place}: {error}")),
            }
        }
    }
    let bundle = bundler.finish().map_err(|more| faults.iter().cloned().chain(more).collect::<Vec<_>>())?;
    if faults.is_empty() { serde_json::to_string(&bundle).map_err(|e| vec![e.to_string()]) } else { Err(faults) }
}

/// `vocabulary.yaml` and every file of `vocabulary/`, in one.
fn vocabulary(root: &Path) -> Result<rulefile::Vocabulary, Vec<String>> {
    let mut all = rulefile::Vocabulary::new();
    for path in std::iter::once(root.join("vocabulary.yaml")).chain(rule_files(&root.join("vocabulary"))) {
        let part: rulefile::Vocabulary =
            serde_norway::from_str(&read(&path)?).map_err(|error| vec![format!("{}: {error}", path.display())])?;
        for (name, words) in part {
            if all.insert(name.clone(), words).is_some() {
                return Err(vec![format!("{}: group {name} is defined twice", path.display())]);
            }
        }
    }
    Ok(all)
}

fn read(path: &Path) -> Result<String, Vec<String>> {
    fs::read_to_string(path).map_err(|error| vec![format!("{}: {error}", path.display())])
}

fn rule_files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort();
    files
}
