//! Durations as the document writes them: `500ms`, `30s`, `5m`, `1h`, `7d`.

use std::time::Duration;

/// A duration in the document: a whole number and one unit of `ms`, `s`, `m`, `h`, `d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

impl Span {
    /// Reads `30s` and the like; `None` for anything else, also when it overflows.
    pub fn parse(text: &str) -> Option<Span> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at_checked(digits)?;
        let number: u64 = number.parse().ok()?;
        let millis = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        Some(Span(Duration::from_millis(number.checked_mul(millis)?)))
    }
}

#[cfg(feature = "cli")]
impl schemars::JsonSchema for Span {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^[0-9]+(ms|s|m|h|d)$" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_whole_numbers_with_one_unit() {
        assert_eq!(Span::parse("500ms"), Some(Span(Duration::from_millis(500))));
        assert_eq!(Span::parse("5m"), Some(Span(Duration::from_secs(300))));
        for bad in ["", "5", "m", "5 m", "-5s", "1.5h", "1h30m", "5M", "99999999999999999999s", "18446744073709551615d"]
        {
            assert_eq!(Span::parse(bad), None, "{bad}");
        }
    }
}
