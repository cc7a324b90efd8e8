//! The guard of one stream: an event goes on when all its texts are certain.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use super::super::gzip::Gzip;
use super::super::teller::Teller;
use super::alike::Alike;
use super::gate::{Before, Gate};
use super::running::{ChannelText, Running};
use super::{Detector, Noted, ReplyGuard, finish, leave_unread, reply_rules, told, written};
use crate::enums::Zone;
use crate::estimate::Estimate;
use crate::guard::NOTICE;
use crate::host::Timestamp;
use crate::protocol::Session;
use crate::protocol::frames::{Frame, Frames};
use crate::protocol::reply::{Asked, Channel, End, Progress, ReplyParts, ReplyText, Spent, Stream, TextKind, model_of};
use crate::protocol::{Finish, Json, Path, Places, Told, UnscannedKind};
use crate::reason::{Denial, Reason};
use crate::redact::{ActiveWatch, MAX_HELD, Restorer, Restoring, TextStream, Watch};
use crate::route::{RoutePolicy, ServerPart};
use crate::scan::{Budget, Calm, Text};
use crate::sorted;

/// More running texts than this at a time are no reply.
const MAX_CHANNELS: usize = 512;
/// What nothing is known of does not wait for its next piece longer than an event.
const QUIET_UNKNOWN: u32 = 1;
/// A text that gets no piece while three events of its choice bring others waits no longer: thoughts end so. Where several
/// speak at a time it waits longer for those of the others.
const QUIET: u32 = 3 * OF_CHOICE;
/// What an event of the text's own choice counts, where one of another choice counts 1.
const OF_CHOICE: u32 = 11;
/// A value of at most this many bytes that comes again in an event is repeated, and no piece.
const MAX_REPEATED: usize = 128;

/// A shorter event counts as this many bytes: what it takes to keep it is more than its bytes.
const LEAST_EVENT: usize = 64;

/// The guard of one stream.
#[derive(Debug)]
pub(in super::super) struct StreamGuard {
    /// Opens what comes.
    gzip: Option<Box<Gzip>>,
    pub(super) guard: ReplyGuard,
    frames: Option<Frames>,
    pub(super) stream: Stream,
    pub(super) channels: BTreeMap<Running, ChannelText>,
    /// Events from the first on of which nobody can say yet which tool it calls.
    undecided: VecDeque<Undecided>,
    pub(super) queue: VecDeque<Queued>,
    queued_bytes: usize,
    pub(super) http_sse: Option<HttpSse>,
    /// Where outside judges are shown the stream.
    pub(super) gate: Option<Gate>,
    /// The form of the last event, where it was nothing but a piece of a text.
    alike: Option<Alike>,
    /// A file of which a line was none.
    is_unread: bool,
    /// How its end, or a refused message, is told.
    pub(super) teller: Teller,
}

/// The stream of a server of the Model Context Protocol's HTTP+SSE transport, on which all its answers to one caller come.
#[derive(Debug)]
pub(super) struct HttpSse {
    session: Session,
    /// Where messages are posted to.
    messages: String,
}

/// One event that waits for the name of a tool; `None`: it has no data.
#[derive(Debug)]
struct Undecided {
    frame: Frame,
    parts: Option<ReplyParts>,
    progress: Progress,
}

/// One event that waits for what comes after its texts.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) frame: Frame,
    /// Its data, where something in it that is whole was changed already.
    pub(super) fixed: Option<Vec<u8>>,
    /// Its texts that go on in other events.
    pub(super) pieces: Vec<Piece>,
    echoes: Vec<Path>,
    progress: Progress,
    /// How much text of it outside judges are shown, in bytes.
    pub(super) text_bytes: usize,
    /// The event before its whole texts were judged, where outside judges are shown some.
    pub(super) before: Option<Box<Before>>,
    /// Nothing of it goes on.
    pub(super) is_dropped: bool,
}

/// An event that was judged.
#[derive(Debug, Default)]
struct Ready {
    fixed: Option<Vec<u8>>,
    pieces: Vec<Piece>,
    echoes: Vec<Path>,
    text_bytes: usize,
    before: Option<Box<Before>>,
}

/// What an event has of a running text, and where it is.
pub(super) type Piece = (Running, Range<usize>, Path);

/// Where a stream goes on: the time, what is noted of it, and the bytes that leave.
pub(in super::super) struct Outlet<'o> {
    pub(in super::super) now: Timestamp,
    pub(in super::super) noted: &'o mut Noted,
    pub(in super::super) out: &'o mut Vec<u8>,
}

impl StreamGuard {
    pub(in super::super) fn new(
        guard: ReplyGuard,
        request: Option<String>,
        session: Option<Session>,
        teller: Teller,
    ) -> Option<StreamGuard> {
        let route = guard.route()?;
        let http_sse = match route.server_part() {
            ServerPart::Stream { messages } => Some(HttpSse { session: session?, messages: messages.clone() }),
            _ => None,
        };
        let asked = Asked { is_http_sse: http_sse.is_some(), ..guard.asked };
        let stream = route.protocol.stream(route.operation).answering(request);
        let frames = Frames::new(stream.framing(), guard.policy.limits.max_response_bytes);
        Some(StreamGuard {
            gzip: guard.is_gzip.then(|| Box::new(Gzip::new())),
            gate: Gate::of(&guard),
            guard: ReplyGuard { asked, ..guard },
            frames: Some(frames),
            stream,
            channels: BTreeMap::new(),
            undecided: VecDeque::new(),
            queue: VecDeque::new(),
            queued_bytes: 0,
            http_sse,
            alike: None,
            is_unread: false,
            teller,
        })
    }

    /// Takes the next bytes, and gives what may go on to the outlet.
    ///
    /// # Errors
    /// Why the stream ends here. What may still go on is in the outlet: it ends with the protocol's own closing words.
    pub(in super::super) fn push(&mut self, chunk: &[u8], end: bool, outlet: &mut Outlet<'_>) -> Result<(), Reason> {
        outlet.noted.read = true;
        let done = self.unpack(chunk, end, outlet);
        if let Err(reason) = done {
            self.fail(reason, outlet);
        }
        done
    }

    /// The stream ends here, in the protocol's own words.
    pub(in super::super) fn fail(&mut self, reason: Reason, outlet: &mut Outlet<'_>) {
        let denial = Denial::of_reply(reason);
        let told = self.teller.explained(&denial, None, &outlet.noted.notes.findings);
        outlet.out.extend(self.stream.close(&told));
        self.undecided.clear();
        self.queue.clear();
        self.frames = None;
    }

    fn unpack(&mut self, chunk: &[u8], end: bool, outlet: &mut Outlet<'_>) -> Result<(), Reason> {
        let Some(mut gzip) = self.gzip.take() else { return self.plain(chunk, end, outlet) };
        gzip.push(chunk, &mut |piece| self.plain(piece, false, outlet))?;
        if end {
            gzip.finish()?;
            return self.plain(b"", true, outlet);
        }
        self.gzip = Some(gzip);
        Ok(())
    }

    /// Reads bytes as they were before any coding.
    fn plain(&mut self, chunk: &[u8], end: bool, outlet: &mut Outlet<'_>) -> Result<(), Reason> {
        let Some(frames) = &mut self.frames else { return Ok(()) };
        let Outlet { now, noted, out } = outlet;
        let now = *now;
        let mut whole = Vec::new();
        let too_long = frames.push(chunk, &mut whole).is_err();
        for frame in whole {
            self.message(frame, now, noted)?;
            self.release(out)?;
        }
        if too_long || self.queued_bytes > self.guard.policy.limits.max_response_bytes {
            return Err(Reason::ReplyTooLarge);
        }
        if end {
            noted.complete = true;
            if let Some(frame) = self.frames.take().and_then(Frames::finish) {
                self.message(frame, now, noted)?;
            }
            self.stream.end_calls();
            self.decide(now, noted)?;
            self.judge_new(&|_, _| true, true, now, noted)?;
            if let Some(gate) = &mut self.gate {
                gate.ended = true;
            }
            self.release(out)?;
        }
        Ok(())
    }

    /// One event; where every event is a message of its own, one that is refused ends nothing but itself.
    fn message(&mut self, frame: Frame, now: Timestamp, noted: &mut Noted) -> Result<(), Reason> {
        if let Some((text, padding)) = self.alike.as_ref().and_then(|alike| alike.text_in(&frame))
            && padding.is_none_or(|padding| self.pads(&frame, padding))
        {
            return self.like_the_last(frame, text, now, noted);
        }
        self.alike = None;
        if !frame.is_well_formed() {
            return Err(Reason::ReplyUnreadable);
        }
        let Some(http_sse) = &self.http_sse else { return self.event(frame, now, noted) };
        let data = frame.data().unwrap_or_default().into_owned();
        if frame.event() == Some("endpoint") {
            let address = std::str::from_utf8(&data).ok();
            let sealed = address.and_then(|address| http_sse.session.seal_endpoint(address, &http_sse.messages));
            let sealed = sealed.ok_or(Reason::ReplyUnreadable)?;
            self.enqueue(frame, Some(sealed.into_bytes()), Vec::new(), Vec::new());
            return Ok(());
        }
        if data.trim_ascii().is_empty() {
            return self.event(frame, now, noted);
        }
        let depth = self.guard.policy.limits.max_json_depth;
        let json = Json::parse_reply(&data, depth).map_err(|_| Reason::ReplyUnreadable)?;
        let asks = json.get("method").is_some();
        let protocol = self.guard.route().ok_or(Reason::Internal)?.protocol.clone();
        let refusal = json.get("id").and_then(Json::as_str).and_then(|id| http_sse.session.open_refusal(id));
        if let (Some((reason, request, id)), false) = (refusal, asks) {
            let error = protocol.error_body(&Told {
                answers: Some(id),
                request: Some(request).filter(|request| !request.is_empty()),
                ..self.teller.told(&reason.into(), None)
            });
            self.enqueue(frame, Some(error), Vec::new(), Vec::new());
            return Ok(());
        }
        let id = protocol.request_id(&json);
        let Err(reason) = self.event(frame.clone(), now, noted) else { return Ok(()) };
        noted.withheld = Some(reason);
        // What the server asks or tells unasked is left out: its own wait ends by itself.
        if let (Some(id), false) = (id, asks) {
            let error = protocol.error_body(&self.teller.told(&Denial::of_reply(reason), Some(&id)));
            self.enqueue(frame, Some(error), Vec::new(), Vec::new());
        }
        Ok(())
    }

    /// True for padding in which nothing is found.
    fn pads(&self, frame: &Frame, padding: Range<usize>) -> bool {
        let text = frame.raw().get(padding).and_then(|text| std::str::from_utf8(text).ok());
        let Some(text) = text else { return false };
        let leaks = self.guard.canary.as_ref().is_some_and(|planted| {
            let mut watch = Watch::default();
            watch.feed(&planted.canary, text, 0);
            !watch.found().is_empty()
        });
        let policy = &self.guard.policy;
        let finds_nothing = || {
            let budget = Budget { scan_bytes: text.len(), ..policy.limits.budget() };
            let report = policy.scanner.scan_data(&[Text { zone: Zone::Assistant, text }], budget);
            report.texts.iter().all(|text| text.complete && text.findings.is_empty())
        };
        !leaks && (policy.scanner.is_calm(text) || finds_nothing())
    }

    /// An event in the form of the last one.
    fn like_the_last(
        &mut self,
        frame: Frame,
        text: Range<usize>,
        now: Timestamp,
        noted: &mut Noted,
    ) -> Result<(), Reason> {
        let alike = self.alike.as_ref().ok_or(Reason::Internal)?;
        let (running, path, usage) = (alike.running, alike.path.clone(), alike.usage);
        let text = frame.raw().get(text).and_then(|text| std::str::from_utf8(text).ok());
        let text = text.ok_or(Reason::Internal)?;
        let written = if self.guard.is_paid { Estimate::default() } else { Estimate::of(text) };
        let spent = if self.guard.is_paid { Spent::default() } else { Spent { usage, written } };
        noted.spent.add(spent);
        self.guard.within_cap(&noted.spent)?;
        let (range, new) = self.add(running, text).ok_or(Reason::Internal)?;
        let fresh = if new > 0 { BTreeSet::from([running]) } else { BTreeSet::new() };
        let pieces = vec![(running, range, path)];
        self.judge_pieces(&pieces, &fresh, &[], now, noted)?;
        self.enqueue(frame, None, pieces, Vec::new());
        Ok(())
    }

    /// Remembers the form of an event that is one piece of a known text, and in which nothing else is new.
    fn note_form(&mut self, frame: &Frame, json: &Json<'_>, parts: &ReplyParts, pieces: &[Piece]) {
        let [(running, _, path)] = pieces else { return };
        let is_plain = parts.calls.is_empty()
            && parts.echoes.is_empty()
            && parts.unscanned.is_empty()
            && parts.ends.is_empty()
            && parts.rewrites.is_empty()
            && parts.finish == Finish::default()
            && parts.texts.iter().filter(|one| one.delta).count() == 1
            && running.0.kind != TextKind::Other
            && self.stream.kept(json).is_none()
            && !self.stream.is_counted(json);
        let Some(Ok(Some(text))) = parts.texts.iter().find(|one| one.delta).map(|one| told(json, one)) else { return };
        // Where the text is a part of the frame, and no copy of it.
        let start = (text.as_ptr() as usize).checked_sub(frame.raw().as_ptr() as usize);
        let Some(start) = start.filter(|_| is_plain) else { return };
        let usage = self.stream.usage();
        self.alike = Alike::of(frame, start..start.saturating_add(text.len()), *running, path.clone(), usage);
    }

    fn event(&mut self, frame: Frame, now: Timestamp, noted: &mut Noted) -> Result<(), Reason> {
        let policy = Arc::clone(&self.guard.policy);
        let Some(data) = frame.data().filter(|data| !data.trim_ascii().is_empty()) else {
            match self.undecided.is_empty() {
                true => self.enqueue(frame, None, Vec::new(), Vec::new()),
                false => self.wait(frame, None),
            }
            return Ok(());
        };
        if self.stream.is_terminator(&data) {
            self.stream.end_calls();
            self.decide(now, noted)?;
            self.judge_new(&|_, _| true, true, now, noted)?;
            self.flush();
            drop(data);
            self.enqueue(frame, None, Vec::new(), Vec::new());
            return Ok(());
        }
        let json = match Json::parse_reply(&data, policy.limits.max_json_depth) {
            Ok(json) if !self.is_unread => json,
            // From here on it is no file of lines.
            _ if self.guard.is_of_file() => {
                self.is_unread = true;
                leave_unread(&policy, UnscannedKind::File, noted)?;
                drop(data);
                self.enqueue(frame, None, Vec::new(), Vec::new());
                return Ok(());
            }
            _ => return Err(Reason::ReplyUnreadable),
        };
        let route = policy.route_at(self.guard.route).ok_or(Reason::Internal)?;
        route.protocol.check_reply(route.operation, &json, self.guard.asked)?;
        if !self.stream.is_named_rightly(frame.event(), &json) {
            return Err(Reason::ReplyUnreadable);
        }
        let parts = self.stream.read(frame.event(), &json);
        noted.finish.add(parts.finish);
        let repeated = |one: &ReplyText, text: &str| {
            let last = self.channels.get(&(one.channel, one.lane)).filter(|_| self.stream.comes_in_turns());
            last.and_then(|last| last.added(text)).map_or(0, |added| text.len() - added.len())
        };
        let written = written(&json, &parts, Some(&repeated));
        if !self.guard.is_paid {
            noted.spent.add(Spent { usage: parts.usage.unwrap_or_default(), written });
        }
        if policy.wants_answering_model() && noted.model.is_none() {
            noted.model = model_of(&json);
        }
        self.guard.within_cap(&noted.spent)?;
        if policy.unscanned.knows_owners() {
            noted.stored.extend(self.stream.kept(&json));
        }
        if parts.usage_only && self.guard.strips_usage {
            return Ok(());
        }
        self.guard.unscanned(&parts, noted)?;
        if self.undecided.is_empty() && !self.stream.is_undecided(&parts) {
            let progress = self.stream.progress();
            let ready = self.decided(&frame, json, parts, now, noted)?;
            drop(data);
            self.enqueue_ready(frame, ready, progress);
            return Ok(());
        }
        drop(json);
        drop(data);
        self.wait(frame, Some(parts));
        self.decide(now, noted)
    }

    fn wait(&mut self, frame: Frame, parts: Option<ReplyParts>) {
        self.queued_bytes += weight(&frame);
        self.undecided.push_back(Undecided { frame, parts, progress: self.stream.progress() });
    }

    /// Goes on with the events that wait for a tool's name, as far as it is known.
    fn decide(&mut self, now: Timestamp, noted: &mut Noted) -> Result<(), Reason> {
        let open =
            |stream: &Stream, one: &Undecided| one.parts.as_ref().is_some_and(|parts| stream.is_undecided(parts));
        while self.undecided.front().is_some_and(|first| !open(&self.stream, first)) {
            let Some(Undecided { frame, parts, progress }) = self.undecided.pop_front() else { break };
            self.queued_bytes = self.queued_bytes.saturating_sub(weight(&frame));
            let Some(mut parts) = parts else {
                self.enqueue_ready(frame, Ready::default(), progress);
                continue;
            };
            self.stream.name_calls(&mut parts);
            let data = frame.data().unwrap_or_default();
            let depth = self.guard.policy.limits.max_json_depth;
            let json = Json::parse_reply(&data, depth).map_err(|_| Reason::ReplyUnreadable)?;
            let ready = self.decided(&frame, json, parts, now, noted)?;
            drop(data);
            self.enqueue_ready(frame, ready, progress);
        }
        Ok(())
    }

    /// Goes on with an event whose calls are known by name.
    fn decided(
        &mut self,
        frame: &Frame,
        mut json: Json<'_>,
        mut parts: ReplyParts,
        now: Timestamp,
        noted: &mut Noted,
    ) -> Result<Ready, Reason> {
        let marks = noted.marks();
        let mut changed = self.stream.rewrite(&mut json, &parts);
        let denied = self.guard.denied(&json, &parts, noted)?;
        let attacks = self.guard.attacks(&json, &parts, now, noted)?;
        // Before anything is removed: a finding in it is recorded, and may refuse.
        if !attacks.is_empty() {
            let concerned = |one: &ReplyText| attacks.concern(one);
            changed |= self.guard.fixed_texts(&mut json, &parts, &concerned, &attacks.left, &|_| None, now, noted)?;
        }
        let attacked = attacks.definitions.iter().filter_map(|at| parts.calls.get(*at));
        for call in denied.iter().chain(attacked) {
            self.stream.deny(call);
            noted.masked += 1;
        }
        let mut judged = attacks.left;
        if let Some(left) = self.stream.prune(&mut json, &parts, NOTICE) {
            parts = left;
            changed = true;
            // Other texts may have their places now.
            judged = Places::default();
        }
        let tool = |channel: &Channel| self.stream.tool_of(channel).map(str::to_owned);
        let whole = |one: &ReplyText| one.is_key || !one.delta && !judged.contains_key(&one.path);
        let mut text_bytes = 0;
        let mut before = None;
        if self.gate.is_some() {
            text_bytes = self.guard.whole_texts(&json, &parts).map(|(_, text)| text.len()).sum();
            before = Before::of(&self.guard, &json, &parts, judged.keys());
        }
        changed |= self.guard.fixed_texts(&mut json, &parts, &whole, &Places::default(), &tool, now, noted)?;
        changed |= self.guard.judge_echoes(&mut json, &parts, now, noted)?;
        let policy = Arc::clone(&self.guard.policy);
        let is_clean = |text: &str| {
            let report = policy.scanner.scan_data(&[Text { zone: Zone::Assistant, text }], policy.limits.budget());
            report.texts.iter().all(|text| text.complete && text.findings.is_empty())
        };
        self.stream.repeat(&json, &is_clean);
        let (mut pieces, mut fresh) = (Vec::new(), BTreeSet::new());
        for one in parts.texts.iter().filter(|one| one.delta && !one.is_key) {
            let Some(text) = told(&json, one)? else { continue };
            let (running, is_unknown) = ((one.channel, one.lane), one.channel.kind == TextKind::Other);
            if !self.channels.contains_key(&running) {
                self.make_room()?;
            }
            let route = self.guard.route().ok_or(Reason::Internal)?;
            if let Some(gate) = self.gate.as_mut().filter(|_| !self.channels.contains_key(&running)) {
                gate.begin(&running);
            }
            self.channels.entry(running).or_insert_with(|| ChannelText {
                text: TextStream::default(),
                restorer: Restorer::new(self.guard.destination(
                    &json,
                    &Places::default(),
                    one,
                    self.stream.tool_of(&one.channel),
                )),
                watch: if is_unknown { Watch::default() } else { self.guard.trail.carried() },
                active: ActiveWatch::default(),
                calm: Calm::default(),
                path: json.pointer(&one.path, &|key| route.protocol.knows_key(key)),
                quiet: 0,
                at: 0..0,
                grows: false,
                last: String::new(),
            });
            let Some((range, new)) = self.add(running, text) else { continue };
            if new > 0 {
                fresh.insert(running);
            }
            text_bytes += new;
            pieces.push((running, range, one.path.clone()));
        }
        if !changed && noted.marks() == marks && self.is_simple() {
            self.note_form(frame, &json, &parts, &pieces);
        }
        let fixed = changed.then(|| json.to_bytes());
        self.judge_pieces(&pieces, &fresh, &parts.ends, now, noted)?;
        if !parts.ends.is_empty() {
            self.flush();
        }
        Ok(Ready { fixed, pieces, echoes: parts.echoes, text_bytes, before })
    }

    /// True where an event may be known by its form: nobody else is shown it, and it is no message of its own.
    fn is_simple(&self) -> bool {
        let knows_form = |route: &RoutePolicy| route.protocol.reply_zone().is_none();
        self.undecided.is_empty()
            && self.gate.is_none()
            && self.http_sse.is_none()
            && !self.stream.comes_in_turns()
            && !self.guard.is_of_file()
            && self.guard.route().is_some_and(knows_form)
    }

    /// Adds a piece to a running text: where it is, and how many bytes of it are new. `None`: it is the last one again, of
    /// a text that nothing is known of.
    fn add(&mut self, running: Running, text: &str) -> Option<(Range<usize>, usize)> {
        let is_unknown = running.0.kind == TextKind::Other;
        let may_grow = self.stream.comes_in_turns() && !is_unknown;
        let channel = self.channels.get_mut(&running)?;
        if is_unknown && channel.last == text {
            return None;
        }
        channel.last.clear();
        if is_unknown && text.len() <= MAX_REPEATED {
            channel.last.push_str(text);
        }
        let (range, new) = channel.take(text, may_grow);
        channel.active.feed(&new);
        channel.calm.feed(&self.guard.policy.scanner, &new);
        if let Some(planted) = &self.guard.canary {
            channel.watch.feed(&planted.canary, &new, range.end - new.len());
            if !is_unknown {
                // What a reader sees next.
                self.guard.trail = channel.watch.carried();
            }
        }
        Some((range, new.len()))
    }

    /// Looks at what an event has brought: the texts that go on, those that end, and those that wait no longer.
    fn judge_pieces(
        &mut self,
        pieces: &[Piece],
        fresh: &BTreeSet<Running>,
        ends: &[End],
        now: Timestamp,
        noted: &mut Noted,
    ) -> Result<(), Reason> {
        self.judge_new(&|running, _| pieces.iter().any(|piece| piece.0 == *running), false, now, noted)?;
        self.judge_new(&|running, _| ends.iter().any(|end| end.covers(&running.0)), true, now, noted)?;
        self.note_quiet(pieces, fresh);
        let waits_no_longer = |(channel, _): &Running, state: &ChannelText| {
            state.quiet >= if channel.kind == TextKind::Other { QUIET_UNKNOWN } else { QUIET }
        };
        self.judge_new(&waits_no_longer, true, now, noted)
    }

    /// Counts the events in which a text that waits had nothing new, and these had.
    fn note_quiet(&mut self, pieces: &[Piece], fresh: &BTreeSet<Running>) {
        // Nobody else speaks.
        if self.channels.len() == 1
            && let Some(state) = fresh.first().and_then(|running| self.channels.get_mut(running))
        {
            state.quiet = 0;
            return;
        }
        let here: BTreeSet<Running> = sorted::set(pieces.iter().map(|(running, ..)| *running));
        let brought = fresh.iter().map(|running| running.0).filter(|channel| channel.kind != TextKind::Other);
        let choices: BTreeSet<u32> = sorted::set(brought.map(|channel| channel.choice));
        let in_turns = self.stream.comes_in_turns();
        let of_others = u32::from(in_turns && !choices.is_empty());
        for (running, state) in &mut self.channels {
            // An empty piece is a piece, and the text repeated is none.
            state.quiet = if fresh.contains(running) || (!in_turns && here.contains(running)) {
                0
            } else if running.0.kind == TextKind::Other || here.contains(running) || choices.contains(&running.0.choice)
            {
                state.quiet.saturating_add(OF_CHOICE)
            } else {
                state.quiet.saturating_add(of_others)
            };
        }
    }

    /// Forgets what nothing is known of and nothing waits for, where there is no room for one more text.
    ///
    /// # Errors
    /// [`Reason::ReplyTooLarge`].
    fn make_room(&mut self) -> Result<(), Reason> {
        if self.channels.len() < MAX_CHANNELS {
            return Ok(());
        }
        let waiting: BTreeSet<Running> =
            sorted::set(self.queue.iter().flat_map(|queued| queued.pieces.iter().map(|piece| piece.0)));
        let in_turns = self.stream.comes_in_turns();
        self.channels.retain(|running, state| {
            (running.0.kind != TextKind::Other && !in_turns) || state.text.held() > 0 || waiting.contains(running)
        });
        if let Some(gate) = &mut self.gate {
            gate.retain(|running| self.channels.contains_key(running));
        }
        if self.channels.len() >= MAX_CHANNELS { Err(Reason::ReplyTooLarge) } else { Ok(()) }
    }

    fn enqueue(&mut self, frame: Frame, fixed: Option<Vec<u8>>, pieces: Vec<Piece>, echoes: Vec<Path>) {
        let progress = self.stream.progress();
        self.enqueue_ready(frame, Ready { fixed, pieces, echoes, ..Ready::default() }, progress);
    }

    fn enqueue_ready(&mut self, frame: Frame, ready: Ready, progress: Progress) {
        self.queued_bytes += weight(&frame);
        let Ready { fixed, pieces, echoes, text_bytes, before } = ready;
        let is_dropped = false;
        self.queue.push_back(Queued { frame, fixed, pieces, echoes, progress, text_bytes, before, is_dropped });
    }

    /// A text has ended: outside judges are shown what there is.
    fn flush(&mut self) {
        if let Some(gate) = &mut self.gate {
            gate.flush = true;
        }
    }

    /// Looks at what is new in these channels.
    fn judge_new(
        &mut self,
        picks: &dyn Fn(&Running, &ChannelText) -> bool,
        ended: bool,
        now: Timestamp,
        noted: &mut Noted,
    ) -> Result<(), Reason> {
        let ReplyGuard { policy, route, guards, masker, vault, canary, .. } = &mut self.guard;
        let held = self.channels.iter_mut().filter(|(running, state)| state.text.held() > 0 && picks(running, state));
        for (running, state) in held {
            let mut judge = Detector::new(reply_rules(policy, *route, guards, now), running.0.kind, false, &state.path);
            if let Some(planted) = canary {
                judge = judge.with_leaks(&planted.canary, &state.watch);
            }
            if ended {
                state.active.finish();
            }
            judge = judge.with_active(&state.active).with_calm(&state.calm);
            let closed = state.active.addresses();
            let restoring = Restoring { vault, restorer: &mut state.restorer, closed };
            let edits = state.text.advance(ended, masker, Some(restoring), &mut |text, at| judge.detect(text, at));
            finish(judge, policy, noted)?;
            state.watch.forget(state.text.certain());
            state.active.forget(state.text.certain());
            noted.masked += edits as u64;
        }
        Ok(())
    }

    /// Lets the events go whose texts are certain, in their order.
    pub(super) fn release(&mut self, out: &mut Vec<u8>) -> Result<(), Reason> {
        let in_turns = self.stream.comes_in_turns();
        while let Some(first) = self.queue.front() {
            let certain = |(running, range, _): &Piece| {
                self.channels.get(running).is_none_or(|state| range.end <= state.text.certain())
            };
            if !first.pieces.iter().all(certain) || self.gate.as_mut().is_some_and(|gate| !gate.lets_go()) {
                break;
            }
            let Some(queued) = self.queue.pop_front() else { break };
            self.queued_bytes = self.queued_bytes.saturating_sub(weight(&queued.frame));
            self.write(&queued, out)?;
            for (running, range, _) in &queued.pieces {
                if let Some(state) = self.channels.get_mut(running) {
                    // Where texts grow, the next event may go on with this one's.
                    let before = if in_turns { range.start } else { range.end };
                    state.text.forget(if self.gate.is_some() { Gate::needs(before) } else { before });
                }
            }
            self.stream.sent(queued.progress);
        }
        Ok(())
    }

    fn write(&self, queued: &Queued, out: &mut Vec<u8>) -> Result<(), Reason> {
        if queued.is_dropped {
            return Ok(());
        }
        let new: Vec<(&Path, String)> = (queued.pieces.iter())
            .filter_map(|(running, range, path)| Some((path, self.channels.get(running)?.text.render(range)?)))
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
        let mut json = Json::parse_reply(&data, depth).map_err(|_| Reason::ReplyUnreadable)?;
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
    pub(in super::super) fn held(&self) -> usize {
        self.queued_bytes + self.frames.as_ref().map_or(0, Frames::held)
    }
}

/// What an event that waits counts, in bytes.
fn weight(frame: &Frame) -> usize {
    frame.raw().len().max(LEAST_EVENT)
}

const _: () = assert!(MAX_HELD < 1 << 20, "a stream's hold-back is bounded far below a reply's limit");
