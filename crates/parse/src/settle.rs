//! Times that leave something out: which day, which year, which zone.
//!
//! Day and year advance on a circle of four quarters. A line in the same, the next or the one after the next quarter is taken as
//! later, a line in the quarter before as a late one. So the result depends on the recorded (day, quarter) and the line alone, and a
//! restart between two records gives the same times; a silence of 18 hours in a log without dates can't be seen.

use crate::time::{self, DAY, Date, SECOND, When};
use crate::zone::{Reckoner, Zone};

/// How far a file's last write may lie from the time of its last line, in nanoseconds, for a zone to be read off it: loggers flush
/// within seconds, and zones are at least 15 minutes apart.
const WRITE_DELAY: i64 = 60 * SECOND;

/// Zones are multiples of this, in seconds.
const ZONE_STEP: i64 = 900;

/// What is known about a source from outside when its format is first decided.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Evidence {
    /// The file's last write, in nanoseconds since the Unix epoch.
    pub modified: Option<u64>,
    /// The bytes at hand reach to the file's end, so their last line was written at `modified`.
    pub at_end: bool,
    /// The zone that the source's configuration names.
    pub zone: Option<Zone>,
    pub host_zone: Zone,
}

/// How a zone came to be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ZoneFrom {
    Configuration,
    /// The last line was written when the file was.
    LastWrite,
    Host,
}

/// The zone for lines that name none: the configured one, else the one in which the last line was written when the file was, else the
/// host's. Where the host's clock showed the same, the host's it is, with its seasons.
pub fn zone(evidence: &Evidence, last: Option<When>) -> (Zone, ZoneFrom) {
    if let Some(zone) = &evidence.zone {
        return (zone.clone(), ZoneFrom::Configuration);
    }
    let host = &evidence.host_zone;
    match written_in(evidence, last) {
        Some((seconds, at)) if host.offset(at) == seconds => (host.clone(), ZoneFrom::LastWrite),
        Some((seconds, _)) => (Zone::Fixed(seconds), ZoneFrom::LastWrite),
        None => (host.clone(), ZoneFrom::Host),
    }
}

/// The zone in which a line's time is the file's last write, in seconds east of UTC, and when that was.
fn written_in(evidence: &Evidence, last: Option<When>) -> Option<(i32, i64)> {
    let modified = i64::try_from(evidence.modified.filter(|_| evidence.at_end)?).ok()?;
    let When { date, time, zone: None } = last? else { return None };
    let local = match date {
        Date::Full(days) => days as i64 * DAY + time,
        // Without a date the zone is known up to a day; the one nearest to UTC is taken.
        _ => {
            let ahead = (time - modified.rem_euclid(DAY) + DAY / 2).rem_euclid(DAY) - DAY / 2;
            modified + ahead
        }
    };
    let ahead = local - modified;
    let step = ZONE_STEP * SECOND;
    let zone = (ahead as f64 / step as f64).round() as i64 * ZONE_STEP;
    let near = (ahead - zone * SECOND).abs() <= WRITE_DELAY;
    (near && zone.abs() <= 14 * 3600).then_some((zone as i32, modified))
}

/// A place on the circle: day or year, and the quarter of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    pub count: i32,
    pub quarter: u8,
}

impl Turn {
    /// The count of a line in `quarter`, and the turn that holds after it.
    fn advance(self, quarter: u8) -> (i32, Turn) {
        let step = (quarter + 4 - self.quarter) % 4;
        if step == 3 {
            return (self.count - i32::from(self.quarter == 0), self);
        }
        let count = self.count + i32::from(quarter < self.quarter);
        (count, Turn { count, quarter })
    }
}

/// Where a record's time comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The line has date and zone.
    Line,
    /// The container runtime's time.
    Wrapper,
    /// The line's time with what it left out added.
    Settled,
    /// Nothing says a time; the time of reading has to do.
    None,
}

/// Settles the times of one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settler {
    local: Reckoner,
    pub day: Option<Turn>,
    pub year: Option<Turn>,
    modified: Option<u64>,
}

/// What a line's time turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    /// Nanoseconds since the Unix epoch; 0 is unknown.
    pub time: u64,
    pub source: Source,
    /// The day or year moved on, which must be written down.
    pub moved: bool,
}

impl Settler {
    pub fn new(zone: Zone, modified: Option<u64>) -> Self {
        Self { local: Reckoner::new(zone), day: None, year: None, modified }
    }

    /// From here on times are in another zone.
    pub fn set_zone(&mut self, zone: Zone) {
        self.local = Reckoner::new(zone);
    }

    /// The time of a record, from what its line says and its wrapper's time.
    #[inline]
    pub fn settle(&mut self, when: Option<When>, wrapper: Option<u64>) -> Settled {
        if let Some(time) = when.and_then(|w| w.unix()) {
            return Settled { time, source: Source::Line, moved: false };
        }
        if let Some(time) = wrapper {
            return Settled { time, source: Source::Wrapper, moved: false };
        }
        let before = (self.day, self.year);
        match when.and_then(|when| self.fill(when)) {
            Some(time) => Settled { time, source: Source::Settled, moved: before != (self.day, self.year) },
            None => Settled { time: 0, source: Source::None, moved: before != (self.day, self.year) },
        }
    }

    fn fill(&mut self, when: When) -> Option<u64> {
        let days = match when.date {
            Date::Full(days) => days,
            Date::None => {
                let quarter = (when.time * 4 / DAY).clamp(0, 3) as u8;
                let turn = match self.day {
                    Some(turn) => turn,
                    None => Turn { count: self.first_day(when)?, quarter },
                };
                let (days, turn) = turn.advance(quarter);
                self.day = Some(turn);
                days
            }
            Date::MonthDay(month, day) => {
                let quarter = (month - 1) / 3;
                let turn = match self.year {
                    Some(turn) => turn,
                    None => Turn { count: self.first_year(month, day, when)?, quarter },
                };
                let (year, turn) = turn.advance(quarter);
                self.year = Some(turn);
                // The 29th of February of a year without one is the 1st of March.
                time::days(year, month as u32, day as u32).or_else(|| time::days(year, 3, 1))?
            }
        };
        match when.zone {
            Some(zone) => time::unix(days, when.time, zone),
            None => self.local.unix(days, when.time),
        }
    }

    /// The last write on the line's own clock, in nanoseconds since 1970-01-01.
    fn modified_local(&self, when: When) -> Option<i64> {
        let modified = i64::try_from(self.modified?).ok()?;
        let zone = when.zone.unwrap_or_else(|| self.local.zone.offset(modified));
        Some(modified + zone as i64 * SECOND)
    }

    /// The latest day on which this time of day was not after the last write.
    fn first_day(&self, when: When) -> Option<i32> {
        let local = self.modified_local(when)?;
        let day = local.div_euclid(DAY) as i32;
        Some(day - i32::from(when.time > local.rem_euclid(DAY) + WRITE_DELAY))
    }

    /// The latest year in which this day was not after the last write.
    fn first_year(&self, month: u8, day: u8, when: When) -> Option<i32> {
        let local = self.modified_local(when)?;
        let year = time::year_of(local.div_euclid(DAY) as i32);
        let days = time::days(year, month as u32, day as u32).or_else(|| time::days(year, 3, 1))?;
        Some(year - i32::from(days as i64 * DAY + when.time > local + WRITE_DELAY))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nanos(text: &str) -> u64 {
        text.parse::<jiff::Timestamp>().unwrap().as_nanosecond() as u64
    }

    fn when(text: &str) -> When {
        time::any(text.as_bytes()).unwrap()
    }

    fn check(settler: &mut Settler, lines: &[(&str, &str)]) {
        for (line, expect) in lines {
            let settled = settler.settle(Some(when(line)), None);
            assert_eq!((settled.time, settled.source), (nanos(expect), Source::Settled), "{line}");
        }
    }

    #[test]
    fn a_day_rolls_at_midnight_and_late_lines_stay_behind() {
        let mut settler = Settler::new(Zone::Fixed(8 * 3600), Some(nanos("2023-01-30T12:00:00Z")));
        check(
            &mut settler,
            &[
                ("19:38:53.621", "2023-01-30T11:38:53.621Z"),
                ("23:59:59", "2023-01-30T15:59:59Z"),
                ("00:00:01", "2023-01-30T16:00:01Z"),
                ("23:59:58", "2023-01-30T15:59:58Z"),
                ("00:00:02", "2023-01-30T16:00:02Z"),
                ("11:00:00", "2023-01-31T03:00:00Z"),
            ],
        );
    }

    #[test]
    fn a_year_rolls_too() {
        let mut settler = Settler::new(Zone::Fixed(0), Some(nanos("2024-01-02T00:00:00Z")));
        check(
            &mut settler,
            &[
                ("Dec 31 23:59:59", "2023-12-31T23:59:59Z"),
                ("Jan  1 00:00:01", "2024-01-01T00:00:01Z"),
                ("Dec 31 23:59:59", "2023-12-31T23:59:59Z"),
                ("Feb 29 00:00:00", "2024-02-29T00:00:00Z"),
            ],
        );
    }

    #[test]
    fn a_restart_goes_on_from_what_was_recorded() {
        let modified = Some(nanos("2023-01-30T12:00:00Z"));
        let lines = ["19:00:00", "23:00:00", "00:30:00", "23:59:00", "06:00:00", "12:00:00", "03:00:00"];
        let mut whole = Settler::new(Zone::Fixed(0), modified);
        for cut in 1..lines.len() {
            let mut first = Settler::new(Zone::Fixed(0), modified);
            for line in &lines[..cut] {
                first.settle(Some(when(line)), None);
            }
            let mut second = Settler {
                day: first.day,
                ..Settler::new(Zone::Fixed(0), Some(nanos("2030-01-01T00:00:00Z")))
            };
            whole = Settler::new(Zone::Fixed(0), modified);
            let expect: Vec<u64> = lines.iter().map(|l| whole.settle(Some(when(l)), None).time).collect();
            for (line, expect) in lines.iter().zip(expect).skip(cut) {
                assert_eq!(second.settle(Some(when(line)), None).time, expect, "{line} after {cut}");
            }
        }
        assert_eq!(whole.day.unwrap().quarter, 0);
    }

    #[test]
    fn zones() {
        let modified = Some(nanos("2023-01-30T11:38:54Z"));
        let host_zone = Zone::Fixed(3600);
        let at = |modified, at_end| Evidence { modified, at_end, zone: None, host_zone: host_zone.clone() };
        let cases = [
            ("19:38:53.621", at(modified, true), 8 * 3600),
            ("2023-01-30 17:08:53", at(modified, true), 19800),
            ("2023-01-30 17:08:53", at(modified, false), 3600),
            ("2023-01-30 17:04:00", at(modified, true), 3600),
            ("19:38:53", Evidence { zone: Some(Zone::Fixed(-7200)), ..at(modified, true) }, -7200),
        ];
        for (line, evidence, expect) in cases {
            assert_eq!(zone(&evidence, Some(when(line))).0, Zone::Fixed(expect), "{line}");
        }
        assert_eq!(zone(&at(None, true), None), (host_zone.clone(), ZoneFrom::Host));
    }

    /// The rules of central Europe, as a POSIX string so that no database is needed.
    fn berlin() -> Zone {
        Zone::Region(jiff::tz::TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap())
    }

    #[test]
    fn the_clock_is_put_forward_and_back() {
        let mut settler = Settler::new(berlin(), Some(nanos("2026-12-01T00:00:00Z")));
        check(
            &mut settler,
            &[
                ("2026-03-28 23:59:59", "2026-03-28T22:59:59Z"),
                ("2026-03-29 01:59:59", "2026-03-29T00:59:59Z"),
                ("2026-03-29 03:00:00", "2026-03-29T01:00:00Z"),
                ("2026-07-01 12:00:00", "2026-07-01T10:00:00Z"),
                ("2026-10-25 01:59:59", "2026-10-24T23:59:59Z"),
                // The hour that comes twice is taken for its first time.
                ("2026-10-25 02:30:00", "2026-10-25T00:30:00Z"),
                ("2026-10-25 03:00:00", "2026-10-25T02:00:00Z"),
                ("2026-10-26 12:00:00", "2026-10-26T11:00:00Z"),
                // A late line of the summer is still one of the summer.
                ("2026-10-24 12:00:00", "2026-10-24T10:00:00Z"),
            ],
        );
    }

    #[test]
    fn years_and_days_turn_by_the_local_clock() {
        let mut settler = Settler::new(berlin(), Some(nanos("2026-01-01T00:30:00Z")));
        check(
            &mut settler,
            &[
                ("Oct 25 03:30:00", "2025-10-25T01:30:00Z"),
                ("Oct 26 03:30:00", "2025-10-26T02:30:00Z"),
                ("Dec 31 23:59:59", "2025-12-31T22:59:59Z"),
                ("Jan  1 00:00:00", "2025-12-31T23:00:00Z"),
                ("Mar 29 03:00:00", "2026-03-29T01:00:00Z"),
            ],
        );
        let mut settler = Settler::new(berlin(), Some(nanos("2026-03-29T02:00:00Z")));
        check(
            &mut settler,
            &[
                ("23:30:00", "2026-03-28T22:30:00Z"),
                ("00:30:00", "2026-03-28T23:30:00Z"),
                ("03:30:00", "2026-03-29T01:30:00Z"),
            ],
        );
    }

    #[test]
    fn the_hosts_seasons_hold_where_its_clock_fits() {
        let at = |text: &str| Evidence {
            modified: Some(nanos(text)),
            at_end: true,
            zone: None,
            host_zone: berlin(),
        };
        let summer = at("2026-07-01T10:00:01Z");
        assert_eq!(zone(&summer, Some(when("2026-07-01 12:00:00"))), (berlin(), ZoneFrom::LastWrite));
        assert_eq!(
            zone(&summer, Some(when("2026-07-01 11:00:00"))),
            (Zone::Fixed(3600), ZoneFrom::LastWrite)
        );
        let winter = at("2026-12-01T11:00:01Z");
        assert_eq!(zone(&winter, Some(when("2026-12-01 12:00:00"))), (berlin(), ZoneFrom::LastWrite));
    }

    #[test]
    fn the_wrapper_wins_over_half_a_time() {
        let mut settler = Settler::new(Zone::Fixed(0), None);
        let settled = settler.settle(Some(when("19:38:53")), Some(7));
        assert_eq!((settled.time, settled.source), (7, Source::Wrapper));
        let settled = settler.settle(Some(when("2023-01-30T11:38:54Z")), Some(7));
        assert_eq!((settled.time, settled.source), (nanos("2023-01-30T11:38:54Z"), Source::Line));
        assert_eq!(settler.settle(Some(when("19:38:53")), None).source, Source::None);
    }
}
