//! Makes the tables of `bartizan-rules` out of rule files. Runs when the filter is built, and in the command line.
//!
//! | module | what it does |
//! |---|---|
//! | [`rulefile`] | the form of a rule file, its checks, the bundle of all of them |
//! | [`lower`] | patterns to programs |
//! | [`automaton`] | how programs begin, as one automaton; where bytes may be in their matches |
//! | [`anchor`] | the words that a pattern's matches hold, and where they may begin beside them |
//! | [`shape`] | the first group of digits in a pattern's matches |
//! | [`distance`] | how far before its first digit or its token a match may begin |
//! | [`layout`] | words to a double array and to filters |
//! | `oracle` | with the feature of that name: what programs must find, told by `regex-automata` |
//! | [`source`] | all of it as Rust |
//!
//! A fault in a rule is an error that names the file. Samples are judged by the filter's tests and
//! `bartizan rules test`.

pub mod anchor;
pub mod automaton;
pub mod distance;
pub mod layout;
pub mod lower;
#[cfg(any(test, feature = "oracle"))]
pub mod oracle;
#[cfg(test)]
mod oracles;
pub mod rulefile;
pub mod shape;
mod source;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use bartizan_rules::normalise;
use bartizan_rules::words::Pack;

/// The tables of a folder of rules, as Rust source to be included in a module that has the types in scope.
///
/// # Errors
/// Every fault of every file.
pub fn compile(root: &Path) -> Result<String, Vec<String>> {
    source::source(&bundle(root)?)
}

/// The bundle of a folder of rules.
///
/// # Errors
/// Every fault of every file.
pub fn bundle(root: &Path) -> Result<rulefile::Bundle, Vec<String>> {
    let tags: BTreeSet<String> = read(&root.join("TAGS"))?
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim())
        .filter(|line| !line.is_empty())
        .map(String::from)
        .collect();
    let vocabulary = vocabulary(root)?;
    let mut bundler = rulefile::Bundler::new(tags, vocabulary);
    let mut faults = Vec::new();
    for pack in Pack::ALL.iter().map(|pack| pack.as_str()) {
        for path in rule_files(&root.join(pack)) {
            let place = format!("{pack}/{}", path.file_name().unwrap_or_default().to_string_lossy());
            match serde_norway::from_str::<rulefile::RuleFile>(&read(&path)?) {
                Ok(file) => bundler.add(&place, &file, &normalise::to_string),
                Err(error) => faults.push(format!("rules/{place}: {error}")),
            }
        }
    }
    let bundle = bundler.finish().map_err(|more| faults.iter().cloned().chain(more).collect::<Vec<_>>())?;
    if faults.is_empty() { Ok(bundle) } else { Err(faults) }
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
