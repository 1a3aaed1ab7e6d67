//! Level names and numbers of loggers as OpenTelemetry severity numbers.

use weir_model::Severity;

/// The severity of a level's name in any case; `None` for what is no level.
///
/// Syslog's names map as in the log data model's appendix B of OpenTelemetry: notice INFO2, critical ERROR2, alert ERROR3, emergency FATAL.
#[inline]
pub fn from_name(name: &[u8]) -> Option<Severity> {
    let mut lower = [0; 12];
    let lower = lower.get_mut(..name.len())?;
    lower.copy_from_slice(name);
    lower.make_ascii_lowercase();
    Some(match &*lower {
        b"info" | b"information" | b"inf" | b"informational" | b"log" => Severity::INFO,
        b"warn" | b"warning" | b"wrn" | b"wrng" => Severity::WARN,
        b"error" | b"err" | b"eror" | b"severe" => Severity::ERROR,
        b"debug" | b"dbg" | b"debg" | b"fine" | b"config" => Severity::DEBUG,
        b"trace" | b"trc" | b"verbose" | b"vrb" | b"silly" | b"finest" | b"finer" | b"trac" => {
            Severity::TRACE
        }
        b"fatal" | b"ftl" | b"fata" | b"emerg" | b"emergency" | b"panic" => Severity::FATAL,
        b"notice" | b"http" => Severity(10),
        b"critical" | b"crit" => Severity(18),
        b"alert" | b"dpanic" => Severity(19),
        b"default" => Severity::UNSET,
        _ => return None,
    })
}

/// The single letters of klog and of many Android-like formats.
pub fn from_letter(letter: u8) -> Option<Severity> {
    Some(match letter {
        b'I' => Severity::INFO,
        b'W' => Severity::WARN,
        b'E' => Severity::ERROR,
        b'F' => Severity::FATAL,
        b'D' => Severity::DEBUG,
        b'T' => Severity::TRACE,
        _ => return None,
    })
}

/// pino and bunyan count in tens from trace (10) to fatal (60); a custom level between them keeps its place.
pub fn from_tens(level: i64) -> Option<Severity> {
    if !(10..=69).contains(&level) {
        return None;
    }
    let step = ((level % 10) * 4 / 10) as i32;
    Some(Severity((level / 10 - 1) as i32 * 4 + 1 + step))
}

/// Severity of RFC 5424, 0 (emergency) to 7 (debug).
pub fn from_syslog(severity: u8) -> Severity {
    [
        Severity::FATAL,
        Severity(19),
        Severity(18),
        Severity::ERROR,
        Severity::WARN,
        Severity(10),
        Severity::INFO,
    ]
    .get(severity as usize)
    .copied()
    .unwrap_or(Severity::DEBUG)
}

/// What a response's status says: 5xx is an error of this server, 4xx a warning, else information.
pub fn from_status(status: i64) -> Severity {
    match status {
        500..=599 => Severity::ERROR,
        400..=499 => Severity::WARN,
        _ => Severity::INFO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let cases: [(&str, Option<i32>); 10] = [
            ("INFO", Some(9)),
            ("Warning", Some(13)),
            ("err", Some(17)),
            ("Verbose", Some(1)),
            ("NOTICE", Some(10)),
            ("critical", Some(18)),
            ("emerg", Some(21)),
            ("Information", Some(9)),
            ("hello", None),
            ("a much longer word", None),
        ];
        for (name, expect) in cases {
            assert_eq!(from_name(name.as_bytes()).map(|s| s.0), expect, "{name}");
        }
    }

    #[test]
    fn numbers() {
        for (level, expect) in
            [(10, Some(1)), (30, Some(9)), (35, Some(11)), (60, Some(21)), (5, None), (400, None)]
        {
            assert_eq!(from_tens(level).map(|s| s.0), expect, "{level}");
        }
        let syslog: Vec<i32> = (0..8).map(|n| from_syslog(n).0).collect();
        assert_eq!(syslog, [21, 19, 18, 17, 13, 10, 9, 5]);
    }
}
