//! What was decided about a source and is not a function of its bytes, in a durable form.
//!
//! A decision is one line of text. Decisions of one source are kept in the order in which they were announced; each holds from a
//! position in the source on.

use crate::wrapper::Wrapper;
use crate::zone::ZoneName;
use std::fmt;
use std::str::FromStr;

/// The format that was recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locked {
    pub wrapper: Wrapper,
    /// A name of [`crate::Format`], or `pattern` for the one that the user set.
    pub format: &'static str,
    /// Lines that agreed when it was locked; a lock on few lines is given up sooner.
    pub lines: u32,
    /// For times that name no zone.
    pub zone: ZoneName,
}

/// Something to write down before any record that begins at or after its position is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    Lock {
        from: u64,
        locked: Locked,
    },
    /// Day (since 1970-01-01) and quarter of it, for lines that say only a time of day.
    Day {
        from: u64,
        day: i32,
        quarter: u8,
    },
    /// Year and quarter of it, for lines that say no year.
    Year {
        from: u64,
        year: i32,
        quarter: u8,
    },
    /// Records up to `until` may be sent with the decisions so far: whoever reads again makes no new one before it.
    Hold {
        from: u64,
        until: u64,
    },
    /// What was pending was finished here because nothing followed for a while, or the source ended.
    Cut {
        at: u64,
    },
}

impl Decision {
    /// The position from which it holds, in bytes.
    pub fn from(&self) -> u64 {
        match self {
            Decision::Lock { from, .. }
            | Decision::Day { from, .. }
            | Decision::Year { from, .. }
            | Decision::Hold { from, .. } => *from,
            Decision::Cut { at } => *at,
        }
    }
}

impl Decision {
    /// Drops what nobody needs any more who reads from `offset` on.
    pub fn forget(decisions: &mut Vec<Decision>, offset: u64) {
        let passed = decisions.iter().take_while(|d| d.from() <= offset).count();
        let mut kept = [false; 4];
        let mut at = passed;
        while at > 0 {
            at -= 1;
            // Of those behind the offset the last of a kind holds.
            let needed = match &decisions[at] {
                Decision::Lock { .. } => !std::mem::replace(&mut kept[0], true),
                Decision::Day { .. } => !std::mem::replace(&mut kept[1], true),
                Decision::Year { .. } => !std::mem::replace(&mut kept[2], true),
                Decision::Hold { until, .. } => !std::mem::replace(&mut kept[3], true) && *until > offset,
                Decision::Cut { .. } => false,
            };
            if !needed {
                decisions.remove(at);
            }
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Decision::Lock { from, locked } => {
                let Locked { wrapper, format, lines, zone } = locked;
                write!(f, "lock {from} {} {format} {lines} {zone}", wrapper.name())
            }
            Decision::Day { from, day, quarter } => write!(f, "day {from} {day} {quarter}"),
            Decision::Year { from, year, quarter } => write!(f, "year {from} {year} {quarter}"),
            Decision::Hold { from, until } => write!(f, "hold {from} {until}"),
            Decision::Cut { at } => write!(f, "cut {at}"),
        }
    }
}

/// A text that is no decision of this version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a decision about a source: {0:?}")]
pub struct DecisionError(pub String);

impl FromStr for Decision {
    type Err = DecisionError;

    fn from_str(text: &str) -> Result<Self, DecisionError> {
        parse(text).ok_or_else(|| DecisionError(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<Decision> {
    let mut words = text.split(' ');
    let kind = words.next()?;
    let from = words.next()?.parse().ok()?;
    let decision = match kind {
        "lock" => Decision::Lock {
            from,
            locked: Locked {
                wrapper: Wrapper::from_name(words.next()?)?,
                format: crate::stream::format_name(words.next()?)?,
                lines: words.next()?.parse().ok()?,
                zone: ZoneName::parse(words.next()?)?,
            },
        },
        "day" => Decision::Day { from, day: words.next()?.parse().ok()?, quarter: quarter(words.next()?)? },
        "year" => {
            Decision::Year { from, year: words.next()?.parse().ok()?, quarter: quarter(words.next()?)? }
        }
        "hold" => Decision::Hold { from, until: words.next()?.parse().ok()? },
        "cut" => Decision::Cut { at: from },
        _ => return None,
    };
    words.next().is_none().then_some(decision)
}

fn quarter(text: &str) -> Option<u8> {
    text.parse().ok().filter(|q| *q < 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_behind_is_forgotten() {
        let texts = [
            "lock 0 none plain 1 0",
            "hold 0 90",
            "day 5 1 0",
            "cut 7",
            "day 9 1 1",
            "hold 40 900",
            "cut 95",
        ];
        let check = |offset, expect: &[usize]| {
            let mut decisions: Vec<Decision> = texts.iter().map(|t| t.parse().unwrap()).collect();
            Decision::forget(&mut decisions, offset);
            let left: Vec<String> = decisions.iter().map(Decision::to_string).collect();
            assert_eq!(left, expect.iter().map(|at| texts[*at]).collect::<Vec<_>>(), "{offset}");
        };
        check(0, &[0, 1, 2, 3, 4, 5, 6]);
        check(8, &[0, 1, 2, 4, 5, 6]);
        check(50, &[0, 4, 5, 6]);
        check(1000, &[0, 4]);
    }

    #[test]
    fn text_round_trip() {
        for text in [
            "lock 0 docker app 16 28800",
            "lock 7 none json 1 -3600",
            "lock 7 none app 8 Europe/Berlin",
            "day 512 19387 2",
            "year 1 2023 3",
            "hold 5 900",
            "cut 99",
        ] {
            assert_eq!(text.parse::<Decision>().unwrap().to_string(), text);
        }
        for text in ["", "lock", "lock 0 docker nope 1 0", "day 1 2 4", "cut 1 2", "cut -1"] {
            assert!(text.parse::<Decision>().is_err(), "{text}");
        }
    }
}
