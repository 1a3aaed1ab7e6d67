//! Results as lines that a person reads and a script can cut.

use std::time::Duration;

/// Megabytes (10^6) a CPU-second.
pub fn mb_per_second(bytes: u64, cpu: Duration) -> f64 {
    bytes as f64 / 1e6 / cpu.as_secs_f64()
}

/// Prints a heading.
pub fn heading(text: &str) {
    println!("\n{text}");
}

/// Prints a figure.
pub fn row(name: &str, figure: f64, unit: &str) {
    println!("  {name:<58} {figure:>12.1} {unit}");
}

/// Prints a ratio to a peer of the same run, and the floor below which the work is not done.
pub fn ratio(name: &str, ratio: f64, floor: f64) {
    let verdict = if ratio >= floor { "reached" } else { "MISSED" };
    println!("  {name:<58} {ratio:>12.3} of the peer, floor {floor}: {verdict}");
}
