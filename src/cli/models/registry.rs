//! What MLflow's REST API says of registered models, page by page.

use std::collections::BTreeMap;

use anyhow::bail;
use serde::{Deserialize, Deserializer};

use super::ask::Server;
use crate::document::shortened;

/// The most registered models that are read.
const MAX_MODELS: usize = 1000;
/// The most versions that are read.
const MAX_VERSIONS: usize = 20_000;

/// A registered model.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Model {
    pub(super) name: String,
    #[serde(default)]
    pub(super) tags: Vec<Tag>,
    #[serde(default)]
    pub(super) aliases: Vec<Alias>,
    /// By number. The registry tells them apart from the model.
    #[serde(skip)]
    pub(super) versions: BTreeMap<u64, Version>,
}

/// A name that the registry gives to one version of a model.
#[derive(Debug, Deserialize)]
pub(super) struct Alias {
    pub(super) alias: String,
    #[serde(deserialize_with = "number")]
    pub(super) version: u64,
}

/// A version of a model.
#[derive(Debug, Deserialize)]
pub(super) struct Version {
    name: String,
    #[serde(deserialize_with = "number")]
    version: u64,
    #[serde(default)]
    pub(super) status: String,
    #[serde(default)]
    pub(super) tags: Vec<Tag>,
}

/// A tag of a model or of a version.
#[derive(Debug, Deserialize)]
pub(super) struct Tag {
    pub(super) key: String,
    #[serde(default)]
    pub(super) value: String,
}

#[derive(Deserialize)]
struct Models {
    #[serde(default)]
    registered_models: Vec<Model>,
    #[serde(default)]
    next_page_token: String,
}

#[derive(Deserialize)]
struct Versions {
    #[serde(default)]
    model_versions: Vec<Version>,
    #[serde(default)]
    next_page_token: String,
}

/// Numbers of versions are strings in MLflow's JSON.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Number(u64),
        Text(String),
    }
    let written = Written::deserialize(deserializer)?;
    let number = match &written {
        Written::Number(number) => Some(*number),
        Written::Text(text) => text.parse().ok(),
    };
    number.ok_or_else(|| serde::de::Error::custom("a version that is no number"))
}

/// Everything that is registered, by name.
pub(super) fn read(server: &mut Server) -> anyhow::Result<BTreeMap<String, Model>> {
    const MODELS: &str = "/api/2.0/mlflow/registered-models/search";
    const VERSIONS: &str = "/api/2.0/mlflow/model-versions/search";
    let mut models: BTreeMap<String, Model> = BTreeMap::new();
    let mut token = String::new();
    loop {
        let page: Models = server.get(MODELS, &query("100", &token))?;
        for model in page.registered_models {
            let name = shortened(&model.name);
            if models.insert(model.name.clone(), model).is_some() {
                bail!("the registry lists the model {name:?} twice");
            }
        }
        if models.len() > MAX_MODELS {
            bail!("the registry has more than {MAX_MODELS} models");
        }
        token = next(token, page.next_page_token)?;
        if token.is_empty() {
            break;
        }
    }
    let mut count = 0;
    loop {
        let page: Versions = server.get(VERSIONS, &query("1000", &token))?;
        for version in page.model_versions {
            count += 1;
            let (name, number) = (shortened(&version.name), version.version);
            // A model that came after the models were read comes with the next run.
            let Some(model) = models.get_mut(&version.name) else { continue };
            if model.versions.insert(number, version).is_some() {
                bail!("the registry lists version {number} of the model {name:?} twice");
            }
        }
        if count > MAX_VERSIONS {
            bail!("the registry has more than {MAX_VERSIONS} versions of models");
        }
        token = next(token, page.next_page_token)?;
        if token.is_empty() {
            return Ok(models);
        }
    }
}

fn query<'a>(most: &'a str, token: &'a str) -> Vec<(&'static str, &'a str)> {
    let token = (!token.is_empty()).then_some(("page_token", token));
    [("max_results", most)].into_iter().chain(token).collect()
}

/// The place of the next page. A registry that sends the same place again would be read for ever.
fn next(before: String, token: String) -> anyhow::Result<String> {
    if !token.is_empty() && token == before {
        bail!("the registry's page leads to itself");
    }
    Ok(token)
}
