//! What a request may cost, and what happens to content that can't be scanned.

use crate::document::{self, Errors, KeyPath, LinesAction, StateAction, UnscannedAction};
use crate::protocol::UnscannedKind;
use crate::scan::Budget;

/// What happens to content that can't be scanned, every kind decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnscannedPolicy {
    /// Kinds without a key of their own.
    pub default: UnscannedAction,
    /// Image parts.
    pub image: UnscannedAction,
    /// Audio parts.
    pub audio: UnscannedAction,
    /// Attached files.
    pub file: UnscannedAction,
    /// What the provider keeps from earlier requests.
    pub state: StateAction,
    /// Uploaded batches and training files.
    pub lines: LinesAction,
    /// What only a provider can read.
    pub opaque: UnscannedAction,
    /// Text over the scanner's bounds.
    pub budget: UnscannedAction,
    /// What the provider fetches by itself.
    pub reference: UnscannedAction,
    /// Text as the numbers of a model's tokens.
    pub tokens: UnscannedAction,
}

impl UnscannedPolicy {
    /// True when a caller may go on with what is its own at the provider, and nothing else.
    pub fn knows_owners(&self) -> bool {
        self.state == StateAction::Own
    }

    /// The action for a kind.
    pub const fn action(&self, kind: UnscannedKind) -> UnscannedAction {
        match kind {
            UnscannedKind::Image => self.image,
            UnscannedKind::Audio => self.audio,
            UnscannedKind::File => self.file,
            // What is the caller's own is not among these: see `Exchange::stored`.
            UnscannedKind::State => match self.state {
                StateAction::Deny | StateAction::Own => UnscannedAction::Deny,
                StateAction::Flag => UnscannedAction::Flag,
            },
            UnscannedKind::Opaque => self.opaque,
            UnscannedKind::Budget => self.budget,
            UnscannedKind::Reference => self.reference,
            UnscannedKind::Tokens => self.tokens,
            UnscannedKind::Unknown | UnscannedKind::Other => self.default,
        }
    }
}

/// Bounds on what one request may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitsPolicy {
    /// Request body, bytes.
    pub max_body_bytes: usize,
    /// JSON nesting.
    pub max_json_depth: usize,
    /// Decoded text of one request, bytes.
    pub max_decoded_bytes: usize,
    /// Scanned text of one request, bytes.
    pub max_scan_bytes: usize,
    /// Steps of scanning one request.
    pub max_work: usize,
    /// A whole reply, or one event of a stream, bytes.
    pub max_response_bytes: usize,
    /// Bodies held by one worker at a time, bytes.
    pub max_buffered_bytes_per_worker: usize,
    /// The cap on output tokens where nothing else sets one and a quota counts them.
    pub default_output_tokens: u64,
}

impl LimitsPolicy {
    /// What scanning one request may cost.
    pub fn budget(&self) -> Budget {
        Budget { scan_bytes: self.max_scan_bytes, decoded_bytes: self.max_decoded_bytes, work: self.max_work }
    }
}

impl UnscannedPolicy {
    /// Decides every kind.
    pub(super) fn compile(written: Option<&document::Unscanned>) -> UnscannedPolicy {
        let absent = document::Unscanned::default();
        let written = written.unwrap_or(&absent);
        let default = written.default.unwrap_or(UnscannedAction::Deny);
        UnscannedPolicy {
            default,
            image: written.image.unwrap_or(default),
            audio: written.audio.unwrap_or(default),
            file: written.file.unwrap_or(default),
            state: written.state.unwrap_or(match default {
                UnscannedAction::Deny => StateAction::Deny,
                UnscannedAction::Flag => StateAction::Flag,
            }),
            lines: written.lines.unwrap_or(LinesAction::File),
            opaque: written.opaque.unwrap_or(UnscannedAction::Flag),
            budget: written.budget.unwrap_or(default),
            reference: written.reference.or(written.file).unwrap_or(default),
            tokens: written.tokens.unwrap_or(default),
        }
    }
}

impl LimitsPolicy {
    /// Compiles `limits`. A value out of range is an error, and its default goes on.
    pub(super) fn compile(written: Option<&document::Limits>, at: &KeyPath, errors: &mut Errors) -> LimitsPolicy {
        const MIB: u64 = 1 << 20;
        let absent = document::Limits::default();
        let written = written.unwrap_or(&absent);
        let key = "maxBufferedBytesPerWorker";
        let buffered = errors.range(at, key, written.max_buffered_bytes_per_worker, 128 * MIB, 1..=512 * MIB);
        let default = buffered.min(16 * MIB);
        let max_body = errors.range(at, "maxBodyBytes", written.max_body_bytes, default, 1..=64 * MIB);
        let depth = errors.range(at, "maxJsonDepth", written.max_json_depth, 64, 1..=100);
        let decoded = errors.range(at, "maxDecodedBytes", written.max_decoded_bytes, MIB, 0..=16 * MIB);
        let scanned = errors.range(at, "maxScanBytes", written.max_scan_bytes, 4 * MIB, 1..=64 * MIB);
        let work = errors.range(at, "maxWork", written.max_work, Budget::SHIPPED.work as u64, MIB..=4096 * MIB - 1);
        let response = errors.range(at, "maxResponseBytes", written.max_response_bytes, 4 * MIB, 1..=16 * MIB);
        if buffered < max_body {
            errors.push(
                &at.key(key),
                format!("{buffered} is less than maxBodyBytes ({max_body}): no such body could pass"),
            );
        }
        LimitsPolicy {
            max_body_bytes: max_body as usize,
            max_json_depth: depth as usize,
            max_decoded_bytes: decoded as usize,
            max_scan_bytes: scanned as usize,
            max_work: work as usize,
            max_response_bytes: response as usize,
            max_buffered_bytes_per_worker: buffered as usize,
            default_output_tokens: errors.range(
                at,
                "defaultOutputTokens",
                written.default_output_tokens,
                4096,
                1..=100_000_000,
            ),
        }
    }
}
