//! CPU time: user and system seconds, of this process or of one that it ran.

use std::io;
use std::process::{Command, Stdio};
use std::time::Duration;

fn seconds(time: libc::timeval) -> Duration {
    Duration::from_micros(time.tv_sec as u64 * 1_000_000 + time.tv_usec as u64)
}

fn usage(who: libc::c_int) -> Duration {
    // SAFETY: rusage is plain numbers, and the call only fills it.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(who, &raw mut usage);
        usage
    };
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

/// What this process has used so far, in all its threads.
pub fn used() -> Duration {
    usage(libc::RUSAGE_SELF)
}

/// What the calling thread has used so far.
pub fn of_thread() -> Duration {
    usage(libc::RUSAGE_THREAD)
}

/// Runs a command to its end and tells what it used.
///
/// # Errors
/// When it can't be started or fails.
pub fn of_command(command: &mut Command) -> io::Result<Duration> {
    let before = usage(libc::RUSAGE_CHILDREN);
    let status = command.stdout(Stdio::null()).status()?;
    if !status.success() {
        return Err(io::Error::other(format!("{command:?} ended with {status}")));
    }
    Ok(usage(libc::RUSAGE_CHILDREN) - before)
}
