//! What a registry's aliases and tags mean for a policy. A tag that means nothing, or two that contradict each other, is a
//! fault; all of them are told at once.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display};

use super::registry::{Model, Tag, Version};
use crate::document::{end, midnight, nearest, shortened};
use crate::host::Timestamp;
use crate::models::{MOST, is_name};

/// All tags of this project's begin so.
const PREFIX: &str = "bartizan.";
/// Tags of a model and of its versions.
const DEPRECATED: [&str; 3] =
    ["bartizan.deprecated.replacement", "bartizan.deprecated.since", "bartizan.deprecated.until"];
/// On a version: the name that the upstream knows it by.
const SERVES: &str = "bartizan.serves";
/// On a model: the roles that may use its aliases. With `.ALIAS` behind it: that alias.
const ROLES: &str = "bartizan.roles";
/// On a model, with `.ALIAS` behind it: what the policy calls that alias.
const ALIAS: &str = "bartizan.alias";

/// What a policy is to have.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// The served name that each alias means.
    pub(super) aliases: BTreeMap<String, String>,
    /// By served name.
    pub(super) deprecated: BTreeMap<String, Ending>,
    /// The aliases of each role that the registry decides about.
    pub(super) grants: BTreeMap<String, BTreeSet<String>>,
    /// What is worth knowing.
    pub(super) notes: Vec<String>,
}

/// How a version goes, as its tags say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ending {
    pub(super) since: Option<String>,
    pub(super) until: Option<String>,
    pub(super) replacement: Option<String>,
}

/// A place in the registry.
#[derive(Clone, Copy)]
struct Place<'r> {
    model: &'r str,
    version: Option<u64>,
    tag: Option<&'r str>,
}

impl<'r> Place<'r> {
    fn version(self, version: u64) -> Place<'r> {
        Place { version: Some(version), ..self }
    }

    fn tag(self, tag: &'r str) -> Place<'r> {
        Place { tag: Some(tag), ..self }
    }
}

impl Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "model {:?}", shortened(self.model))?;
        if let Some(version) = self.version {
            write!(f, ", version {version}")?;
        }
        match self.tag {
            Some(tag) if tag.bytes().all(|byte| byte.is_ascii_graphic()) => write!(f, ", tag {}", shortened(tag)),
            Some(tag) => write!(f, ", tag {:?}", shortened(tag)),
            None => Ok(()),
        }
    }
}

/// What the registry says, read as far as it goes.
struct Reading<'r> {
    roles: &'r [String],
    wanted: Wanted,
    faults: Vec<String>,
    /// Which version a served name stands for.
    served: BTreeMap<String, Place<'r>>,
    /// Where the name of an alias comes from.
    named: BTreeMap<String, (Place<'r>, &'r str)>,
    /// Where a deprecation's replacement was written.
    replacements: Vec<(String, Place<'r>)>,
    /// Tags about roles that nobody looks at.
    unread: usize,
}

/// What a policy is to have, by models and their versions; `roles` are those that the registry decides about. The faults
/// name model, version and tag.
pub(super) fn wanted(models: &BTreeMap<String, Model>, roles: &[String]) -> Result<Wanted, Vec<String>> {
    let mut reading = Reading {
        roles,
        wanted: Wanted::default(),
        faults: Vec::new(),
        served: BTreeMap::new(),
        named: BTreeMap::new(),
        replacements: Vec::new(),
        unread: 0,
    };
    reading.wanted.grants = roles.iter().map(|role| (role.clone(), BTreeSet::new())).collect();
    let takes_part = |model: &&Model| {
        let tags = model.versions.values().map(|version| &version.tags).chain([&model.tags]);
        tags.flatten().any(|tag| tag.key.starts_with(PREFIX))
    };
    let taken: Vec<&Model> = models.values().filter(takes_part).collect();
    for model in &taken {
        reading.model(model);
    }
    reading.together();
    let Reading { mut wanted, mut faults, unread, .. } = reading;
    if taken.is_empty() {
        faults.push(format!("none of the registry's {} models has a tag that begins with {PREFIX}", models.len()));
    } else if taken.len() < models.len() {
        wanted.notes.push(format!(
            "models without a tag that begins with {PREFIX} are left out: {}",
            models.len() - taken.len()
        ));
    }
    if unread > 0 {
        wanted.notes.push(format!(
            "tags {ROLES} are not looked at ({unread}): --roles names the roles that the registry decides about"
        ));
    }
    for (role, _) in wanted.grants.iter().filter(|(_, aliases)| aliases.is_empty()) {
        wanted.notes.push(format!("role {role:?}: the registry gives it no model"));
    }
    if faults.is_empty() { Ok(wanted) } else { Err(faults) }
}

impl<'r> Reading<'r> {
    fn fault(&mut self, at: Place<'_>, what: impl Display) {
        self.faults.push(format!("{at}: {what}"));
    }

    fn model(&mut self, model: &'r Model) {
        let at = Place { model: &model.name, version: None, tag: None };
        let aliases: Vec<&str> = model.aliases.iter().map(|alias| alias.alias.as_str()).collect();
        let tags = self.tags(&model.tags, at, &aliases);
        let whole = self.ending(&tags, at);
        let mut served: BTreeMap<u64, &str> = BTreeMap::new();
        for (number, version) in &model.versions {
            let at = at.version(*number);
            if let Some(name) = self.version(version, at, &whole, &tags) {
                served.insert(*number, name);
            }
        }
        if whole != Ending::default() && served.is_empty() {
            self.fault(
                at.tag(DEPRECATED[0]),
                format!("no version has the tag {SERVES}, so that nothing is deprecated"),
            );
        }
        for alias in &model.aliases {
            self.alias(&alias.alias, model.versions.get(&alias.version), served.get(&alias.version).copied(), &tags, {
                at.version(alias.version)
            });
        }
    }

    /// The tags of this project's, each once, and known.
    fn tags(&mut self, tags: &'r [Tag], at: Place<'r>, aliases: &[&str]) -> BTreeMap<&'r str, &'r str> {
        let mut found: BTreeMap<&'r str, &'r str> = BTreeMap::new();
        for Tag { key, value } in tags.iter().filter(|tag| tag.key.starts_with(PREFIX)) {
            let at = at.tag(key);
            if found.insert(key, value).is_some() {
                self.fault(at, "there twice, expected it once");
            }
            let is_of_version = at.version.is_some();
            let of_alias = [ROLES, ALIAS].iter().find_map(|tag| key.strip_prefix(tag)?.strip_prefix('.'));
            match (key.as_str(), of_alias) {
                (SERVES, _) if !is_of_version => self.fault(at, "a tag of versions, found on the model"),
                (ROLES, _) | (_, Some(_)) if is_of_version => self.fault(at, "a tag of models, found on a version"),
                (SERVES | ROLES, _) => {}
                (key, None) if DEPRECATED.contains(&key) => {}
                (_, Some(alias)) if aliases.contains(&alias) => {}
                (_, Some(_)) => {
                    let aliases: Vec<String> = aliases.iter().map(|alias| shortened(alias)).collect();
                    self.fault(at, format!("the model has no such alias, it has {}", listed(&aliases)));
                }
                (key, None) => {
                    let known: Vec<&str> = [SERVES, ROLES, ALIAS].into_iter().chain(DEPRECATED).collect();
                    let meant = nearest(key, &known).map(|meant| format!(", {meant} is probably meant"));
                    self.fault(at, format!("no tag that means anything{}", meant.unwrap_or_default()));
                }
            }
        }
        found
    }

    /// The name that a version is served by.
    fn version(
        &mut self,
        version: &'r Version,
        at: Place<'r>,
        whole: &Ending,
        of_model: &BTreeMap<&str, &str>,
    ) -> Option<&'r str> {
        let tags = self.tags(&version.tags, at, &[]);
        for tag in DEPRECATED {
            if let (Some(own), Some(model)) = (tags.get(tag), of_model.get(tag))
                && own != model
            {
                let (own, model) = (shortened(own), shortened(model));
                self.fault(at.tag(tag), format!("{own:?}, but the model's tag says {model:?}: expected one of them"));
            }
        }
        let own = self.ending(&tags, at);
        let Some(name) = tags.get(SERVES).copied() else {
            if own != Ending::default() {
                self.fault(at.tag(SERVES), "missing, so that nobody knows which name is deprecated");
            }
            return None;
        };
        if !is_name(name) {
            self.fault(at.tag(SERVES), expected_name(name));
            return None;
        }
        if let Some(other) = self.served.insert(name.to_owned(), at) {
            let message = format!("{name:?} is what {other} is served by too: expected a name for each version");
            self.fault(at.tag(SERVES), message);
            return None;
        }
        let ending = Ending {
            since: own.since.or_else(|| whole.since.clone()),
            until: own.until.or_else(|| whole.until.clone()),
            replacement: own.replacement.or_else(|| whole.replacement.clone()),
        };
        if ending != Ending::default() {
            let day = |text: &Option<String>| text.as_deref().and_then(end);
            if let (Some(since), Some(until)) = (ending.since.as_deref().and_then(begin), day(&ending.until))
                && until <= since
            {
                self.fault(at.tag("bartizan.deprecated.until"), "not later than bartizan.deprecated.since");
            }
            self.replacements.extend(ending.replacement.as_ref().map(|_| (name.to_owned(), at)));
            self.wanted.deprecated.insert(name.to_owned(), ending);
        }
        Some(name)
    }

    /// The deprecation that tags tell, without what is no date or no name.
    fn ending(&mut self, tags: &BTreeMap<&'r str, &'r str>, at: Place<'r>) -> Ending {
        let mut ending = Ending::default();
        let [replacement, since, until] = DEPRECATED;
        for (tag, read, slot) in
            [(since, begin as fn(&str) -> Option<Timestamp>, &mut ending.since), (until, end, &mut ending.until)]
        {
            let Some(text) = tags.get(tag).copied() else { continue };
            *slot = read(text).map(|_| text.to_owned());
            if slot.is_none() {
                let text = shortened(text);
                self.fault(at.tag(tag), format!("expected a day or a time (2027-01-31), found {text:?}"));
            }
        }
        if let Some(name) = tags.get(replacement).copied() {
            ending.replacement = is_name(name).then(|| name.to_owned());
            if ending.replacement.is_none() {
                self.fault(at.tag(replacement), expected_name(name));
            }
        }
        ending
    }

    fn alias(
        &mut self,
        alias: &'r str,
        version: Option<&Version>,
        served: Option<&'r str>,
        tags: &BTreeMap<&'r str, &'r str>,
        at: Place<'r>,
    ) {
        let Some(version) = version else {
            return self
                .fault(at, format!("alias {:?} means it, but the registry has no such version", shortened(alias)));
        };
        if !matches!(version.status.as_str(), "" | "READY") {
            let status = shortened(&version.status);
            self.fault(
                at,
                format!("alias {:?} means it, but its status is {status:?}, expected READY", shortened(alias)),
            );
        }
        let Some(served) = served else {
            // What is wrong with a tag that is there has been told.
            if !version.tags.iter().any(|tag| tag.key == SERVES) {
                let message = format!(
                    "missing, but alias {:?} means this version: expected the name that the upstream knows it by",
                    shortened(alias)
                );
                self.fault(at.tag(SERVES), message);
            }
            return;
        };
        let of_model = Place { version: None, ..at };
        let renamed = tags.iter().find(|(key, _)| is_of(key, ALIAS, alias));
        let (name, source) = match renamed {
            Some((key, name)) => ((*name).to_owned(), of_model.tag(key)),
            None => (format!("{}@{alias}", at.model), at),
        };
        if !is_name(&name) {
            let hint = if renamed.is_some() { "" } else { "; the tag bartizan.alias.ALIAS gives another name" };
            let message = format!("{}{hint}", expected_name(&name));
            return self.fault(source, format!("alias {:?}: {message}", shortened(alias)));
        }
        if let Some((other, taken)) = self.named.insert(name.clone(), (of_model, alias)) {
            let message = format!("{name:?} is the name of alias {:?} of {other} too", shortened(taken));
            return self.fault(source, format!("alias {:?}: {message}", shortened(alias)));
        }
        let own = tags
            .iter()
            .find(|(key, _)| is_of(key, ROLES, alias))
            .or_else(|| tags.iter().find(|(key, _)| **key == ROLES));
        if let Some((key, list)) = own {
            self.grant(&name, list, of_model.tag(key));
        }
        self.wanted.aliases.insert(name, served.to_owned());
    }

    /// Gives an alias to the roles of a tag.
    fn grant(&mut self, name: &str, list: &str, at: Place<'_>) {
        if self.roles.is_empty() {
            self.unread += 1;
            return;
        }
        for role in list.split(',').map(str::trim) {
            match self.wanted.grants.get_mut(role) {
                Some(aliases) => {
                    aliases.insert(name.to_owned());
                }
                None => {
                    let (role, roles) = (shortened(role), listed(self.roles));
                    let message =
                        format!("role {role:?} is not one that the registry decides about (--roles): {roles}");
                    if !self.faults.contains(&format!("{at}: {message}")) {
                        self.fault(at, message);
                    }
                }
            }
        }
    }

    /// What can be said once everything is read.
    fn together(&mut self) {
        for (alias, (at, of)) in std::mem::take(&mut self.named) {
            if let Some(other) = self.served.get(&alias).copied() {
                let message = format!("alias {:?}: {alias:?} is what {other} is served by", shortened(of));
                self.fault(at, message);
            }
        }
        for (served, at) in std::mem::take(&mut self.replacements) {
            let at = at.tag(DEPRECATED[0]);
            let Some(name) = self.wanted.deprecated.get(&served).and_then(|ending| ending.replacement.clone()) else {
                continue;
            };
            if name == served || self.wanted.aliases.get(&name) == Some(&served) {
                self.fault(at, format!("{name:?} is the deprecated version itself"));
            } else if !self.wanted.aliases.contains_key(&name) && !self.served.contains_key(&name) {
                self.wanted.notes.push(format!("{at}: {name:?} is no alias and no served name of this registry"));
            }
        }
        for (kind, count) in [("aliases", self.wanted.aliases.len()), ("deprecated", self.wanted.deprecated.len())] {
            if count > MOST {
                self.faults.push(format!("{count} {kind}, expected at most {MOST}"));
            }
        }
    }
}

/// True for the tag of one alias.
fn is_of(key: &str, tag: &str, alias: &str) -> bool {
    key.strip_prefix(tag).and_then(|rest| rest.strip_prefix('.')) == Some(alias)
}

/// A day from its beginning, or a time.
fn begin(text: &str) -> Option<Timestamp> {
    midnight(text).or_else(|| end(text))
}

fn expected_name(found: &str) -> String {
    format!(
        "expected a model's name, 1 to 128 printable ASCII characters without * and blanks, found {:?}",
        shortened(found)
    )
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
