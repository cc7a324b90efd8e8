//! Days and times as the document writes them.

use crate::host::Timestamp;

/// Midnight (UTC) at the beginning of a day written `2027-01-31`, 1970 to 2200.
pub(crate) fn midnight(text: &str) -> Option<Timestamp> {
    let mut parts = text.split('-');
    let mut number = |digits: usize| {
        let part = parts.next().filter(|part| part.len() == digits && part.bytes().all(|b| b.is_ascii_digit()))?;
        part.parse::<u64>().ok()
    };
    let (year, month, day) = (number(4)?, number(2)?, number(2)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_in_month = match month {
        2 => 28 + u64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        _ => return None,
    };
    if parts.next().is_some() || !(1..=days_in_month).contains(&day) || !(1970..=2200).contains(&year) {
        return None;
    }
    // Days since 1970-01-01 in the Gregorian calendar, with the year beginning in March so that the leap day is last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    Some(Timestamp::from_secs(days.checked_sub(719_468)?.checked_mul(86_400)?))
}

/// Midnight (UTC) at the end of a day.
pub(crate) fn end_of_day(text: &str) -> Option<Timestamp> {
    Some(Timestamp::from_secs(midnight(text)?.as_secs() + 86_400))
}

/// The end that a text means: of a day (`2027-01-31`), or a time of RFC 3339 (`2027-01-31T12:00:00Z`, `+02:00`); fractions
/// of a second are left out.
pub(crate) fn end(text: &str) -> Option<Timestamp> {
    let Some((day, time)) = text.split_once(['T', 't', ' ']) else { return end_of_day(text) };
    let midnight = midnight(day)?.as_secs();
    let (clock, rest) = time.split_at_checked("12:00:00".len())?;
    let (hour, minute) = clock_of(clock.get(..5)?)?;
    let second = two(clock.get(5..)?.strip_prefix(':')?)?;
    let digits = rest.strip_prefix('.').map(|fraction| fraction.bytes().take_while(u8::is_ascii_digit).count());
    let zone = match digits {
        Some(0) => return None,
        Some(digits) => rest.get(digits + 1..)?,
        None => rest,
    };
    // A leap second is the last second of its minute.
    let at = midnight + hour * 3600 + minute * 60 + second.min(59);
    if second > 60 {
        return None;
    }
    let secs = match zone.split_at_checked(1)? {
        ("Z" | "z", "") => at,
        ("+", offset) => at.checked_sub(seconds(clock_of(offset)?))?,
        ("-", offset) => at + seconds(clock_of(offset)?),
        _ => return None,
    };
    Some(Timestamp::from_secs(secs))
}

/// A time as HTTP writes it: `Sun, 31 Jan 2027 23:59:59 GMT` (RFC 9110 section 5.6.7).
pub(crate) fn http_date(time: Timestamp) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec", "Jan", "Feb"];
    let secs = time.as_secs();
    let days = secs / 86_400;
    // The inverse of `midnight`: eras of 400 years, which begin in March.
    let day = days + 719_468;
    let (era, of_era) = (day / 146_097, day % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let year = year_of_era + era * 400 + u64::from(from_march >= 10);
    let name = |names: &[&'static str], at: u64| names.get(at as usize).copied().unwrap_or_default();
    format!(
        "{}, {:02} {} {year:04} {:02}:{:02}:{:02} GMT",
        name(&DAYS, days % 7),
        of_year - (153 * from_march + 2) / 5 + 1,
        name(&MONTHS, from_march),
        secs / 3600 % 24,
        secs / 60 % 60,
        secs % 60
    )
}

/// Hour and minute.
fn clock_of(text: &str) -> Option<(u64, u64)> {
    let (hour, minute) = text.split_once(':')?;
    Some((two(hour)?, two(minute)?)).filter(|(hour, minute)| *hour < 24 && *minute < 60)
}

fn seconds((hours, minutes): (u64, u64)) -> u64 {
    hours * 3600 + minutes * 60
}

fn two(digits: &str) -> Option<u64> {
    (digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_ends_at_midnight_utc() {
        assert_eq!(end_of_day("1970-01-01"), Some(Timestamp::from_secs(86_400)));
        assert_eq!(end_of_day("2027-01-31"), Some(Timestamp::from_secs(1_801_440_000)));
        assert_eq!(end_of_day("2028-02-29"), Some(Timestamp::from_secs(1_835_481_600)));
        for bad in ["2027-02-29", "2027-13-01", "2027-1-1", "2027-01-00", "01-01-2027", "2027-01-01T00:00:00Z", ""] {
            assert_eq!(end_of_day(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_time_is_written_as_http_does() {
        // The example of RFC 9110.
        assert_eq!(http_date(Timestamp::from_secs(784_111_777)), "Sun, 06 Nov 1994 08:49:37 GMT");
        for (day, text) in [
            ("1970-01-01", "Thu, 01 Jan 1970 00:00:00 GMT"),
            ("2000-02-29", "Tue, 29 Feb 2000 00:00:00 GMT"),
            ("2027-03-01", "Mon, 01 Mar 2027 00:00:00 GMT"),
            ("2100-12-31", "Fri, 31 Dec 2100 00:00:00 GMT"),
        ] {
            assert_eq!(http_date(midnight(day).unwrap()), text);
        }
    }

    #[test]
    fn a_time_is_read_as_rfc_3339_writes_it() {
        let noon = Timestamp::from_secs(1_801_396_800);
        assert_eq!(end("2027-01-31"), Some(Timestamp::from_secs(1_801_440_000)));
        for same in [
            "2027-01-31T12:00:00Z",
            "2027-01-31t12:00:00.999z",
            "2027-01-31 14:00:00+02:00",
            "2027-01-31T06:30:00-05:30",
            "2027-02-01T01:00:00+13:00",
        ] {
            assert_eq!(end(same), Some(noon), "{same}");
        }
        for bad in [
            "2027-01-31T12:00Z",
            "2027-01-31T12:00:00",
            "2027-01-31T24:00:00Z",
            "2027-01-31T12:60:00Z",
            "2027-01-31T12:00:61Z",
            "2027-01-31T12:00:00.Z",
            "2027-01-31T12:00:00+0200",
            "2027-01-31T12:00:00Z ",
            "2027-02-30T12:00:00Z",
            "T12:00:00Z",
            "2027-01-31Tßßßß",
            "tomorrow",
        ] {
            assert_eq!(end(bad), None, "{bad}");
        }
    }
}
