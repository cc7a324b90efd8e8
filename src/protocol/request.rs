//! A request's body on its way to an [`Exchange`]: what every adapter does the same way.
//!
//! An adapter takes the fields it knows by name; [`Reader::finish`] makes segments of all that it did not account for,
//! so that a new field of an API is scanned before it is understood.

use super::account::Draft;
use super::form::{Form, is_bytes, is_credential};
use super::{Exchange, Json, NO_LIMIT, Offered, OutputCap, Path, Position, Segment, ThinkingBudget, UnscannedKind};
use crate::enums::Zone;
use crate::reason::{Denial, Reason};

/// More messages, parts or tools than this is no chat.
const MAX_ITEMS: usize = 10_000;
/// As many types of unknown parts are named in the record.
const MAX_UNKNOWN: usize = 16;

/// A body that is being taken apart.
pub struct Reader<'b, 'j> {
    pub(super) body: &'b Json<'j>,
    pub(super) out: Draft,
    /// The model that the path names, where it names one.
    path_model: Option<&'b str>,
    knows: &'b dyn Fn(&str) -> bool,
    /// The field that a wrong shape is blamed on.
    param: &'static str,
    /// A cap of zero asks for no answer at all, not for one without a limit.
    pub(super) zero_is_nothing: bool,
}

/// Where a text is in the conversation.
#[derive(Clone, Copy)]
pub(super) struct Spot {
    pub(super) zone: Zone,
    pub(super) position: Position,
}

impl Spot {
    pub(super) const fn new(zone: Zone, position: Position) -> Spot {
        Spot { zone, position }
    }

    /// The caller's own words and parameters.
    pub(super) const USER: Spot = Spot::new(Zone::User, Position::Current);
    /// Definitions that the application writes: tools, schemas.
    pub(super) const DEVELOPER: Spot = Spot::new(Zone::Developer, Position::Current);
    /// The application's instructions.
    pub(super) const SYSTEM: Spot = Spot::new(Zone::System, Position::Current);
    /// What a tool returned.
    pub(super) const TOOL: Spot = Spot::new(Zone::Tool, Position::History);
    /// A document.
    pub(super) const DOCUMENT: Spot = Spot::new(Zone::Document, Position::History);
    /// What the model said earlier.
    pub(super) const ASSISTANT: Spot = Spot::new(Zone::Assistant, Position::History);
}

impl<'b, 'j> Reader<'b, 'j> {
    pub(super) fn new(
        body: &'b Json<'j>,
        path_model: Option<&'b str>,
        knows: &'b dyn Fn(&str) -> bool,
    ) -> Reader<'b, 'j> {
        Reader { body, out: Draft::new(), path_model, knows, param: "", zero_is_nothing: false }
    }

    /// What the path has where the format says `{model}`.
    pub(super) fn path_model(&self) -> Option<&'b str> {
        self.path_model
    }

    /// A wrong shape of the field that is being read.
    pub(super) fn shape(&self) -> Denial {
        let denial = Denial::new(Reason::BodyShape);
        if self.param.is_empty() { denial } else { denial.with_param(self.param) }
    }

    /// A field of the body that will be read here and nowhere else.
    pub(super) fn take(&mut self, name: &'static str) -> Result<Option<(Path, &'b Json<'j>)>, Denial> {
        self.param = name;
        let found = self.body.field(name).map_err(|reason| Denial::new(reason).with_param(name))?;
        Ok(found.map(|(position, value)| (Path::default().child(position), value)))
    }

    /// A field of the body that must be there.
    pub(super) fn require(&mut self, name: &'static str) -> Result<(Path, &'b Json<'j>), Denial> {
        self.take(name)?.ok_or(self.shape())
    }

    /// `model`, which must be there where the path does not name it. The path's counts: a server that has it there does
    /// not look into the body.
    pub(super) fn model(&mut self) -> Result<(), Denial> {
        if let Some(model) = self.path_model {
            self.out.model = model.to_owned();
            return Ok(());
        }
        let (_, model) = self.require("model")?;
        self.out.model = model.as_str().filter(|model| !model.is_empty()).ok_or(self.shape())?.to_owned();
        self.parameter(model, Form::Name);
        Ok(())
    }

    /// True when the path names the model.
    pub(super) fn names_model(&self) -> bool {
        self.path_model.is_some()
    }

    /// Reads a request of its own in this one, by the rules of its own operation.
    pub(super) fn adopt(
        &mut self,
        place: &Path,
        body: &'b Json<'j>,
        model: Option<&'b str>,
        read: impl FnOnce(&mut Reader<'b, 'j>) -> Result<(), Denial>,
    ) -> Result<(), Denial> {
        let mut inner = Reader::new(body, model, self.knows);
        read(&mut inner)?;
        self.out.adopt(place, inner.out);
        self.out.unknown.truncate(MAX_UNKNOWN);
        Ok(())
    }

    /// A string that is no text where it fits the form of its place. False: it is a text.
    pub(super) fn parameter(&mut self, value: &Json<'j>, form: Form<'_>) -> bool {
        self.out.parameter(value, form)
    }

    /// A string that the tree has once more, taken apart.
    pub(super) fn covers(&mut self, value: &Json<'_>) {
        self.out.covers(value);
    }

    /// `stream`, and what it is when it is not there.
    pub(super) fn stream(&mut self, absent: bool) -> Result<(), Denial> {
        self.out.stream = match self.take("stream")? {
            Some((_, Json::Bool(stream))) => *stream,
            Some(_) => return Err(self.shape()),
            None => absent,
        };
        Ok(())
    }

    /// How many choices the client asks for under these names: the largest counts.
    pub(super) fn choices(&mut self, names: &[&'static str]) -> Result<(), Denial> {
        for (place, name) in names.iter().enumerate() {
            let Some((_, choices)) = self.take(name)? else { continue };
            let choices = self.number(choices)?.ok_or(self.shape())?;
            self.out.choices = if place == 0 { choices } else { self.out.choices.max(choices) };
        }
        Ok(())
    }

    /// The cap on output tokens under any of these names. Of several the lowest counts, and is then written to each:
    /// which of them a server reads is its own affair.
    pub(super) fn caps(&mut self, names: &[&'static str], inject: &'static [&'static str]) -> Result<(), Denial> {
        for name in names {
            let Some((path, value)) = self.take(name)? else { continue };
            self.cap(path, value)?;
        }
        self.out.output_cap_key = inject;
        Ok(())
    }

    /// One cap. A number that servers read as no limit is none: below zero and, where that does not mean "nothing", zero.
    pub(super) fn cap(&mut self, path: Path, value: &Json<'_>) -> Result<(), Denial> {
        let tokens = match self.number(value)? {
            Some(0) if !self.zero_is_nothing => NO_LIMIT,
            tokens => tokens.unwrap_or(NO_LIMIT),
        };
        match &mut self.out.output_cap {
            Some(cap) => {
                cap.agree &= cap.tokens == tokens;
                cap.tokens = cap.tokens.min(tokens);
                cap.places.push(path);
            }
            none => *none = Some(OutputCap { places: vec![path], tokens, agree: true, lacks_own: false }),
        }
        Ok(())
    }

    /// `thinking` and this field in it: the part of the output that the model may think with. It must be less than the cap.
    pub(super) fn thinking_budget(&mut self, name: &str) -> Result<(), Denial> {
        let Some((path, thinking)) = self.take("thinking")? else { return Ok(()) };
        let Json::Object(_) = thinking else { return Ok(()) };
        let found = thinking.field(name).map_err(|_| self.shape())?;
        if let Some((position, value)) = found
            && let Some(tokens) = self.number(value)?
        {
            self.out.thinking_budget = Some(ThinkingBudget { place: path.child(position), tokens });
        }
        Ok(())
    }

    /// A whole number however it is written (`2048`, `2048.0`); `None`: it is below zero.
    pub(super) fn number(&self, value: &Json<'_>) -> Result<Option<u64>, Denial> {
        let Json::Number(number) = value else { return Err(self.shape()) };
        match (number.as_u64(), number.whole()) {
            (Some(tokens), _) => Ok(Some(tokens)),
            (None, Some(whole)) => Ok(u64::try_from(whole).ok()),
            (None, None) => Err(self.shape()),
        }
    }

    /// All strings of a field, when it is there. True when it was.
    pub(super) fn texts(&mut self, name: &'static str, spot: Spot) -> Result<bool, Denial> {
        let Some((path, value)) = self.take(name)? else { return Ok(false) };
        self.free_text(&path, value, spot);
        Ok(true)
    }

    /// The elements of a list that is not too long.
    pub(super) fn items<'v>(&self, value: &'v Json<'j>) -> Result<&'v [Json<'j>], Denial> {
        match value {
            Json::Array(items) if items.len() <= MAX_ITEMS => Ok(items),
            _ => Err(self.shape()),
        }
    }

    /// The entries of an object; none of `names` is there in disguise.
    pub(super) fn entries<'v>(&self, value: &'v Json<'j>, names: &[&str]) -> Result<&'v Entries<'j>, Denial> {
        let Json::Object(entries) = value else { return Err(self.shape()) };
        for name in names {
            value.field(name).map_err(|_| self.shape())?;
        }
        Ok(entries)
    }

    /// An inner field, by its exact name.
    pub(super) fn inner<'v>(&self, value: &'v Json<'j>, name: &str) -> Result<Option<&'v Json<'j>>, Denial> {
        Ok(value.field(name).map_err(|_| self.shape())?.map(|(_, inner)| inner))
    }

    /// An inner field that is a string and not empty.
    pub(super) fn inner_text<'v>(&self, value: &'v Json<'j>, name: &str) -> Result<&'v str, Denial> {
        let text = self.inner(value, name)?.and_then(Json::as_str);
        text.filter(|text| !text.is_empty()).ok_or(self.shape())
    }

    /// A tool that the model may call.
    pub(super) fn tool(&mut self, name: &str, path: &Path) {
        self.remote_tool(name, path, None);
    }

    /// A tool with two names.
    pub(super) fn ambiguous_tool(&mut self, name: &str, path: &Path) {
        let (name, path) = (name.to_owned(), Some(path.clone()));
        self.out.tools.push(Offered { name, path, host: None, is_ambiguous: true });
    }

    /// A tool that runs at a host which the request names, or behind a connector of the provider's.
    pub(super) fn remote_tool(&mut self, name: &str, path: &Path, host: Option<String>) {
        let (name, path) = (name.to_owned(), Some(path.clone()));
        self.out.tools.push(Offered { name, path, host, is_ambiguous: false });
    }

    /// The credentials of a remote tool for the place where it runs: a token of its own, and its headers' values. What does
    /// not look so is text and nothing else.
    pub(super) fn credentials(&mut self, path: &Path, tool: &Json<'j>) {
        let Json::Object(entries) = tool else { return };
        for (at, (key, value)) in entries.iter().enumerate() {
            let place = path.child(at);
            let mut note = |place: Path, value: &Json<'_>| {
                if value.as_str().is_some_and(is_credential) {
                    self.out.credentials.push((path.clone(), place));
                }
            };
            match (key.as_ref(), value) {
                ("authorization" | "authorization_token", _) => note(place, value),
                ("headers", Json::Object(headers)) => {
                    headers.iter().enumerate().for_each(|(at, (_, value))| note(place.child(at), value));
                }
                _ => {}
            }
        }
    }

    /// A tool that the request itself calls.
    pub(super) fn calls(&mut self, name: &str) {
        self.out.tools.push(Offered { name: name.to_owned(), path: None, host: None, is_ambiguous: false });
    }

    /// What the provider signed or sealed, and only it can read. What does not look so is a text.
    pub(super) fn opaque(&mut self, path: &Path, value: &Json<'j>, spot: Spot) {
        if value.as_str().is_some_and(is_bytes) {
            self.unscanned(UnscannedKind::Opaque, path);
        }
        if !self.parameter(value, Form::Base64) {
            self.free_text(path, value, spot);
        }
    }

    /// A block, item or part of a type that the format does not know: all its strings are in the strictest zone, but for
    /// bytes that are no text.
    pub(super) fn unknown(&mut self, path: &Path, value: &Json<'j>, kind: &str, spot: Spot) {
        if self.out.unknown.len() < MAX_UNKNOWN {
            self.out.unknown.push(kind.to_owned());
        }
        self.text_or_bytes(path, value, Spot { zone: Zone::User, ..spot });
    }

    /// All strings below, but for bytes that are no text, which are listed as unscanned.
    pub(super) fn text_or_bytes(&mut self, path: &Path, value: &Json<'j>, spot: Spot) {
        let mut found = Vec::new();
        value.visit_strings(path, &mut |place, is_key, text| {
            if !(text.is_empty() || is_key && (self.knows)(text)) {
                found.push((place.clone(), is_key));
            }
        });
        for (place, is_key) in found {
            let bytes = !is_key
                && self.body.at(&place).is_some_and(|value| {
                    self.out.parameter(value, Form::DataUrl) || self.out.parameter(value, Form::Bytes)
                });
            if bytes {
                self.unscanned(UnscannedKind::Unknown, &place);
            } else {
                self.segment(&place, is_key, spot);
            }
        }
    }

    /// What can't be scanned.
    pub(super) fn unscanned(&mut self, kind: UnscannedKind, path: &Path) {
        self.out.unscanned.push((kind, path.clone()));
    }

    /// All strings at or below `path`, keys that are not the protocol's among them.
    pub(super) fn free_text(&mut self, path: &Path, value: &Json<'j>, spot: Spot) {
        self.text_beside(path, value, spot, None);
    }

    /// The same, of a part that may hold a payload of this kind: bytes at a place where the format has bytes are listed
    /// as unscanned. Anything else at that place is text.
    pub(super) fn text_beside(&mut self, path: &Path, value: &Json<'j>, spot: Spot, kind: Option<UnscannedKind>) {
        let mut found = Vec::new();
        value.visit_strings(path, &mut |place, is_key, text| {
            if !(text.is_empty() || is_key && (self.knows)(text)) {
                found.push((place.clone(), is_key));
            }
        });
        for (place, is_key) in found {
            match (kind, self.body.key_at(&place), self.body.at(&place)) {
                (Some(kind), Some("data" | "file_data"), Some(value)) if !is_key => {
                    self.bytes(&place, value, spot, kind);
                }
                (Some(kind), Some("url" | "image_url" | "file_url"), Some(value))
                    if !is_key && value.as_str().is_some_and(|text| text.starts_with("data:")) =>
                {
                    self.bytes(&place, value, spot, kind);
                }
                _ => self.segment(&place, is_key, spot),
            }
        }
    }

    /// A string at a place where the format has bytes. What does not look so is a text.
    pub(super) fn bytes(&mut self, path: &Path, value: &Json<'j>, spot: Spot, kind: UnscannedKind) {
        if value.as_str().is_some_and(is_bytes) {
            self.payload(kind, path);
        }
        if !self.parameter(value, Form::Base64) && !self.parameter(value, Form::DataUrl) {
            self.free_text(path, value, spot);
        }
    }

    /// Bytes that can't be scanned. A part that is listed already is not listed twice.
    pub(super) fn payload(&mut self, kind: UnscannedKind, path: &Path) {
        if !self.out.unscanned.last().is_some_and(|(_, base)| path.is_in(base)) {
            self.unscanned(kind, path);
        }
    }

    /// True for a key of the format's own.
    pub(super) fn is_own_key(&self, key: &str) -> bool {
        (self.knows)(key)
    }

    /// The key of an entry, when it is not the protocol's.
    pub(super) fn key(&mut self, path: &Path, key: &str, spot: Spot) {
        if !(self.knows)(key) {
            self.segment(path, true, spot);
        }
    }

    pub(super) fn segment(&mut self, path: &Path, is_key: bool, spot: Spot) {
        self.out.segments.push(Segment { zone: spot.zone, position: spot.position, path: path.clone(), is_key });
    }

    /// The exchange: what was not accounted for is text of the caller's, as strict as the caller's words.
    pub(super) fn finish(self) -> Exchange {
        self.out.close(self.body, self.knows)
    }
}

/// The entries of an object.
pub(super) type Entries<'j> = Vec<(std::borrow::Cow<'j, str>, Json<'j>)>;

/// The host of an address, in lower case: what is between the scheme with any user, and port or path. What is no such
/// address is given back whole, so that no host's name allows it.
pub(super) fn host_of(address: &str) -> String {
    let rest =
        address.split_once("://").filter(|(scheme, _)| matches!(*scheme, "https" | "http")).map(|(_, rest)| rest);
    let Some(rest) = rest else { return address.to_owned() };
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let host = host.split(':').next().unwrap_or_default();
    let plain = !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte));
    if plain { host.to_ascii_lowercase() } else { address.to_owned() }
}

/// The index of the first message of the caller's newest turn: what follows the last reply of the
/// model, not counting a reply at the very end (a prefill).
pub(super) fn newest_turn(zones: &[Zone]) -> usize {
    let end = zones.iter().rposition(|zone| *zone != Zone::Assistant).map_or(0, |last| last + 1);
    let turns = zones.get(..end).unwrap_or(zones);
    turns.iter().rposition(|zone| *zone == Zone::Assistant).map_or(0, |reply| reply + 1)
}

/// Where a message of this zone is, when `current` is the first of the newest turn.
pub(super) fn spot_of(zone: Zone, index: usize, current: usize) -> Spot {
    let position = match zone {
        Zone::System | Zone::Developer => Position::Current,
        Zone::User if index >= current => Position::Current,
        _ => Position::History,
    };
    Spot { zone, position }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_turn_survives_a_prefill() {
        use Zone::{Assistant, System, Tool, User};
        assert_eq!(newest_turn(&[System, User]), 0);
        assert_eq!(newest_turn(&[User, Assistant, User, User]), 2);
        assert_eq!(newest_turn(&[User, Assistant, User, Assistant]), 2);
        assert_eq!(newest_turn(&[User, Assistant, Tool]), 2);
        assert_eq!(newest_turn(&[Assistant]), 0);
        assert_eq!(newest_turn(&[]), 0);
    }
}
