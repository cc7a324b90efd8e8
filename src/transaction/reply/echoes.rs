//! Places of a reply that repeat a text in small pieces: log probabilities, lists of tokens. Their pieces are judged as
//! the running text that they are, on over the events of a stream; a place in which something is found becomes null.

use std::collections::BTreeMap;

use super::{Detector, Noted, ReplyGuard, finish, reply_rules};
use crate::enums::DataAction;
use crate::host::Timestamp;
use crate::protocol::Json;
use crate::protocol::reply::{ReplyParts, TextKind};
use crate::reason::Reason;
use crate::redact::Watch;

/// What of a running text is judged again with what comes next, in bytes.
const TAIL: usize = 160;
/// More running texts than this are one: an echo has three or four.
const MAX_TEXTS: usize = 32;

/// The name of the text in which every piece is a line.
const PIECES: &str = "pieces";

/// The ends of the running texts so far, by the keys on the way to their pieces.
#[derive(Debug, Default)]
pub(super) struct Echoes(BTreeMap<String, Tail>);

#[derive(Debug, Default)]
struct Tail {
    text: String,
    /// Where the system prompt's token may have begun.
    watch: Watch,
}

impl ReplyGuard {
    /// Sets the echoes to null in which something is found that would be changed in a text. True: one was.
    ///
    /// # Errors
    /// Why the reply can't go on.
    pub(super) fn judge_echoes(
        &mut self,
        json: &mut Json<'_>,
        parts: &ReplyParts,
        now: Timestamp,
        noted: &mut Noted,
    ) -> Result<bool, Reason> {
        let policy = std::sync::Arc::clone(&self.policy);
        let route = policy.route_at(self.route).ok_or(Reason::Internal)?;
        let mut changed = false;
        for path in &parts.echoes {
            let Some(echo) = json.at(path) else { continue };
            let mut texts = BTreeMap::new();
            gather(echo, &mut String::new(), &|key| route.protocol.knows_key(key), &mut texts);
            let pointer = json.pointer(path, &|key| route.protocol.knows_key(key));
            let mut found = false;
            for (keys, text) in texts {
                let Tail { text: before, mut watch } = self.echoes.0.remove(&keys).unwrap_or_default();
                let all = format!("{before}{text}");
                let rules = reply_rules(&policy, self.route, &self.guards, now);
                let mut judge = Detector::new(rules, TextKind::Other, false, &pointer);
                if let Some(planted) = &self.canary {
                    watch.feed(&planted.canary, &text, before.len());
                    judge = judge.with_leaks(&planted.canary, &watch);
                }
                let detected = judge.detect(&all, 0);
                finish(judge, &policy, noted)?;
                let changes = |action| !matches!(action, DataAction::Flag | DataAction::Block);
                let mut ends = (detected.targets.iter().filter(|target| changes(target.action)))
                    .map(|target| target.span.end)
                    .chain(detected.replaced.iter().map(|(span, _)| span.end));
                found |= ends.any(|end| end > before.len());
                if self.echoes.0.len() < MAX_TEXTS {
                    let start = all.ceil_char_boundary(all.len().saturating_sub(TAIL));
                    let tail = Tail { text: all.get(start..).unwrap_or_default().to_owned(), watch: watch.carried() };
                    self.echoes.0.insert(keys, tail);
                }
            }
            if let (true, Some(place)) = (found, json.at_mut(path)) {
                *place = Json::Null;
                noted.masked += 1;
                changed = true;
            }
        }
        Ok(changed)
    }
}

/// Joins the strings of an echo by the keys on the way to them. Keys that are not the format's are a text of their own.
fn gather(value: &Json<'_>, keys: &mut String, knows: &dyn Fn(&str) -> bool, texts: &mut BTreeMap<String, String>) {
    match value {
        Json::String(text) => {
            join(texts, keys, text);
            // A piece may be a whole value that its neighbours hide.
            join(texts, PIECES, text);
            join(texts, PIECES, "\n");
        }
        Json::Array(items) => items.iter().for_each(|item| gather(item, keys, knows, texts)),
        Json::Object(entries) => {
            for (key, inner) in entries {
                let length = keys.len();
                keys.push('/');
                if knows(key) {
                    keys.push_str(key);
                } else {
                    keys.push('*');
                    join(texts, &format!("key{keys}"), key);
                    join(texts, &format!("key{keys}"), "\n");
                }
                gather(inner, keys, knows, texts);
                keys.truncate(length);
            }
        }
        Json::Null | Json::Bool(_) | Json::Number(_) => {}
    }
}

fn join(texts: &mut BTreeMap<String, String>, keys: &str, text: &str) {
    let name = if texts.len() < MAX_TEXTS || texts.contains_key(keys) { keys } else { "" };
    texts.entry(name.to_owned()).or_default().push_str(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_joined_by_their_place() {
        let text =
            br#"{"content":[{"token":"AK","top":[{"token":"x"}]},{"token":"IA","top":[{"token":"y"}]}],"new":"z"}"#;
        let json = Json::parse(text, 8).unwrap();
        let mut texts = BTreeMap::new();
        gather(&json, &mut String::new(), &|key| key != "new", &mut texts);
        let found: Vec<(&str, &str)> = texts.iter().map(|(keys, text)| (keys.as_str(), text.as_str())).collect();
        let lines = ("pieces", "AK\nx\nIA\ny\nz\n");
        let joined = [("/*", "z"), ("/content/token", "AKIA"), ("/content/top/token", "xy"), ("key/*", "new\n"), lines];
        assert_eq!(found, joined);
    }
}
