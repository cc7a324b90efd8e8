//! What several test files use: the configuration tables of `tests/data/config/`, and a proxy of one worker.

pub mod command;
pub mod files;
pub mod golden;
pub mod hosts;
pub mod pipeline;
pub mod tokens;
pub mod values;

use std::path::PathBuf;

/// A file of the tables.
pub fn data(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/config").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A broken document and all the messages that must come of it.
#[derive(serde::Deserialize)]
pub struct Case {
    pub name: String,
    pub edits: Vec<Edit>,
    pub errors: Vec<String>,
}

/// One text in the place of another.
#[derive(serde::Deserialize)]
pub struct Edit {
    pub from: String,
    pub to: String,
}

/// `broken.yaml` applied to `good.yaml`.
pub fn broken() -> Vec<(Case, String)> {
    let good = data("good.yaml");
    let cases: Vec<Case> = serde_norway::from_str(&data("broken.yaml")).unwrap();
    let words = bartizan::protocol::registry::FORMATS.iter().map(|format| format.word).chain(["generic"]);
    let protocols = words.collect::<Vec<_>>().join(", ");
    let edited = cases.into_iter().map(|mut case| {
        for error in &mut case.errors {
            *error = error.replace("{protocols}", &protocols);
        }
        let text = case.edits.iter().fold(good.clone(), |text, edit| {
            assert_eq!(text.matches(&edit.from).count(), 1, "{}: {:?} must stand there once", case.name, edit.from);
            text.replace(&edit.from, &edit.to)
        });
        (case, text)
    });
    edited.collect()
}
