//! Whether a trace may still be on its way.

use std::time::Duration;

/// For how long after its end a trace without a root counts as on its way. A root ends last and is sent last: OpenTelemetry's SDKs send every 5 s, and what
/// they send takes its time. Log lines of the same call are read at once and show it before that.
const ARRIVES_WITHIN: Duration = Duration::from_secs(10);

/// `end` and `now` in nanoseconds since the Unix epoch.
pub(crate) fn is_arriving(has_root: bool, end: u64, now: u64) -> bool {
    !has_root && u128::from(end.abs_diff(now)) < ARRIVES_WITHIN.as_nanos()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_and_ten_seconds_settle_it() {
        const NOW: u64 = 1_700_000_000_000_000_000;
        let check = |has_root, seconds_ago: i64, expect| {
            let end = NOW.strict_add_signed(-seconds_ago * 1_000_000_000);
            assert_eq!(is_arriving(has_root, end, NOW), expect, "{has_root} {seconds_ago}");
        };
        check(false, 0, true);
        check(false, 9, true);
        check(false, 10, false);
        check(true, 0, false);
        // A clock that is a little ahead, and one that is wrong.
        check(false, -2, true);
        check(false, -3600, false);
    }
}
