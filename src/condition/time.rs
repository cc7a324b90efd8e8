//! Moments and times, without a table of zones: UTC and fixed offsets from it.

/// Nanoseconds of a second.
pub(super) const SECOND: i128 = 1_000_000_000;

/// Seconds of a day.
const DAY: i128 = 86_400;

/// From year 1 to year 9999, in seconds since 1970.
const FIRST: i128 = -62_135_596_800;
const LAST: i128 = 253_402_300_799;

/// A moment, where it is in range.
pub(super) fn timestamp(nanos: i128) -> Option<i128> {
    (FIRST..=LAST).contains(&nanos.div_euclid(SECOND)).then_some(nanos)
}

/// A time, where its nanoseconds are a number of 64 bits: up to 292 years.
pub(super) fn duration(nanos: i128) -> Option<i128> {
    i64::try_from(nanos).ok().map(i128::from)
}

/// RFC 3339.
pub(super) fn read_timestamp(text: &str) -> Option<i128> {
    let (date, rest) = text.split_at_checked(10)?;
    let (year, month, day) = triple(date, '-', [4, 2, 2])?;
    let rest = rest.strip_prefix(['T', 't'])?;
    let (clock, rest) = rest.split_at_checked(8)?;
    let (hour, minute, second) = triple(clock, ':', [2, 2, 2])?;
    if !(1..=12).contains(&month) || day < 1 || day > days_of(year, month) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (nanos, zone) = match rest.strip_prefix('.') {
        None => (0, rest),
        Some(rest) => {
            let length = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (digits, zone) = rest.split_at_checked(length)?;
            if !(1..=9).contains(&length) {
                return None;
            }
            (format!("{digits:0<9}").parse::<i128>().ok()?, zone)
        }
    };
    let offset = if zone == "Z" || zone == "z" { 0 } else { offset(zone).filter(|_| zone.starts_with(['+', '-']))? };
    let seconds = days(year, month, day) * DAY + hour * 3600 + minute * 60 + second;
    timestamp(seconds * SECOND + nanos - offset)
}

/// Three numbers of so many digits.
fn triple(text: &str, separator: char, lengths: [usize; 3]) -> Option<(i128, i128, i128)> {
    let mut parts = text.split(separator);
    let mut numbers = lengths.map(|length| {
        let part = parts.next()?;
        let fits = part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit());
        if fits { part.parse::<i128>().ok() } else { None }
    });
    let ended = parts.next().is_none();
    let [first, second, third] = numbers.each_mut().map(|number| number.take());
    Some((first?, second?, third?)).filter(|_| ended)
}

fn is_leap(year: i128) -> bool {
    (year % 4 == 0 && year % 100 != 0) || year % 400 == 0
}

fn days_of(year: i128, month: i128) -> i128 {
    match month {
        2 => 28 + i128::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970, in the Gregorian calendar. Years begin in March here, so that a leap day is the last of one.
fn days(year: i128, month: i128, day: i128) -> i128 {
    let year = year - i128::from(month < 3);
    let month = (month + 9) % 12;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + (month * 153 + 2) / 5 + day
        - 719_469
}

/// Year, month and day of a day since 1970.
fn date(day: i128) -> (i128, i128, i128) {
    // The year by the mean length of one is never off by more than one.
    let mut year = 1970 + (day * 400).div_euclid(146_097);
    while days(year, 1, 1) > day {
        year -= 1;
    }
    while days(year + 1, 1, 1) <= day {
        year += 1;
    }
    let mut month = 1;
    while month < 12 && days(year, month + 1, 1) <= day {
        month += 1;
    }
    (year, month, day - days(year, month, 1) + 1)
}

/// The nanoseconds of an offset: `UTC`, `+02:00`, `-03:30`, `02:00`.
pub(super) fn offset(zone: &str) -> Option<i128> {
    if matches!(zone, "UTC" | "Z") {
        return Some(0);
    }
    let (sign, clock) = match zone.strip_prefix('-') {
        Some(clock) => (-1, clock),
        None => (1, zone.strip_prefix('+').unwrap_or(zone)),
    };
    let (hours, minutes) = clock.split_once(':')?;
    let digits = |text: &str| (text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok());
    let (hours, minutes): (i128, i128) = (digits(hours)??, digits(minutes)??);
    (hours <= 14 && minutes <= 59).then_some(sign * (hours * 3600 + minutes * 60) * SECOND)
}

/// The names of what a moment tells.
pub(super) const FIELDS: [&str; 10] = [
    "getFullYear",
    "getMonth",
    "getDate",
    "getDayOfMonth",
    "getDayOfWeek",
    "getDayOfYear",
    "getHours",
    "getMinutes",
    "getSeconds",
    "getMilliseconds",
];

/// What a moment tells, at its place.
pub(super) fn field(name: &str, nanos: i128) -> Option<i64> {
    let seconds = nanos.div_euclid(SECOND);
    let (day, clock) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
    let (year, month, date) = date(day);
    let found = match name {
        "getFullYear" => year,
        "getMonth" => month - 1,
        "getDate" => date,
        "getDayOfMonth" => date - 1,
        // The first day of 1970 was a Thursday.
        "getDayOfWeek" => (day + 4).rem_euclid(7),
        "getDayOfYear" => day - days(year, 1, 1),
        "getHours" => clock / 3600,
        "getMinutes" => clock / 60 % 60,
        "getSeconds" => clock % 60,
        "getMilliseconds" => nanos.rem_euclid(SECOND) / 1_000_000,
        _ => return None,
    };
    i64::try_from(found).ok()
}

/// The names of what a time tells.
pub(super) const PARTS: [&str; 4] = ["getHours", "getMinutes", "getSeconds", "getMilliseconds"];

/// What a time tells: all of it in that unit, but milliseconds within their second.
pub(super) fn part(name: &str, nanos: i128) -> Option<i64> {
    let found = match name {
        "getHours" => nanos / (3600 * SECOND),
        "getMinutes" => nanos / (60 * SECOND),
        "getSeconds" => nanos / SECOND,
        "getMilliseconds" => nanos % SECOND / 1_000_000,
        _ => return None,
    };
    i64::try_from(found).ok()
}

/// Numbers with units: `1h30m`, `1.5s`, `-10ms`.
pub(super) fn read_duration(text: &str) -> Option<i128> {
    const UNITS: [(&str, i128); 7] = [
        ("ns", 1),
        ("us", 1_000),
        ("\u{b5}s", 1_000),
        ("ms", 1_000_000),
        ("s", SECOND),
        ("m", 60 * SECOND),
        ("h", 3600 * SECOND),
    ];
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut total: i128 = 0;
    while {
        let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
        let (whole, after) = rest.split_at_checked(digits(rest))?;
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => after.split_at_checked(digits(after))?,
            None => ("", after),
        };
        if (whole.is_empty() && fraction.is_empty()) || whole.len() > 18 || fraction.len() > 18 {
            return None;
        }
        let (name, unit) = UNITS.into_iter().find(|(name, _)| {
            let behind = after.strip_prefix(name).map(|behind| behind.bytes().next());
            behind.is_some_and(|next| next.is_none_or(|byte| byte.is_ascii_digit() || byte == b'.'))
        })?;
        let scale = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        let number = |text: &str| if text.is_empty() { Some(0) } else { text.parse::<i128>().ok() };
        let part = number(whole)?.checked_mul(unit)?.checked_add(number(fraction)?.checked_mul(unit)? / scale)?;
        total = total.checked_add(part)?;
        rest = after.strip_prefix(name)?;
        !rest.is_empty()
    } {}
    duration(sign * total)
}
