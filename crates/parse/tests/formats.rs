//! Every case of `tests/cases/formats`: a sample by its real producer, and the records that it must become, written by hand.
//!
//! Each sample is read whole, in two parts split at every place, and byte by byte. What a case's `expected.yaml` may hold stands in
//! `tests/cases/formats/README.md`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value as Json, json};
use serde_yaml_ng::Value as Yaml;
use weir_parse::settle::{Evidence, Source};
use weir_parse::stream::{Event, Record};
use weir_parse::{Decision, Options, Parsed, Pattern, PatternConfig, Stream, Value, Zone, ZoneName};

/// Samples up to this size are split at every byte, in bytes; longer ones around their line ends and at so many further places.
const SPLIT_EVERYWHERE: usize = 2 * 1024;
const FURTHER_SPLITS: usize = 200;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    format: String,
    #[serde(default = "none")]
    wrapper: String,
    /// The file's last write, as RFC 3339.
    modified: Option<String>,
    /// Zone of the host that reads, in seconds east of UTC.
    #[serde(default)]
    host_zone: i32,
    /// The zone that must be found, in seconds east of UTC.
    zone: Option<i32>,
    /// Settings of the source.
    #[serde(default)]
    pattern: Settings,
    /// What the records have where they say nothing else.
    #[serde(default)]
    #[allow(dead_code, reason = "merged into the records before")]
    defaults: Yaml,
    records: Vec<Expected>,
}

fn none() -> String {
    "none".into()
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    regex: Option<String>,
    layout: Option<String>,
    time_format: Option<String>,
    start: Option<String>,
}

impl Settings {
    fn compile(&self) -> Option<Pattern> {
        let Self { regex, layout, time_format, start } = self;
        (*self != Self::default()).then(|| {
            Pattern::new(&PatternConfig {
                regex: regex.clone(),
                layout: layout.clone(),
                time_format: time_format.clone(),
                start: start.clone(),
            })
            .expect("the case's pattern is right")
        })
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    time: Option<String>,
    #[serde(default = "line")]
    by: String,
    #[serde(default = "unset")]
    severity: String,
    level: Option<String>,
    body: Option<Json>,
    #[serde(default = "one")]
    lines: usize,
    stream: Option<String>,
    trace_id: Option<String>,
    span_id: Option<String>,
    parent_span_id: Option<String>,
    flags: Option<u8>,
    duration: Option<String>,
    #[serde(default)]
    attributes: BTreeMap<String, Json>,
    #[serde(default)]
    issues: Vec<String>,
}

fn timestamp(text: &str) -> jiff::Timestamp {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn line() -> String {
    "line".into()
}

fn unset() -> String {
    "UNSET".into()
}

fn one() -> usize {
    1
}

/// What is compared: the same keys from both sides.
fn expected(case: &Case, sample: &str) -> Vec<Json> {
    let mut lines = sample.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
    let show = |record: &Expected| {
        let mut taken: Vec<&str> = lines.by_ref().skip_while(|l| l.is_empty()).take(1).collect();
        taken.extend(lines.by_ref().take(record.lines - 1));
        json!({
            "time": record.time.as_deref().map(|t| timestamp(t).to_string()),
            "by": record.by,
            "severity": record.severity,
            "level": record.level,
            "body": record.body.clone().unwrap_or_else(|| taken.join("\n").into()),
            "lines": record.lines,
            "stream": record.stream,
            "trace_id": record.trace_id,
            "span_id": record.span_id,
            "parent_span_id": record.parent_span_id,
            "flags": record.flags,
            "duration": record.duration,
            "attributes": record.attributes,
            "issues": record.issues,
        })
    };
    case.records.iter().map(show).collect()
}

fn found(record: &Record<'_>) -> Json {
    let Record { text, parsed, .. } = *record;
    let mut attributes = Map::new();
    for attr in &parsed.attrs {
        let value = match attr.value {
            Value::Str(value) => parsed.text(text, value).into(),
            Value::Int(n) => n.into(),
            Value::Double(x) => x.into(),
            Value::Bool(b) => b.into(),
            Value::Json(value) => serde_json::from_str(parsed.text(text, value)).expect("JSON is kept whole"),
        };
        let key = parsed.text(text, attr.key);
        assert!(attributes.insert(key.into(), value).is_none(), "{key} is there twice: {text}");
    }
    let time = (record.time_source != Source::None)
        .then(|| jiff::Timestamp::from_nanosecond(record.time.into()).unwrap().to_string());
    let severity = severity(parsed.severity.0);
    // A level that says the same as the severity need not be written down.
    let level = Some(parsed.text(text, parsed.severity_text))
        .filter(|level| !level.is_empty() && !level.eq_ignore_ascii_case(&severity));
    json!({
        "time": time,
        "by": format!("{:?}", record.time_source).to_lowercase(),
        "severity": severity,
        "level": level,
        "body": record.body(),
        "lines": record.lines,
        "stream": record.iostream,
        "trace_id": parsed.trace_id.map(|id| id.to_string()),
        "span_id": parsed.span_id.map(|id| id.to_string()),
        "parent_span_id": parsed.parent_span_id.map(|id| id.to_string()),
        "flags": parsed.trace_flags,
        "duration": parsed.duration.map(|nanos| format!("{}ms", nanos as f64 / 1e6)),
        "attributes": attributes,
        "issues": parsed.issues.names().collect::<Vec<_>>(),
    })
}

/// Short names of OpenTelemetry's severity numbers.
fn severity(number: i32) -> String {
    if number == 0 {
        return unset();
    }
    let name = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"][(number as usize - 1) / 4];
    match (number - 1) % 4 {
        0 => name.into(),
        step => format!("{name}{}", step + 1),
    }
}

/// A long text may be described by its beginning, its end and its length in bytes.
fn matches(expected: &Json, found: &Json) -> bool {
    match (expected, found) {
        (Json::Object(about), Json::String(text)) => about.iter().all(|(key, value)| match key.as_str() {
            "begins" => text.starts_with(value.as_str().unwrap()),
            "ends" => text.ends_with(value.as_str().unwrap()),
            "bytes" => value == text.len(),
            _ => false,
        }),
        (Json::Object(expected), Json::Object(found)) => {
            expected.len() == found.len()
                && expected.iter().all(|(key, value)| found.get(key).is_some_and(|f| matches(value, f)))
        }
        _ => expected == found,
    }
}

fn differences(expected: &[Json], found: &[Json]) -> String {
    let mut out = String::new();
    if expected.len() != found.len() {
        let _ = writeln!(out, "  {} records instead of {}", found.len(), expected.len());
    }
    for (n, found) in found.iter().enumerate() {
        let Some(expected) = expected.get(n) else {
            let _ = writeln!(out, "  record {}: not expected: {found}", n + 1);
            continue;
        };
        for (key, value) in expected.as_object().unwrap() {
            if matches(value, &found[key]) {
                continue;
            }
            let _ =
                writeln!(out, "  record {}: {key}\n    expected {value}\n    found    {}", n + 1, found[key]);
        }
    }
    out
}

/// A record for comparing with itself, which is cheaper than what is compared with the expected one.
#[derive(Debug, PartialEq)]
struct Owned {
    at: (u64, u64, u32),
    time: (u64, Source),
    stream: Option<&'static str>,
    text: String,
    parsed: Parsed,
}

fn owned(record: &Record<'_>) -> Owned {
    Owned {
        at: (record.start, record.end, record.lines),
        time: (record.time, record.time_source),
        stream: record.iostream,
        text: record.text.into(),
        parsed: record.parsed.clone(),
    }
}

/// Reads a source as an agent does: what a push leaves is pushed again with what follows.
fn read<T>(
    case: &Case,
    input: &[u8],
    cuts: &[usize],
    decisions: &[Decision],
    keep: fn(&Record<'_>) -> T,
) -> (Vec<T>, Vec<Decision>) {
    let evidence = Evidence {
        modified: case.modified.as_deref().map(|t| timestamp(t).as_nanosecond() as u64),
        at_end: true,
        zone: None,
        host_zone: Zone::Fixed(case.host_zone),
    };
    let pattern = case.pattern.compile().map(Into::into);
    let options = Options { pattern, evidence, ..Options::default() };
    let mut stream = Stream::new(options, decisions.iter().cloned(), 0);
    let (mut records, mut announced) = (Vec::new(), Vec::new());
    let mut covered = 0;
    let mut emit = |event: Event<'_>| match event {
        Event::Decision(decision) => announced.push(decision),
        Event::Record(record) => {
            assert!(record.start >= covered || case.wrapper != "none", "records overlap");
            covered = record.end;
            records.push(keep(&record));
        }
    };
    let mut from = 0;
    for &to in cuts.iter().chain([&input.len()]) {
        from += stream.push(&input[from..to], &mut emit);
    }
    if from < input.len() {
        stream.push_cut(&input[from..], input.len() as u64, &mut emit);
    }
    stream.cut(&mut emit);
    (records, announced)
}

fn cases() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/cases/formats");
    let mut cases: Vec<PathBuf> =
        fs::read_dir(root).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_dir()).collect();
    cases.sort();
    assert!(!cases.is_empty());
    cases
}

fn load(folder: &Path) -> (Case, Vec<u8>) {
    let file = |name: &str| {
        fs::read(folder.join(name)).unwrap_or_else(|e| panic!("{}/{name}: {e}", folder.display()))
    };
    assert!(!file("PRODUCER").is_empty());
    let wrong = |e: serde_yaml_ng::Error| -> Case { panic!("{}/expected.yaml: {e}", folder.display()) };
    let mut case: Yaml = serde_yaml_ng::from_slice(&file("expected.yaml")).expect("YAML");
    let defaults = case.get("defaults").cloned().unwrap_or_default();
    let records = case.get_mut("records").and_then(Yaml::as_sequence_mut);
    records.into_iter().flatten().for_each(|record| merge(record, &defaults));
    (serde_yaml_ng::from_value(case).unwrap_or_else(wrong), file("sample.log"))
}

/// Adds what `defaults` has and `into` has not, also inside of `attributes`.
fn merge(into: &mut Yaml, defaults: &Yaml) {
    for (key, value) in defaults.as_mapping().into_iter().flatten() {
        let into = into.as_mapping_mut().expect("a record is a mapping");
        match into.get_mut(key) {
            Some(inner) if inner.is_mapping() && key == "attributes" => merge(inner, value),
            Some(_) => {}
            None => {
                into.insert(key.clone(), value.clone());
            }
        }
    }
}

fn locked(announced: &[Decision]) -> (String, String, ZoneName) {
    let last = announced.iter().rev().find_map(|decision| match decision {
        Decision::Lock { locked, .. } => Some(locked),
        _ => None,
    });
    let last = last.expect("a format was decided on");
    (last.format.into(), last.wrapper.name().into(), last.zone.clone())
}

#[test]
fn samples_become_the_records_that_were_written_by_hand() {
    let mut wrong = String::new();
    for folder in cases() {
        let (case, input) = load(&folder);
        let (records, announced) = read(&case, &input, &[], &[], found);
        let mut all = String::new();
        let (format, wrapper, zone) = locked(&announced);
        if (&format, &wrapper) != (&case.format, &case.wrapper) {
            let _ =
                writeln!(all, "  taken for {format} in {wrapper}, not {} in {}", case.format, case.wrapper);
        }
        if case.zone.is_some_and(|expect| zone != ZoneName::Fixed(expect)) {
            let _ = writeln!(all, "  zone {zone} instead of {:?}", case.zone);
        }
        all += &differences(&expected(&case, &String::from_utf8_lossy(&input)), &records);
        if !all.is_empty() {
            let _ = writeln!(wrong, "{}:\n{all}", folder.file_name().unwrap().display());
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn where_reads_end_makes_no_difference() {
    for folder in cases() {
        let (case, input) = load(&folder);
        let (whole, decisions) = read(&case, &input, &[], &[], owned);
        let near_line = |at: usize| input[at.saturating_sub(2)..(at + 2).min(input.len())].contains(&b'\n');
        let step = if input.len() <= SPLIT_EVERYWHERE { 1 } else { input.len() / FURTHER_SPLITS };
        for at in (0..input.len()).filter(|at| at % step == 0 || near_line(*at)) {
            let (parts, _) = read(&case, &input, &[at], &decisions, owned);
            assert_eq!(parts, whole, "{} split at {at}", folder.display());
        }
        let each: Vec<usize> = (1..input.len()).collect();
        let (bytes, _) = read(&case, &input, &each, &decisions, owned);
        assert_eq!(bytes, whole, "{} byte by byte", folder.display());
    }
}

/// A tail that sees every line as it is written decides on the first one; what it decides again is decided before it matters.
#[test]
fn line_by_line_gives_the_same() {
    for folder in cases() {
        let (case, input) = load(&folder);
        let (whole, announced) = read(&case, &input, &[], &[], owned);
        let ends: Vec<usize> = (0..input.len()).filter(|at| input[*at] == b'\n').map(|at| at + 1).collect();
        let (lines, live) = read(&case, &input, &ends, &[], owned);
        assert_eq!(locked(&live), locked(&announced), "{}", folder.display());
        assert_eq!(lines, whole, "{}", folder.display());
    }
}
