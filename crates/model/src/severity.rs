//! Severity numbers of the OpenTelemetry log data model (1 to 24, four to a level; 0 is "not set").

use std::fmt;

/// A severity number. Numbers outside 0 to 24 are kept as they came and count as the nearest level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Severity(pub i32);

impl Severity {
    pub const UNSET: Severity = Severity(0);
    pub const TRACE: Severity = Severity(1);
    pub const DEBUG: Severity = Severity(5);
    pub const INFO: Severity = Severity(9);
    pub const WARN: Severity = Severity(13);
    pub const ERROR: Severity = Severity(17);
    pub const FATAL: Severity = Severity(21);

    /// `trace debug info warn error fatal`, or `unset`.
    pub fn level(self) -> &'static str {
        match self.0 {
            i32::MIN..=0 => "unset",
            1..=4 => "trace",
            5..=8 => "debug",
            9..=12 => "info",
            13..=16 => "warn",
            17..=20 => "error",
            _ => "fatal",
        }
    }

    /// The lowest number of the level with this name, in any case; `None` for an unknown name.
    pub fn from_level(name: &str) -> Option<Self> {
        [Self::UNSET, Self::TRACE, Self::DEBUG, Self::INFO, Self::WARN, Self::ERROR, Self::FATAL]
            .into_iter()
            .find(|s| s.level().eq_ignore_ascii_case(name))
    }

    /// ERROR or above.
    pub fn is_error(self) -> bool {
        self >= Self::ERROR
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.level())
    }
}
