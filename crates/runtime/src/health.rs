//! What is wrong with a process now, part by part, and for how long.
//!
//! A part says [`Health::bad`] when something does not work and [`Health::good`] when it does again; both are cheap enough for every attempt.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

/// How long something may go wrong before it is told: one refused attempt is everyday life.
pub const GRACE: Duration = Duration::from_secs(5);

/// What is wrong with all parts of a process. Cloning shares it.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    bad: Mutex<BTreeMap<&'static str, Failure>>,
    ready: AtomicBool,
}

#[derive(Debug)]
struct Failure {
    since: Instant,
    what: String,
}

/// A part that does not work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    pub part: &'static str,
    /// What fails and what to do about it, for a person.
    pub what: String,
    pub seconds: u64,
}

/// The state of a process as it is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// `ok` or `degraded`.
    pub status: &'static str,
    pub reasons: Vec<Reason>,
}

impl Health {
    /// A part does not work. Parts are named once in the program, so their number is bounded.
    pub fn bad(&self, part: &'static str, what: impl Into<String>) {
        self.bad_since(part, Instant::now(), what);
    }

    /// A part has not worked since some time ago, as is found out only now.
    pub fn bad_since(&self, part: &'static str, since: Instant, what: impl Into<String>) {
        let mut bad = self.0.bad.lock().unwrap_or_else(PoisonError::into_inner);
        let failure = bad.entry(part).or_insert_with(|| Failure { since, what: String::new() });
        failure.since = failure.since.min(since);
        failure.what = what.into();
    }

    /// A part works, again or still.
    pub fn good(&self, part: &'static str) {
        self.0.bad.lock().unwrap_or_else(PoisonError::into_inner).remove(part);
    }

    /// What is wrong with a part right now, however short it lasts.
    pub fn trouble(&self, part: &str) -> Option<String> {
        let bad = self.0.bad.lock().unwrap_or_else(PoisonError::into_inner);
        bad.get(part).map(|failure| failure.what.clone())
    }

    /// The process takes what it is there for, or does so no longer.
    pub fn set_ready(&self, ready: bool) {
        self.0.ready.store(ready, Ordering::Relaxed);
    }

    pub fn is_ready(&self) -> bool {
        self.0.ready.load(Ordering::Relaxed)
    }

    /// What has been wrong for longer than [`GRACE`].
    pub fn report(&self) -> Report {
        self.report_at(Instant::now())
    }

    fn report_at(&self, now: Instant) -> Report {
        let bad = self.0.bad.lock().unwrap_or_else(PoisonError::into_inner);
        let age = |failure: &Failure| now.saturating_duration_since(failure.since);
        let reasons: Vec<Reason> = bad
            .iter()
            .filter(|(_, failure)| age(failure) >= GRACE)
            .map(|(part, failure)| Reason {
                part,
                what: failure.what.clone(),
                seconds: age(failure).as_secs(),
            })
            .collect();
        Report { status: if reasons.is_empty() { "ok" } else { "degraded" }, reasons }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lasts_is_told() {
        let health = Health::default();
        let later = |seconds| health.report_at(Instant::now() + Duration::from_secs(seconds));
        assert_eq!(later(60), Report { status: "ok", reasons: vec![] });
        health.bad("spool", "full");
        health.bad("spool", "still full");
        assert_eq!(later(0).status, "ok");
        assert_eq!((health.trouble("spool").as_deref(), health.trouble("disk")), (Some("still full"), None));
        let told = later(60);
        assert_eq!((told.status, told.reasons.len()), ("degraded", 1));
        assert_eq!((told.reasons[0].part, told.reasons[0].what.as_str()), ("spool", "still full"));
        health.good("spool");
        assert_eq!(later(60).status, "ok");
    }

    #[test]
    fn what_is_found_out_late_is_told_at_once() {
        let health = Health::default();
        let now = Instant::now() + Duration::from_secs(100);
        let told = || health.report_at(now).reasons.into_iter().next().map(|reason| reason.seconds);
        health.bad("spool", "full");
        health.bad_since("spool", now, "full");
        assert_eq!(told(), Some(99), "it began before");
        health.good("spool");
        health.bad_since("spool", now - Duration::from_secs(4), "full");
        assert_eq!(told(), None);
        health.bad_since("spool", now - GRACE, "full");
        assert_eq!(told(), Some(5));
    }
}
