//! Every string and every key of a body is accounted for, because what nobody accounts for becomes a text.
//!
//! An adapter says of a string or key: it is a text of this zone, or a parameter whose value fits its [`Form`], or bytes
//! that are no text and are on the `unscanned` list. It fills a [`Draft`] (requests) or a [`ReplyDraft`] (replies);
//! only their `close` makes an [`Exchange`] or [`ReplyParts`]. `close` walks the whole tree once more: every string and
//! key that was not accounted for is a text of the strictest zone. A place that an adapter forgets is scanned, never
//! skipped.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use super::finish::Finish;
use super::form::Form;
use super::lane::{Lane, Lanes};
use super::parts::{Channel, End, Rewrite, TextKind, ToolCall};
use super::{Json, NO_LIMIT, Offered, OutputCap, Path, Position, Segment, ThinkingBudget, UnscannedKind, Usage};
use crate::enums::{Operation, Zone};
use crate::sorted;

/// A request's body, taken apart.
#[derive(Clone, Debug, PartialEq)]
pub struct Exchange {
    /// The model; empty when the protocol names none.
    pub model: String,
    /// What the caller asked for, where that is an alias of the policy's for `model`.
    pub asked_model: Option<String>,
    /// The versions of its system parts, where the policy has versions: nothing for a part that is none of them.
    pub prompt_versions: Vec<Option<Arc<str>>>,
    /// A prompt that the provider keeps instructs the model, or a line of a batch asks a model that nothing instructs.
    pub has_unseen_instructions: bool,
    /// The client asks for a stream.
    pub stream: bool,
    /// Every text, in the order of the conversation; what no rule of the format knows comes last.
    pub segments: Vec<Segment>,
    /// Operations that the body asks for beside the one that the path tells.
    pub operations: Vec<Operation>,
    /// Models that the request names beside `model`: those it falls back to, drafts.
    pub models: Vec<String>,
    /// Parameters by which the caller chooses what is the operator's to choose: addresses, keys, templates, adapters.
    pub choices_of_operator: Vec<&'static str>,
    /// The tools that the model may call in this request, or that the request calls, in the order they are.
    pub tools: Vec<Offered>,
    /// Credentials for the places where remote tools run: which tool, and where the credential is. They are in
    /// `segments` too; [`Exchange::pass_credentials`] takes them out.
    pub credentials: Vec<(Path, Path)>,
    /// The client's own cap on output tokens.
    pub output_cap: Option<OutputCap>,
    /// The keys on the way to the place where a cap is injected when there is none; empty: there is no cap.
    pub output_cap_key: &'static [&'static str],
    /// How much of the output the client lets the model think with.
    pub thinking_budget: Option<ThinkingBudget>,
    /// How many choices the client asks for, of each prompt.
    pub choices: u64,
    /// How many prompts the request holds that are answered one by one.
    pub prompts: u64,
    /// The answer begins with the prompt, which the upstream counts as input.
    pub repeats_prompt: bool,
    /// The answer is made after the reply, which does not tell its cost.
    pub in_background: bool,
    /// Strings that go to the upstream as these.
    pub rewrites: Vec<(Path, &'static str)>,
    /// What can't be scanned, and where.
    pub unscanned: Vec<(UnscannedKind, Path)>,
    /// The types of blocks, items and parts that the format does not know. Their text is in `segments`.
    pub unknown: Vec<String>,
    /// The responses and conversations at the provider that the request goes on with. They are in `unscanned` too.
    pub stored: Vec<String>,
    closed: Closed,
}

/// Only this module makes one.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Closed;

impl Exchange {
    /// Every model that the request names: any of them may answer.
    pub fn all_models(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.model).chain(&self.models).map(String::as_str)
    }

    /// The model by the name that the caller asked for: what roles grant.
    pub fn asked(&self) -> &str {
        self.asked_model.as_deref().unwrap_or(&self.model)
    }

    /// How many answers the client asks for.
    pub fn answers(&self) -> u64 {
        self.choices.max(1).saturating_mul(self.prompts.max(1))
    }

    /// The request goes on with what the provider keeps, and the path names it by this id.
    pub fn goes_on_with(&mut self, kept: Option<String>) {
        self.unscanned.extend(kept.iter().map(|_| (UnscannedKind::State, Path::default())));
        self.stored.extend(kept);
    }

    /// Takes the credentials of remote tools out of the texts where each name and place of the tool `is_granted`: they are
    /// for that place, and no model reads them.
    pub fn pass_credentials(&mut self, is_granted: impl Fn(&Offered) -> bool) {
        if self.credentials.is_empty() {
            return;
        }
        let mut granted: BTreeMap<&Path, bool> = BTreeMap::new();
        for tool in &self.tools {
            let Some(path) = &tool.path else { continue };
            *granted.entry(path).or_insert(true) &= tool.host.is_some() && is_granted(tool);
        }
        let of_granted = |(tool, place): &(Path, Path)| (granted.get(tool) == Some(&true)).then(|| place.clone());
        let places: BTreeSet<Path> = sorted::set(self.credentials.iter().filter_map(of_granted));
        self.segments.retain(|segment| segment.is_key || !places.contains(&segment.path));
    }

    fn empty() -> Exchange {
        Exchange {
            model: String::new(),
            asked_model: None,
            prompt_versions: Vec::new(),
            has_unseen_instructions: false,
            stream: false,
            segments: Vec::new(),
            operations: Vec::new(),
            models: Vec::new(),
            choices_of_operator: Vec::new(),
            tools: Vec::new(),
            credentials: Vec::new(),
            output_cap: None,
            output_cap_key: &[],
            thinking_budget: None,
            choices: 1,
            prompts: 1,
            repeats_prompt: false,
            in_background: false,
            rewrites: Vec::new(),
            unscanned: Vec::new(),
            unknown: Vec::new(),
            stored: Vec::new(),
            closed: Closed,
        }
    }

    /// What a record tells of a request whose body is gone.
    pub fn recorded(model: &str, output_cap: Option<u64>) -> Exchange {
        let output_cap =
            output_cap.map(|tokens| OutputCap { places: Vec::new(), tokens, agree: true, lacks_own: false });
        Exchange { model: model.to_owned(), output_cap, ..Exchange::empty() }
    }

    /// A body that is not read, and unscanned as a whole.
    pub(super) fn unread(kind: UnscannedKind) -> Exchange {
        Exchange { unscanned: vec![(kind, Path::default())], ..Exchange::empty() }
    }
}

/// Strings that are no texts, by where they are in memory: a tree does not change while it is taken apart, and no two of
/// its strings begin at the same address, but for empty ones, which say nothing and are left out everywhere.
#[derive(Debug, Default)]
struct Ledger(Vec<*const u8>);

impl Ledger {
    /// Takes a string that fits the form. False: it does not.
    fn parameter(&mut self, value: &Json<'_>, form: Form<'_>) -> bool {
        let text = value.as_str().filter(|text| form.fits(text));
        self.0.extend(text.map(str::as_ptr));
        text.is_some()
    }

    /// Takes a string whose texts are listed each by itself.
    fn covers(&mut self, value: &Json<'_>) {
        self.0.extend(value.as_str().filter(|text| !text.is_empty()).map(str::as_ptr));
    }

    /// Every string and key of `body` that is neither here nor among `texts` nor below one of `trees`, in the order of
    /// the body.
    fn missing<'t>(
        self,
        body: &Json<'_>,
        texts: impl Iterator<Item = (&'t Path, bool)>,
        trees: &[Path],
        knows: &dyn Fn(&str) -> bool,
    ) -> Vec<(Path, bool)> {
        let Ledger(mut known) = self;
        let text = |(path, is_key): (&Path, bool)| match is_key {
            true => body.key_at(path),
            false => body.at(path).and_then(Json::as_str),
        };
        known.extend(texts.filter_map(text).map(str::as_ptr));
        for tree in trees.iter().filter_map(|path| body.at(path)) {
            tree.visit_strings(&Path::default(), &mut |_, _, text| known.push(text.as_ptr()));
        }
        sorted::by(&mut known, Ord::cmp);
        let mut missing = Vec::new();
        body.visit_strings(&Path::default(), &mut |place, is_key, text| {
            let accounted = text.is_empty() || (is_key && knows(text)) || known.binary_search(&text.as_ptr()).is_ok();
            if !accounted {
                missing.push((place.clone(), is_key));
            }
        });
        missing
    }
}

/// A request's body that is being taken apart.
#[derive(Debug)]
pub(super) struct Draft {
    exchange: Exchange,
    ledger: Ledger,
}

impl Draft {
    pub(super) fn new() -> Draft {
        Draft { exchange: Exchange::empty(), ledger: Ledger::default() }
    }

    /// Accounts for a string that fits the form of its place. False: it does not fit, and stays a text.
    pub(super) fn parameter(&mut self, value: &Json<'_>, form: Form<'_>) -> bool {
        self.ledger.parameter(value, form)
    }

    /// Accounts for a string that the tree has once more, taken apart.
    pub(super) fn covers(&mut self, value: &Json<'_>) {
        self.ledger.covers(value);
    }

    /// Takes over what a request below `base` says. It is never rewritten, so that its caps have no place, and its tools
    /// can't be taken out; nobody waits for its answer.
    pub(super) fn adopt(&mut self, base: &Path, inner: Draft) {
        let Draft { exchange: inner, ledger: Ledger(strings) } = inner;
        let below = |path: &Path| base.join(path);
        self.ledger.0.extend(strings);
        let out = &mut self.exchange;
        if out.model.is_empty() {
            out.model = inner.model;
        } else if out.model != inner.model && out.models.last() != Some(&inner.model) {
            out.models.push(inner.model);
        }
        out.models.extend(inner.models);
        out.segments.extend(inner.segments.into_iter().map(|one| Segment { path: below(&one.path), ..one }));
        out.choices_of_operator.extend(inner.choices_of_operator);
        out.tools.extend(inner.tools.into_iter().map(|tool| Offered { path: None, ..tool }));
        if !inner.output_cap_key.is_empty() {
            let tokens = inner.output_cap.map_or(NO_LIMIT, |cap| cap.tokens);
            let most = out.output_cap.as_ref().map_or(tokens, |cap| cap.tokens.max(tokens));
            out.output_cap = Some(OutputCap { places: Vec::new(), tokens: most, agree: true, lacks_own: false });
        }
        out.choices = out.choices.max(inner.choices);
        out.prompts = out.prompts.max(inner.prompts);
        out.unscanned.extend(inner.unscanned.into_iter().map(|(kind, path)| (kind, below(&path))));
        out.unknown.extend(inner.unknown);
        out.stored.extend(inner.stored);
        out.has_unseen_instructions |= inner.has_unseen_instructions;
    }

    /// The exchange, with a segment of the caller's newest turn for all that is not accounted for.
    pub(super) fn close(self, body: &Json<'_>, knows: &dyn Fn(&str) -> bool) -> Exchange {
        let Draft { mut exchange, ledger } = self;
        let texts = exchange.segments.iter().map(|segment| (&segment.path, segment.is_key));
        let missing = ledger.missing(body, texts, &[], knows);
        exchange.segments.extend(missing.into_iter().map(|(path, is_key)| Segment {
            zone: Zone::User,
            position: Position::Current,
            path,
            is_key,
        }));
        exchange
    }
}

impl Deref for Draft {
    type Target = Exchange;

    fn deref(&self) -> &Exchange {
        &self.exchange
    }
}

impl DerefMut for Draft {
    fn deref_mut(&mut self) -> &mut Exchange {
        &mut self.exchange
    }
}

/// One text of a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyText {
    /// Where it is in the reply or in the event.
    pub path: Path,
    /// What it is a part of.
    pub channel: Channel,
    /// Which of the channel's texts it goes on with: those that are under another key, or at another index, are others.
    pub lane: Lane,
    /// It goes on in later events. False: it is whole, also when it repeats what was streamed.
    pub delta: bool,
    /// The text is an object's key: it can't be changed, only refused.
    pub is_key: bool,
}

/// A whole reply, or one event of a stream, taken apart.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplyParts {
    /// Every text, in the order they are; what no rule of the format knows comes last.
    pub texts: Vec<ReplyText>,
    /// Every tool call and every piece of one.
    pub calls: Vec<ToolCall>,
    /// Places that repeat a text in small pieces (log probabilities, token lists): set them to null
    /// when the text is changed or held back. Their strings are judged as one running text.
    pub echoes: Vec<Path>,
    /// What can't be scanned, and where.
    pub unscanned: Vec<(UnscannedKind, Path)>,
    /// What it cost, as far as is known; of a stream, all events so far.
    pub usage: Option<Usage>,
    /// Why it ended, and who refused to answer.
    pub finish: Finish,
    /// Channels that end with this event, after its own texts. Write held-back text before it.
    pub ends: Vec<End>,
    /// What must be changed for all clients to read the same calls; see [`super::reply::Stream::rewrite`].
    pub rewrites: Vec<Rewrite>,
    /// The event holds nothing but usage: it is left out when the client did not ask for it.
    pub usage_only: bool,
    closed: Closed,
}

/// A reply that is being taken apart.
#[derive(Debug)]
pub(super) struct ReplyDraft {
    parts: ReplyParts,
    ledger: Ledger,
}

impl ReplyDraft {
    pub(super) fn new() -> ReplyDraft {
        let parts = ReplyParts {
            texts: Vec::new(),
            calls: Vec::new(),
            echoes: Vec::new(),
            unscanned: Vec::new(),
            usage: None,
            finish: Finish::default(),
            ends: Vec::new(),
            rewrites: Vec::new(),
            usage_only: false,
            closed: Closed,
        };
        ReplyDraft { parts, ledger: Ledger::default() }
    }

    /// Accounts for a string that fits the form of its place. False: it does not fit, and stays a text.
    pub(super) fn parameter(&mut self, value: &Json<'_>, form: Form<'_>) -> bool {
        self.ledger.parameter(value, form)
    }

    /// The parts, with a text of its own for all that is not accounted for.
    pub(super) fn close(self, reply: &Json<'_>, knows: &dyn Fn(&str) -> bool) -> ReplyParts {
        let ReplyDraft { mut parts, ledger } = self;
        let texts = parts.texts.iter().map(|one| (&one.path, one.is_key));
        let missing = ledger.missing(reply, texts, &parts.echoes, knows);
        let channel = Channel { choice: 0, item: 0, kind: TextKind::Other };
        let mut lanes = Lanes::new(reply);
        let text = |(path, is_key)| {
            let lane = lanes.of_place(&path);
            ReplyText { path, channel, lane, delta: false, is_key }
        };
        parts.texts.extend(missing.into_iter().map(text));
        parts
    }
}

impl Deref for ReplyDraft {
    type Target = ReplyParts;

    fn deref(&self) -> &ReplyParts {
        &self.parts
    }
}

impl DerefMut for ReplyDraft {
    fn deref_mut(&mut self) -> &mut ReplyParts {
        &mut self.parts
    }
}
