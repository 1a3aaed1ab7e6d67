//! The store and its log on a disk that forgets: power fails, the process dies, and writes fail, before and at every step of a workload that
//! appends, commits, merges, rolls, seals, trims and removes what is past its retention.
//!
//! Whatever happens: what the log acknowledged is found exactly once, and the store never asks for what the log was allowed to forget.

mod crash {
    pub(crate) mod steps;
    pub(crate) mod work;
}

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use weir_disk::sim::SimDisk;
use weir_model::Signal;

use crash::steps::{Phase, phases};
use crash::work::Work;

/// Steps between two that are tried where trying each would take minutes. Prime, so that it meets every kind of step in time.
const STRIDE: usize = 31;
const RARE_STRIDE: usize = 7;
/// No space left on device; input/output error.
const ERRNOS: [i32; 2] = [28, 5];

/// What happens to the disk in one run.
#[derive(Debug, Clone, Copy)]
enum Trouble {
    /// Power fails before the step.
    Crash(usize),
    /// The process dies before the step; then power fails so many steps later.
    KillThenCrash(usize, usize),
    /// The step fails.
    Fail(usize, i32),
    /// The step fails, and power fails so many steps later.
    FailThenCrash(usize, i32, usize),
}

fn block_on<R>(work: impl Future<Output = R>) -> R {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(work)
}

/// Runs the workload through one trouble and checks what is found at the end, and again after another loss of power.
fn run(signal: Signal, seed: u64, trouble: Trouble) {
    block_on(async {
        let mut sim = SimDisk::new(seed);
        let mut work = Work::new(signal);
        match trouble {
            Trouble::Crash(step) | Trouble::KillThenCrash(step, _) => sim.crash_at(step),
            Trouble::Fail(step, errno) => sim.fail_at(step, errno),
            Trouble::FailThenCrash(step, errno, later) => {
                sim.fail_at(step, errno);
                sim.crash_at(step + later);
            }
        }
        // What was to happen behind the end of the work happens no more: the next process finds a disk that works.
        sim = match (work.go_on(&sim).await, trouble) {
            (true, _) => sim.kill(),
            (false, Trouble::KillThenCrash(_, later)) => {
                let killed = sim.kill();
                killed.crash_at(later);
                if work.go_on(&killed).await { killed.kill() } else { killed.restart() }
            }
            (false, _) => sim.restart(),
        };
        assert!(work.go_on(&sim).await, "the work ends on a disk that works");
        work.check(&sim).await;
        work.check(&sim.restart()).await;
    });
}

/// Steps of the workload when nothing happens, and in which phase each is.
fn quiet_run(signal: Signal) -> Vec<Phase> {
    block_on(async {
        let sim = SimDisk::new(1);
        let mut work = Work::new(signal);
        assert!(work.go_on(&sim).await);
        let phases = phases(&sim.step_names());
        work.check(&sim).await;
        phases
    })
}

/// Runs every trouble, on two threads, and says which phases were met.
fn run_all(signal: Signal, phases: &[Phase], troubles: Vec<(usize, Trouble)>) {
    let next = AtomicUsize::new(0);
    let hit = Mutex::new(BTreeSet::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some((step, trouble)) = troubles.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let caught = std::panic::catch_unwind(|| run(signal, *step as u64, *trouble));
                    let phase = phases.get(*step).copied().unwrap_or(Phase::Other);
                    if let Err(panic) = caught {
                        eprintln!("{signal}: {trouble:?} in {phase:?} was not survived");
                        std::panic::resume_unwind(panic);
                    }
                    hit.lock().expect("no panic while locked").insert(phase);
                }
            });
        }
    });
    let hit = hit.into_inner().expect("no panic while locked");
    println!("{signal}: {} troubles in {} steps, in {hit:?}", troubles.len(), phases.len());
    for phase in Phase::of(signal) {
        assert!(hit.contains(phase), "{signal}: nothing happened in {phase:?}");
    }
}

/// A trouble at the first step of each phase and at a sample of the others, which differs with `offset`.
fn sampled(phases: &[Phase], offset: usize, trouble: impl Fn(usize) -> Trouble) -> Vec<(usize, Trouble)> {
    let mut seen = BTreeMap::new();
    let wanted = |step: &usize| {
        let phase = phases[*step];
        let count = seen.entry(phase).or_insert(0);
        *count += 1;
        // Without an index there are few steps, and all are tried.
        let stride = match phases.contains(&Phase::Commit) {
            false => 1,
            true if phase.is_rare() => RARE_STRIDE,
            true => STRIDE,
        };
        *count == 1 || (*count + offset).is_multiple_of(stride)
    };
    (0..phases.len()).filter(wanted).map(|step| (step, trouble(step))).collect()
}

fn power_fails(signal: Signal) {
    let phases = quiet_run(signal);
    let mut troubles = sampled(&phases, 0, Trouble::Crash);
    troubles.extend(sampled(&phases, 8, |step| Trouble::KillThenCrash(step, step * 7 % 150)));
    run_all(signal, &phases, troubles);
}

fn writes_fail(signal: Signal) {
    let phases = quiet_run(signal);
    let mut troubles = sampled(&phases, 16, |step| Trouble::Fail(step, ERRNOS[step % 2]));
    troubles.extend(sampled(&phases, 24, |step| {
        Trouble::FailThenCrash(step, ERRNOS[step % 2], 1 + step * 11 % 120)
    }));
    run_all(signal, &phases, troubles);
}

#[test]
fn logs_survive_a_crash_at_any_step() {
    power_fails(Signal::Logs);
}

#[test]
fn spans_survive_a_crash_at_any_step() {
    power_fails(Signal::Spans);
}

#[test]
fn logs_survive_a_failure_of_any_step() {
    writes_fail(Signal::Logs);
}

#[test]
fn spans_survive_a_failure_of_any_step() {
    writes_fail(Signal::Spans);
}

#[test]
fn metrics_survive_a_crash_at_any_step() {
    power_fails(Signal::Metrics);
}

#[test]
fn metrics_survive_a_failure_of_any_step() {
    writes_fail(Signal::Metrics);
}
