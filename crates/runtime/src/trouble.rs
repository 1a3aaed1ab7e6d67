//! Something that does not work for a while, as the log tells it: its beginning, now and then that it lasts, and its end.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Shortest time between two lines about the same. What lasts is told with gaps that double.
const GAP: Duration = Duration::from_secs(60);
const GAP_MAX: Duration = Duration::from_secs(300);

/// One thing that may not work. It says when a line is due, and writes none itself. Cloning shares it.
///
/// Whoever tries calls [`Self::bad`] or [`Self::good`] after every attempt; both are cheap. Attempts may overlap: what fails late, when another
/// has worked already, is not told.
#[derive(Debug, Clone, Default)]
pub struct Trouble(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// Since when it does not work.
    since: Option<Instant>,
    /// There was a line about this time that it does not work.
    is_told: bool,
    /// Before this no line is written, also where it worked meanwhile: what comes and goes is told as seldom as what lasts.
    quiet_until: Option<Instant>,
    gap: Duration,
}

impl Trouble {
    /// It does not work. Where that is to be told now: for how long it has not, zero at the beginning.
    pub fn bad(&self) -> Option<Duration> {
        self.bad_at(Instant::now())
    }

    /// It works. Where it was told that it did not: for how long that was so.
    pub fn good(&self) -> Option<Duration> {
        self.good_at(Instant::now())
    }

    fn bad_at(&self, now: Instant) -> Option<Duration> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let since = *state.since.get_or_insert(now);
        if state.quiet_until.is_some_and(|until| now < until) {
            return None;
        }
        state.gap = if state.is_told { (state.gap * 2).min(GAP_MAX) } else { GAP };
        (state.is_told, state.quiet_until) = (true, Some(now + state.gap));
        Some(now.saturating_duration_since(since))
    }

    fn good_at(&self, now: Instant) -> Option<Duration> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let since = state.since.take()?;
        if !std::mem::take(&mut state.is_told) {
            return None;
        }
        state.quiet_until = Some(now + GAP);
        Some(now.saturating_duration_since(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Line {
        Bad(u64),
        Good(u64),
    }
    use Line::{Bad, Good};

    /// Which lines there are, and at which second, where it does not work in these seconds and is tried every second.
    fn check(bad: impl Fn(u64) -> bool, seconds: u64, expect: &[(u64, Line)]) {
        let (trouble, begin) = (Trouble::default(), Instant::now());
        let line = |second: u64| {
            let now = begin + Duration::from_secs(second);
            let told = match bad(second) {
                true => trouble.bad_at(now).map(|lasted| Bad(lasted.as_secs())),
                false => trouble.good_at(now).map(|lasted| Good(lasted.as_secs())),
            };
            told.map(|line| (second, line))
        };
        assert_eq!((0..seconds).filter_map(line).collect::<Vec<_>>(), expect);
    }

    #[test]
    fn what_lasts_is_told_ever_less_often_and_its_end_once() {
        check(|_| false, 100, &[]);
        check(|s| s == 3, 100, &[(3, Bad(0)), (4, Good(1))]);
        let half_an_hour = [
            (10, Bad(0)),
            (70, Bad(60)),
            (190, Bad(180)),
            (430, Bad(420)),
            (730, Bad(720)),
            (1_030, Bad(1_020)),
            (1_330, Bad(1_320)),
            (1_630, Bad(1_620)),
            (1_810, Good(1_800)),
        ];
        check(|s| (10..1_810).contains(&s), 3_000, &half_an_hour);
        // The next one is told like the first.
        let twice =
            [(0, Bad(0)), (60, Bad(60)), (100, Good(100)), (200, Bad(0)), (260, Bad(60)), (299, Good(99))];
        check(|s| s < 100 || (200..299).contains(&s), 400, &twice);
    }

    #[test]
    fn what_comes_and_goes_is_told_as_seldom() {
        // An attempt that fails late, when another has worked.
        check(|s| s < 5 || s == 6, 100, &[(0, Bad(0)), (5, Good(5))]);
        check(
            |s| s % 2 == 0,
            130,
            &[(0, Bad(0)), (1, Good(1)), (62, Bad(0)), (63, Good(1)), (124, Bad(0)), (125, Good(1))],
        );
        // It is told after all where it lasts.
        check(|s| s != 5 && s != 6, 80, &[(0, Bad(0)), (5, Good(5)), (65, Bad(58))]);
    }
}
