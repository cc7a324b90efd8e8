//! Time as the record writes it.

use crate::host::Timestamp;

/// RFC 3339 in UTC with milliseconds: `2026-01-31T08:15:00.250Z`.
pub fn rfc3339(time: Timestamp) -> String {
    let secs = time.as_secs();
    let millis = (time.0 / 1_000_000) % 1000;
    let (year, month, day) = civil((secs / 86_400).try_into().unwrap_or(0));
    let (hour, minute, second) = (secs / 3600 % 24, secs / 60 % 60, secs % 60);
    let parts = [(year, 4), (month, 2), (day, 2), (hour as u32, 2), (minute as u32, 2), (second as u32, 2)];
    let mut out = String::with_capacity(24);
    for ((value, width), before) in
        parts.into_iter().chain([(millis as u32, 3)]).zip(["", "-", "-", "T", ":", ":", "."])
    {
        out.push_str(before);
        digits(&mut out, value, width);
    }
    out.push('Z');
    out
}

/// A number of at most so many digits, with zeros in front.
fn digits(out: &mut String, value: u32, width: u32) {
    out.extend((0..width).rev().map(|place| char::from(b'0' + (value / 10_u32.pow(place) % 10) as u8)));
}

/// The civil date of a day counted from 1970-01-01, by the proleptic Gregorian calendar: years are
/// counted from March, so that the leap day is the last of its year.
fn civil(days: u32) -> (u32, u32, u32) {
    let day = days + 719_468;
    let era = day / 146_097;
    let of_era = day % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + u32::from(month <= 2);
    (year, month, of_year - (153 * from_march + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_days() {
        for (secs, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (1_709_164_799, "2024-02-28T23:59:59.000Z"),
            (1_709_251_200, "2024-03-01T00:00:00.000Z"),
            (4_102_444_800, "2100-01-01T00:00:00.000Z"),
        ] {
            assert_eq!(rfc3339(Timestamp::from_secs(secs)), text);
        }
        assert_eq!(rfc3339(Timestamp(u64::MAX)), "2554-07-21T23:34:33.709Z");
    }
}
