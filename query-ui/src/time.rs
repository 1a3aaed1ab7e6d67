//! Times in requests.

use weir_store::TimeRange;

use crate::error::ApiError;

/// Letters of units and their nanoseconds.
const UNITS: [(&str, u64); 7] = [
    ("ms", 1_000_000),
    ("us", 1_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
    ("w", 604_800_000_000_000),
];

/// A half-open range from the two ends of a request; a missing end leaves that side open.
pub(crate) fn range(from: Option<&str>, to: Option<&str>, now: u64) -> Result<TimeRange, ApiError> {
    let from = from.map_or(Ok(0), |text| instant("from", text, now))?;
    let to = to.map_or(Ok(u64::MAX), |text| instant("to", text, now))?;
    if from > to {
        return Err(ApiError::bad("time", "`from` is later than `to`: exchange them"));
    }
    Ok(TimeRange { from, to })
}

/// Nanoseconds since the Unix epoch from nanoseconds, an RFC 3339 time, `now` or a time relative to now such as `-30m`.
fn instant(name: &str, text: &str, now: u64) -> Result<u64, ApiError> {
    let text = text.trim();
    let known = if text == "now" {
        Some(now)
    } else if let Some(ago) = text.strip_prefix('-') {
        period(ago).map(|ns| now.saturating_sub(ns))
    } else if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        text.parse().ok()
    } else {
        rfc3339(text)
    };
    known.ok_or_else(|| {
        ApiError::bad(
            "time",
            format!(
                "`{name}` is not a time: write nanoseconds since 1970, a time such as 2024-05-01T10:00:00Z, `now`, or `-30m`, `-2h`, `-7d`"
            ),
        )
    })
}

fn period(text: &str) -> Option<u64> {
    let at = text.find(|c: char| !c.is_ascii_digit())?;
    let (_, ns) = UNITS.iter().find(|(unit, _)| *unit == &text[at..])?;
    text[..at].parse::<u64>().ok()?.checked_mul(*ns)
}

fn rfc3339(text: &str) -> Option<u64> {
    // A plus sign that was not escaped arrives as a space.
    let time: jiff::Timestamp = text.replace(' ', "+").parse().ok()?;
    u64::try_from(time.as_nanosecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000_000_000_000;

    #[test]
    fn instants() {
        for (text, expect) in [
            ("0", Some(0)),
            ("1674981729479000000", Some(1_674_981_729_479_000_000)),
            ("now", Some(NOW)),
            ("-30m", Some(NOW - 1_800_000_000_000)),
            ("-7d", Some(NOW - 604_800_000_000_000)),
            ("-250ms", Some(NOW - 250_000_000)),
            ("2023-01-29T08:42:09.479Z", Some(1_674_981_729_479_000_000)),
            ("2023-01-29T09:42:09.479+01:00", Some(1_674_981_729_479_000_000)),
            ("2023-01-29T09:42:09.479 01:00", Some(1_674_981_729_479_000_000)),
            ("", None),
            ("-", None),
            ("-30", None),
            ("-3parsecs", None),
            ("yesterday", None),
            ("99999999999999999999999", None),
            ("1969-01-01T00:00:00Z", None),
        ] {
            assert_eq!(instant("from", text, NOW).ok(), expect, "{text}");
        }
    }

    #[test]
    fn ranges() {
        assert_eq!(range(None, None, NOW).ok(), Some(TimeRange::ALL));
        assert_eq!(range(Some("5"), Some("7"), NOW).ok(), Some(TimeRange { from: 5, to: 7 }));
        assert!(range(Some("7"), Some("5"), NOW).is_err());
    }
}
