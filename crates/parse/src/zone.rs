//! Zones of times that name none: a distance from UTC, or a region whose distance changes with the seasons.

use crate::time::{self, DAY, SECOND};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::fmt;

/// Longest name of a region, in bytes; the tz database has none over 32.
const NAME_BYTES: usize = 64;

/// A zone with what is needed to reckon with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Zone {
    /// Seconds east of UTC.
    Fixed(i32),
    Region(TimeZone),
}

impl Default for Zone {
    fn default() -> Self {
        Zone::Fixed(0)
    }
}

impl Zone {
    /// The zone of these rules. Without a name by which they could be found again they are what they say at `now`.
    pub fn new(rules: TimeZone, now: Timestamp) -> Self {
        match rules.iana_name() {
            Some(name) if !matches!(name, "UTC" | "Etc/UTC") && !rules.is_unknown() => Zone::Region(rules),
            _ => Zone::Fixed(rules.to_offset(now).seconds()),
        }
    }

    /// Seconds east of UTC at a moment, in nanoseconds since the Unix epoch.
    pub fn offset(&self, unix: i64) -> i32 {
        match self {
            Zone::Fixed(seconds) => *seconds,
            Zone::Region(rules) => {
                rules.to_offset(Timestamp::from_nanosecond(unix.into()).unwrap_or_default()).seconds()
            }
        }
    }

    /// Its durable form.
    pub fn name(&self) -> ZoneName {
        match self {
            Zone::Fixed(seconds) => ZoneName::Fixed(*seconds),
            Zone::Region(rules) => match rules.iana_name() {
                Some(name) => ZoneName::Region(name.to_owned()),
                None => ZoneName::Fixed(0),
            },
        }
    }
}

/// A zone as it is written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ZoneName {
    /// Seconds east of UTC.
    Fixed(i32),
    /// A name of the tz database, such as `Europe/Berlin`.
    Region(String),
}

impl ZoneName {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if let Ok(seconds) = text.parse() {
            return Some(ZoneName::Fixed(seconds));
        }
        let known = |b: u8| b.is_ascii_alphanumeric() || b"/_+-".contains(&b);
        let region = text.len() <= NAME_BYTES
            && text.starts_with(|c: char| c.is_ascii_alphabetic())
            && text.bytes().all(known);
        region.then(|| ZoneName::Region(text.to_owned()))
    }
}

impl fmt::Display for ZoneName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ZoneName::Fixed(seconds) => write!(f, "{seconds}"),
            ZoneName::Region(name) => f.write_str(name),
        }
    }
}

/// Reckons local times back to UTC, a day at a time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Reckoner {
    pub(crate) zone: Zone,
    /// The day that was asked for last, and its distance from UTC, where it has only one.
    day: Option<(i32, i32)>,
}

impl Reckoner {
    pub(crate) fn new(zone: Zone) -> Self {
        Self { zone, day: None }
    }

    /// Nanoseconds since the Unix epoch of a local day (since 1970-01-01) and time (nanoseconds since midnight). In the hour that comes twice in autumn it is the first one, in the
    /// one that is left out in spring the clock counts as not yet put forward.
    #[inline]
    pub(crate) fn unix(&mut self, days: i32, time: i64) -> Option<u64> {
        let offset = match (&self.zone, self.day) {
            (Zone::Fixed(seconds), _) => *seconds,
            (Zone::Region(_), Some((day, offset))) if day == days => offset,
            (Zone::Region(rules), _) => {
                let (first, last) = (local_offset(rules, days, 0)?, local_offset(rules, days, DAY - 1)?);
                if first == last {
                    self.day = Some((days, first));
                    first
                } else {
                    local_offset(rules, days, time)?
                }
            }
        };
        time::unix(days, time, offset)
    }
}

/// Seconds east of UTC at a local time.
fn local_offset(rules: &TimeZone, days: i32, time: i64) -> Option<i32> {
    let local = Timestamp::from_nanosecond(i128::from(days) * i128::from(DAY) + i128::from(time)).ok()?;
    let moment = rules.to_ambiguous_timestamp(TimeZone::UTC.to_datetime(local)).compatible().ok()?;
    i32::try_from((local.as_nanosecond() - moment.as_nanosecond()) / i128::from(SECOND)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for text in ["0", "-3600", "Europe/Berlin", "Etc/GMT+5", "America/Port-au-Prince"] {
            assert_eq!(ZoneName::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "/etc/passwd", "Europe Berlin", "Ü/B"] {
            assert_eq!(ZoneName::parse(text), None, "{text}");
        }
        assert_eq!(Zone::new(TimeZone::UTC, Timestamp::UNIX_EPOCH), Zone::Fixed(0));
        assert_eq!(
            Zone::new(TimeZone::fixed(jiff::tz::offset(8)), Timestamp::UNIX_EPOCH),
            Zone::Fixed(28_800)
        );
    }
}
