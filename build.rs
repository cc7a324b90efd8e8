//! Makes one bundle out of `rules/`: the only place where rule files meet the module.
//!
//! A fault in a rule is a build error that names the file.

use std::path::PathBuf;
use std::{env, fs};

fn main() {
    println!("cargo:rerun-if-changed=rules");
    let folder = |name| PathBuf::from(env::var_os(name).unwrap_or_default());
    let (rules, out) = (folder("CARGO_MANIFEST_DIR").join("rules"), folder("OUT_DIR").join("rules.rs"));
    let written = bartizan_rules_compiler::compile(&rules)
        .and_then(|source| fs::write(out, source).map_err(|error| vec![error.to_string()]));
    if let Err(faults) = written {
        for fault in faults {
            println!("cargo:error={}", fault.replace('\n', " "));
        }
        std::process::exit(1);
    }
}
