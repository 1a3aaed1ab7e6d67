//! Times as lines write them, with what they leave out: the date, the year, the zone.

use crate::scan::Cursor;

/// Nanoseconds in a day.
pub const DAY: i64 = 86_400 * SECOND;
/// Nanoseconds in a second.
pub const SECOND: i64 = 1_000_000_000;
/// Furthest zone from UTC, in seconds: 14 hours (Kiribati) and room for the odd one.
const MAX_ZONE: i32 = 15 * 3600;

/// The day that a line names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Date {
    /// Only a time of day.
    None,
    /// Month (1 to 12) and day, no year.
    MonthDay(u8, u8),
    /// Days since 1970-01-01.
    Full(i32),
}

/// A time as far as a line says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct When {
    pub date: Date,
    /// Nanoseconds since midnight, by the line's own clock.
    pub time: i64,
    /// Seconds east of UTC.
    pub zone: Option<i32>,
}

impl When {
    /// From nanoseconds since the Unix epoch.
    pub fn from_unix(nanos: i64) -> Self {
        Self { date: Date::Full(nanos.div_euclid(DAY) as i32), time: nanos.rem_euclid(DAY), zone: Some(0) }
    }

    /// Nanoseconds since the Unix epoch; `None` where the date or the zone is missing, or it is before 1970 or after 2262.
    pub fn unix(&self) -> Option<u64> {
        match (self.date, self.zone) {
            (Date::Full(days), Some(zone)) => unix(days, self.time, zone),
            _ => None,
        }
    }
}

/// Nanoseconds since the Unix epoch of a local day and time in a zone.
pub fn unix(days: i32, time: i64, zone: i32) -> Option<u64> {
    let nanos = (days as i64).checked_mul(DAY)?.checked_add(time)?.checked_sub(zone as i64 * SECOND)?;
    u64::try_from(nanos).ok()
}

/// Days since 1970-01-01 of a date of the Gregorian calendar (Hinnant, "chrono-compatible low-level date algorithms"); `None` for no date.
pub fn days(year: i32, month: u32, day: u32) -> Option<i32> {
    if !(1..=12).contains(&month) || day == 0 || day > month_days(year, month) {
        return None;
    }
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let of_era = y.rem_euclid(400);
    let of_year = (153 * (month as i32 + if month > 2 { -3 } else { 9 }) + 2) / 5 + day as i32 - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
}

/// The year of a day since 1970-01-01.
pub fn year_of(days: i32) -> i32 {
    let mut year = 1970 + (days as f64 / 365.2425).floor() as i32;
    while self::days(year + 1, 1, 1).is_some_and(|first| first <= days) {
        year += 1;
    }
    while self::days(year, 1, 1).is_some_and(|first| first > days) {
        year -= 1;
    }
    year
}

fn month_days(year: i32, month: u32) -> u32 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// A number of exactly `N` digits.
#[inline]
fn fixed<const N: usize>(text: &[u8], at: usize) -> Option<u32> {
    let digits: &[u8; N] = text.get(at..at + N)?.try_into().ok()?;
    digits.iter().try_fold(0, |n, d| d.is_ascii_digit().then(|| n * 10 + (d - b'0') as u32))
}

/// `HH:MM:SS` with an optional fraction after `.` or `,`, and its length.
#[inline]
pub fn clock(text: &[u8]) -> Option<(i64, usize)> {
    let (hour, minute, second) = (fixed::<2>(text, 0)?, fixed::<2>(text, 3)?, fixed::<2>(text, 6)?);
    if text[2] != b':' || text[5] != b':' || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let mut nanos = (hour * 3600 + minute * 60 + second) as i64 * SECOND;
    let mut at = 8;
    if matches!(text.get(8), Some(b'.' | b',')) && text.get(9).is_some_and(u8::is_ascii_digit) {
        at = 9;
        let mut scale = SECOND / 10;
        while let Some(digit @ b'0'..=b'9') = text.get(at) {
            nanos += (digit - b'0') as i64 * scale;
            scale /= 10;
            at += 1;
        }
    }
    Some((nanos, at))
}

/// `Z`, `±HH:MM`, `±HHMM`, `±HH` or `UTC`/`GMT` after at most one space, and the length.
#[inline]
fn zone(text: &[u8]) -> Option<(i32, usize)> {
    let gap = usize::from(text.first() == Some(&b' '));
    let text = &text[gap..];
    match text.first()? {
        b'Z' | b'z' if gap == 0 => Some((0, 1)),
        sign @ (b'+' | b'-') => {
            let hours = fixed::<2>(text, 1)?;
            let colon = usize::from(text.get(3) == Some(&b':'));
            let (minutes, len) = match fixed::<2>(text, 3 + colon) {
                Some(minutes) => (minutes, 5 + colon),
                None if gap == 0 && colon == 0 => (0, 3),
                None => return None,
            };
            let ends = !text.get(len).is_some_and(u8::is_ascii_alphanumeric);
            let seconds = (hours * 3600 + minutes * 60) as i32;
            let offset = if *sign == b'-' { -seconds } else { seconds };
            (ends && minutes < 60 && seconds <= MAX_ZONE).then_some((offset, gap + len))
        }
        b'U' if text.starts_with(b"UTC") => Some((0, gap + 3)),
        b'G' if text.starts_with(b"GMT") => Some((0, gap + 3)),
        _ => None,
    }
}

/// `YYYY-MM-DD` (or with `/` or `.`), `T` or a space, a [`clock`], and a zone if there is one; with the length.
#[inline]
pub fn iso(text: &[u8]) -> Option<(When, usize)> {
    let separator = *text.get(4)?;
    if !matches!(separator, b'-' | b'/' | b'.') || text.get(7) != Some(&separator) {
        return None;
    }
    if !matches!(text.get(10), Some(b'T' | b't' | b' ')) {
        return None;
    }
    let date = days(fixed::<4>(text, 0)? as i32, fixed::<2>(text, 5)?, fixed::<2>(text, 8)?)?;
    let (time, len) = clock(&text[11..])?;
    let mut end = 11 + len;
    let zone = zone(&text[end..]).map(|(zone, len)| {
        end += len;
        zone
    });
    Some((When { date: Date::Full(date), time, zone }, end))
}

/// `10/Oct/2000:13:55:36 -0700`, the time of Apache and nginx, and its length.
#[inline]
pub fn clf(text: &[u8]) -> Option<(When, usize)> {
    if text.len() < 26 || text[2] != b'/' || text[6] != b'/' || text[11] != b':' || text[20] != b' ' {
        return None;
    }
    let date = days(fixed::<4>(text, 7)? as i32, month(&text[3..6])?, fixed::<2>(text, 0)?)?;
    let (time, len) = clock(&text[12..20])?;
    let (zone, zone_len) = zone(&text[20..])?;
    (len == 8).then_some((When { date: Date::Full(date), time, zone: Some(zone) }, 20 + zone_len))
}

/// `Oct 11 22:14:15` or `Oct  1 22:14:15`, the time of BSD syslog, and its length.
pub fn bsd(text: &[u8]) -> Option<(When, usize)> {
    let month = month(text.get(..3)?)?;
    if text.get(3) != Some(&b' ') || text.get(6) != Some(&b' ') {
        return None;
    }
    let day = match text[4] {
        b' ' => fixed::<1>(text, 5)?,
        _ => fixed::<2>(text, 4)?,
    };
    days(2000, month, day)?;
    let (time, len) = clock(&text[7..])?;
    Some((When { date: Date::MonthDay(month as u8, day as u8), time, zone: None }, 7 + len))
}

/// `0102 15:04:05.000000`, the time of klog and glog, and its length.
pub fn klog(text: &[u8]) -> Option<(When, usize)> {
    let (month, day) = (fixed::<2>(text, 0)?, fixed::<2>(text, 2)?);
    days(2000, month, day)?;
    if text.get(4) != Some(&b' ') {
        return None;
    }
    let (time, len) = clock(&text[5..])?;
    Some((When { date: Date::MonthDay(month as u8, day as u8), time, zone: None }, 5 + len))
}

/// `Thu Jun 09 06:07:04 2005` or with microseconds, the time of Apache's error log, and its length.
pub fn ctime(text: &[u8]) -> Option<(When, usize)> {
    if text.get(3) != Some(&b' ') || !text[..3].iter().all(u8::is_ascii_alphabetic) {
        return None;
    }
    let (when, len) = bsd(&text[4..])?;
    let Date::MonthDay(month, day) = when.date else { return None };
    let mut cursor = Cursor { line: text, pos: 4 + len };
    cursor.eat(b' ')?;
    let year = fixed::<4>(text, cursor.pos)?;
    let date = days(year as i32, month as u32, day as u32)?;
    Some((When { date: Date::Full(date), ..when }, cursor.pos + 4))
}

/// Spark's and other short dates: `17/06/09 20:10:40`, years of this century, and the length.
pub fn short_date(text: &[u8]) -> Option<(When, usize)> {
    if text.get(2) != Some(&b'/') || text.get(5) != Some(&b'/') || text.get(8) != Some(&b' ') {
        return None;
    }
    let date = days(2000 + fixed::<2>(text, 0)? as i32, fixed::<2>(text, 3)?, fixed::<2>(text, 6)?)?;
    let (time, len) = clock(&text[9..])?;
    Some((When { date: Date::Full(date), time, zone: None }, 9 + len))
}

/// A number as nanoseconds since the Unix epoch: its size says whether it counts seconds, milliseconds, microseconds or nanoseconds
/// (each is unambiguous between the years 1973 and 5138).
pub fn from_number(n: f64) -> Option<When> {
    let nanos = match n {
        n if n < 1e8 => return None,
        n if n < 1e11 => n * 1e9,
        n if n < 1e14 => n * 1e6,
        n if n < 1e17 => n * 1e3,
        n => n,
    };
    (nanos < i64::MAX as f64).then(|| When::from_unix(nanos as i64))
}

/// Like [`from_number`] from decimal text, exact to the nanosecond.
pub fn from_digits(text: &[u8]) -> Option<When> {
    let mut cursor = Cursor::new(text);
    let whole = cursor.number()?;
    let (scale, digits) = match whole {
        0..100_000_000 => return None,
        100_000_000..100_000_000_000 => (SECOND, 9),
        100_000_000_000..100_000_000_000_000 => (1_000_000, 6),
        100_000_000_000_000..100_000_000_000_000_000 => (1_000, 3),
        _ => (1, 0),
    };
    let mut nanos = i64::try_from(whole).ok()?.checked_mul(scale)?;
    if cursor.eat(b'.').is_some() {
        let mut scale = scale;
        for digit in cursor.rest().iter().take(digits) {
            if !digit.is_ascii_digit() {
                // An exponent: the general conversion knows it.
                return from_number(std::str::from_utf8(text).ok()?.parse().ok()?);
            }
            scale /= 10;
            nanos = nanos.checked_add((digit - b'0') as i64 * scale)?;
        }
    } else if !cursor.at_end() {
        return from_number(std::str::from_utf8(text).ok()?.parse().ok()?);
    }
    Some(When::from_unix(nanos))
}

/// The month (1 to 12) of its English abbreviation.
fn month(name: &[u8]) -> Option<u32> {
    const NAMES: &[u8; 36] = b"JanFebMarAprMayJunJulAugSepOctNovDec";
    NAMES.chunks_exact(3).position(|n| n == name).map(|i| i as u32 + 1)
}

/// Any of the forms above at the start of a text that holds a time and nothing else.
pub fn any(text: &[u8]) -> Option<When> {
    let whole = |(when, len): (When, usize)| (len == text.len()).then_some(when);
    iso(text)
        .and_then(whole)
        .or_else(|| clf(text).and_then(whole))
        .or_else(|| bsd(text).and_then(whole))
        .or_else(|| from_digits(text))
        .or_else(|| {
            let (time, len) = clock(text)?;
            whole((When { date: Date::None, time, zone: None }, len))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nanos(text: &str) -> u64 {
        text.parse::<jiff::Timestamp>().unwrap().as_nanosecond() as u64
    }

    #[test]
    fn whole_times() {
        let cases = [
            ("2024-02-29T23:59:60Z", "2024-03-01T00:00:00Z"),
            ("2023-01-30T11:38:53.622316415Z", "2023-01-30T11:38:53.622316415Z"),
            ("2023-01-30 11:38:53,622 +0800", "2023-01-30T03:38:53.622Z"),
            ("2023/01/30 11:38:53-05", "2023-01-30T16:38:53Z"),
            ("2023-01-30T11:38:53+05:30", "2023-01-30T06:08:53Z"),
            ("10/Oct/2000:13:55:36 -0700", "2000-10-10T20:55:36Z"),
            ("1675078733.622316415", "2023-01-30T11:38:53.622316415Z"),
            ("1675078733622", "2023-01-30T11:38:53.622Z"),
            ("1675078733", "2023-01-30T11:38:53Z"),
        ];
        for (text, expect) in cases {
            assert_eq!(any(text.as_bytes()).and_then(|w| w.unix()), Some(nanos(expect)), "{text}");
        }
    }

    #[test]
    fn what_is_left_out_stays_out() {
        let second = 19 * 3600 + 38 * 60 + 53;
        let cases: [(&str, Date, i64); 3] = [
            ("19:38:53.621", Date::None, second * SECOND + 621_000_000),
            ("Oct  1 19:38:53", Date::MonthDay(10, 1), second * SECOND),
            ("2023-01-30 19:38:53", Date::Full(19387), second * SECOND),
        ];
        for (text, date, time) in cases {
            assert_eq!(any(text.as_bytes()), Some(When { date, time, zone: None }), "{text}");
        }
    }

    #[test]
    fn what_is_no_time() {
        for text in
            ["", "2023-02-30T00:00:00Z", "25:00:00", "12", "Oct 32 10:00:00", "2023-01-01", "-5", "1e3"]
        {
            assert_eq!(any(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn days_agree_with_the_calendar() {
        for (y, m, d) in [(1970, 1, 1), (2000, 2, 29), (2023, 12, 31), (2100, 3, 1), (1969, 12, 31)] {
            let date = jiff::civil::date(y, m, d);
            let expect = (date - jiff::civil::date(1970, 1, 1)).get_days();
            assert_eq!(days(y as i32, m as u32, d as u32), Some(expect));
            assert_eq!(year_of(expect), y as i32);
        }
    }
}
