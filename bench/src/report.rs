//! Results as lines that a person reads and a script can cut, and which of them are not what they must be.

use std::process::ExitCode;
use std::time::Duration;

/// Prints figures and remembers the floors that were missed.
#[derive(Debug, Default)]
pub struct Report {
    missed: Vec<String>,
}

impl Report {
    /// Prints a heading.
    pub fn heading(&self, text: &str) {
        println!("\n{text}");
    }

    /// Prints a figure.
    pub fn row(&self, name: &str, figure: f64, unit: &str) {
        println!("  {name:<58} {figure:>12.1} {unit}");
    }

    /// Prints a ratio to a peer of the same run that has a floor.
    pub fn floor(&mut self, name: &str, figure: f64, peer: f64, floor: f64) {
        let ratio = figure / peer;
        let verdict = self.judge(name, ratio >= floor);
        println!("  {name:<58} {ratio:>12.3} of the peer, at least {floor}: {verdict}");
    }

    /// Prints a figure that must not exceed a limit.
    pub fn limit(&mut self, name: &str, figure: f64, limit: f64, unit: &str) {
        let verdict = self.judge(name, figure <= limit);
        println!("  {name:<58} {figure:>12.1} {unit}, at most {limit}: {verdict}");
    }

    fn judge(&mut self, name: &str, holds: bool) -> &'static str {
        if holds {
            return "reached";
        }
        self.missed.push(name.into());
        "MISSED"
    }

    /// Sums up: failure where a floor or limit was missed.
    pub fn end(self) -> ExitCode {
        match self.missed.as_slice() {
            [] => ExitCode::SUCCESS,
            missed => {
                println!("\nmissed: {}", missed.join("; "));
                ExitCode::FAILURE
            }
        }
    }
}

/// Megabytes (10^6) a CPU-second.
pub fn mb_per_second(bytes: u64, cpu: Duration) -> f64 {
    bytes as f64 / 1e6 / cpu.as_secs_f64()
}

/// The value below which a share `q` of the times lies; the times are sorted by it.
pub fn quantile(times: &mut [Duration], q: f64) -> Duration {
    times.sort_unstable();
    let rank = (times.len() as f64 * q).ceil() as usize;
    times[rank.clamp(1, times.len()) - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missed_fails() {
        let mut report = Report::default();
        report.floor("fast", 5.0, 10.0, 0.5);
        report.limit("small", 5.0, 5.0, "MB");
        assert!(report.missed.is_empty());
        report.floor("slow", 4.9, 10.0, 0.5);
        report.limit("large", 5.1, 5.0, "MB");
        assert_eq!(report.missed, ["slow", "large"]);
    }

    #[test]
    fn quantiles() {
        let mut times: Vec<_> = (1..=100).rev().map(Duration::from_millis).collect();
        assert_eq!(quantile(&mut times, 0.5), Duration::from_millis(50));
        assert_eq!(quantile(&mut times, 0.99), Duration::from_millis(99));
        assert_eq!(quantile(&mut times[..1], 0.99), Duration::from_millis(1));
    }
}
