//! Timestamps as loggers write them.

/// What a timestamp says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stamp {
    /// Date, time and zone: nanoseconds since the Unix epoch.
    Instant(u64),
    /// Date and time without a zone: the same, as if it were UTC.
    Local(u64),
    /// Time of day only: nanoseconds since midnight.
    OfDay(u64),
}

impl Stamp {
    /// Nanoseconds since the Unix epoch, if that needs no guess.
    pub fn instant(self) -> Option<u64> {
        match self {
            Stamp::Instant(nanos) => Some(nanos),
            Stamp::Local(_) | Stamp::OfDay(_) => None,
        }
    }
}

const SECOND: u64 = 1_000_000_000;

/// Days since 1970-01-01 of a date of the Gregorian calendar.
/// Source: Howard Hinnant, "chrono-compatible low-level date algorithms", `days_from_civil`.
fn days(year: i64, month: u64, day: u64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = ((153 * ((month + 9) % 12) + 2) / 5 + day - 1) as i64;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    fn digits(&mut self, n: usize) -> Option<u64> {
        let part = self.bytes.get(self.at..self.at + n)?;
        let value =
            part.iter().try_fold(0u64, |v, b| b.is_ascii_digit().then(|| v * 10 + (b - b'0') as u64))?;
        self.at += n;
        Some(value)
    }

    fn one_of(&mut self, set: &[u8]) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        set.contains(&byte).then(|| {
            self.at += 1;
            byte
        })
    }

    /// `HH:MM:SS` and a fraction after a point or comma, as nanoseconds.
    fn time(&mut self) -> Option<u64> {
        let hour = self.digits(2)?;
        self.one_of(b":")?;
        let minute = self.digits(2)?;
        self.one_of(b":")?;
        let second = self.digits(2)?;
        if hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        Some((hour * 3600 + minute * 60 + second) * SECOND + self.fraction())
    }

    fn fraction(&mut self) -> u64 {
        let start = self.at;
        let point = self.one_of(b".,").is_some();
        let digits = self.bytes[self.at..].iter().take_while(|b| b.is_ascii_digit()).count();
        if !point || digits == 0 {
            self.at = start;
            return 0;
        }
        let part = &self.bytes[self.at..self.at + digits];
        self.at += digits;
        // Digits beyond nanoseconds are cut off.
        (0..9).fold(0, |value, i| value * 10 + part.get(i).map_or(0, |b| (b - b'0') as u64))
    }

    /// Seconds east of UTC: `Z`, `+08:00`, `+0800`, `+08`, with a space before it or not.
    fn zone(&mut self) -> Option<i64> {
        let start = self.at;
        let zone = self.zone_here();
        if zone.is_none() {
            self.at = start;
        }
        zone
    }

    fn zone_here(&mut self) -> Option<i64> {
        let spaced = self.one_of(b" ").is_some();
        if !spaced && self.one_of(b"Zz").is_some() {
            return Some(0);
        }
        let sign = if self.one_of(b"+-")? == b'-' { -1 } else { 1 };
        let hours = self.digits(2)?;
        let colon = self.one_of(b":").is_some();
        let minutes = match self.digits(2) {
            Some(minutes) => minutes,
            None if colon => return None,
            None => 0,
        };
        (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60) as i64)
    }
}

fn assemble(days: i64, of_day: u64, zone: i64) -> Option<u64> {
    let seconds = days.checked_mul(86_400)?.checked_sub(zone)?;
    let nanos = seconds.checked_mul(SECOND as i64)?.checked_add(of_day as i64)?;
    u64::try_from(nanos).ok()
}

/// Reads a timestamp at the beginning of `bytes`: ISO 8601 and its relatives (`T` or a space, point or comma, with and without zone), or a
/// time of day. Returns it with its length.
pub fn parse(bytes: &[u8]) -> Option<(Stamp, usize)> {
    let mut cursor = Cursor { bytes, at: 0 };
    if bytes.get(2) == Some(&b':') {
        let of_day = cursor.time()?;
        return Some((Stamp::OfDay(of_day), cursor.at));
    }
    let year = cursor.digits(4)? as i64;
    let separator = cursor.one_of(b"-/")?;
    let month = cursor.digits(2)?;
    cursor.one_of(&[separator])?;
    let day = cursor.digits(2)?;
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    cursor.one_of(b"T t")?;
    let of_day = cursor.time()?;
    let days = days(year, month, day);
    let stamp = match cursor.zone() {
        Some(zone) => Stamp::Instant(assemble(days, of_day, zone)?),
        None => Stamp::Local(assemble(days, of_day, 0)?),
    };
    Some((stamp, cursor.at))
}

/// Reads a whole text as a timestamp.
pub fn parse_all(text: &str) -> Option<Stamp> {
    parse(text.as_bytes()).filter(|(_, len)| *len == text.len()).map(|(stamp, _)| stamp)
}

const MONTHS: [&[u8; 3]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

/// Reads `29/Jan/2023:16:42:10 +0800`, as web servers write it.
pub fn parse_common_log(text: &str) -> Option<u64> {
    let mut cursor = Cursor { bytes: text.as_bytes(), at: 0 };
    let day = cursor.digits(2)?;
    cursor.one_of(b"/")?;
    let name = cursor.bytes.get(cursor.at..cursor.at + 3)?;
    let month = MONTHS.iter().position(|m| m.as_slice() == name)? as u64 + 1;
    cursor.at += 3;
    cursor.one_of(b"/")?;
    let year = cursor.digits(4)? as i64;
    cursor.one_of(b":")?;
    let of_day = cursor.time()?;
    let zone = cursor.zone()?;
    assemble(days(year, month, day), of_day, zone)
}

/// A number of seconds, milliseconds, microseconds or nanoseconds since the Unix epoch, told apart by its size: each unit covers the years
/// 1973 to 5138 of its own.
pub fn epoch(number: f64) -> Option<u64> {
    let unit = match number {
        n if !(1e8..1e20).contains(&n) => return None,
        n if n < 1e11 => 1e9,
        n if n < 1e14 => 1e6,
        n if n < 1e17 => 1e3,
        _ => 1.0,
    };
    // Whole and fraction apart, and the fraction to the microsecond: a double holds no more of today's seconds.
    let whole = number.trunc();
    let micros = ((number - whole) * unit / 1e3).round();
    Some(whole as u64 * unit as u64 + micros as u64 * 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: Option<Stamp>) {
        assert_eq!(parse_all(text), expect, "{text}");
    }

    #[test]
    fn stamps() {
        const T: u64 = 1_674_981_730_175_000_000;
        check("2023-01-29T08:42:10.175Z", Some(Stamp::Instant(T)));
        check("2023-01-29T16:42:10.175+08:00", Some(Stamp::Instant(T)));
        check("2023-01-29 16:42:10,175 +0800", Some(Stamp::Instant(T)));
        check("2023/01/29 08:42:10.175", Some(Stamp::Local(T)));
        check("2023-01-29T08:42:10.175000365Z", Some(Stamp::Instant(T + 365)));
        check("2023-01-29T08:42:10Z", Some(Stamp::Instant(T - 175_000_000)));
        check("16:42:10.175", Some(Stamp::OfDay((16 * 3600 + 42 * 60 + 10) * SECOND + 175_000_000)));
        check("2024-02-29T00:00:00Z", Some(Stamp::Instant(1_709_164_800 * SECOND)));
        check("1970-01-01T00:00:00Z", Some(Stamp::Instant(0)));
        check("1969-12-31T23:59:59Z", None);
        check("2023-13-29T08:42:10Z", None);
        check("2023-01-29", None);
        check("24:00:00", None);
        assert_eq!(parse_common_log("29/Jan/2023:16:42:10 +0800"), Some(T - 175_000_000));
    }

    #[test]
    fn epochs() {
        for (number, expect) in [
            (1_674_981_730.0, Some(1_674_981_730_000_000_000)),
            (1_674_981_730.5, Some(1_674_981_730_500_000_000)),
            (1_674_981_730_175.0, Some(1_674_981_730_175_000_000)),
            (1_674_981_730_175_000.0, Some(1_674_981_730_175_000_000)),
            (12.0, None),
            (-1.0, None),
            (f64::NAN, None),
        ] {
            assert_eq!(epoch(number), expect, "{number}");
        }
    }
}
