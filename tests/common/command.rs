//! The real binary, and a folder for its files.

use std::path::PathBuf;
use std::process::{Command, Output};

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
