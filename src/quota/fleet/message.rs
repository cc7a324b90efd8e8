//! The messages of `envoy.service.ratelimit.v3.RateLimitService` that a quota needs, and no others.
//!
//! A descriptor is a list of names and values that says what is counted; the service keeps one counter for
//! each. Fields that are not read here are passed over, as protobuf asks.

use std::time::Duration;

use super::protobuf::{Fields, Malformed, Writer};

/// What is counted, and what is added to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Descriptor<'d> {
    /// Names and values, in order.
    pub(super) entries: &'d [(&'static str, String)],
    /// The policy's limit, where the service can take it: units a window.
    pub(super) limit: Option<(u64, Unit)>,
    /// How much.
    pub(super) hits: u64,
    /// Given back instead of added.
    pub(super) negative: bool,
}

/// The windows that a limit in a descriptor can have: `envoy.type.v3.RateLimitUnit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Second = 1,
    Minute = 2,
    Hour = 3,
    Day = 4,
}

impl Unit {
    /// The unit of exactly this length.
    pub(super) fn of(window: Duration) -> Option<Unit> {
        match window.as_secs() {
            _ if window.subsec_nanos() > 0 => None,
            1 => Some(Unit::Second),
            60 => Some(Unit::Minute),
            3_600 => Some(Unit::Hour),
            86_400 => Some(Unit::Day),
            _ => None,
        }
    }
}

/// A `RateLimitRequest`.
pub(super) fn request(domain: &str, descriptors: &[Descriptor<'_>]) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.bytes(1, domain.as_bytes());
    for descriptor in descriptors {
        writer.message(2, |writer| {
            for (key, value) in descriptor.entries {
                writer.message(1, |writer| {
                    writer.bytes(1, key.as_bytes());
                    writer.bytes(2, value.as_bytes());
                });
            }
            if let Some((units, unit)) = descriptor.limit
                && let Ok(units) = u32::try_from(units)
            {
                writer.message(2, |writer| {
                    writer.number(1, u64::from(units));
                    writer.number(2, unit as u64);
                });
            }
            // `google.protobuf.UInt64Value`.
            writer.message(3, |writer| writer.number(1, descriptor.hits));
            writer.number(4, u64::from(descriptor.negative));
        });
    }
    // Servers that know no numbers by descriptor take this one, where it says the same.
    let mut hits = descriptors.iter().map(|descriptor| descriptor.hits);
    let first = hits.next().unwrap_or(0);
    let negative = descriptors.iter().any(|descriptor| descriptor.negative);
    if !negative && hits.all(|hits| hits == first) {
        writer.number(3, u64::from(u32::try_from(first).unwrap_or(u32::MAX)));
    }
    writer.done()
}

/// What the service says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Response {
    /// Over all descriptors.
    pub(super) over: bool,
    /// One a descriptor, in their order; some services leave them out.
    pub(super) statuses: Vec<Status>,
}

/// What it says about one descriptor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Status {
    /// No room.
    pub(super) over: bool,
    /// The limit, in units a window; 0: not told.
    pub(super) limit: u64,
    /// What is left.
    pub(super) remaining: u64,
    /// Until the window ends.
    pub(super) reset: Option<Duration>,
}

/// More statuses than this are no answer to a request of ours.
const MAX_STATUSES: usize = 256;

const OK: u64 = 1;
const OVER_LIMIT: u64 = 2;

/// Reads a `RateLimitResponse`. `None` for what is none, and for one without a verdict.
pub(super) fn response(bytes: &[u8]) -> Option<Response> {
    read(bytes).ok().flatten()
}

fn read(bytes: &[u8]) -> Result<Option<Response>, Malformed> {
    let (mut code, mut statuses) = (0, Vec::new());
    for field in Fields::of(bytes) {
        match field? {
            (1, value) => code = value.number().ok_or(Malformed)?,
            (2, value) => {
                if statuses.len() >= MAX_STATUSES {
                    return Err(Malformed);
                }
                statuses.push(status(value.bytes().ok_or(Malformed)?)?);
            }
            _ => {}
        }
    }
    let over = match code {
        OK => false,
        OVER_LIMIT => true,
        _ => return Ok(None),
    };
    Ok(Some(Response { over, statuses }))
}

fn status(bytes: &[u8]) -> Result<Status, Malformed> {
    let mut status = Status::default();
    for field in Fields::of(bytes) {
        match field? {
            (1, value) => status.over = value.number().ok_or(Malformed)? == OVER_LIMIT,
            (2, value) => status.limit = first_number(value.bytes().ok_or(Malformed)?)?,
            (3, value) => status.remaining = value.number().ok_or(Malformed)?,
            (4, value) => status.reset = Some(duration(value.bytes().ok_or(Malformed)?)?),
            _ => {}
        }
    }
    Ok(status)
}

/// `RateLimit.requests_per_unit`.
fn first_number(bytes: &[u8]) -> Result<u64, Malformed> {
    let mut number = 0;
    for field in Fields::of(bytes) {
        if let (1, value) = field? {
            number = value.number().ok_or(Malformed)?;
        }
    }
    Ok(number)
}

/// `google.protobuf.Duration`; what is negative counts as none, and what is longer than a year as one.
fn duration(bytes: &[u8]) -> Result<Duration, Malformed> {
    const YEAR: i64 = 366 * 86_400;
    let (mut seconds, mut nanos) = (0, 0);
    for field in Fields::of(bytes) {
        match field? {
            (1, value) => seconds = value.number().ok_or(Malformed)?.cast_signed().clamp(0, YEAR),
            (2, value) => nanos = value.number().ok_or(Malformed)?.cast_signed().clamp(0, 999_999_999),
            _ => {}
        }
    }
    Ok(Duration::new(seconds.cast_unsigned(), u32::try_from(nanos).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_request_reads_as_the_protocol_says() {
        let entries = [("quota", "analyst.tokens".to_owned()), ("tenant", "t1".to_owned())];
        let one = Descriptor { entries: &entries, limit: Some((200_000, Unit::Hour)), hits: 150, negative: false };
        let refund = Descriptor { entries: &entries, limit: None, hits: 70, negative: true };
        let bytes = request("llm", std::slice::from_ref(&one));
        let expected = "0a036c6c6d1234\
            0a170a0571756f7461120e616e616c7973742e746f6b656e73\
            0a0c0a0674656e616e7412027431\
            1206 08c09a0c 1003\
            1a03089601\
            189601"
            .replace([' ', '\n'], "");
        assert_eq!(crate::hex::hex(&bytes), expected);
        let both = request("llm", &[one, refund]);
        let fields: Vec<u64> = Fields::of(&both).map(|field| field.unwrap().0).collect();
        assert_eq!(fields, [1, 2, 2], "no number for all");
        assert!(both.ends_with(&[0x1a, 2, 8, 70, 0x20, 1]));
    }

    #[test]
    fn a_response_reads_as_the_protocol_says() {
        let bytes = [
            &[0x08, 2][..],
            &[0x12, 14, 0x08, 2, 0x12, 4, 0x08, 100, 0x10, 3, 0x18, 7, 0x22, 2, 0x08, 30],
            &[0x12, 2, 0x08, 1],
            &[0x1a, 2, 0x0a, 0],
        ]
        .concat();
        let first = Status { over: true, limit: 100, remaining: 7, reset: Some(Duration::from_secs(30)) };
        assert_eq!(response(&bytes), Some(Response { over: true, statuses: vec![first, Status::default()] }));
        assert_eq!(response(&[0x08, 1]), Some(Response { over: false, statuses: vec![] }));
        for nothing in [&b""[..], &[0x08, 0], &[0x08, 9], b"<html>", &[0x08, 1, 0x12, 9], &[0x0a, 1, 1]] {
            assert_eq!(response(nothing), None, "{nothing:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Some(response) = response(&bytes) {
                prop_assert!(response.statuses.len() <= MAX_STATUSES);
            }
        }

        /// A message that is cut anywhere is never read as a verdict with other numbers.
        #[test]
        fn likely_bytes_break_nothing(parts in prop::collection::vec(
            prop::sample::select(vec![0x08u8, 0x10, 0x12, 0x18, 0x1a, 0x22, 1, 2, 3, 4, 0x7f, 0x80, 0xff]), 0..60)) {
            response(&parts);
        }
    }
}
