//! Calendar dates, and those that can be a birthday.

/// A day of the proleptic Gregorian calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Day {
    pub(super) year: u32,
    pub(super) month: u32,
    pub(super) day: u32,
}

impl Day {
    /// `None`: there is no such day.
    pub(super) fn new(year: u32, month: u32, day: u32) -> Option<Day> {
        let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let length = match month {
            2 if leap => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            1..=12 => 31,
            _ => return None,
        };
        (1..=length).contains(&day).then_some(Day { year, month, day })
    }

    /// A day whose year has two digits: true when one of the two centuries has it.
    pub(super) fn two_digit_year(year: u32, month: u32, day: u32) -> bool {
        Day::new(1900 + year % 100, month, day).or_else(|| Day::new(2000 + year % 100, month, day)).is_some()
    }
}

/// A written calendar date: `1990-04-23`, `23.04.1990`, `4/23/90`, `23 April 1990`, `April 23rd, 1990`.
pub(super) fn calendar_date(text: &str) -> bool {
    parse(text).is_some()
}

/// A date on which someone alive can have been born: 1900 to 2029. The filter has no clock here, so
/// the upper end is fixed.
pub(super) fn birth_date(text: &str) -> bool {
    parse(text).is_some_and(|day| (1900..2030).contains(&day.year))
}

/// Month names by their first three letters, English, German, French, Spanish, Italian, Portuguese.
static MONTHS: &[(&str, u32)] = &[
    ("jan", 1),
    ("jän", 1),
    ("ene", 1),
    ("gen", 1),
    ("feb", 2),
    ("fév", 2),
    ("fev", 2),
    ("mar", 3),
    ("mär", 3),
    ("apr", 4),
    ("avr", 4),
    ("abr", 4),
    ("may", 5),
    ("mai", 5),
    ("mag", 5),
    ("jun", 6),
    ("giu", 6),
    ("jul", 7),
    ("lug", 7),
    ("aug", 8),
    ("aoû", 8),
    ("ago", 8),
    ("sep", 9),
    ("set", 9),
    ("oct", 10),
    ("okt", 10),
    ("ott", 10),
    ("out", 10),
    ("nov", 11),
    ("dec", 12),
    ("dez", 12),
    ("déc", 12),
    ("dic", 12),
];

fn month_by_name(word: &str) -> Option<u32> {
    let low = word.to_lowercase();
    match low.as_str() {
        "juin" => return Some(6),
        "juillet" => return Some(7),
        _ => {}
    }
    let end = low.char_indices().nth(3).map_or(low.len(), |(at, _)| at);
    let stem = low.get(..end)?;
    MONTHS.iter().find(|(name, _)| *name == stem).map(|(_, month)| *month)
}

/// A part of a written date: a number, how many digits it has, or a month's name.
enum Part {
    Number(u32, usize),
    Month(u32),
}

fn parse(text: &str) -> Option<Day> {
    if text.len() > 64 {
        return None;
    }
    let mut parts = Vec::with_capacity(3);
    for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        let bare = word.trim_end_matches(|c: char| c.is_alphabetic());
        if let Ok(number) = bare.parse::<u32>() {
            parts.push(Part::Number(number, bare.len()));
        } else if let Some(month) = month_by_name(word) {
            parts.push(Part::Month(month));
        } else if !matches!(word.to_lowercase().as_str(), "of" | "de" | "den" | "the" | "le" | "di") {
            return None;
        }
    }
    let year = |number: u32, length: usize| match length {
        4 => Some(number),
        2 => Some(if number < 30 { 2000 + number } else { 1900 + number }),
        _ => None,
    };
    match parts.as_slice() {
        [Part::Number(y, 4), Part::Number(m, _), Part::Number(d, _)] => Day::new(*y, *m, *d),
        [Part::Number(a, _), Part::Number(b, _), Part::Number(y, length)] => {
            let year = year(*y, *length)?;
            Day::new(year, *b, *a).or_else(|| Day::new(year, *a, *b))
        }
        [Part::Number(y, 4), Part::Month(m), Part::Number(d, _)] => Day::new(*y, *m, *d),
        [Part::Number(d, _), Part::Month(m), Part::Number(y, length)]
        | [Part::Month(m), Part::Number(d, _), Part::Number(y, length)] => Day::new(year(*y, *length)?, *m, *d),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_in_their_common_forms() {
        for text in [
            "1990-04-23",
            "23.04.1990",
            "4/23/90",
            "23 April 1990",
            "April 23rd, 1990",
            "23. März 1985",
            "1 de mayo de 1971",
        ] {
            assert!(calendar_date(text), "{text}");
            assert!(birth_date(text), "{text}");
        }
    }

    #[test]
    fn days_that_never_were_are_refused() {
        for text in ["1990-02-30", "31.04.1990", "13/13/2001", "2023-02-29", "1990", "April", "12 Foo 1990", "1.2.3.4"]
        {
            assert!(!calendar_date(text), "{text}");
        }
        assert!(calendar_date("2024-02-29"));
        assert!(!birth_date("1776-07-04"));
    }
}
