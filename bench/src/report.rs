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
        self.ratio(name, figure / peer, floor);
    }

    /// The same of several rounds.
    pub fn floor_of(&mut self, name: &str, rounds: &Rounds, floor: f64) {
        self.ratio(name, rounds.ratio(), floor);
    }

    fn ratio(&mut self, name: &str, ratio: f64, floor: f64) {
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

/// Figures of rounds in which a peer and what is compared with it take turns, since the speed of a shared machine changes by a fifth within minutes. Each is told by
/// its median.
#[derive(Debug, Default)]
pub struct Rounds {
    ours: Vec<f64>,
    peers: Vec<f64>,
}

impl Rounds {
    pub fn push(&mut self, ours: f64, peer: f64) {
        self.ours.push(ours);
        self.peers.push(peer);
    }

    pub fn count(&self) -> usize {
        self.ours.len()
    }

    pub fn ours(&self) -> f64 {
        median(self.ours.clone())
    }

    pub fn peer(&self) -> f64 {
        median(self.peers.clone())
    }

    /// The median of the rounds' ratios.
    pub fn ratio(&self) -> f64 {
        median(self.ours.iter().zip(&self.peers).map(|(ours, peer)| ours / peer).collect())
    }
}

/// The figure in the middle.
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
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
    fn one_slow_round_does_not_count() {
        let mut rounds = Rounds::default();
        for (ours, peer) in [(6.0, 10.0), (2.0, 10.0), (7.0, 10.0), (3.0, 5.0), (6.0, 20.0)] {
            rounds.push(ours, peer);
        }
        assert_eq!((rounds.ours(), rounds.peer(), rounds.ratio()), (6.0, 10.0, 0.6));
    }

    #[test]
    fn quantiles() {
        let mut times: Vec<_> = (1..=100).rev().map(Duration::from_millis).collect();
        assert_eq!(quantile(&mut times, 0.5), Duration::from_millis(50));
        assert_eq!(quantile(&mut times, 0.99), Duration::from_millis(99));
        assert_eq!(quantile(&mut times[..1], 0.99), Duration::from_millis(1));
    }
}
