//! The guard of one reply: what must not leave is masked or cut out, or the reply is refused.
//!
//! A whole reply is judged at once. Of a stream every event waits until all its texts are certain (see
//! [`crate::redact::TextStream`]): it goes on byte for byte as it came, or with what was found in it
//! changed. A refusal in the middle ends the stream in the protocol's own words.

mod ahead;
mod alike;
mod attacks;
mod calls;
mod echoes;
mod gate;
mod opinions;
mod restore;
mod running;
mod stream;

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

use super::Headers;
use crate::authn::RoleIndex;
use crate::authz::Owned;
use crate::document::UnscannedAction;
use crate::enums::{Mode, Operation, Zone};
use crate::estimate::Estimate;
use crate::glob::Glob;
use crate::guard::{Ahead, Detector, GuardIndex, NOTICE, Notes, Planted, ReplyRules};
use crate::host::Timestamp;
use crate::policy::Policy;
use crate::protocol::reply::{Asked, Channel, ReplyParts, ReplyText, Spent, TextKind, ToolCall, Usage, model_of};
use crate::protocol::{Finish, Json, Path, Places, Told, UnscannedKind};
use crate::reason::Reason;
use crate::redact::{ActiveWatch, Masker, Restorer, Restoring, TextStream, Vault, Watch};
use crate::route::{RouteIndex, RoutePolicy};
use crate::sorted;
pub(super) use opinions::{Round, Tally, WholeText};
pub(super) use stream::{Outlet, StreamGuard};

/// Names and ids of a stream that are remembered, and the longest of them in bytes.
const MAX_NAMES: usize = 64;
const MAX_NAME: usize = 128;

/// What a reply is judged by, and what the request's masks were.
#[derive(Debug)]
pub(super) struct ReplyGuard {
    policy: Arc<Policy>,
    route: RouteIndex,
    guards: Vec<GuardIndex>,
    /// Tools that the model may call.
    tools: Vec<Glob>,
    /// A role in shadow mode: other calls are recorded and go on.
    rehearses_tools: bool,
    masker: Masker,
    vault: Vault,
    /// Arguments of tools that get values back: tool and argument.
    pub(super) restored: Vec<(String, String)>,
    /// The token at the end of the system prompt.
    canary: Option<Planted>,
    /// How the answer's last text ended: the token may go on in the next.
    trail: Watch,
    /// The running texts of places that repeat a text.
    echoes: echoes::Echoes,
    /// Names and ids that were judged and in which nothing was found: every event repeats them.
    clean: BTreeSet<String>,
    /// The reply is no answer but a page about an error: one text, whose links and pictures no reader of answers loads.
    is_page: bool,
    /// The client did not ask for the event that tells a stream's cost.
    strips_usage: bool,
    /// What outside judges want done to the message that is judged.
    told: opinions::Told,
    /// The reply is a list of what the provider keeps: what is not of these is taken out.
    pub(super) listed: Option<Owned>,
    /// The upstream is a store, and this is what the caller's tenant is called there.
    pub(super) tenant: Option<String>,
    /// What it tells of its cost was counted when it was made.
    pub(super) is_paid: bool,
    /// The reply does not say that it is JSON.
    pub(super) is_guess: bool,
    /// The reply is in gzip.
    pub(super) is_gzip: bool,
    /// What is known of the texts of a long reply.
    pub(super) ahead: Option<Rc<Ahead>>,
    /// What the request tells of the reply's form.
    pub(super) asked: Asked,
    /// The model that was asked for.
    pub(super) model: String,
    /// The most output tokens that the policy lets a stream have; `None`: it sets no cap.
    pub(super) most_output: Option<u64>,
}

/// What became of a reply, for the record.
#[derive(Debug, Default)]
pub(super) struct Noted {
    pub(super) notes: Notes,
    pub(super) unscanned: Vec<UnscannedKind>,
    pub(super) masked: u64,
    /// Records that were taken out of a store's answer.
    pub(super) chunks: u64,
    /// Why messages of a stream that goes on were withheld: the last one.
    pub(super) withheld: Option<Reason>,
    /// Responses and conversations that the provider keeps, and that went on to the caller.
    pub(super) stored: Vec<String>,
    pub(super) spent: Spent,
    /// The model that the reply names, where the policy wants to know it.
    pub(super) model: Option<String>,
    /// Why it ended, and who refused to answer.
    pub(super) finish: Finish,
    /// The reply was read, at least its beginning.
    pub(super) read: bool,
    /// It was read to its end.
    pub(super) complete: bool,
    /// What outside judges thought of it.
    pub(super) opinions: Vec<Tally>,
}

impl Noted {
    /// How much is noted of what was found: it grows with every finding.
    fn marks(&self) -> (usize, usize, usize, u64) {
        (self.notes.findings.len(), self.notes.shadow.len(), self.unscanned.len(), self.masked)
    }

    /// Takes out what it cost, which is known before outside judges have answered.
    pub(super) fn take_cost(&mut self) -> Noted {
        let (spent, model, finish) = (std::mem::take(&mut self.spent), self.model.take(), self.finish);
        Noted { spent, model, finish, read: self.read, complete: self.complete, ..Noted::default() }
    }
}

impl ReplyGuard {
    pub(super) fn new(
        policy: &Arc<Policy>,
        route: RouteIndex,
        (of, guards): (&[RoleIndex], &[GuardIndex]),
        masker: Masker,
        vault: Vault,
        strips_usage: bool,
        canary: Option<Planted>,
    ) -> ReplyGuard {
        let roles = || of.iter().filter_map(|role| policy.role_at(*role));
        let tools = roles().flat_map(|role| role.tools.iter().cloned()).collect();
        ReplyGuard {
            policy: Arc::clone(policy),
            route,
            guards: guards.to_vec(),
            tools,
            rehearses_tools: roles().any(|role| role.mode == Mode::Shadow),
            masker,
            vault,
            restored: Vec::new(),
            canary,
            trail: Watch::default(),
            echoes: echoes::Echoes::default(),
            clean: BTreeSet::new(),
            is_page: false,
            strips_usage,
            told: opinions::Told::default(),
            listed: None,
            tenant: None,
            is_paid: false,
            is_guess: false,
            is_gzip: false,
            ahead: None,
            asked: Asked::default(),
            model: String::new(),
            most_output: None,
        }
    }

    /// One guard more judges the reply.
    pub(super) fn also(&mut self, guard: Option<GuardIndex>) {
        self.guards.extend(guard.filter(|more| !self.guards.contains(more)));
    }

    /// A stream that goes on beyond its cap ends here. Servers count a few tokens more than they write, and an
    /// estimate may be off by half: both get that much room.
    fn within_cap(&self, spent: &Spent) -> Result<(), Reason> {
        let Some(most) = self.most_output else { return Ok(()) };
        let told = spent.usage.output.is_some_and(|output| output > most.saturating_add(16));
        let counted = spent.written.tokens() > most.saturating_mul(2).saturating_add(64);
        if told || counted { Err(Reason::ReplyTokens) } else { Ok(()) }
    }

    fn route(&self) -> Option<&RoutePolicy> {
        self.policy.route_at(self.route)
    }

    /// What the request was for.
    pub(super) fn operation(&self) -> Option<Operation> {
        self.route().map(|route| route.operation)
    }

    /// The reply is of a server of tools.
    pub(super) fn is_of_tools(&self) -> bool {
        self.route().is_some_and(|route| route.protocol.serves_tools())
    }

    /// The same guard, of a page about an error.
    pub(super) fn of_page(self) -> ReplyGuard {
        ReplyGuard { is_page: true, ..self }
    }

    /// A whole reply that replaces one that is refused under the upstream's own status: one that a content
    /// filter has ended. `None`: the operation has none.
    pub(super) fn withheld(&self, told: &Told<'_>, now: Timestamp) -> Option<Vec<u8>> {
        let route = self.route()?;
        route.protocol.withheld(route.operation, told, &self.model, now)
    }

    /// The reply is a file, of whatever type.
    pub(super) fn is_of_file(&self) -> bool {
        self.route().is_some_and(|route| route.protocol.reply(route.operation).is_file())
    }

    /// The reply is a list, of which the caller gets what is its own.
    pub(super) fn is_list(&self) -> bool {
        self.listed.is_some()
    }

    /// What the headers tell of the reply's cost.
    pub(super) fn usage_of(&self, headers: Headers<'_>) -> Usage {
        self.route().map_or_else(Usage::default, |route| route.protocol.usage_of(&mut headers.iter()))
    }

    fn may_call(&self, call: &ToolCall) -> bool {
        self.tools.iter().any(|glob| glob.matches(&call.name))
    }

    /// What was not scanned is recorded, and the policy decides.
    fn unscanned(&self, parts: &ReplyParts, noted: &mut Noted) -> Result<(), Reason> {
        parts.unscanned.iter().try_for_each(|(kind, _)| leave_unread(&self.policy, *kind, noted))
    }

    /// Judges a whole reply; `None`: it goes on as it came.
    ///
    /// # Errors
    /// Why it can't go on.
    pub(super) fn whole(&mut self, body: &[u8], now: Timestamp, noted: &mut Noted) -> Result<Option<Vec<u8>>, Reason> {
        let policy = Arc::clone(&self.policy);
        noted.read = true;
        if self.is_page {
            return self.page(body, now, noted);
        }
        let (mut json, parts, shortens) = self.read(body)?;
        let route = policy.route_at(self.route).ok_or(Reason::Internal)?;
        noted.complete = true;
        noted.finish.add(parts.finish);
        if policy.unscanned.knows_owners() || route.tenancy.is_some() {
            noted.stored.extend(route.protocol.kept(route.operation, &json));
        }
        if !self.is_paid {
            noted.spent.add(Spent { usage: parts.usage.unwrap_or_default(), written: written(&json, &parts, None) });
        }
        if policy.wants_answering_model() {
            noted.model = model_of(&json);
        }
        self.unscanned(&parts, noted)?;
        let denied = self.denied(&json, &parts, noted)?.into_iter().map(|call| call.path);
        let mut denied: BTreeSet<Path> = sorted::set(denied);
        let hidden = self.hidden(&json, &parts);
        let shown = |one: &ReplyText| hidden.holding(&one.path).is_none();
        let mut attacks = self.attacks(&json, &parts, now, noted)?;
        self.remove_told(&mut attacks.left);
        denied.extend(attacks.definitions.iter().filter_map(|at| Some(parts.calls.get(*at)?.path.clone())));
        let tools = restore::Tools::of(&parts);
        let tool = |channel: &Channel| tools.of_channel(channel);
        let mut changed = self.fixed_texts(&mut json, &parts, &shown, &attacks.left, &tool, now, noted)?;
        changed |= self.judge_echoes(&mut json, &parts, now, noted)?;
        changed |= shortens;
        if !denied.is_empty() {
            let is_denied = |call: &ToolCall| denied.contains(&call.path);
            route.protocol.remove_calls(route.operation, &mut json, &parts.calls, &is_denied, NOTICE);
            noted.masked += 1;
            if route.protocol.reply_zone() == Some(Zone::Document) {
                let gone = parts.calls.iter().filter(|call| is_denied(call));
                noted.chunks = sorted::set(gone.map(|call| (call.choice, call.item))).len() as u64;
            }
            changed = true;
        }
        Ok(changed.then(|| json.to_bytes()))
    }

    /// Reads a whole reply: of a list only what is the caller's own, and whether that is less.
    fn read<'b>(&self, body: &'b [u8]) -> Result<(Json<'b>, ReplyParts, bool), Reason> {
        // RFC 8259 section 8.1: a parser may ignore a byte order mark.
        let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
        let depth = self.policy.limits.max_json_depth;
        let mut json = Json::parse_reply(body, depth).map_err(|_| Reason::ReplyUnreadable)?;
        let route = self.policy.route_at(self.route).ok_or(Reason::Internal)?;
        route.protocol.check_reply(route.operation, &json, self.asked)?;
        route.protocol.join(route.operation, &mut json);
        let own = self.listed.as_ref();
        let shortens = own.is_some_and(|own| route.protocol.retain(route.operation, &mut json, &|id| own.holds(id)));
        let confines = |tenant: &String| route.protocol.confine_reply(route.operation, &mut json, tenant);
        let shortens = self.tenant.as_ref().is_some_and(confines) || shortens;
        let parts = route.protocol.read_reply(route.operation, &json);
        Ok((json, parts, shortens))
    }

    /// What a list does not show to this role is nobody's text.
    fn hidden(&self, json: &Json<'_>, parts: &ReplyParts) -> Places<()> {
        if !self.is_of_tools() {
            return Places::default();
        }
        let denied = self.denied(json, parts, &mut Noted::default()).unwrap_or_default();
        denied.into_iter().map(|call| (call.path, ())).collect()
    }

    /// Of what outside judges want cut out a notice is left. So it is of a text that they mark and that is cut already:
    /// the places of the marks are others in what is left.
    fn remove_told(&self, left: &mut Places<String>) {
        for path in &self.told.removed {
            left.insert(path.clone(), NOTICE.to_owned());
        }
        for path in self.told.marks.keys() {
            if let Some(text) = left.get_mut(path) {
                NOTICE.clone_into(text);
            }
        }
    }

    /// The whole reply is judged once more: what is known of its texts comes from the first time.
    fn forget(&mut self) {
        self.trail = Watch::default();
        self.echoes = echoes::Echoes::default();
        self.clean.clear();
    }

    /// Judges a page about an error. Bytes that are no UTF-8 are read as U+FFFD.
    fn page(&mut self, body: &[u8], now: Timestamp, noted: &mut Noted) -> Result<Option<Vec<u8>>, Reason> {
        let policy = Arc::clone(&self.policy);
        let route = policy.route_at(self.route).ok_or(Reason::Internal)?;
        let mut page = Json::String(String::from_utf8_lossy(body));
        let parts = route.protocol.read_reply(route.operation, &page);
        let mut attacks = self.attacks(&page, &parts, now, noted)?;
        self.remove_told(&mut attacks.left);
        let changed = self.fixed_texts(&mut page, &parts, &|_| true, &attacks.left, &|_| None, now, noted)?;
        noted.complete = true;
        Ok(page.as_str().filter(|_| changed).map(|text| text.as_bytes().to_vec()))
    }

    /// Where the system prompt's token is in each of these texts. The answer's own are one text: the token may be
    /// parted between them.
    fn watch(&mut self, json: &Json<'_>, parts: &ReplyParts, picks: &dyn Fn(&ReplyText) -> bool) -> Vec<Watch> {
        let Some(Planted { canary, .. }) = &self.canary else { return Vec::new() };
        let mut answer = self.trail.carried();
        let mut watches: Vec<(Watch, Option<std::ops::Range<usize>>)> = Vec::new();
        let mut length = 0;
        for one in parts.texts.iter().filter(|one| picks(one)) {
            let text = text_of(json, one).unwrap_or_default();
            let mut own = Watch::default();
            if one.is_key || one.channel.kind == TextKind::Other {
                own.feed(canary, text, 0);
                watches.push((own, None));
            } else {
                answer.feed(canary, text, length);
                watches.push((own, Some(length..length + text.len())));
                length += text.len();
            }
        }
        self.trail = answer.carried();
        let part = |whole: &std::ops::Range<usize>| {
            let inside = |span: &std::ops::Range<usize>| span.start < whole.end && span.end > whole.start;
            let found = answer.found().iter().filter(|span| inside(span));
            Watch::ended(
                found
                    .map(|span| {
                        span.start.max(whole.start) - whole.start..span.end.min(whole.end).saturating_sub(whole.start)
                    })
                    .collect(),
            )
        };
        watches.into_iter().map(|(own, whole)| whole.map_or(own, |whole| part(&whole))).collect()
    }

    /// Judges and changes the texts of `json` that are whole and that `picks` picks. Of a text in `cuts` only what is
    /// there goes on: what was cut out is judged all the same, so that a finding in it is recorded and may refuse.
    /// `tool` knows which tool a channel of arguments is for.
    #[expect(clippy::too_many_arguments, reason = "one pass over one message")]
    fn fixed_texts(
        &mut self,
        json: &mut Json<'_>,
        parts: &ReplyParts,
        picks: &dyn Fn(&ReplyText) -> bool,
        cuts: &Places<String>,
        tool: &dyn Fn(&Channel) -> Option<String>,
        now: Timestamp,
        noted: &mut Noted,
    ) -> Result<bool, Reason> {
        let policy = Arc::clone(&self.policy);
        let route = policy.route_at(self.route).ok_or(Reason::Internal)?;
        let mut changed = false;
        let mut renamed = BTreeSet::new();
        let mut watches = self.watch(json, parts, picks).into_iter();
        let ahead = self.ahead.clone();
        let active_of = |text: &str| ahead.as_ref().and_then(|ahead| ahead.active(text));
        let read_of = |text: &str| active_of(text).unwrap_or_else(|| ActiveWatch::of(text).into());
        let calls = if self.restored.is_empty() { Places::default() } else { restore::places(parts) };
        for one in parts.texts.iter().filter(|one| picks(one)) {
            let watch = watches.next();
            let Some(text) = told(json, one)? else { continue };
            let cut = cuts.get(&one.path).filter(|_| !one.is_key);
            let repeats = one.channel.kind == TextKind::Other && !one.is_key && text.len() <= MAX_NAME;
            let marks = self.told.marks.get(&one.path).filter(|_| !one.is_key).map(Vec::as_slice).unwrap_or_default();
            if repeats && cut.is_none() && marks.is_empty() && self.clean.contains(text) {
                continue;
            }
            // There may be a million texts in which nothing was found, and which nothing is put into.
            let is_plain = cut.is_none() && marks.is_empty() && self.vault.is_empty();
            let leaks = watch.as_ref().is_some_and(|watch| !watch.found().is_empty());
            if is_plain && !leaks && ahead.as_ref().is_some_and(|ahead| ahead.is_plain(text)) {
                continue;
            }
            let pointer = json.pointer(&one.path, &|key| route.protocol.knows_key(key));
            // A name in a record is cut like any text: one record must not withhold the others.
            let is_fixed = one.is_key && route.protocol.reply_zone() != Some(Zone::Document);
            let detector = |active| {
                let of = one.channel.kind;
                let mut rules = reply_rules(&policy, self.route, &self.guards, now);
                rules.ahead = ahead.as_deref();
                let mut judge = Detector::new(rules, of, is_fixed, &pointer).with_active(active);
                judge.loads_nothing |= self.is_page;
                judge
            };
            let active = read_of(cut.map_or(text, String::as_str));
            let mut judge = detector(&active).with_marks(if cut.is_some() { &[] } else { marks });
            let mut rest = Notes::default();
            if cut.is_some() {
                let active = read_of(text);
                let mut whole = detector(&active);
                whole.detect(text, 0);
                finish(whole, &policy, noted)?;
            } else if let (Some(Planted { canary, .. }), Some(watch)) = (&self.canary, &watch) {
                judge = judge.with_leaks(canary, watch);
            }
            let mut stream = TextStream::default();
            let range = stream.push(cut.map_or(text, String::as_str));
            let mut restorer = Restorer::new(self.destination(json, &calls, one, tool(&one.channel).as_deref()));
            let restoring = Restoring { vault: &self.vault, restorer: &mut restorer, closed: active.addresses() };
            let edits = stream.advance(true, &mut self.masker, Some(restoring), &mut |text, at| judge.detect(text, at));
            let is_incomplete = judge.is_incomplete();
            let found = judge.finish(if cut.is_some() { &mut rest } else { &mut noted.notes })?;
            if is_incomplete {
                leave_unread(&policy, UnscannedKind::Budget, noted)?;
            }
            noted.notes.add_of_rest(rest, &pointer);
            if repeats && !found && edits == 0 && cut.is_none() && self.clean.len() < MAX_NAMES {
                self.clean.insert(text.to_owned());
            }
            noted.masked += edits as u64 + u64::from(cut.is_some());
            let masked = if edits > 0 { stream.render(&range) } else { None };
            if let Some(new) = masked.or_else(|| cut.cloned()) {
                if one.is_key {
                    renamed.extend(json.rename(&one.path, new));
                    changed = true;
                } else if let Some(Json::String(place)) = json.at_mut(&one.path) {
                    *place = new.into();
                    changed = true;
                }
            }
        }
        renamed.iter().for_each(|holder| json.distinct(holder));
        if changed {
            for path in &parts.echoes {
                if let Some(place) = json.at_mut(path) {
                    *place = Json::Null;
                }
            }
        } else if let Some(planted) = &self.canary {
            changed = planted.hide(json, &parts.echoes);
        }
        Ok(changed)
    }
}

/// Content of this kind was not scanned: it is recorded, and the policy decides.
///
/// # Errors
/// [`Reason::ReplyUnreadable`] where it says deny.
fn leave_unread(policy: &Policy, kind: UnscannedKind, noted: &mut Noted) -> Result<(), Reason> {
    if !noted.unscanned.contains(&kind) {
        noted.unscanned.push(kind);
    }
    if policy.unscanned.action(kind) == UnscannedAction::Deny { Err(Reason::ReplyUnreadable) } else { Ok(()) }
}

/// Notes what was found in a text, and that it was not scanned whole.
///
/// # Errors
/// Why the text can't go on.
fn finish(judge: Detector<'_>, policy: &Policy, noted: &mut Noted) -> Result<bool, Reason> {
    let is_incomplete = judge.is_incomplete();
    let found = judge.finish(&mut noted.notes)?;
    if is_incomplete {
        leave_unread(policy, UnscannedKind::Budget, noted)?;
    }
    Ok(found)
}

/// What the texts of a reply on this route are judged by.
fn reply_rules<'p>(policy: &'p Policy, route: RouteIndex, guards: &[GuardIndex], now: Timestamp) -> ReplyRules<'p> {
    let guards = guards.iter().filter_map(|index| policy.guard(*index)).collect();
    ReplyRules { scanner: &policy.scanner, budget: policy.limits.budget(), guards, route, now, ahead: None }
}

/// A text of a reply.
fn text_of<'j>(json: &'j Json<'_>, one: &ReplyText) -> Option<&'j str> {
    if one.is_key { json.key_at(&one.path) } else { json.at(&one.path).and_then(Json::as_str) }
}

/// A text that says something; `None`: it is empty, or a place that repeats a changed text and was made null.
///
/// # Errors
/// [`Reason::ReplyUnreadable`] where no text is, which cannot happen: it would go on unread.
fn told<'j>(json: &'j Json<'_>, one: &ReplyText) -> Result<Option<&'j str>, Reason> {
    match text_of(json, one) {
        Some(text) => Ok(Some(text).filter(|text| !text.is_empty())),
        None if !one.is_key && matches!(json.at(&one.path), Some(Json::Null)) => Ok(None),
        None => {
            debug_assert!(false, "a place of a reply without its text");
            Err(Reason::ReplyUnreadable)
        }
    }
}

/// How many bytes of a text an event repeats.
type Repeated<'r> = &'r dyn Fn(&ReplyText, &str) -> usize;

/// The model's own text, counted. In a stream a text that is whole repeats what came before, and others may begin so.
fn written(json: &Json<'_>, parts: &ReplyParts, stream: Option<Repeated<'_>>) -> Estimate {
    let mut written = Estimate::default();
    for one in parts.texts.iter().filter(|one| !one.is_key && one.channel.kind != TextKind::Other) {
        let text = json.at(&one.path).and_then(Json::as_str).unwrap_or_default();
        match stream {
            None => written.push(text),
            Some(repeated) if one.delta => written.push(text.get(repeated(one, text)..).unwrap_or(text)),
            Some(_) => {}
        }
    }
    written
}
