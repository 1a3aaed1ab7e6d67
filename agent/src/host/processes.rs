//! Processes that are watched: this one, and those whose name or command line a pattern of the configuration matches.

use std::collections::HashSet;

use anyhow::Context;
use regex::RegexSet;
use sysinfo::{Pid, Process, ProcessRefreshKind, ProcessesToUpdate, System, UpdateKind};
use weir_model::otlp::PointValue;

use super::EACH;
use super::page::{Page, int};

pub(super) struct Processes {
    system: System,
    watched: RegexSet,
    /// Those of the sample before: the share of a processor is that of the time since.
    before: HashSet<Pid>,
}

impl Processes {
    pub(super) fn new(patterns: &[String]) -> anyhow::Result<Self> {
        let watched = RegexSet::new(patterns).context("agent.watch_processes")?;
        Ok(Self { system: System::new()?, watched, before: HashSet::new() })
    }

    /// Each process becomes a resource: the host's attributes, its id and its name. Returns how many were left out.
    pub(super) fn measure(&mut self, host: &[(&str, &str)], page: &mut Page<'_>) -> usize {
        let own = sysinfo::get_current_pid().ok();
        let what = ProcessRefreshKind::nothing()
            .with_cpu()
            .with_memory()
            .with_disk_usage()
            .with_exe(UpdateKind::OnlyIfNotSet)
            .with_cmd(UpdateKind::OnlyIfNotSet);
        // Without patterns nobody else needs to be looked at.
        let of = match own.as_slice() {
            own if self.watched.is_empty() => ProcessesToUpdate::Some(own),
            _ => ProcessesToUpdate::All,
        };
        self.system.refresh_processes_specifics(of, true, what);
        let mut watched: Vec<_> = self
            .system
            .processes()
            .values()
            .filter(|process| own == Some(process.pid()) || self.is_watched(process))
            .collect();
        watched.sort_by_key(|process| process.pid());
        for process in watched.iter().take(EACH) {
            write(process, host, self.before.contains(&process.pid()), page);
        }
        let now = watched.iter().map(|process| process.pid()).collect();
        let left_out = watched.len().saturating_sub(EACH);
        self.before = now;
        left_out
    }

    fn is_watched(&self, process: &Process) -> bool {
        if self.watched.is_empty() {
            return false;
        }
        let command: Vec<_> = process.cmd().iter().map(|word| word.to_string_lossy()).collect();
        self.watched.is_match(&name(process)) || self.watched.is_match(&command.join(" "))
    }
}

/// The program's file; the kernel cuts a process's own name at 15 bytes.
fn name(process: &Process) -> String {
    let file = process.exe().and_then(|path| path.file_name()).unwrap_or(process.name());
    file.to_string_lossy().into_owned()
}

fn write(process: &Process, host: &[(&str, &str)], known: bool, page: &mut Page<'_>) {
    let name = name(process);
    let mut resource = host.to_vec();
    resource.push(("process.executable.name", &name));
    page.resource(&resource, Some(process.pid().as_u32()));
    if known {
        // Of one processor: 1 is all of it.
        let share = f64::from(process.cpu_usage()) / 100.0;
        page.gauge("process.cpu.utilization", "1", [([], PointValue::Double(share))]);
    }
    page.gauge("process.memory.usage", "By", [([], int(process.memory()))]);
    page.gauge("process.memory.virtual", "By", [([], int(process.virtual_memory()))]);
    page.gauge("process.uptime", "s", [([], int(process.run_time()))]);
    let usage = process.disk_usage();
    let point = |direction, bytes| ([("disk.io.direction", direction)], int(bytes));
    let io = [point("read", usage.total_read_bytes), point("write", usage.total_written_bytes)];
    page.sum("process.disk.io", "By", io);
}
