//! From findings to what happens: the guards of the granting roles judge a scan.
//!
//! The scanner is asked once; each distinct guard judges its report, and the strictest answer for
//! each text holds. A zone is the caller's claim: unless a granting role may write it, the stricter
//! of its own threshold and the user's applies, so that moving a text into another role gains nothing.
//!
//! One weak sign convicts nobody: at any threshold, shipped rules below level high need a second sign that is independent of
//! them ([`Scanner::decisive_score`]).

use super::{Act, GuardPolicy, strictest};
use crate::enums::{Action, DataAction, Level, Mode, Zone};
use crate::host::Timestamp;
use crate::protocol::Position;
use crate::reason::Reason;
use crate::route::RouteIndex;

use crate::redact::Target;

use crate::scan::{Finding, JOINED, Kind, Report, RuleIndex, Scanner, TextReport};

/// What replaces a text that is cut out.
pub const NOTICE: &str = "[removed by policy]";

/// What no rule found.
const NO_RULE: RuleIndex = RuleIndex(u16::MAX);

/// A text with this score is an attack beyond doubt, whatever found it.
pub const STRONG_SCORE: u8 = 90;

/// Where a scanned text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The zone it claims.
    pub zone: Zone,
    /// Whether it can be cut out.
    pub position: Position,
    /// It is an object's key: values in it are masked, but an attack in it can only be refused.
    pub is_key: bool,
    /// A granting role may author this zone.
    pub trusted: bool,
}

/// What happens to one text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Outcome {
    /// It stays.
    #[default]
    Keep,
    /// Parts of it are masked.
    Mask(Vec<Target>),
    /// [`NOTICE`] replaces it.
    Replace,
    /// This text replaces it, from which the hostile blocks are cut, and parts of it are masked.
    Cut(String, Vec<Target>),
    /// It stays, whatever else is edited: somebody signed it.
    Leave,
}

/// One finding with what follows from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// The text's index.
    pub text: usize,
    /// The finding.
    pub finding: Finding,
    /// What follows from it.
    pub act: Act,
}

/// A text whose score reached a guard's threshold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Over {
    /// Which text.
    pub text: usize,
    /// The guard whose answer is the first of the strictest.
    pub guard: String,
    /// Its score under that guard's exceptions, of rules, scorer and outside judges.
    pub score: u8,
    /// The score of the rules alone.
    pub rules_score: u8,
    /// The score from which the guard acts.
    pub threshold: u8,
    /// What follows.
    pub act: Act,
}

/// The answer of all guards. Only [`judge`] and [`judge_reply`] make one, and nothing undoes a refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    denial: Option<Reason>,
    /// What happens to each text.
    pub outcomes: Vec<Outcome>,
    /// The highest score of any text.
    pub score: u8,
    /// Every finding.
    pub findings: Vec<Judged>,
    /// Texts whose score reached a threshold.
    pub over: Vec<Over>,
    /// Texts that the request is refused for as attacks by a strong sign, by index: a rule of level high or critical,
    /// or a score of [`STRONG_SCORE`] and more. What is replaced is none: there the reader is the victim.
    pub struck: Vec<usize>,
    /// Refusals and changes that guards in shadow mode did not carry out.
    pub shadow: Vec<Reason>,
    incomplete: bool,
    /// A tool result or a document holds an attack, whatever follows from it, or was not scanned whole: what the model does
    /// next may be what that text wants.
    pub tainted: bool,
}

impl Judgement {
    fn of(incomplete: bool) -> Judgement {
        Judgement {
            denial: None,
            outcomes: Vec::new(),
            score: 0,
            findings: Vec::new(),
            over: Vec::new(),
            struck: Vec::new(),
            shadow: Vec::new(),
            incomplete,
            tainted: false,
        }
    }

    /// Why the request is refused.
    pub fn denial(&self) -> Option<Reason> {
        self.denial
    }

    /// Refuses the request, where nothing else did.
    pub fn refuse(&mut self, reason: Reason) {
        self.denial = self.denial.or(Some(reason));
    }

    /// True when the scan budget ended before every text was scanned whole.
    pub fn is_incomplete(&self) -> bool {
        self.incomplete
    }
}

/// Judges one text of a reply: what is masked in it, and in [`Judgement::denial`] why it can't go on. Attacks
/// are no matter of replies.
pub fn judge_reply(
    scanner: &Scanner,
    guards: &[&GuardPolicy],
    route: RouteIndex,
    report: TextReport,
    is_key: bool,
    now: Timestamp,
) -> (Vec<Target>, Judgement) {
    let place = Place { zone: Zone::Assistant, position: Position::Current, is_key, trusted: true };
    let mut judgement = Judgement::of(!report.complete);
    let mut judge = Judge { scanner, guards, route, place, now, is_reply: true, out: &mut judgement };
    let report = TextReport { learned: None, ..report };
    match judge.text(0, report) {
        Outcome::Mask(targets) => (targets, judgement),
        _ => (Vec::new(), judgement),
    }
}

/// Judges one scan. `places` and the report's texts are side by side.
pub fn judge(
    scanner: &Scanner,
    guards: &[&GuardPolicy],
    route: RouteIndex,
    places: &[Place],
    mut report: Report,
    now: Timestamp,
) -> Judgement {
    let mut fits = places.len() == report.texts.len();
    for (text, mut finding) in std::mem::take(&mut report.joints) {
        // The scorer does not read where texts meet: rules that find the same words there are signs of their own.
        finding.chain.push(JOINED);
        match report.texts.get_mut(text) {
            Some(text) => text.findings.push(finding),
            None => fits = false,
        }
    }
    debug_assert!(fits, "a text without a place, or a finding without a text");
    let mut judgement = Judgement::of(!fits || report.texts.iter().any(|text| !text.complete));
    for (index, (place, text)) in places.iter().zip(report.texts).enumerate() {
        let outcome = Judge { scanner, guards, route, place: *place, now, is_reply: false, out: &mut judgement }
            .text(index, text);
        judgement.outcomes.push(outcome);
    }
    judgement
}

struct Judge<'a> {
    scanner: &'a Scanner,
    guards: &'a [&'a GuardPolicy],
    route: RouteIndex,
    place: Place,
    now: Timestamp,
    is_reply: bool,
    out: &'a mut Judgement,
}

impl Judge<'_> {
    fn text(&mut self, index: usize, report: TextReport) -> Outcome {
        let (attack, is_strong) = if self.is_reply { (None, false) } else { self.attack(index, &report) };
        if attack == Some(Act::Block) && is_strong {
            self.out.struck.push(index);
        }
        if attack == Some(Act::Block) {
            self.refuse(if report.raised { Reason::ScanOpinion } else { Reason::ScanInjection });
        }
        let is_outside = matches!(self.place.zone, Zone::Tool | Zone::Document);
        self.out.tainted |= is_outside && (attack.is_some() || !report.complete);
        let mut masks = Vec::new();
        for finding in report.findings {
            let kind = self.scanner.cards().get(usize::from(finding.rule.0)).map_or(Kind::Attack, |card| card.kind);
            let act = match kind {
                Kind::Attack if self.is_reply => continue,
                Kind::Attack if self.excepted_everywhere(finding.rule) => Act::Except,
                Kind::Attack => attack.unwrap_or(Act::Flag),
                Kind::Secret | Kind::Pii(_) | Kind::Own(..) => match self.data(finding.rule, kind) {
                    Some(act) => act,
                    // No guard looks for data of this type.
                    None => continue,
                },
            };
            self.out.tainted |= is_outside && kind == Kind::Attack && act != Act::Except;
            match (kind, act) {
                (Kind::Secret, Act::Block) => self.refuse(Reason::ScanSecret),
                (Kind::Pii(_) | Kind::Own(..), Act::Block) => self.refuse(Reason::ScanPii),
                (_, Act::Restore) => {
                    masks.push(Target { span: finding.span.clone(), kind, action: DataAction::Restore });
                }
                (_, Act::Mask) => masks.push(Target { span: finding.span.clone(), kind, action: DataAction::Mask }),
                (_, Act::Hash) => masks.push(Target { span: finding.span.clone(), kind, action: DataAction::Hash }),
                _ => {}
            }
            self.out.findings.push(Judged { text: index, finding, act });
        }
        for (span, kind) in report.marked {
            // A judge that the operator asks for it wants it masked, whatever the guard looks for by itself.
            let action = match self.data(NO_RULE, kind) {
                Some(Act::Block) => {
                    self.refuse(Reason::ScanPii);
                    continue;
                }
                Some(Act::Hash) => DataAction::Hash,
                Some(Act::Restore) => DataAction::Restore,
                _ => DataAction::Mask,
            };
            masks.push(Target { span, kind, action });
        }
        match attack {
            Some(Act::Replace) => Outcome::Replace,
            _ if !masks.is_empty() => Outcome::Mask(masks),
            _ => Outcome::Keep,
        }
    }

    /// The strictest answer to the text's score (`None`: below every threshold), and whether a guard that refuses it has
    /// a strong sign.
    fn attack(&mut self, index: usize, report: &TextReport) -> (Option<Act>, bool) {
        let Place { zone, position, is_key, trusted } = self.place;
        let (mut is_strong, mut highest) = (false, self.out.score);
        let mut over: Option<Over> = None;
        let answer = strictest(self.guards, |guard| {
            let muted = |rule: RuleIndex| guard.excepts(rule, self.route, zone, self.now);
            let score = self.scanner.score(report, zone, &muted);
            highest = highest.max(score);
            let injection = &guard.injection;
            let own = injection.threshold(zone);
            let threshold = if trusted { own } else { own.min(injection.threshold(Zone::User)) };
            if self.scanner.decisive_score(report, &muted) < threshold {
                return None;
            }
            let act = match (if position == Position::History { injection.history } else { injection.action }, is_key) {
                (Action::Flag, _) => Act::Flag,
                (Action::Replace, false) => Act::Replace,
                (Action::Replace, true) | (Action::Block, _) => Act::Block,
            };
            let has_strong_sign = score >= STRONG_SCORE || self.has_strong_rule(report, &muted);
            is_strong |= guard.mode == Mode::Enforce && act == Act::Block && has_strong_sign;
            let act_here = if guard.mode == Mode::Enforce { act } else { Act::Shadow };
            let is_first = match &over {
                None => true,
                Some(known) => act_here == Act::Block && known.act != Act::Block,
            };
            if is_first {
                let rules_alone = TextReport { learned: None, ..report.clone() };
                let rules_score = self.scanner.score(&rules_alone, zone, &muted);
                over =
                    Some(Over { text: index, guard: guard.name.clone(), score, rules_score, threshold, act: act_here });
            }
            Some(act)
        });
        self.out.score = highest;
        self.out.over.extend(over);
        (answer.act(Reason::ScanInjection, &mut self.out.shadow), is_strong)
    }

    /// True if a rule of level high or critical found an attack.
    fn has_strong_rule(&self, report: &TextReport, muted: &dyn Fn(RuleIndex) -> bool) -> bool {
        report.findings.iter().filter(|finding| !muted(finding.rule)).any(|finding| {
            let card = self.scanner.cards().get(usize::from(finding.rule.0));
            card.is_some_and(|card| card.kind == Kind::Attack && card.is_strong())
        })
    }

    /// The strictest answer to a secret, or to personal data of a type.
    fn data(&mut self, rule: RuleIndex, kind: Kind) -> Option<Act> {
        let Place { zone, position, .. } = self.place;
        let reason = if kind == Kind::Secret { Reason::ScanSecret } else { Reason::ScanPii };
        let answer = strictest(self.guards, |guard| {
            let action = match kind {
                Kind::Pii(of) | Kind::Own(of, _) => {
                    let action = guard.pii.action(of)?;
                    if self.is_reply { guard.output.pii } else { action }
                }
                Kind::Secret | Kind::Attack if self.is_reply => guard.output.secrets,
                Kind::Secret | Kind::Attack => guard.secrets,
            };
            Some(match action {
                _ if guard.excepts(rule, self.route, zone, self.now) => Act::Except,
                DataAction::Flag => Act::Flag,
                // A name that only says `key` is also that of cache keys and hashes, in every other file.
                _ if kind == Kind::Secret && self.is_minor(rule) => Act::Flag,
                DataAction::Mask => Act::Mask,
                DataAction::Hash => Act::Hash,
                DataAction::Restore => Act::Restore,
                // What the caller can't take back must not lock the conversation.
                DataAction::Block if position == Position::History => Act::Mask,
                DataAction::Block => Act::Block,
            })
        });
        answer.act(reason, &mut self.out.shadow)
    }

    /// A rule of level low or informational.
    fn is_minor(&self, rule: RuleIndex) -> bool {
        let card = self.scanner.cards().get(usize::from(rule.0));
        card.is_some_and(|card| matches!(card.level, Level::Low | Level::Informational))
    }

    fn excepted_everywhere(&self, rule: RuleIndex) -> bool {
        !self.guards.is_empty()
            && self.guards.iter().all(|guard| guard.excepts(rule, self.route, self.place.zone, self.now))
    }

    /// The first of injection, secret, personal data names the refusal.
    fn refuse(&mut self, reason: Reason) {
        let rank = |reason: Reason| match reason {
            Reason::ScanInjection | Reason::ScanOpinion => 0,
            Reason::ScanSecret => 1,
            _ => 2,
        };
        if self.out.denial.is_none_or(|earlier| rank(reason) < rank(earlier)) {
            self.out.denial = Some(reason);
        }
    }
}
