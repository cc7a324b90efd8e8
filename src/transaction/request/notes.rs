//! What the record says of a request.

use super::body::Scan;
use crate::authn::Principal;
use crate::capture::{Caller, Draft, Sealed};
use crate::document::SubjectForm;
use crate::enums::Zone;
use crate::glob::Glob;
use crate::guard::{Judgement, Place, entry};
use crate::host::Host;
use crate::policy::Policy;
use crate::protocol::UnscannedKind;
use crate::reason::Reason;
use crate::scan::{Finding, Text};
use crate::transaction::stages::{Admitted, Authorized, Charged};
use crate::transaction::{Transaction, WorkerState};

impl Transaction {
    pub(super) fn note_caller(&mut self, policy: &Policy, principal: &Principal, vm: &WorkerState) {
        if !principal.is_anonymous() {
            self.caller = Some([b"c", principal.identity().as_slice()].concat().into());
        }
        self.record.issuer = Some(principal.issuer_name().to_owned());
        self.record.roles =
            principal.roles().iter().filter_map(|role| policy.role_at(*role)).map(|role| role.name.clone()).collect();
        self.record.tenant_label = principal.tenant().map(|tenant| policy.labels.tenant(tenant).to_owned());
        let hashed = |kind: &[u8], bytes: &[u8]| vm.hash_key().hex(&[kind, bytes]);
        match policy.audit.subject {
            SubjectForm::Hashed => {
                self.record.user_hash = Some(hashed(b"subject", &principal.identity()));
                self.record.tenant = principal.tenant().map(|_| hashed(b"tenant", &principal.tenancy()));
            }
            SubjectForm::Plain => {
                self.record.user_id = Some(principal.subject().to_owned());
                self.record.tenant = principal.tenant().map(str::to_owned);
            }
            SubjectForm::Omitted => {}
        }
    }

    /// Begins a capture, where the policy wants some.
    pub(super) fn draft(&mut self, policy: &Policy, path: &str, principal: &Principal) {
        if policy.capture.is_none() {
            return;
        }
        let roles = principal.roles().iter().filter_map(|role| policy.role_at(*role));
        let caller = Caller {
            issuer: principal.issuer_name().to_owned(),
            subject: self.record.user_hash.clone().or_else(|| self.record.user_id.clone()),
            tenant: self.record.tenant.clone(),
            roles: roles.map(|role| role.name.clone()).collect(),
        };
        self.draft = Some(Box::new(Draft { path: path.to_owned(), caller, body: None }));
    }

    /// Something was found in the request: it is captured when it ends.
    pub(super) fn keep_body(&mut self, body: &[u8]) {
        let (Some(draft), Some(capture)) = (&mut self.draft, &self.policy.capture) else { return };
        if body.len() <= capture.max_bytes {
            draft.body = Some(body.to_vec());
        } else {
            self.record.capture = Some("tooLarge");
        }
    }

    /// The capture of a request that has ended. What can't be captured changes nothing for the request.
    pub(in crate::transaction) fn captured(&mut self, vm: &mut WorkerState, host: &mut dyn Host) -> Option<String> {
        let draft = self.draft.take().filter(|draft| draft.body.is_some())?;
        let policy = std::sync::Arc::clone(&self.policy);
        let capture = policy.capture.as_ref()?;
        if !vm.captures().allows(capture.per_minute, host.now()) {
            self.record.capture = Some("tooMany");
            return None;
        }
        let text = draft.to_json(&self.record.to_json(host.now()));
        let sealed = Sealed::new(capture, &policy.name, self.record.request_id.as_deref(), &text, host).ok()?;
        self.record.capture = Some("sealed");
        Some(sealed.to_json())
    }

    /// A model that the policy writes out is no secret. One that a glob of it allows is written as it is where it has the
    /// form of a model's name and nothing is found in it. Any other name is the caller's own text.
    pub(super) fn note_model(&mut self, policy: &Policy, model: &str, vm: &mut WorkerState) {
        let globs = || policy.roles.iter().flat_map(|role| &role.models).filter(|glob| glob.matches(model));
        let mut is_plain = globs().any(Glob::is_literal);
        if !is_plain && is_model_name(model) && globs().next().is_some() {
            let texts = [Text { zone: Zone::User, text: model }];
            let report = policy.scanner.scan_with(vm.verdicts(policy), &texts, policy.limits.budget());
            is_plain = report.texts.iter().all(|text| text.findings.is_empty() && text.complete);
        }
        self.record.model_label = Some(policy.labels.model(model).to_owned());
        let hashed = || vm.hash_key().hex(&[b"model", model.as_bytes()]);
        self.record.model = Some(if is_plain { model.to_owned() } else { hashed() });
    }

    pub(super) fn note_grant(&mut self, policy: &Policy, authorized: &Authorized) {
        self.record.roles =
            authorized.roles().iter().filter_map(|role| policy.role_at(*role)).map(|role| role.name.clone()).collect();
        self.record.shadow.extend(authorized.shadow().map(Reason::code));
    }

    pub(super) fn note_limits(&mut self, charged: &Charged) {
        self.record.shadow.extend(charged.limits().shadow.iter().map(|reason| reason.code()));
        self.limits = charged.limits().clone();
    }

    pub(super) fn note_admitted(&mut self, admitted: &Admitted) {
        let noted = admitted.inspected().charged().limits().shadow.len();
        self.record.shadow.extend(admitted.limits().shadow.iter().skip(noted).map(|reason| reason.code()));
        if admitted.limits().alone {
            self.record.counted_by = Some("proxy");
        }
        if self.reserved.holds_tokens() {
            self.record.estimated_input = self.gauge.map(|gauge| gauge.estimated());
            self.record.reserved_input = Some(self.reserved.expected().input);
            self.record.reserved_output = Some(self.reserved.expected().output);
        }
    }

    pub(super) fn note_judgement(&mut self, scan: &Scan<'_, '_>, judgement: &Judgement, places: &[Place]) {
        let Scan { policy, route, json, exchange, .. } = scan;
        self.record.score = Some(judgement.score);
        self.record.shadow.extend(judgement.shadow.iter().map(|reason| reason.code()));
        for judged in &judgement.findings {
            let card = policy.scanner.cards().get(usize::from(judged.finding.rule.0));
            let (Some(card), Some(place), Some(segment)) =
                (card, places.get(judged.text), exchange.segments.get(judged.text))
            else {
                continue;
            };
            let path = json.pointer(&segment.path, &|key| route.protocol.knows_key(key));
            let Finding { span, chain, .. } = judged.finding.clone();
            self.record.finding(entry(&card.id, place.zone.as_str(), path, span, chain, judged.act));
        }
    }

    /// What was not scanned.
    pub(super) fn note_unscanned(&mut self, kinds: &[UnscannedKind], unknown: &[String]) {
        self.record.coverage = Some(if kinds.is_empty() { "full" } else { "partial" });
        self.record.unscanned = kinds.iter().map(|kind| kind.name()).collect();
        self.record.unknown = unknown.iter().map(|kind| named(kind)).collect();
        self.record.unknown.sort_unstable();
        self.record.unknown.dedup();
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

/// A type as it may stand in a record: it is the caller's text, so that only a short plain word is shown.
fn named(kind: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if (1..=48).contains(&kind.len()) && kind.bytes().all(plain) { kind.to_owned() } else { "*".to_owned() }
}
