//! The Train Ticket data set: logs as Docker writes them, spans as CSV. It is not part of the project.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::otlp;
use crate::raw::{Attrs, Line, Span};

pub struct TrainTicket {
    /// Folder with the unpacked log files.
    pub logs_dir: PathBuf,
    /// Read by serde_json alone.
    pub lines: Vec<Line>,
    pub spans: Vec<Span>,
}

/// A service is the pod's name without its last two parts.
pub fn service(pod: &str) -> &str {
    pod.rsplitn(3, '-').nth(2).unwrap_or(pod)
}

fn data_dir() -> PathBuf {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    std::env::var_os("WEIR_TEST_DATA").map_or(default, PathBuf::from).join("trainticket")
}

impl TrainTicket {
    /// Unpacks the set into a folder. `None`, with one line that says so, where the set is not there.
    ///
    /// # Panics
    /// When the set is damaged.
    pub fn load(into: &Path) -> Option<Self> {
        let dir = data_dir();
        if !dir.is_dir() {
            println!(
                "note: the Train Ticket checks were not run: {} is not there (set WEIR_TEST_DATA)",
                dir.display()
            );
            return None;
        }
        let archive = zstd::Decoder::new(fs::File::open(dir.join("logs.tar.zst")).unwrap()).unwrap();
        tar::Archive::new(archive).unpack(into).unwrap();
        let logs_dir = into.join("logs");
        let mut csv = String::new();
        zstd::Decoder::new(fs::File::open(dir.join("spans.csv.zst")).unwrap())
            .unwrap()
            .read_to_string(&mut csv)
            .unwrap();
        Some(Self { lines: lines(&logs_dir), spans: csv.lines().skip(1).map(span).collect(), logs_dir })
    }

    /// Leaves only what belongs to some traces, of the files as well.
    ///
    /// # Panics
    /// When they can't be written.
    pub fn keep(&mut self, is_kept: impl Fn(&str) -> bool) {
        self.spans.retain(|span| is_kept(&span.trace));
        for entry in fs::read_dir(&self.logs_dir).unwrap() {
            let path = entry.unwrap().path();
            let content = fs::read_to_string(&path).unwrap();
            let kept = content.split_inclusive('\n').filter(|entry| is_kept(&line("", entry).trace));
            fs::write(&path, kept.collect::<String>()).unwrap();
        }
        self.lines.retain(|line| is_kept(&line.trace));
    }

    /// The configuration that follows the files.
    pub fn source(&self) -> String {
        format!(
            r#"    - include: ["{}/*"]
      path_pattern: "/(?<pod>(?<service>[^/]+)-[^-/]+-[^-/]+)\\.log[^/]*$"
      attributes: {{ service.name: "${{service}}", k8s.pod.name: "${{pod}}" }}
"#,
            self.logs_dir.display()
        )
    }

    /// The spans as export requests. `size` spans a request, taken in the order that `stride` gives: another stride is another grouping.
    pub fn requests(&self, size: usize, stride: usize) -> Vec<Bytes> {
        let count = self.spans.len();
        let order: Vec<usize> = (0..stride).flat_map(|from| (from..count).step_by(stride)).collect();
        order.chunks(size).map(|chunk| otlp::request(chunk.iter().map(|i| &self.spans[*i]))).collect()
    }
}

/// Attribute of the resource of a line or span.
pub const POD: &str = "k8s.pod.name";

fn lines(dir: &Path) -> Vec<Line> {
    let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut all = Vec::new();
    for file in files {
        let pod = file.file_stem().unwrap().to_str().unwrap().to_owned();
        for entry in fs::read_to_string(&file).unwrap().lines() {
            all.push(line(&pod, entry));
        }
    }
    all
}

/// `19:38:52.770 INFO  s.c.SeatController#57 TraceID: … SpanID: … …` as Docker wraps it.
fn line(pod: &str, entry: &str) -> Line {
    let entry: serde_json::Value = serde_json::from_str(entry).unwrap();
    let log = entry["log"].as_str().unwrap();
    let after =
        |key: &str| log.split(key).nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap_or("");
    let word = |n: usize| log.split_whitespace().nth(n).unwrap_or("");
    let time: jiff::Timestamp = entry["time"].as_str().unwrap().parse().unwrap();
    Line {
        service: service(pod).to_owned(),
        resource: Attrs::from([(POD.to_owned(), pod.into())]),
        attrs: Attrs::from([("logger".to_owned(), word(2).split('#').next().unwrap().into())]),
        body: log.trim_end_matches(['\n', '\r']).to_owned(),
        time: Some(time.as_nanosecond() as u64),
        severity: word(1).to_owned(),
        trace: after("TraceID: ").to_owned(),
        span: after("SpanID: ").to_owned(),
        truncated: !log.ends_with('\n'),
    }
}

fn span(row: &str) -> Span {
    let fields: Vec<&str> = row.split(',').collect();
    Span {
        service: service(fields[3]).to_owned(),
        resource: Attrs::from([(POD.to_owned(), fields[3].into())]),
        trace: fields[0].into(),
        span: fields[1].into(),
        parent: (fields[2] != "root").then(|| fields[2].into()),
        name: fields[4].into(),
        start: fields[5].parse().unwrap(),
        end: fields[6].parse().unwrap(),
        ..Span::default()
    }
}
