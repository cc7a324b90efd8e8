//! Bartizan: a proxy-wasm filter for Envoy and Istio that guards traffic to large language models.
//!
//! # The life of a request
//!
//! 1. **Headers.** The route names the protocol; client-sent `x-bartizan-*` headers go; the
//!    credential becomes a [`authn::Principal`]; the path is allowed or not; a request is counted.
//! 2. **Body.** Bounded, parsed once and strictly; every text in it becomes a segment with a zone;
//!    model, tools and caps are checked; every segment is scanned; the verdict masks, replaces or refuses.
//! 3. **Response.** Read for usage, whole or as a stream.
//! 4. **Log.** One content-free audit record, and the counters.
//!
//! Every stage consumes the witness of the one before it (`Principal` -> `Entitled` -> `Counted` ->
//! `Authorized` -> `Charged` -> `Scanned` -> `Inspected` -> `Admitted`), so a request that skipped a check does not compile.
//!
//! # The map
//!
//! | room | what it decides |
//! |---|---|
//! | [`document`] | bytes -> typed sections; every error with its key path |
//! | [`authn`] | credentials -> `Principal` |
//! | [`authz`] | may this principal call this operation, model, tool, with these caps |
//! | [`condition`] | `when`: a subset of CEL, checked at load and evaluated in bounded steps |
//! | [`quota`] | request counters, exact across Envoy's workers |
//! | [`callout`] | calls that a stage waits for, and their answers |
//! | [`protocol`] | one folder a wire format: request -> `Exchange`; reply -> usage; denial bodies |
//! | [`scan`] | text -> findings and a score; the parts that read the text are `bartizan_rules` (`rules/engine`) |
//! | [`redact`] | PII and secret validators; masking |
//! | [`guard`] | what follows from what was found |
//! | [`route`] | which requests are guarded, and how their bodies read |
//! | [`policy`] | the sections of a document, compiled into an immutable `Policy`; sees every room before it |
//! | [`enums`] | the domain's closed words |
//! | [`estimate`] | how many tokens a text has |
//! | [`models`] | aliases of models, their ends, what replies may name |
//! | [`prompts`] | versions of system prompts |
//! | [`keyed`] | keyed hashes of names and identities |
//! | [`glob`] | names with `*` in them |
//! | [`hex`] | bytes as text |
//! | [`held`] | which held streams a tick turns to, and how many |
//! | [`assertion`] | who calls, signed for the upstream |
//! | [`audit`] | the record, header names, metric names |
//! | [`capture`] | flagged requests, sealed for the operator |
//! | [`transaction`] | the order of the stages, as a sans-IO state machine |
//! | `proxy` | the proxy-wasm edge (wasm32 only) |
//!
//! Bytes, headers and the time go in, a verdict comes out: nothing outside `proxy` and the command
//! line reads a clock, logs, does I/O or keeps state of its own, except that `bartizan_rules::invariant`
//! records for a thread what cannot happen.
//!
//! # What an edge needs
//!
//! Six names: a [`Policy`] compiled from a document, a [`WorkerState`] for each worker, a [`Transaction`] for each request,
//! which is given an [`Event`] and answers with a [`Step`], and the [`Host`] that it runs on. The rooms are public so that
//! tests and the command line reach them; their items may change with any release.

pub mod assertion;
pub mod audit;
pub mod authn;
pub mod authz;
pub mod callout;
pub mod capture;
#[cfg(feature = "cli")]
pub mod cli;
pub mod condition;
pub mod consult;
pub mod document;
pub mod enums;
pub mod estimate;
pub mod glob;
pub mod guard;
pub mod held;
pub mod hex;
pub mod host;
pub mod keyed;
#[cfg(doc)]
pub mod manual;
pub mod models;
pub mod policy;
pub mod prompts;
pub mod protocol;
pub mod quota;
pub mod reason;
pub mod redact;
pub mod route;
pub mod scan;
pub mod script;
mod sorted;
pub mod tenancy;
pub mod transaction;

pub use host::Host;
pub use policy::Policy;
pub use transaction::{Event, Step, Transaction, WorkerState};

mod crc;
#[cfg(target_arch = "wasm32")]
mod proxy;
