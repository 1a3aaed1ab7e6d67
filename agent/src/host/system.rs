//! The host as a whole.

use std::collections::BTreeMap;

use sysinfo::{DiskRefreshKind, Disks, MemoryRefreshKind, Networks};
use weir_model::otlp::PointValue;

use super::EACH;
use super::cpu::CpuTimes;
use super::page::{Page, int};

/// Asks for everything but the processes.
pub(super) struct System {
    system: sysinfo::System,
    disks: Disks,
    networks: Networks,
    /// As they were at the sample before; a share is that of the time since.
    cpu: Option<CpuTimes>,
    processors: usize,
    description: String,
    booted: u64,
}

impl System {
    pub(super) fn new() -> Result<Self, sysinfo::Error> {
        Ok(Self {
            system: sysinfo::System::new()?,
            disks: Disks::new()?,
            networks: Networks::new()?,
            // The first sample follows at once, and so short a time says nothing.
            cpu: None,
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            description: sysinfo::System::long_os_version().unwrap_or_default(),
            booted: sysinfo::System::boot_time().unwrap_or(0) * 1_000_000_000,
        })
    }

    /// Name and version of the operating system.
    pub(super) fn description(&self) -> &str {
        &self.description
    }

    /// When the sums began, in nanoseconds since the Unix epoch; 0 is unknown.
    pub(super) fn booted(&self) -> u64 {
        self.booted
    }

    /// Returns how many disks and interfaces were left out.
    pub(super) fn measure(&mut self, page: &mut Page<'_>) -> usize {
        self.processors(page);
        self.memory(page);
        self.disks(page) + self.networks(page)
    }

    fn processors(&mut self, page: &mut Page<'_>) {
        let now = CpuTimes::read();
        if let (Some(now), Some(before)) = (&now, &self.cpu) {
            let shares = now.shares_since(before).into_iter();
            let points = shares.map(|(mode, share)| ([("cpu.mode", mode)], PointValue::Double(share)));
            page.gauge("system.cpu.utilization", "1", points);
        }
        self.cpu = now;
        page.gauge("system.cpu.logical.count", "{cpu}", [([], int(self.processors as u64))]);
        if let Ok(load) = sysinfo::System::load_average() {
            for (name, value) in [
                ("system.cpu.load_average.1m", load.one),
                ("system.cpu.load_average.5m", load.five),
                ("system.cpu.load_average.15m", load.fifteen),
            ] {
                page.gauge(name, "{thread}", [([], PointValue::Double(value))]);
            }
        }
        if let Ok(seconds) = sysinfo::System::uptime() {
            page.gauge("system.uptime", "s", [([], int(seconds))]);
        }
    }

    /// Used, free and cached add up to the limit; what the kernel would give back at once is cached.
    fn memory(&mut self, page: &mut Page<'_>) {
        self.system.refresh_memory_specifics(MemoryRefreshKind::everything());
        let (total, free) = (self.system.total_memory(), self.system.free_memory());
        let available = self.system.available_memory().max(free);
        let used = total.saturating_sub(available);
        let state = |state, bytes| ([("system.memory.state", state)], int(bytes));
        let states = [state("used", used), state("free", free), state("cached", available - free)];
        page.gauge("system.memory.usage", "By", states);
        page.gauge("system.memory.limit", "By", [([], int(total))]);
        let share = used as f64 / total.max(1) as f64;
        let share = [([("system.memory.state", "used")], PointValue::Double(share))];
        page.gauge("system.memory.utilization", "1", share);
        let state = |state, bytes| ([("system.paging.state", state)], int(bytes));
        let states = [state("used", self.system.used_swap()), state("free", self.system.free_swap())];
        page.gauge("system.paging.usage", "By", states);
    }

    /// Space by file system, bytes read and written by device.
    fn disks(&mut self, page: &mut Page<'_>) -> usize {
        self.disks.refresh_specifics(true, DiskRefreshKind::everything());
        let mut mounts = BTreeMap::new();
        for disk in self.disks.iter() {
            mounts.insert(disk.mount_point().to_string_lossy(), disk);
        }
        let names: Vec<_> = mounts
            .iter()
            .take(EACH)
            .map(|(mount, disk)| {
                (mount, disk.name().to_string_lossy(), disk.file_system().to_string_lossy(), disk)
            })
            .collect();
        let file_systems = names.iter().map(|(mount, device, kind, disk)| {
            let attributes = [
                ("system.device", device.as_ref()),
                ("system.filesystem.mountpoint", mount.as_ref()),
                ("system.filesystem.type", kind.as_ref()),
            ];
            (attributes, disk.total_space(), disk.total_space().saturating_sub(disk.available_space()))
        });
        let shares = file_systems.clone().map(|(attributes, total, used)| {
            (attributes, PointValue::Double(used as f64 / total.max(1) as f64))
        });
        page.gauge("system.filesystem.utilization", "1", shares);
        let limits = file_systems.clone().map(|(attributes, total, _)| (attributes, int(total)));
        page.gauge("system.filesystem.limit", "By", limits);
        let used = file_systems.map(|([device, mount, kind], _, used)| {
            ([device, mount, kind, ("system.filesystem.state", "used")], int(used))
        });
        page.gauge("system.filesystem.usage", "By", used);
        // A device may be mounted more than once.
        let devices: BTreeMap<_, _> =
            names.iter().map(|(_, device, _, disk)| (device, disk.usage())).collect();
        let io = devices.iter().flat_map(|(device, usage)| {
            let point = |direction, bytes| {
                ([("system.device", device.as_ref()), ("disk.io.direction", direction)], int(bytes))
            };
            [point("read", usage.total_read_bytes), point("write", usage.total_written_bytes)]
        });
        page.sum("system.disk.io", "By", io);
        mounts.len() - names.len()
    }

    fn networks(&mut self, page: &mut Page<'_>) -> usize {
        self.networks.refresh(true);
        let all: BTreeMap<_, _> =
            self.networks.iter().map(|(interface, data)| (interface.to_string_lossy(), data)).collect();
        let shown: Vec<_> = all.iter().take(EACH).collect();
        let mut sum = |name, unit, of: fn(&sysinfo::NetworkData) -> [u64; 2]| {
            let points = shown.iter().flat_map(|(interface, data)| {
                let [received, transmitted] = of(data);
                let point = |direction, n| {
                    (
                        [("network.interface.name", interface.as_ref()), ("network.io.direction", direction)],
                        int(n),
                    )
                };
                [point("receive", received), point("transmit", transmitted)]
            });
            page.sum(name, unit, points);
        };
        sum("system.network.io", "By", |data| [data.total_received(), data.total_transmitted()]);
        sum("system.network.packets", "{packet}", |data| {
            [data.total_packets_received(), data.total_packets_transmitted()]
        });
        sum("system.network.errors", "{error}", |data| {
            [data.total_errors_on_received(), data.total_errors_on_transmitted()]
        });
        all.len() - shown.len()
    }
}
