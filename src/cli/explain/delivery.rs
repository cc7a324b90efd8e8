//! What goes to the model, or back to the caller: the request through the same state machine as in the proxy.

use std::collections::BTreeSet;

use super::{Arguments, Explanation};
use crate::capture::Caller;
use crate::cli::{eval, replay};
use crate::transaction::{Header, Step};

/// What becomes of the request for these roles.
pub(super) struct Delivery {
    pub(super) roles: Vec<String>,
    pub(super) what: Delivered,
}

#[derive(PartialEq, Eq)]
pub(super) enum Delivered {
    Unchanged,
    Changed(Vec<u8>),
    Refused {
        status: u16,
        headers: Vec<(&'static str, String)>,
        body: Vec<u8>,
    },
    /// A judge, a policy engine or a quota service is asked first.
    Asks,
}

/// One for each thing that can become of it, in the order of the roles. Each role is that of a caller of its own, who
/// has asked for nothing before.
pub(super) fn all(explanation: &Explanation, body: &str, arguments: &Arguments) -> anyhow::Result<Vec<Delivery>> {
    let told: serde_json::Value = match &arguments.principal {
        Some(text) => serde_json::from_str(text)?,
        None => serde_json::Value::Null,
    };
    let text = |key: &str| told.get(key).and_then(serde_json::Value::as_str).map(str::to_owned);
    let issuer = text("issuer").unwrap_or_else(|| "explain".to_owned());
    let file = eval::document(arguments.config.as_deref())?;
    let mut stage = replay::Stage::of(&file, false, BTreeSet::from([issuer.clone()]))?;
    let now = match &arguments.at {
        Some(text) => crate::condition::moment(text).map_or_else(super::now, crate::host::Timestamp),
        None => super::now(),
    };
    let mut deliveries: Vec<Delivery> = Vec::new();
    for (place, role) in explanation.roles.iter().enumerate() {
        let caller = Caller {
            issuer: issuer.clone(),
            subject: Some(text("subject").unwrap_or_else(|| format!("caller-{place}"))),
            tenant: text("tenant"),
            roles: vec![role.role.clone()],
        };
        // A refusal quotes it: roles with the same refusal share one.
        let id: Header = (b"x-request-id".to_vec(), b"00000000-0000-4000-8000-000000000000".to_vec());
        let given = |(name, value): &(String, String)| -> Header {
            (name.to_ascii_lowercase().into_bytes(), value.clone().into_bytes())
        };
        let headers = arguments.header.iter().map(given);
        let what = match stage.step(&caller, &arguments.path, headers.chain([id]).collect(), body, now) {
            Step::Release(edit) => edit.body.map_or(Delivered::Unchanged, Delivered::Changed),
            Step::Deny(reply) => Delivered::Refused { status: reply.status, headers: reply.headers, body: reply.body },
            Step::Await(_) | Step::NeedMore | Step::Part(_) => Delivered::Asks,
        };
        match deliveries.iter_mut().find(|known| known.what == what) {
            Some(known) => known.roles.push(role.role.clone()),
            None => deliveries.push(Delivery { roles: vec![role.role.clone()], what }),
        }
    }
    Ok(deliveries)
}
