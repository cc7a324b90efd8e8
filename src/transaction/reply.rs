//! The guard of one reply: what must not leave is masked or cut out, or the reply is refused.
//!
//! A whole reply is judged at once. Of a stream every event waits until all its texts are certain (see
//! [`crate::redact::TextStream`]): it goes on byte for byte as it came, or with what was found in it
//! changed. A refusal in the middle ends the stream in the protocol's own words.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::audit::{FindingEntry, Record};
use crate::config::document::{Mode, OutputAction};
use crate::config::{GuardPolicy, Policy, RouteIndex, RoutePolicy};
use crate::glob::Glob;
use crate::host::Timestamp;
use crate::protocol::frames::{Frame, Frames};
use crate::protocol::reply::{Channel, Progress, ReplyParts, Stream, TextKind, ToolCall};
use crate::protocol::{Json, Path, UnscannedKind};
use crate::reason::Reason;
use crate::redact::{
    ActiveKind, Destination, Detected, MAX_HELD, Masker, Restorer, Restoring, TextStream, Vault, active,
};
use crate::scan::verdict::{NOTICE, judge_reply};
use crate::scan::{Budget, Text};

/// What takes the place of an image, a link or a tag.
const REMOVED: &str = "[removed]";
/// More channels than this are no reply.
const MAX_CHANNELS: usize = 512;

/// What a reply is judged by, and what the request's masks were.
#[derive(Debug)]
pub(super) struct ReplyGuard {
    policy: Arc<Policy>,
    route: RouteIndex,
    guards: Vec<usize>,
    /// Tools that the model may call; `None`: any, because a role is in shadow mode.
    tools: Option<Vec<Glob>>,
    masker: Masker,
    vault: Vault,
}

/// What became of a reply, for the record.
#[derive(Debug, Default)]
pub(super) struct Noted {
    findings: Vec<FindingEntry>,
    shadow: Vec<Reason>,
    unscanned: Vec<UnscannedKind>,
    masked: u64,
    usage: Option<crate::protocol::reply::Usage>,
}

impl Noted {
    /// Changes so far.
    pub(super) fn masked(&self) -> u64 {
        self.masked
    }

    /// Takes the notes over into the record.
    pub(super) fn write(self, record: &mut Record) {
        self.findings.into_iter().for_each(|entry| record.finding(entry));
        record.shadow.extend(self.shadow.iter().map(|reason| reason.code()));
        record.shadow.dedup();
        record.masked += self.masked;
        for kind in self.unscanned {
            if !record.unscanned.contains(&kind.name()) {
                record.unscanned.push(kind.name());
            }
            record.coverage = Some("partial");
        }
        if let Some(usage) = self.usage {
            record.input_tokens = Some(usage.input);
            record.output_tokens = Some(usage.output);
        }
    }
}

impl ReplyGuard {
    pub(super) fn new(
        policy: &Arc<Policy>,
        route: RouteIndex,
        roles: &[crate::authn::RoleIndex],
        masker: Masker,
        vault: Vault,
    ) -> ReplyGuard {
        let roles = || roles.iter().filter_map(|role| policy.role_at(*role));
        let mut guards: Vec<usize> = roles().map(|role| usize::from(role.guard.0)).collect();
        guards.sort_unstable();
        guards.dedup();
        let shadow = roles().any(|role| role.mode == Mode::Shadow);
        let tools = (!shadow).then(|| roles().flat_map(|role| role.tools.iter().cloned()).collect());
        ReplyGuard { policy: Arc::clone(policy), route, guards, tools, masker, vault }
    }

    fn route(&self) -> Option<&RoutePolicy> {
        self.policy.route_at(self.route)
    }

    fn may_call(&self, call: &ToolCall) -> bool {
        self.tools.as_ref().is_none_or(|tools| tools.iter().any(|glob| glob.matches(&call.name)))
    }

    /// What was not scanned is recorded, and the policy decides.
    fn unscanned(&self, parts: &ReplyParts, noted: &mut Noted) -> Result<(), Reason> {
        use crate::config::document::UnscannedAction;
        for (kind, _) in &parts.unscanned {
            if !noted.unscanned.contains(kind) {
                noted.unscanned.push(*kind);
            }
            if self.policy.unscanned.action(*kind) == UnscannedAction::Deny {
                return Err(Reason::ReplyUnreadable);
            }
        }
        Ok(())
    }

    /// Judges a whole reply; `None`: it goes on as it came.
    ///
    /// # Errors
    /// Why it can't go on.
    pub(super) fn whole(&mut self, body: &[u8], now: Timestamp, noted: &mut Noted) -> Result<Option<Vec<u8>>, Reason> {
        let policy = Arc::clone(&self.policy);
        let mut json = Json::parse(body, policy.limits.max_json_depth).map_err(|_| Reason::ReplyUnreadable)?;
        let route = policy.route_at(self.route).ok_or(Reason::Internal)?;
        let parts = route.protocol.read_reply(route.operation, &json);
        noted.usage = parts.usage;
        self.unscanned(&parts, noted)?;
        let mut changed = self.fixed_texts(&mut json, &parts, &|_| true, now, noted)?;
        if parts.calls.iter().any(|call| !self.may_call(call)) {
            let denied = |call: &ToolCall| !self.may_call(call);
            route.protocol.remove_calls(route.operation, &mut json, &parts.calls, &denied, NOTICE);
            noted.masked += 1;
            changed = true;
        }
        Ok(changed.then(|| json.to_bytes()))
    }

    /// Judges and changes the texts of `json` that are whole and that `picks` picks.
    fn fixed_texts(
        &mut self,
        json: &mut Json<'_>,
        parts: &ReplyParts,
        picks: &dyn Fn(&crate::protocol::reply::ReplyText) -> bool,
        now: Timestamp,
        noted: &mut Noted,
    ) -> Result<bool, Reason> {
        let policy = Arc::clone(&self.policy);
        let route = policy.route_at(self.route).ok_or(Reason::Internal)?;
        let mut changed = false;
        for one in parts.texts.iter().filter(|one| picks(one)) {
            let text = if one.is_key { json.key_at(&one.path) } else { json.at(&one.path).and_then(Json::as_str) };
            let Some(text) = text.filter(|text| !text.is_empty()) else { continue };
            let pointer = json.pointer(&one.path, &|key| route.protocol.knows_key(key));
            let mut stream = TextStream::default();
            let range = stream.push(text);
            let mut restorer = Restorer::new(destination(one.channel.kind));
            let mut judge =
                Detector::new(&policy, self.route, &self.guards, one.channel.kind, one.is_key, &pointer, now);
            let restoring = Restoring { vault: &self.vault, restorer: &mut restorer };
            let edits = stream.settle(true, &mut self.masker, Some(restoring), &mut |text, at| judge.detect(text, at));
            judge.finish(noted)?;
            if edits > 0
                && let Some(new) = stream.render(&range)
            {
                noted.masked += edits as u64;
                if let Some(Json::String(place)) = json.at_mut(&one.path) {
                    *place = new.into();
                    changed = true;
                }
            }
        }
        if changed {
            for path in &parts.echoes {
                if let Some(place) = json.at_mut(path) {
                    *place = Json::Null;
                }
            }
        }
        Ok(changed)
    }
}

/// Only what the caller reads gets its values back.
fn destination(kind: TextKind) -> Destination {
    match kind {
        TextKind::ToolArguments => Destination::Tool { named: false },
        _ => Destination::Reply,
    }
}

/// Finds what must not leave in one text.
struct Detector<'a> {
    policy: &'a Policy,
    route: RouteIndex,
    guards: Vec<&'a GuardPolicy>,
    kind: TextKind,
    is_key: bool,
    path: &'a str,
    now: Timestamp,
    denial: Option<Reason>,
    findings: Vec<FindingEntry>,
    shadow: Vec<Reason>,
}

impl<'a> Detector<'a> {
    fn new(
        policy: &'a Policy,
        route: RouteIndex,
        guards: &[usize],
        kind: TextKind,
        is_key: bool,
        path: &'a str,
        now: Timestamp,
    ) -> Detector<'a> {
        let guards = guards.iter().filter_map(|index| policy.guards.get(*index)).collect();
        Detector {
            policy,
            route,
            guards,
            kind,
            is_key,
            path,
            now,
            denial: None,
            findings: Vec::new(),
            shadow: Vec::new(),
        }
    }

    /// `at` is where the text stands in the whole.
    fn detect(&mut self, text: &str, at: usize) -> Detected {
        let policy = self.policy;
        let budget = Budget { scan_bytes: text.len(), decoded_bytes: policy.limits.max_decoded_bytes };
        let zone = crate::config::document::Zone::Assistant;
        let mut report = policy.scanner.scan_data(&[Text { zone, text }], budget);
        let report = report.texts.pop().unwrap_or_default();
        let (targets, judgement) =
            judge_reply(&policy.scanner, &self.guards, self.route, report, self.is_key, self.now);
        self.denial = self.denial.or(judgement.denial);
        self.shadow.extend(judgement.shadow);
        for judged in judgement.findings {
            let Some(card) = policy.scanner.cards().get(usize::from(judged.finding.rule.0)) else { continue };
            let span = judged.finding.span.start + at..judged.finding.span.end + at;
            self.note(&card.id, span, judged.finding.chain, judged.action);
        }
        let replaced = self.active(text, at);
        Detected { targets, replaced }
    }

    /// Images, links and HTML: the strictest of the guards decides.
    fn active(&mut self, text: &str, at: usize) -> Vec<(std::ops::Range<usize>, &'static str)> {
        if self.kind == TextKind::ToolArguments {
            // Addresses are what many tools are called with; which tools may be called is decided elsewhere.
            return Vec::new();
        }
        let mut replaced = Vec::new();
        let guards = self.guards.clone();
        for guard in guards {
            for found in active(text, &guard.output.allow_hosts) {
                let (rule, action) = match found.kind {
                    ActiveKind::Exfiltration => ("output.exfiltration", guard.output.exfiltration),
                    ActiveKind::Script => ("output.script", guard.output.script),
                };
                let span = found.span.start + at..found.span.end + at;
                let word = match action {
                    OutputAction::Flag => "flag",
                    _ if guard.mode == Mode::Shadow => {
                        self.shadow.push(Reason::ScanOutput);
                        "shadow"
                    }
                    OutputAction::Remove if !self.is_key => {
                        replaced.push((found.span, REMOVED));
                        "replace"
                    }
                    OutputAction::Remove | OutputAction::Block => {
                        self.denial = self.denial.or(Some(Reason::ScanOutput));
                        "block"
                    }
                };
                self.note(rule, span, Vec::new(), word);
            }
        }
        replaced
    }

    fn note(&mut self, rule: &str, span: std::ops::Range<usize>, transforms: Vec<&'static str>, action: &'static str) {
        self.findings.push(FindingEntry {
            rule: rule.to_owned(),
            zone: "reply",
            path: self.path.to_owned(),
            start: span.start,
            end: span.end,
            transforms,
            action,
        });
    }

    fn finish(self, noted: &mut Noted) -> Result<(), Reason> {
        for finding in self.findings {
            // A stream's text is looked at piece by piece, each with what came before it.
            let known = noted.findings.iter().any(|other| {
                (other.rule.as_str(), other.start, other.path.as_str())
                    == (finding.rule.as_str(), finding.start, finding.path.as_str())
            });
            if !known {
                noted.findings.push(finding);
            }
        }
        for reason in self.shadow {
            if !noted.shadow.contains(&reason) {
                noted.shadow.push(reason);
            }
        }
        self.denial.map_or(Ok(()), Err)
    }
}

/// The guard of one stream.
#[derive(Debug)]
pub(super) struct StreamGuard {
    guard: ReplyGuard,
    frames: Option<Frames>,
    stream: Stream,
    channels: BTreeMap<Channel, ChannelText>,
    queue: VecDeque<Queued>,
    queued_bytes: usize,
}

#[derive(Debug)]
struct ChannelText {
    text: TextStream,
    restorer: Restorer,
    path: String,
}

/// One event that waits.
#[derive(Debug)]
struct Queued {
    frame: Frame,
    /// Its data, where something in it that is whole was changed already.
    fixed: Option<Vec<u8>>,
    /// Its texts that go on in other events.
    pieces: Vec<(Channel, std::ops::Range<usize>, Path)>,
    echoes: Vec<Path>,
    progress: Progress,
}

impl StreamGuard {
    pub(super) fn new(guard: ReplyGuard) -> Option<StreamGuard> {
        let route = guard.route()?;
        let stream = route.protocol.stream(route.operation);
        let frames = Frames::new(stream.framing(), guard.policy.limits.max_response_bytes);
        Some(StreamGuard {
            guard,
            frames: Some(frames),
            stream,
            channels: BTreeMap::new(),
            queue: VecDeque::new(),
            queued_bytes: 0,
        })
    }

    /// Takes the next bytes and gives what may go on.
    ///
    /// # Errors
    /// Why the stream ends here. What may still go on is in `out`: it ends with the protocol's own closing words.
    pub(super) fn push(
        &mut self,
        chunk: &[u8],
        end: bool,
        now: Timestamp,
        noted: &mut Noted,
        out: &mut Vec<u8>,
    ) -> Result<(), Reason> {
        let done = self.take(chunk, end, now, noted, out);
        if done.is_err() {
            out.extend(self.stream.close());
            self.queue.clear();
            self.frames = None;
        }
        done
    }

    fn take(
        &mut self,
        chunk: &[u8],
        end: bool,
        now: Timestamp,
        noted: &mut Noted,
        out: &mut Vec<u8>,
    ) -> Result<(), Reason> {
        let Some(frames) = &mut self.frames else { return Ok(()) };
        let mut whole = Vec::new();
        let too_long = frames.push(chunk, &mut whole).is_err();
        for frame in whole {
            self.event(frame, now, noted)?;
            self.release(noted, out)?;
        }
        if too_long || self.queued_bytes > self.guard.policy.limits.max_response_bytes {
            return Err(Reason::ReplyTooLarge);
        }
        if end {
            if let Some(frame) = self.frames.take().and_then(Frames::finish) {
                self.event(frame, now, noted)?;
            }
            self.settle(&|_| true, true, now, noted)?;
            self.release(noted, out)?;
        }
        Ok(())
    }

    fn event(&mut self, frame: Frame, now: Timestamp, noted: &mut Noted) -> Result<(), Reason> {
        let policy = Arc::clone(&self.guard.policy);
        let data = frame.data().map(std::borrow::Cow::into_owned);
        let Some(data) = data.filter(|data| !data.trim_ascii().is_empty()) else {
            self.enqueue(frame, None, Vec::new(), Vec::new());
            return Ok(());
        };
        if self.stream.is_terminator(&data) {
            self.settle(&|_| true, true, now, noted)?;
            self.enqueue(frame, None, Vec::new(), Vec::new());
            return Ok(());
        }
        let mut json = Json::parse(&data, policy.limits.max_json_depth).map_err(|_| Reason::ReplyUnreadable)?;
        let mut parts = self.stream.read(frame.event(), &json);
        noted.usage = parts.usage.or(noted.usage);
        self.guard.unscanned(&parts, noted)?;
        for call in parts.calls.iter().filter(|call| call.named) {
            if !self.guard.may_call(call) {
                self.stream.deny(call);
                noted.masked += 1;
            }
        }
        let mut changed = false;
        if let Some(left) = self.stream.prune(&mut json, &parts, NOTICE) {
            parts = left;
            changed = true;
        }
        changed |= self.guard.fixed_texts(&mut json, &parts, &|one| !one.delta || one.is_key, now, noted)?;
        let mut pieces = Vec::new();
        for one in parts.texts.iter().filter(|one| one.delta && !one.is_key) {
            let Some(text) = json.at(&one.path).and_then(Json::as_str) else { continue };
            if self.channels.len() >= MAX_CHANNELS && !self.channels.contains_key(&one.channel) {
                return Err(Reason::ReplyTooLarge);
            }
            let route = self.guard.route().ok_or(Reason::Internal)?;
            let channel = self.channels.entry(one.channel).or_insert_with(|| ChannelText {
                text: TextStream::default(),
                restorer: Restorer::new(destination(one.channel.kind)),
                path: json.pointer(&one.path, &|key| route.protocol.knows_key(key)),
            });
            pieces.push((one.channel, channel.text.push(text), one.path.clone()));
        }
        let fixed = changed.then(|| json.to_bytes());
        self.settle(&|channel| parts.texts.iter().any(|one| one.channel == *channel), false, now, noted)?;
        self.settle(&|channel| parts.ends.iter().any(|end| end.covers(channel)), true, now, noted)?;
        self.enqueue(frame, fixed, pieces, parts.echoes);
        Ok(())
    }

    fn enqueue(
        &mut self,
        frame: Frame,
        fixed: Option<Vec<u8>>,
        pieces: Vec<(Channel, std::ops::Range<usize>, Path)>,
        echoes: Vec<Path>,
    ) {
        self.queued_bytes += frame.raw().len();
        self.queue.push_back(Queued { frame, fixed, pieces, echoes, progress: self.stream.progress() });
    }

    /// Looks at what is new in these channels.
    fn settle(
        &mut self,
        picks: &dyn Fn(&Channel) -> bool,
        ended: bool,
        now: Timestamp,
        noted: &mut Noted,
    ) -> Result<(), Reason> {
        let ReplyGuard { policy, route, guards, masker, vault, .. } = &mut self.guard;
        for (channel, state) in self.channels.iter_mut().filter(|(channel, _)| picks(channel)) {
            let mut judge = Detector::new(policy, *route, guards, channel.kind, false, &state.path, now);
            let restoring = Restoring { vault, restorer: &mut state.restorer };
            let edits = state.text.settle(ended, masker, Some(restoring), &mut |text, at| judge.detect(text, at));
            judge.finish(noted)?;
            noted.masked += edits as u64;
        }
        Ok(())
    }

    /// Lets the events go whose texts are certain, in their order.
    fn release(&mut self, noted: &mut Noted, out: &mut Vec<u8>) -> Result<(), Reason> {
        let _ = noted;
        while let Some(first) = self.queue.front() {
            let certain = |(channel, range, _): &(Channel, std::ops::Range<usize>, Path)| {
                self.channels.get(channel).is_none_or(|state| range.end <= state.text.certain())
            };
            if !first.pieces.iter().all(certain) {
                break;
            }
            let Some(queued) = self.queue.pop_front() else { break };
            self.queued_bytes = self.queued_bytes.saturating_sub(queued.frame.raw().len());
            self.write(&queued, out)?;
            for (channel, range, _) in &queued.pieces {
                if let Some(state) = self.channels.get_mut(channel) {
                    state.text.forget(range.end);
                }
            }
            self.stream.sent(queued.progress);
        }
        Ok(())
    }

    fn write(&self, queued: &Queued, out: &mut Vec<u8>) -> Result<(), Reason> {
        let new: Vec<(&Path, String)> = (queued.pieces.iter())
            .filter_map(|(channel, range, path)| Some((path, self.channels.get(channel)?.text.render(range)?)))
            .collect();
        if new.is_empty() {
            match &queued.fixed {
                Some(data) => out.extend(queued.frame.with_data(data)),
                None => out.extend_from_slice(queued.frame.raw()),
            }
            return Ok(());
        }
        let data = match &queued.fixed {
            Some(data) => std::borrow::Cow::Borrowed(data.as_slice()),
            None => queued.frame.data().unwrap_or_default(),
        };
        let depth = self.guard.policy.limits.max_json_depth;
        let mut json = Json::parse(&data, depth).map_err(|_| Reason::ReplyUnreadable)?;
        for (path, text) in new {
            if let Some(Json::String(place)) = json.at_mut(path) {
                *place = text.into();
            }
        }
        for path in &queued.echoes {
            if let Some(place) = json.at_mut(path) {
                *place = Json::Null;
            }
        }
        out.extend(queued.frame.with_data(&json.to_bytes()));
        Ok(())
    }

    /// Bytes that wait for what comes.
    pub(super) fn held(&self) -> usize {
        self.queued_bytes + self.frames.as_ref().map_or(0, Frames::held)
    }
}

const _: () = assert!(MAX_HELD < 1 << 20, "a stream's hold-back is bounded far below a reply's limit");
