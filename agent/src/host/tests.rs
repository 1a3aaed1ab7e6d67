//! What is measured, beside what the kernel says in `/proc`.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use weir_model::otlp::{metric_refs, validate};

use super::*;

/// Points by metric and the values of their attributes, as `system.disk.io /dev/vda write`; a process's begin with its name.
type Points = BTreeMap<String, f64>;

fn sampler(patterns: &[&str]) -> Sampler {
    let patterns: Vec<String> = patterns.iter().map(|p| p.to_string()).collect();
    Sampler {
        host: "here".into(),
        system: System::new().unwrap(),
        processes: Processes::new(&patterns).unwrap(),
        body: BodyWriter::default(),
        left_out: Counter::default(),
    }
}

fn sample(sampler: &mut Sampler) -> Points {
    let body = sampler.sample(5);
    validate(Signal::Metrics, &body).unwrap();
    let mut points = Points::new();
    for metric in metric_refs(&body) {
        let resource = metric.resource.attrs();
        assert_eq!(resource.get("host.name").unwrap().as_str(), Some("here"));
        let process = resource.get("process.executable.name").and_then(|name| name.as_str());
        for point in metric.metric.number_points() {
            assert_eq!(point.time, 5);
            let words = process.into_iter().chain([metric.metric.name]);
            let mut name = words.collect::<Vec<_>>().join(" ");
            point.attrs.iter().for_each(|attr| name += &format!(" {}", attr.value.as_str().unwrap()));
            assert_eq!(
                points.insert(name.clone(), point.value.unwrap().as_f64()),
                None,
                "{name} comes twice"
            );
        }
    }
    points
}

fn proc_file(path: &str) -> String {
    fs::read_to_string(format!("/proc/{path}")).unwrap()
}

/// The value in bytes of a line `Key:   n kB`.
fn kib(text: &str, key: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).unwrap();
    line.split_whitespace().next().unwrap().parse::<f64>().unwrap() * 1024.0
}

/// What is measured lies between what the kernel said before and after it.
fn between(points: &Points, name: &str, before: f64, after: f64) {
    let value = points[name];
    let slack = 0.02 * before.abs().max(after.abs());
    let (low, high) = (before.min(after) - slack, before.max(after) + slack);
    assert!((low..=high).contains(&value), "{name} is {value}, the kernel says {before} and {after}");
}

#[test]
fn memory_and_load() {
    let mut sampler = sampler(&[]);
    let load = proc_file("loadavg");
    let points = sample(&mut sampler);
    let (info, load_after) = (proc_file("meminfo"), proc_file("loadavg"));
    let total = kib(&info, "MemTotal");
    assert_eq!(points["system.memory.limit"], total);
    // Other processes take and give back memory meanwhile: a tenth of all is far below any mistake of unit or key.
    let near = |name: &str, expect: f64| {
        assert!(
            (points[name] - expect).abs() < total / 10.0,
            "{name} is {}, the kernel says {expect}",
            points[name]
        );
    };
    near("system.memory.usage used", total - kib(&info, "MemAvailable"));
    near("system.memory.usage free", kib(&info, "MemFree"));
    let sum: f64 =
        ["used", "free", "cached"].iter().map(|state| points[&format!("system.memory.usage {state}")]).sum();
    assert_eq!(sum, total);
    assert_eq!(points["system.memory.utilization used"], points["system.memory.usage used"] / total);
    assert_eq!(
        points["system.paging.usage used"] + points["system.paging.usage free"],
        kib(&info, "SwapTotal")
    );
    for (nth, name) in ["1m", "5m", "15m"].iter().enumerate() {
        let at = |load: &str| load.split(' ').nth(nth).unwrap().parse::<f64>().unwrap();
        // The kernel computes it anew every five seconds.
        let (low, high) = (at(&load).min(at(&load_after)) - 1.0, at(&load).max(at(&load_after)) + 1.0);
        let value = points[&format!("system.cpu.load_average.{name}")];
        assert!((low..=high).contains(&value), "{name} is {value}, the kernel says {load} and {load_after}");
    }
    let uptime = |text: String| text.split(' ').next().unwrap().parse::<f64>().unwrap();
    assert!((points["system.uptime"] - uptime(proc_file("uptime"))).abs() < 60.0);
}

/// A share needs two readings with time between them.
#[test]
fn the_first_sample_tells_no_share_of_time() {
    let mut sampler = sampler(&[]);
    // Until the kernel has counted more: a share since the sampler was made could be told.
    let (begun, counted) = (Instant::now(), cpu::CpuTimes::read());
    while cpu::CpuTimes::read() == counted {
        assert!(begun.elapsed() < Duration::from_secs(10), "the kernel counts no time");
    }
    let shares = |points: &Points| {
        points.keys().filter(|name| name.contains("cpu.utilization")).cloned().collect::<Vec<_>>()
    };
    assert_eq!(shares(&sample(&mut sampler)), Vec::<String>::new());
    let own = std::env::current_exe().unwrap().file_name().unwrap().to_string_lossy().into_owned();
    assert!(shares(&sample(&mut sampler)).contains(&format!("{own} process.cpu.utilization")));
}

#[test]
fn processors_add_up() {
    let mut sampler = sampler(&[]);
    // Until the kernel has counted a tick in some mode.
    let begun = Instant::now();
    let shares = loop {
        let points = sample(&mut sampler);
        let shares: Vec<f64> = points
            .iter()
            .filter(|(name, _)| name.starts_with("system.cpu.utilization"))
            .map(|(_, share)| *share)
            .collect();
        if !shares.is_empty() {
            break shares;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "the kernel counts no time");
    };
    assert_eq!(shares.len(), 7);
    assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{shares:?}");
}

/// The kernel counts while it is read, so each share lies between those that its counts before and after allow.
#[test]
fn processors_are_as_busy_as_the_kernel_says() {
    // user nice system idle iowait irq softirq steal, in ticks of all processors.
    let ticks = || {
        let text = proc_file("stat");
        let words = text.lines().next().unwrap().split_whitespace().skip(1).take(8);
        words.map(|n| n.parse::<f64>().unwrap()).collect::<Vec<_>>()
    };
    let sum = |ticks: &[f64]| ticks.iter().sum::<f64>();
    let mut sampler = sampler(&[]);
    let first = ticks();
    sample(&mut sampler);
    let second = ticks();
    // Enough ticks for the few of reading not to count, and some of them of work.
    let mut third = ticks();
    while sum(&third) - sum(&second) < 200.0 {
        std::hint::black_box((0..100_000u64).fold(0, |sum, n| sum ^ n.wrapping_mul(sum | 1)));
        third = ticks();
    }
    let points = sample(&mut sampler);
    let fourth = ticks();
    // By one tick the kernel may take back what it counted as waiting or idle.
    let low = |fields: &[usize]| fields.iter().map(|f| (third[*f] - second[*f] - 1.0).max(0.0)).sum::<f64>();
    let high = |fields: &[usize]| fields.iter().map(|f| fourth[*f] - first[*f] + 1.0).sum::<f64>();
    let all = [0, 1, 2, 3, 4, 5, 6, 7];
    let modes: [(&str, &[usize]); 7] = [
        ("user", &[0]),
        ("nice", &[1]),
        ("system", &[2]),
        ("idle", &[3]),
        ("iowait", &[4]),
        ("interrupt", &[5, 6]),
        ("steal", &[7]),
    ];
    for (mode, fields) in modes {
        let share = points[&format!("system.cpu.utilization {mode}")];
        let expect = low(fields) / high(&all)..=high(fields) / low(&all);
        assert!(
            expect.contains(&share),
            "{mode} is {share}, the kernel says {expect:?}: {first:?} {second:?} {third:?} {fourth:?}"
        );
    }
    assert!(low(&[0, 1]) > 0.0, "this test works: {second:?} {third:?}");
}

#[test]
fn network() {
    let mut sampler = sampler(&[]);
    let read = || {
        let text = proc_file("net/dev");
        let line = |line: &str| {
            let (name, rest) = line.split_once(':')?;
            let n: Vec<f64> = rest.split_whitespace().map(|n| n.parse().unwrap()).collect();
            Some((name.trim().to_owned(), [n[0], n[1], n[2], n[8], n[9], n[10]]))
        };
        text.lines().filter_map(line).collect::<BTreeMap<_, _>>()
    };
    let before = read();
    let points = sample(&mut sampler);
    let after = read();
    assert!(!before.is_empty());
    for (interface, counts) in before.iter().take(EACH) {
        let names = [
            "io IF receive",
            "packets IF receive",
            "errors IF receive",
            "io IF transmit",
            "packets IF transmit",
            "errors IF transmit",
        ];
        for (nth, name) in names.iter().enumerate() {
            let name = format!("system.network.{}", name.replace("IF", interface));
            between(&points, &name, counts[nth], after[interface][nth]);
        }
    }
}

#[test]
fn disks() {
    let mut sampler = sampler(&[]);
    let points = sample(&mut sampler);
    let written = |device: &str| {
        let text = proc_file("diskstats");
        let fields =
            text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).find(|f| f[2] == device);
        fields.map(|fields| fields[9].parse::<f64>().unwrap() * 512.0)
    };
    for (name, bytes) in
        points.iter().filter(|(name, _)| name.starts_with("system.disk.io") && name.ends_with("write"))
    {
        let device = name.split(' ').nth(1).unwrap().rsplit('/').next().unwrap();
        let Some(after) = written(device) else { continue };
        assert!(*bytes <= after, "{name} is {bytes}, the kernel says {after}");
        assert!(*bytes > after / 2.0, "{name} is {bytes}, the kernel says {after}");
    }
    for (name, share) in points.iter().filter(|(name, _)| name.starts_with("system.filesystem.utilization")) {
        assert!((0.0..=1.0).contains(share), "{name} is {share}");
        let rest = name.strip_prefix("system.filesystem.utilization").unwrap();
        let used = points[&format!("system.filesystem.usage{rest} used")];
        assert_eq!(*share, used / points[&format!("system.filesystem.limit{rest}")].max(1.0));
    }
}

#[test]
fn processes() {
    let mut child = Command::new("sleep").arg("1000.25").stdin(Stdio::null()).spawn().unwrap();
    let own = std::env::current_exe().unwrap().file_name().unwrap().to_string_lossy().into_owned();
    let names = |patterns: &[&str]| {
        let points = sample(&mut sampler(patterns));
        let names = points.keys().filter(|name| name.ends_with(" process.memory.usage"));
        names.map(|name| name.split(' ').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&[]), std::slice::from_ref(&own));
    let by_command = names(&["^nothing$", r"1000\.25$"]);
    assert!(by_command.contains(&own) && by_command.len() == 2, "{by_command:?}");

    let points = sample(&mut sampler(&[]));
    let status = proc_file("self/status");
    let near = |name: &str, expect: f64| {
        let value = points[&format!("{own} {name}")];
        assert!((value - expect).abs() < expect / 2.0, "{name} is {value}, the kernel says {expect}");
    };
    near("process.memory.usage", kib(&status, "VmRSS"));
    near("process.memory.virtual", kib(&status, "VmSize"));
    child.kill().unwrap();
    child.wait().unwrap();
}
