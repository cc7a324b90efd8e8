//! The real binary, and a folder for its files.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// A folder of this test's own, gone when it ends.
pub struct Folder(pub PathBuf);

impl Folder {
    /// A new one; names are of one test each.
    pub fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("bartizan-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    /// Writes a file of it.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs the command line.
pub fn bartizan(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bartizan"))
        .args(arguments)
        .env("BARTIZAN_HASH_KEY", "0123456789abcdef")
        .env_remove("NO_SUCH_KEY")
        .output()
        .unwrap()
}

/// The report, each thing in a line: `file: ok: ..`, `file: path: message`, `file: warning: path: message`.
pub fn check(files: &[&Path]) -> (i32, Vec<String>) {
    let mut arguments = vec!["check", "--format", "json"];
    arguments.extend(files.iter().map(|file| file.to_str().unwrap()));
    let output = bartizan(&arguments);
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut lines = Vec::new();
    for report in report["files"].as_array().unwrap() {
        let file = report["file"].as_str().unwrap();
        for policy in report["policies"].as_array().unwrap() {
            lines.push(format!("{file}: ok: policy {}, digest {}", text(policy, "name"), text(policy, "digest")));
        }
        for (kind, before) in [("errors", ""), ("warnings", "warning: "), ("notes", "note: ")] {
            for card in report[kind].as_array().unwrap() {
                let part = card["part"].as_u64().map(|part| format!(" (part {part})")).unwrap_or_default();
                let path = match (text(card, "path"), kind) {
                    ("document", "notes") => String::new(),
                    (path, _) => format!("{path}: "),
                };
                lines.push(format!("{file}{part}: {before}{path}{}", text(card, "message")));
            }
        }
    }
    (output.status.code().unwrap(), lines)
}

/// A string of an object.
pub fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap()
}

/// The messages for one file, without its name.
pub fn check_text(folder: &Folder, name: &str, text: &str) -> (i32, Vec<String>) {
    let file = folder.file(name, text);
    let prefix = format!("{}: ", file.display());
    let (code, lines) = check(&[&file]);
    (code, lines.iter().map(|line| line.strip_prefix(&prefix).unwrap_or(line).to_owned()).collect())
}
