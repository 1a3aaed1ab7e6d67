//! Where the processors' time goes, from `/proc/stat`: sysinfo gives the sum only, and waiting for a disk is another trouble than computing.
//!
//! Source: proc_stat(5). Guests' time is contained in that of users.

use std::fs;

/// Values of the attribute `cpu.mode`.
const MODES: [&str; 7] = ["user", "nice", "system", "idle", "iowait", "interrupt", "steal"];

/// Time spent in each mode by all processors since the start, in ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CpuTimes([u64; MODES.len()]);

impl CpuTimes {
    /// `None` on systems that have no such file.
    pub(super) fn read() -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/stat").ok()?)
    }

    fn parse(stat: &str) -> Option<Self> {
        let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
        let ticks: Vec<u64> = line.split_whitespace().map_while(|word| word.parse().ok()).collect();
        let [user, nice, system, idle, iowait, hard, soft, steal, ..] = ticks[..] else { return None };
        Some(Self([user, nice, system, idle, iowait, hard + soft, steal]))
    }

    /// Each mode's share of the time since `before`, from 0 to 1; nothing where no time has passed.
    pub(super) fn shares_since(&self, before: &Self) -> Vec<(&'static str, f64)> {
        // The kernel lets `iowait` fall now and then.
        let ticks = self.0.iter().zip(before.0).map(|(now, before)| now.saturating_sub(before) as f64);
        let all: f64 = ticks.clone().sum();
        if all == 0.0 {
            return Vec::new();
        }
        MODES.into_iter().zip(ticks.map(|ticks| ticks / all)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares() {
        let times = |line: &str| CpuTimes::parse(line).unwrap();
        let before = times("cpu  100 0 50 800 20 1 2 0 0 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n");
        let after = times("cpu  130 0 60 850 15 2 3 0 9 9\nintr 1\n");
        let shares = after.shares_since(&before);
        let expect = [30.0, 0.0, 10.0, 50.0, 0.0, 2.0, 0.0].map(|ticks| ticks / 92.0);
        assert_eq!(shares, MODES.into_iter().zip(expect).collect::<Vec<_>>());
        assert_eq!(after.shares_since(&after), []);
    }

    #[test]
    fn what_is_not_such_a_file() {
        for text in ["", "cpu 1 2 3", "cpu0 1 2 3 4 5 6 7 8"] {
            assert_eq!(CpuTimes::parse(text), None, "{text}");
        }
    }
}
