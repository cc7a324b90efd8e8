//! What the record says of a request.

use super::body::Scan;
use crate::audit::{Coverage, OpinionEntry, TextEntry};
use crate::authn::{Principal, RoleIndex};
use crate::capture::{Caller, Draft, Sealed};
use crate::consult::opinion::{Heard, Opinion};
use crate::document::SubjectForm;
use crate::enums::Zone;
use crate::glob::Glob;
use crate::guard::{Judgement, Place, entry};
use crate::host::Host;
use crate::policy::Policy;
use crate::protocol::{Exchange, Json, UnscannedKind};
use crate::quota::{Tokens, price};
use crate::reason::Reason;
use crate::scan::Finding;
use crate::script::Script;
use crate::sorted;
use crate::transaction::WorkerState;
use crate::transaction::context::Context;
use crate::transaction::stages::{Admitted, Authorized, Charged};

/// The caller, in the form that the policy wants in records.
#[derive(Debug, Default)]
pub(super) struct Names {
    subject: Option<String>,
    tenant: Option<String>,
}

fn names_of(policy: &Policy, roles: &[RoleIndex]) -> Vec<String> {
    roles.iter().filter_map(|role| policy.role_at(*role)).map(|role| role.name.clone()).collect()
}

impl Context {
    /// Gives the subject and the tenant in the form that the policy wants, for a capture.
    pub(super) fn note_caller(&mut self, policy: &Policy, principal: &Principal, vm: &WorkerState) -> Names {
        if !principal.is_anonymous() {
            self.caller = Some([b"c", principal.identity().as_slice()].concat().into());
        }
        let group = policy.audit.group.as_ref();
        let record = &mut self.account.record;
        record.set_group(group.and_then(|group| Some(group.of(principal.claim(&group.claim)?))));
        let tenant_label = principal.tenant().map(|tenant| policy.labels.tenant(tenant).to_owned());
        record.set_caller(principal.issuer_name(), tenant_label);
        let roles = names_of(policy, principal.roles());
        let label = roles.first().map(|role| policy.labels.role(role).to_owned());
        record.set_roles(roles, label.as_deref());
        let hashed = |kind: &[u8], bytes: &[u8]| vm.hash_key().hex(&[kind, bytes]);
        let (subject, tenant) = match policy.audit.subject {
            SubjectForm::Hashed => (
                hashed(b"subject", &principal.identity()),
                principal.tenant().map(|_| hashed(b"tenant", &principal.tenancy())),
            ),
            SubjectForm::Plain => (principal.subject().to_owned(), principal.tenant().map(str::to_owned)),
            SubjectForm::Omitted => return Names::default(),
        };
        record.set_subject(subject.clone(), policy.audit.subject == SubjectForm::Hashed, tenant.clone());
        Names { subject: Some(subject), tenant }
    }

    /// Begins a capture, where the policy wants some.
    pub(super) fn draft(&mut self, policy: &Policy, path: &str, principal: &Principal, names: Names) {
        if policy.capture.is_none() {
            return;
        }
        let Names { subject, tenant } = names;
        let issuer = principal.issuer_name().to_owned();
        let caller = Caller { issuer, subject, tenant, roles: names_of(policy, principal.roles()) };
        self.draft = Some(Box::new(Draft { path: path.to_owned(), caller, body: None }));
    }

    /// Something was found in the request: it is captured when it ends.
    pub(super) fn keep_body(&mut self, body: &[u8]) {
        let (Some(draft), Some(capture)) = (&mut self.draft, &self.policy.capture) else { return };
        if body.len() <= capture.max_bytes {
            draft.body = Some(body.to_vec());
        } else {
            self.account.record.set_capture("tooLarge");
        }
    }

    /// The capture of a request that has ended. What can't be captured changes nothing for the request.
    pub(in crate::transaction) fn captured(&mut self, vm: &mut WorkerState, host: &mut dyn Host) -> Option<String> {
        let draft = self.draft.take().filter(|draft| draft.body.is_some())?;
        let policy = std::sync::Arc::clone(&self.policy);
        let capture = policy.capture.as_ref()?;
        if !vm.captures().allows(capture.per_minute, host.now()) {
            self.account.record.set_capture("tooMany");
            return None;
        }
        let text = draft.to_json(&self.account.record.to_json(host.now()));
        let sealed = Sealed::new(capture, &policy.name, self.teller.request.as_deref(), &text, host).ok()?;
        self.account.record.set_capture("sealed");
        Some(sealed.to_json())
    }

    /// The model that a reply names. One that the table of prices has is the policy's as one of its roles'. Counters know
    /// what costs the same as the model that was asked for under that one's word.
    pub(in crate::transaction) fn note_billed(&mut self, policy: &Policy, model: &str, vm: &mut WorkerState) {
        let priced = policy.prices.as_ref().zip(self.bill.as_ref());
        let label = priced.filter(|(prices, bill)| !prices.is_alike(bill, model)).map(|_| policy.labels.model(model));
        let is_mismatch = policy.models.as_ref().zip(self.model.as_deref());
        let is_mismatch = is_mismatch.map(|(models, asked)| models.is_mismatch(asked, model));
        let is_known = is_mismatch == Some(false) || priced.is_some_and(|(prices, bill)| prices.knows(bill, model));
        let name = self.model_name(policy, model, is_known, vm);
        self.account.record.set_billed_model(name, label);
        self.account.record.set_mismatch(is_mismatch == Some(true));
    }

    /// A model that the policy writes out is no secret. One that a glob of it allows is written as it is where it has the
    /// form of a model's name and nothing is found in it. Any other name is the caller's own text.
    pub(super) fn note_model(&mut self, policy: &Policy, model: &str, vm: &mut WorkerState) {
        let name = self.model_name(policy, model, false, vm);
        self.account.record.set_model(name, policy.labels.model(model));
    }

    /// The model that was asked for, the one that an alias means, and the versions of its system prompts.
    pub(super) fn note_exchange(&mut self, policy: &Policy, exchange: &Exchange, vm: &mut WorkerState) {
        self.note_model(policy, exchange.asked(), vm);
        // The policy writes this name out.
        self.account.record.set_pinned(exchange.asked_model.as_ref().map(|_| exchange.model.clone()));
        self.model = Some(exchange.model.clone());
        let versions = exchange.prompt_versions.iter().flatten().map(|name| name.to_string());
        self.account.record.set_prompt_versions(versions.collect());
    }

    /// The script of the caller's texts, newest first, and the bytes of all texts.
    pub(super) fn note_texts(&mut self, json: &Json<'_>, exchange: &Exchange) {
        let texts = || exchange.segments.iter().rev().filter(|segment| !segment.is_key);
        let of_caller = texts().filter(|segment| segment.zone == Zone::User);
        let script = Script::of(of_caller.filter_map(|segment| segment.text_in(json)));
        let lengths = texts().filter_map(|segment| segment.text_in(json)).map(|text| text.len() as u64);
        self.account.record.set_texts(script, lengths.fold(0, u64::saturating_add));
    }

    /// `is_known`: something else of the policy than a role allows the name.
    fn model_name(&self, policy: &Policy, model: &str, is_known: bool, vm: &mut WorkerState) -> String {
        let globs = || policy.roles.iter().flat_map(|role| &role.models).filter(|glob| glob.matches(model));
        let mut is_plain = globs().any(Glob::is_literal);
        if !is_plain && is_model_name(model) && (is_known || globs().next().is_some()) {
            is_plain = policy.scanner.is_clean_name(vm.verdicts(policy), model, policy.limits.budget());
        }
        let hashed = || vm.hash_key().hex(&[b"model", model.as_bytes()]);
        if is_plain { model.to_owned() } else { hashed() }
    }

    /// Tools of the request that its roles allow, in words that may be shown. See [`Self::note_model`].
    pub(super) fn note_tools(
        &mut self,
        policy: &Policy,
        authorized: &Authorized,
        exchange: &Exchange,
        vm: &mut WorkerState,
    ) {
        const MOST: usize = 16;
        let roles = || authorized.roles().iter().filter_map(|role| policy.role_at(*role));
        let mut names: Vec<&str> = exchange.tools.iter().map(|tool| tool.name.as_str()).collect();
        sorted::once(&mut names);
        names.retain(|name| roles().flat_map(|role| &role.tools).any(|glob| glob.matches(name)));
        names.truncate(MOST);
        let is_written =
            |name: &str| roles().flat_map(|role| &role.tools).any(|glob| glob.is_literal() && glob.matches(name));
        let unwritten: Vec<&str> =
            names.iter().copied().filter(|name| !is_written(name) && is_tool_name(name)).collect();
        let (scanner, budget) = (&policy.scanner, policy.limits.budget());
        let mut is_clean = |name: &&str| scanner.is_clean_name(vm.verdicts(policy), name, budget);
        let clean: Vec<&str> = unwritten.into_iter().filter(|name| is_clean(name)).collect();
        let shown = |name: &str| {
            if is_written(name) || clean.contains(&name) {
                name.to_owned()
            } else {
                vm.hash_key().hex(&[b"tool", name.as_bytes()])
            }
        };
        self.account.record.set_tools(names.into_iter().map(shown).collect());
    }

    pub(super) fn note_grant(&mut self, policy: &Policy, authorized: &Authorized) {
        let roles = names_of(policy, authorized.roles());
        let label = roles.first().map(|role| policy.labels.role(role).to_owned());
        self.account.record.set_roles(roles, label.as_deref());
        self.account.rehearse(authorized.shadow().map(Reason::code));
    }

    pub(super) fn note_limits(&mut self, charged: &Charged) {
        self.account.rehearse(charged.limits().shadow.iter().map(|reason| reason.code()));
        self.limits = charged.limits().clone();
    }

    pub(super) fn note_admitted(&mut self, admitted: &Admitted) {
        let noted = admitted.inspected().charged().limits().shadow.len();
        self.account.rehearse(admitted.limits().shadow.iter().skip(noted).map(|reason| reason.code()));
        if admitted.limits().alone {
            self.account.record.set_counted_alone();
        }
        let Tokens { input, output, cost, .. } = self.reserved.expected();
        if self.reserved.holds_tokens() || self.bill.is_some() {
            self.account.record.set_reserved(self.gauge.map(|gauge| gauge.estimated()), input, output);
        }
        if let (Some(prices), true) = (&self.policy.prices, self.bill.is_some_and(|bill| bill.is_priced())) {
            self.account.record.set_reserved_cost(price::decimal(cost), &prices.currency);
        }
    }

    /// What outside judges thought.
    pub(super) fn note_opinions(&mut self, policy: &Policy, heard: &Heard) {
        let entry = |opinion: &Opinion| OpinionEntry {
            name: policy.opinion(opinion.of).map_or_else(String::new, |policy| policy.name.clone()),
            outcome: opinion.outcome.name(),
            score: opinion.score,
            ms: opinion.millis,
            cached: opinion.remembered,
            of: None,
            parts: None,
        };
        self.account.record.set_opinions(heard.all().iter().map(entry).collect());
    }

    /// What the guards say, in the place of what they said before.
    pub(super) fn note_judgement(&mut self, scan: &Scan<'_, '_>, judgement: &Judgement, places: &[Place]) {
        self.account.rehearse(judgement.shadow.iter().map(|reason| reason.code()));
        self.note_findings(scan, judgement, places);
    }

    /// What was found, in the place of what was found before.
    pub(super) fn note_findings(&mut self, scan: &Scan<'_, '_>, judgement: &Judgement, places: &[Place]) {
        let Scan { policy, route, json, exchange, .. } = scan;
        self.account.scored(judgement.score);
        self.account.forget_findings();
        for over in &judgement.over {
            if let (Some(place), Some(segment)) = (places.get(over.text), exchange.segments.get(over.text)) {
                self.account.record.add_text(TextEntry {
                    zone: place.zone.as_str(),
                    path: json.pointer(&segment.path, &|key| route.protocol.knows_key(key)),
                    score: over.score,
                    rules_score: over.rules_score,
                    threshold: over.threshold,
                    guard: over.guard.clone(),
                    action: over.act.name(),
                });
            }
        }
        for judged in &judgement.findings {
            // There may be a hundred thousand.
            if !self.account.lists(judged.act) {
                self.account.count_finding();
                continue;
            }
            let card = policy.scanner.cards().get(usize::from(judged.finding.rule.0));
            let (Some(card), Some(place), Some(segment)) =
                (card, places.get(judged.text), exchange.segments.get(judged.text))
            else {
                continue;
            };
            let path = json.pointer(&segment.path, &|key| route.protocol.knows_key(key));
            let Finding { span, chain, .. } = judged.finding.clone();
            self.account.find(entry(&card.id, place.zone.as_str(), path, span, chain, judged.act));
        }
    }

    /// What was not scanned.
    pub(super) fn note_unscanned(&mut self, kinds: &[UnscannedKind], unknown: &[String]) {
        self.account.cover(Coverage::Full);
        kinds.iter().for_each(|kind| self.account.leave_unread(*kind));
        self.account.record.set_unknown(unknown.iter().map(|kind| named(kind)).collect());
    }
}

/// The form of a model's name: `gpt-4o-mini`, `qwen2.5:7b`, `models/gemini-2.0`, `anthropic.claude-3-5-sonnet-v2:0`.
/// Letters and digits without a break are short in a name: a longer run may end in a key that no pattern finds behind a
/// letter.
fn is_model_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._:/@+-".contains(&byte);
    let is_run_of_a_key = |run: &[u8]| run.len() >= 16 && run.iter().any(u8::is_ascii_digit);
    (1..=128).contains(&name.len())
        && name.bytes().all(plain)
        && !name.as_bytes().split(|byte| !byte.is_ascii_alphanumeric()).any(is_run_of_a_key)
}

/// A name as tools have it. One with many digits may be somebody's number.
fn is_tool_name(name: &str) -> bool {
    is_model_name(name) && name.bytes().filter(u8::is_ascii_digit).count() <= 3
}

/// A type as it may be in a record. It is the caller's text: only one of few short words is shown, which is what new types of
/// an API are called, and holds neither a number nor a key.
fn named(kind: &str) -> String {
    let is_word = |word: &str| (1..=12).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_lowercase());
    if kind.split('_').count() <= 3 && kind.split('_').all(is_word) { kind.to_owned() } else { "*".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transaction::request::headers::is_request_id;

    #[test]
    fn what_a_caller_names_is_shown_where_it_is_few_short_words() {
        for known in ["image_url", "input_audio", "hologram", "document"] {
            assert_eq!(named(known), known);
        }
        for hostile in [
            "my_password_is_hunter2",
            "johnsmithhasdiabetes",
            "akiaiosfodnn7example",
            "ssn_078_05_1120",
            "deadbeefcafe0123456789abcdefdead",
            "ignore_all_previous_instructions",
            "",
            "_",
            "image__url",
            "Image",
            "image_url_image_url_image",
        ] {
            assert_eq!(named(hostile), "*", "{hostile}");
        }
        for name in ["search_078-05-1120", "search_AKIAIOSFODNN7EXAMPLE", "search_4111111111111111"] {
            assert!(!is_tool_name(name), "{name}");
        }
        assert!(is_tool_name("search_web") && is_tool_name("get_weather_v2"));
    }

    #[test]
    fn a_request_id_is_a_uuid() {
        assert!(is_request_id("0f8fad5b-d9cb-469f-a165-70867728950e"));
        for other in [
            "",
            "AKIAIOSFODNN7EXAMPLE",
            "sk-proj-abcdEFGH12345678",
            "DE89370400440532013000",
            "078-05-1120",
            "0f8fad5bd9cb469fa16570867728950e",
            "0f8fad5b-d9cb-469f-a165-70867728950g",
            "0f8fad5b_d9cb_469f_a165_70867728950e",
        ] {
            assert!(!is_request_id(other), "{other}");
        }
    }
}
