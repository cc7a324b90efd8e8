//! The tool calls of one stream of the chat API: which pieces make one call, and what its name is.
//!
//! Clients join pieces by index, by id, or by what came last; some join names, some keep the first. So what leaves has one
//! reading: every call has an index of its own, and no name is written twice. A call is open until its name is whole:
//! until its arguments begin, or its choice ends.

use std::collections::BTreeMap;

use super::account::{ReplyParts, ReplyText};
use super::parts::{End, FUNCTION_CALL, Rewrite, TextKind};
use super::{Json, Path};

/// Calls of tools that one stream may hold; those beyond have no name, which no list of tools allows.
pub(super) const MAX_CALLS: usize = 1024;
/// Longer names are none.
const MAX_NAME: usize = 4096;

/// The calls that have come.
#[derive(Clone, Debug, Default)]
pub(super) struct Calls {
    /// By choice and by the index under which the call leaves.
    calls: BTreeMap<(u32, u32), Call>,
    /// The index under which the call last written under this choice and index leaves.
    written: BTreeMap<(u32, u32), u32>,
    /// The last call of each choice.
    last: BTreeMap<u32, u32>,
}

#[derive(Clone, Debug, Default)]
struct Call {
    id: String,
    /// As far as it has come; `None`: it is too long to be one.
    name: Option<String>,
    has_arguments: bool,
    /// Nothing of its name can follow.
    ended: bool,
}

impl Calls {
    /// Takes the calls of an event in: each gets the index under which it leaves, and its first piece names it.
    pub(super) fn read(&mut self, data: &Json<'_>, parts: &mut ReplyParts) {
        let ReplyParts { calls, texts, ends, rewrites, .. } = parts;
        for call in calls {
            let Some(json) = data.at(&call.path) else { continue };
            let arguments = |text: &&mut ReplyText| {
                text.channel.kind == TextKind::ToolArguments && text.path.below(&call.path).is_some()
            };
            let text_of = |text: &ReplyText| data.at(&text.path).and_then(Json::as_str).unwrap_or_default();
            let mut own: Vec<_> = texts.iter_mut().filter(arguments).collect();
            let piece = Piece {
                choice: call.choice,
                index: json.get("index").and_then(Json::as_u64).and_then(|index| u32::try_from(index).ok()),
                id: json.get("id").and_then(Json::as_str).unwrap_or_default(),
                name: &call.name,
                has_arguments: own.iter().any(|text| !text_of(text).is_empty()),
                is_older: call.item == FUNCTION_CALL,
            };
            let Some(taken) = self.extend(&piece) else {
                call.name.clear();
                call.named = true;
                continue;
            };
            if !piece.is_older && piece.index != Some(taken.index) {
                rewrites.push(Rewrite::Index(call.path.clone(), taken.index));
            }
            if !taken.is_first && !piece.name.is_empty() {
                rewrites.push(Rewrite::NoName(call.path.clone()));
            }
            call.item = taken.index;
            call.named = taken.is_first;
            own.iter_mut().for_each(|text| text.channel.item = taken.index);
        }
        ends.iter().for_each(|end| self.end(*end));
    }

    /// Calls of these choices can't go on with their names.
    pub(super) fn end(&mut self, end: End) {
        let ended = self.calls.iter_mut().filter(|((choice, _), _)| end.choice.is_none_or(|ended| ended == *choice));
        ended.for_each(|(_, call)| call.ended = true);
    }

    /// True while the name of this call may go on.
    pub(super) fn is_open(&self, choice: u32, index: u32) -> bool {
        self.calls.get(&(choice, index)).is_some_and(|call| {
            let is_whole = call.has_arguments && call.name.as_ref().is_none_or(|name| !name.is_empty());
            !call.ended && !is_whole
        })
    }

    /// The name of a call as far as it has come.
    pub(super) fn name(&self, choice: u32, index: u32) -> Option<&str> {
        self.calls.get(&(choice, index)).map(|call| call.name.as_deref().unwrap_or_default())
    }

    /// Every call, by choice and index.
    pub(super) fn keys(&self) -> impl Iterator<Item = &(u32, u32)> {
        self.calls.keys()
    }

    fn extend(&mut self, piece: &Piece<'_>) -> Option<Taken> {
        let known = self.known(piece);
        let is_first = known.is_none();
        let index = known.unwrap_or_else(|| self.free(piece));
        if is_first && self.calls.len() >= MAX_CALLS && !self.calls.contains_key(&(piece.choice, index)) {
            return None;
        }
        if is_first {
            let call = Call { id: piece.id.to_owned(), name: Some(String::new()), ..Call::default() };
            self.calls.insert((piece.choice, index), call);
        }
        if let Some(written) = piece.index {
            self.written.insert((piece.choice, written), index);
        }
        self.last.insert(piece.choice, index);
        let call = self.calls.get_mut(&(piece.choice, index))?;
        call.has_arguments |= piece.has_arguments;
        if call.id.is_empty() {
            piece.id.clone_into(&mut call.id);
        }
        let repeats = !is_first && !piece.name.is_empty() && call.name.as_deref() == Some(piece.name);
        if !repeats && let Some(name) = &mut call.name {
            name.push_str(piece.name);
            if name.len() > MAX_NAME {
                call.name = None;
            }
        }
        Some(Taken { index, is_first })
    }

    /// The call that the piece goes on with.
    fn known(&self, piece: &Piece<'_>) -> Option<u32> {
        let of_choice = || self.calls.range((piece.choice, 0)..=(piece.choice, u32::MAX));
        let index = match piece.index {
            _ if piece.is_older => Some(FUNCTION_CALL),
            Some(written) => self.written.get(&(piece.choice, written)).copied(),
            None if !piece.id.is_empty() => of_choice().find(|(_, call)| call.id == piece.id).map(|(key, _)| key.1),
            None if piece.name.is_empty() => self.last.get(&piece.choice).copied(),
            None => None,
        }?;
        let call = self.calls.get(&(piece.choice, index))?;
        let named = call.name.as_ref().is_none_or(|name| !name.is_empty());
        let has_other_id = !piece.id.is_empty()
            && if call.id.is_empty() { named && !piece.name.is_empty() } else { call.id != piece.id };
        let has_other_name = !piece.name.is_empty()
            && (call.ended || (call.has_arguments && named))
            && call.name.as_deref() != Some(piece.name);
        (!has_other_id && !has_other_name).then_some(index)
    }

    /// The index for a new call: the one it came with, where no other call has it.
    fn free(&self, piece: &Piece<'_>) -> u32 {
        if piece.is_older {
            return FUNCTION_CALL;
        }
        let own = piece.index.filter(|index| !self.calls.contains_key(&(piece.choice, *index)));
        let last = || self.calls.range((piece.choice, 0)..(piece.choice, FUNCTION_CALL)).next_back();
        own.unwrap_or_else(|| last().map_or(0, |(key, _)| key.1.saturating_add(1)))
    }
}

/// A call's piece as an event has it.
struct Piece<'e> {
    choice: u32,
    index: Option<u32>,
    id: &'e str,
    name: &'e str,
    has_arguments: bool,
    /// The older `function_call`, of which a choice has one.
    is_older: bool,
}

/// What became of a piece.
struct Taken {
    index: u32,
    is_first: bool,
}

/// Carries the changes out, and gives the first piece of each call its whole name. True: there were some.
pub(super) fn rewrite(data: &mut Json<'_>, parts: &ReplyParts) -> bool {
    let mut changed = false;
    // Entries are added at the end: every other place stays where it is.
    for change in &parts.rewrites {
        changed = true;
        match change {
            Rewrite::Index(path, index) => {
                if let Some(call) = data.at_mut(path) {
                    call.set("index", Json::Number(u64::from(*index).into()));
                }
            }
            Rewrite::NoName(path) => {
                names(data, path).into_iter().for_each(|name| *name = Json::Null);
            }
        }
    }
    for call in parts.calls.iter().filter(|call| call.named && !call.name.is_empty()) {
        let mut written = names(data, &call.path);
        if written.iter().any(|name| name.as_str() == Some(&call.name)) {
            continue;
        }
        changed = true;
        let name = Json::String(call.name.clone().into());
        match written.first_mut() {
            Some(place) => **place = name,
            None if call.item == FUNCTION_CALL => {
                if let Some(call) = data.at_mut(&call.path) {
                    call.set("name", name);
                }
            }
            None => {
                let Some(place) = data.at_mut(&call.path) else { continue };
                match place.get_mut("function") {
                    Some(function @ Json::Object(_)) => function.set("name", name),
                    _ => place.set("function", Json::Object(vec![("name".into(), name)])),
                }
            }
        }
    }
    changed
}

/// Every place of this call that names it.
fn names<'d, 'j>(data: &'d mut Json<'j>, path: &Path) -> Vec<&'d mut Json<'j>> {
    let Some(Json::Object(entries)) = data.at_mut(path) else { return Vec::new() };
    let name = |(key, value): &'d mut (std::borrow::Cow<'j, str>, Json<'j>)| {
        if key == "name" { Some(value) } else { value.get_mut("name") }
    };
    entries.iter_mut().filter_map(name).collect()
}
