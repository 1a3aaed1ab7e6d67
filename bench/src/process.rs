//! What a process that runs has used and holds, as `/proc` tells it.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;

/// How often it is looked whether a folder grows.
const LOOK: Duration = Duration::from_millis(200);

/// User and system time of a process and its threads, not of its children.
///
/// # Errors
/// When there is no such process.
pub fn cpu(pid: u32) -> anyhow::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in parentheses may hold blanks; state follows it, user and system time are the 12th and 13th behind that.
    let rest = stat.rsplit_once(") ").context("no name")?.1;
    let ticks: u64 = rest.split(' ').skip(11).take(2).map(|n| n.parse::<u64>().unwrap_or(0)).sum();
    // SAFETY: asks for a constant of the system.
    let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) } as u64;
    Ok(Duration::from_millis(ticks * 1000 / per_second))
}

/// Resident memory now and at its highest, bytes.
///
/// # Errors
/// When there is no such process.
pub fn memory(pid: u32) -> anyhow::Result<(u64, u64)> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kilobytes = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0)
    };
    Ok((kilobytes("VmRSS:") * 1024, kilobytes("VmHWM:") * 1024))
}

/// Bytes of all files below a folder.
///
/// # Errors
/// When it can't be read.
pub fn folder_bytes(dir: &Path) -> anyhow::Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        sum +=
            if entry.file_type()?.is_dir() { folder_bytes(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(sum)
}

/// Waits until a folder has not grown for so long; one that can't be read does not. Returns when it grew last.
pub async fn settled(dir: &Path, quiet: Duration) -> Instant {
    let (mut last, mut since) = (0, Instant::now());
    while since.elapsed() < quiet {
        let bytes = folder_bytes(dir).unwrap_or(last);
        if bytes != last {
            (last, since) = (bytes, Instant::now());
        }
        tokio::time::sleep(LOOK).await;
    }
    since
}
