//! The Train Ticket data set: logs as Docker writes them, spans as CSV. It is not part of the project.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use weir_model::otlp::{BodyWriter, SpanWriter};
use weir_model::{SpanId, TraceId};

/// One log entry, read from the raw files by serde_json alone.
#[derive(Debug, Clone)]
pub struct Entry {
    pub pod: String,
    /// Without its newline.
    pub text: String,
    pub has_newline: bool,
    pub trace: String,
    pub span: String,
    pub logger: String,
}

/// One row of the CSV.
#[derive(Debug, Clone)]
pub struct SpanRow {
    pub trace: String,
    pub span: String,
    /// `None` for a root.
    pub parent: Option<String>,
    pub pod: String,
    pub operation: String,
    pub start: u64,
    pub end: u64,
}

pub struct TrainTicket {
    /// Folder with the unpacked log files.
    pub logs_dir: PathBuf,
    pub entries: Vec<Entry>,
    pub spans: Vec<SpanRow>,
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
        Some(Self {
            entries: entries(&logs_dir),
            spans: csv.lines().skip(1).map(span_row).collect(),
            logs_dir,
        })
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
        order.chunks(size).map(|chunk| request(chunk.iter().map(|i| &self.spans[*i]))).collect()
    }
}

fn entries(dir: &Path) -> Vec<Entry> {
    let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut all = Vec::new();
    for file in files {
        let pod = file.file_stem().unwrap().to_str().unwrap().to_owned();
        for line in fs::read_to_string(&file).unwrap().lines() {
            let parsed: serde_json::Value = serde_json::from_str(line).unwrap();
            let log = parsed["log"].as_str().unwrap();
            let after = |key: &str| {
                log.split(key).nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap_or("").to_owned()
            };
            all.push(Entry {
                pod: pod.clone(),
                text: log.trim_end_matches(['\n', '\r']).to_owned(),
                has_newline: log.ends_with('\n'),
                trace: after("TraceID: "),
                span: after("SpanID: "),
                logger: log
                    .split_whitespace()
                    .nth(2)
                    .and_then(|word| word.split('#').next())
                    .unwrap_or("")
                    .to_owned(),
            });
        }
    }
    all
}

fn span_row(line: &str) -> SpanRow {
    let fields: Vec<&str> = line.split(',').collect();
    SpanRow {
        trace: fields[0].into(),
        span: fields[1].into(),
        parent: (fields[2] != "root").then(|| fields[2].into()),
        pod: fields[3].into(),
        operation: fields[4].into(),
        start: fields[5].parse().unwrap(),
        end: fields[6].parse().unwrap(),
    }
}

fn request<'a>(spans: impl Iterator<Item = &'a SpanRow>) -> Bytes {
    let mut by_pod: BTreeMap<&str, Vec<&SpanRow>> = BTreeMap::new();
    spans.for_each(|span| by_pod.entry(&span.pod).or_default().push(span));
    let mut body = BodyWriter::default();
    for (pod, spans) in by_pod {
        body.resource(|attrs| {
            attrs.str("service.name", service(pod));
            attrs.str("k8s.pod.name", pod);
        });
        body.scope("", "");
        for row in spans {
            body.record(|out| {
                let (trace, span): (TraceId, SpanId) =
                    (row.trace.parse().unwrap(), row.span.parse().unwrap());
                let mut writer = SpanWriter::new(out, trace, span);
                if let Some(parent) = &row.parent {
                    writer.parent(parent.parse().unwrap());
                }
                writer.name(&row.operation);
                writer.times(row.start, row.end);
            });
        }
    }
    body.finish().into()
}
