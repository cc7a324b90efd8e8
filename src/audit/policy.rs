//! What is written about a request, as the policy means it.

use std::sync::Arc;

use super::chain::ChainPolicy;
use super::group::GroupPolicy;
use crate::document::{self, Environment, Errors, KeyPath, ResponseHeaders, SubjectForm, UpstreamHeader, secret};

/// What is written about a request.
#[derive(Clone, PartialEq, Eq)]
pub struct AuditPolicy {
    /// How the record names the subject.
    pub subject: SubjectForm,
    /// The key of every hash in the record; `None`: a random one for the life of the proxy.
    pub hash_key: Option<Vec<u8>>,
    /// Headers for the upstream.
    pub upstream_headers: Vec<UpstreamHeader>,
    /// Ask for the token counts of streams that tell them only when asked.
    pub usage: bool,
    /// Which replies carry headers of ours.
    pub response_headers: ResponseHeaders,
    /// Records are lines of the proxy's log, beside the filter state.
    pub log_line: bool,
    /// What group of a caller records name.
    pub group: Option<GroupPolicy>,
    /// What ties records together.
    pub chain: Option<Arc<ChainPolicy>>,
}

impl std::fmt::Debug for AuditPolicy {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuditPolicy")
            .field("subject", &self.subject)
            .field("hash_key", &self.hash_key.as_ref().map(|_| "..."))
            .field("upstream_headers", &self.upstream_headers)
            .field("usage", &self.usage)
            .field("response_headers", &self.response_headers)
            .field("log_line", &self.log_line)
            .field("group", &self.group)
            .field("chain", &self.chain)
            .finish()
    }
}

impl AuditPolicy {
    /// Compiles `audit`. The hash key is read from the VM's environment.
    pub(crate) fn compile(
        written: Option<&document::Audit>,
        hold_headers: bool,
        environment: Environment<'_>,
        at: &KeyPath,
        errors: &mut Errors,
    ) -> AuditPolicy {
        let absent = document::Audit::default();
        let written = written.unwrap_or(&absent);
        let upstream_headers = written.upstream_headers.clone().unwrap_or_default();
        for (place, header) in upstream_headers.iter().enumerate() {
            let after_body =
                matches!(header, UpstreamHeader::Verdict | UpstreamHeader::Score | UpstreamHeader::Coverage);
            if after_body && !hold_headers {
                let message = format!("{} is known after the body only and needs holdHeaders: true", header.as_str());
                errors.push(&at.key("upstreamHeaders").index(place), message);
            }
        }
        let hash_key = written.hash_key.as_ref().and_then(|key| secret(key, &at.key("hashKey"), environment, errors));
        let group = written.group.as_ref();
        let group = group.and_then(|group| GroupPolicy::compile(group, &at.key("group"), errors));
        let chain = written.chain.as_ref();
        let chain = chain.and_then(|chain| ChainPolicy::compile(chain, environment, &at.key("chain"), errors));
        AuditPolicy {
            subject: written.subject.unwrap_or(SubjectForm::Hashed),
            hash_key,
            upstream_headers,
            usage: written.usage.unwrap_or(false),
            response_headers: written.response_headers.unwrap_or(ResponseHeaders::Denials),
            log_line: written.log_line.unwrap_or(true),
            group,
            chain: chain.map(Arc::new),
        }
    }
}
