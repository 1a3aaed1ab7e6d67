//! `weir explain`: what is detected about a log file and why, and the records and spans that its first lines become.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use flate2::read::MultiGzDecoder;
use serde_json::{Map, Value as Json, json};
use weir_agent::FileSettings;
use weir_model::Incarnation;
use weir_model::otlp::{SpanKind, StatusCode};
use weir_parse::derive::Try;
use weir_parse::settle::{Evidence, Source};
use weir_parse::stream::Record;
use weir_parse::{Charset, Derived, Explanation, Options, Value, Wrapper, ZoneName};

use crate::config::Config;
use crate::status::counted;

/// How much of a file is looked at, in bytes: as much as an agent reads in one turn, after which the format is decided.
const HEAD_BYTES: u64 = 256 * 1024;
/// Longest text that is shown to a person, in characters; `--json` shows all.
const SHOWN_CHARS: usize = 2000;

#[derive(Debug, clap::Args)]
pub(crate) struct ExplainArgs {
    /// A log file, also compressed with gzip; `-` reads standard input.
    file: PathBuf,
    /// Show the records that begin in the first lines, so many of them.
    #[arg(long, default_value_t = 20)]
    lines: usize,
    /// Write one JSON object, for machines.
    #[arg(long)]
    json: bool,
    /// Apply what this configuration sets for the file.
    #[arg(long)]
    pub(crate) config: Option<PathBuf>,
}

/// # Errors
/// When the file can't be read, or standard output can't be written to.
pub(crate) fn run(args: &ExplainArgs, config: &Config) -> anyhow::Result<()> {
    let head =
        Head::read(&args.file, config).with_context(|| format!("can't read {}", args.file.display()))?;
    let mut shown = Vec::new();
    let options = head.settings.options.clone();
    let found = weir_parse::explain(&head.bytes, head.whole, options, args.lines, &mut |line, record| {
        shown.push(describe(line, record, head.settings.derive_spans));
    });
    let mut out = io::stdout().lock();
    let written = if args.json {
        serde_json::to_writer_pretty(&mut out, &as_json(args, &head, &found, shown)).map_err(io::Error::from)
    } else {
        as_text(args, &head, &found, &shown, &mut out)
    };
    match written.and_then(|()| writeln!(out)) {
        // Whoever reads has seen enough (`weir explain … | head`).
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.context("can't write the explanation"),
    }
}

/// The beginning of a source.
struct Head {
    bytes: Vec<u8>,
    /// They end where the source ends.
    whole: bool,
    compressed: bool,
    settings: FileSettings,
}

impl Head {
    fn read(path: &Path, config: &Config) -> anyhow::Result<Self> {
        if path == Path::new("-") {
            let evidence =
                Evidence { at_end: true, host_zone: weir_agent::host_zone(), ..Evidence::default() };
            let settings = FileSettings {
                source: None,
                options: Options { evidence, ..Options::default() },
                attributes: Vec::new(),
                derive_spans: true,
            };
            return Self::from_reader(io::stdin().lock(), settings);
        }
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        anyhow::ensure!(metadata.is_file(), "it is not a file");
        let settings = weir_agent::file_settings(&config.agent, &fs::canonicalize(path)?, &metadata)?;
        Self::from_reader(file, settings)
    }

    fn from_reader(mut reader: impl Read, settings: FileSettings) -> anyhow::Result<Self> {
        let mut magic = Vec::new();
        reader.by_ref().take(2).read_to_end(&mut magic)?;
        let compressed = magic == [0x1f, 0x8b];
        let all = io::Cursor::new(magic).chain(reader);
        let mut bytes = Vec::new();
        if compressed {
            MultiGzDecoder::new(all).take(HEAD_BYTES + 1).read_to_end(&mut bytes)?;
        } else {
            all.take(HEAD_BYTES + 1).read_to_end(&mut bytes)?;
        }
        let whole = bytes.len() as u64 <= HEAD_BYTES;
        bytes.truncate(HEAD_BYTES as usize);
        let mut head = Self { bytes, whole, compressed, settings };
        head.settings.options.evidence.at_end &= whole;
        Ok(head)
    }
}

/// One record as JSON; the text form is made of it too, so that both say the same.
fn describe(line: usize, record: &Record<'_>, derive_spans: bool) -> Json {
    let Record { text, parsed, .. } = *record;
    let mut attributes = Map::new();
    for attr in &parsed.attrs {
        let value = match attr.value {
            Value::Str(value) => parsed.text(text, value).into(),
            Value::Int(n) => n.into(),
            Value::Double(x) => x.into(),
            Value::Bool(b) => b.into(),
            Value::Json(value) => {
                let value = parsed.text(text, value);
                serde_json::from_str(value).unwrap_or_else(|_| value.into())
            }
        };
        attributes.insert(parsed.text(text, attr.key).into(), value);
    }
    let mut out = json!({
        "line": line,
        "lines": record.lines,
        "start": record.start,
        "end": record.end,
        "time": time(record.time).filter(|_| record.time_source != Source::None),
        "time_from": source_name(record.time_source),
        "severity": (parsed.severity.0 != 0).then(|| parsed.severity.level()),
        "severity_number": parsed.severity.0,
        "body": record.body(),
        "attributes": attributes,
    });
    let mut optional = |key: &str, value: Option<Json>| {
        if let Some(value) = value {
            out[key] = value;
        }
    };
    let texts = |text: &str| (!text.is_empty()).then(|| Json::from(text));
    optional("time_text", texts(parsed.text(text, parsed.time_text)));
    optional("severity_text", texts(parsed.text(text, parsed.severity_text)));
    optional("stream", record.iostream.map(Json::from));
    optional("trace_id", parsed.trace_id.map(|id| id.to_string().into()));
    optional("span_id", parsed.span_id.map(|id| id.to_string().into()));
    optional("parent_span_id", parsed.parent_span_id.map(|id| id.to_string().into()));
    optional("trace_flags", parsed.trace_flags.map(Json::from));
    optional("duration_nanoseconds", parsed.duration.map(Json::from));
    let issues: Vec<&str> = parsed.issues.names().collect();
    optional("issues", (!issues.is_empty()).then(|| issues.into()));
    // The ids of derived spans are made from the agent's own number for the file, which is not known here.
    let derived = weir_parse::derive(record, Incarnation(0)).filter(|_| derive_spans);
    optional("spans", derived.map(|derived| spans(&derived).into()));
    out
}

/// The span that a record yields, then those of its upstream tries.
fn spans(derived: &Derived<'_>) -> Vec<Json> {
    let span = |kind: SpanKind, start: u64, end: u64, status: StatusCode| {
        json!({
            "name": derived.name,
            "kind": kind.name(),
            "start": time(start),
            "duration_nanoseconds": end - start,
            "status": if status == StatusCode::ERROR { "error" } else { "unset" },
        })
    };
    let mut own = span(derived.kind, derived.start, derived.end, derived.status);
    if let Some(id) = derived.named {
        own["named_span_id"] = id.to_string().into();
    }
    let tries = derived.tries.iter().map(|one| {
        let mut span = span(Try::KIND, one.start, one.end, one.status);
        span["server"] = one.address.into();
        span
    });
    std::iter::once(own).chain(tries).collect()
}

fn time(nanos: u64) -> Option<String> {
    jiff::Timestamp::from_nanosecond(nanos.into()).ok().map(|time| time.to_string())
}

fn source_name(source: Source) -> &'static str {
    match source {
        Source::Line => "line",
        Source::Wrapper => "wrapper",
        Source::Settled => "settled",
        Source::None => "reading",
    }
}

fn zone_name(zone: &ZoneName) -> String {
    let ZoneName::Fixed(seconds) = zone else { return zone.to_string() };
    let minutes = seconds.abs() / 60;
    let sign = if *seconds < 0 { '-' } else { '+' };
    format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
}

fn as_json(args: &ExplainArgs, head: &Head, found: &Explanation, records: Vec<Json>) -> Json {
    let detected = &found.detected;
    let formats: Map<_, _> = detected.formats.iter().map(|(f, n)| (f.name().into(), (*n).into())).collect();
    let wrappers: Map<_, _> = detected.wrappers.iter().map(|(w, n)| (w.name().into(), (*n).into())).collect();
    let times: Map<_, _> = found.times.iter().map(|(s, n)| (source_name(*s).into(), (*n).into())).collect();
    let attributes: Map<_, _> =
        head.settings.attributes.iter().map(|(k, v)| (k.clone(), v.as_str().into())).collect();
    json!({
        "file": args.file.to_string_lossy(),
        "compressed": head.compressed,
        "encoding": found.charset.name(),
        "bytes": head.bytes.len(),
        "whole": head.whole,
        "source": head.settings.source,
        "resource": attributes,
        "wrapper": found.locked.as_ref().map(|l| l.wrapper.name()),
        "format": found.locked.as_ref().map(|l| l.format),
        "reason": found.reason(),
        "sampled": detected.sampled,
        "can_begin_a_record": detected.heads,
        "candidates": formats,
        "wrappers": wrappers,
        "zone": found.locked.as_ref().map(|l| zone_name(&l.zone)),
        "times": times,
        "time_reason": found.time_reason(),
        "record_rule": found.rule,
        "counts": {
            "lines": found.counts.lines,
            "records": found.counts.records,
            "blank": found.counts.blank,
            "truncated": found.counts.truncated,
            "unparsed": found.counts.unparsed,
            "invalid_utf8": found.counts.invalid_utf8,
        },
        "records": records,
    })
}

fn as_text(
    args: &ExplainArgs,
    head: &Head,
    found: &Explanation,
    records: &[Json],
    out: &mut impl Write,
) -> io::Result<()> {
    let counts = found.counts;
    let part = if head.whole { "" } else { "the first " };
    let (all_lines, all_records) = (counted(counts.lines, "line"), counted(counts.records, "record"));
    writeln!(out, "{}: {part}{all_lines}, {all_records}", args.file.display())?;
    if args.config.is_some() {
        match head.settings.source {
            Some(n) => writeln!(out, "source     agent.sources[{n}] of the configuration names it")?,
            None => {
                writeln!(out, "source     the configuration names it nowhere, so an agent would not read it")?
            }
        }
    }
    for (key, value) in &head.settings.attributes {
        writeln!(out, "resource   {key} = {value}")?;
    }
    if found.charset != Charset::default() {
        writeln!(out, "encoding   {}", found.charset.name())?;
    }
    writeln!(out, "format     {}", found.reason())?;
    let matched: Vec<String> = found
        .detected
        .formats
        .iter()
        .filter(|(format, n)| *n > 0 && format.name() != "plain")
        .map(|(format, n)| format!("{} {n}", format.name()))
        .collect();
    if !matched.is_empty() {
        writeln!(out, "candidates {} of {} lines looked at", matched.join(", "), found.detected.sampled)?;
    }
    for (wrapper, n) in
        found.detected.wrappers.iter().filter(|(wrapper, n)| *n > 0 && *wrapper != Wrapper::None)
    {
        writeln!(out, "wrapper    {} around {n} of {} lines", wrapper.name(), found.detected.sampled)?;
    }
    writeln!(out, "records    {}", found.rule)?;
    let zone = match (&found.locked, found.times[2].1) {
        (Some(locked), 1..) => format!(" ({})", zone_name(&locked.zone)),
        _ => String::new(),
    };
    writeln!(out, "times      {}{zone}", found.time_reason())?;
    let no_text = format!("not {}", found.charset.name());
    for (name, n) in [
        ("empty lines", counts.blank),
        ("cut at a limit or without an end", counts.truncated),
        ("not of the format", counts.unparsed),
        (no_text.as_str(), counts.invalid_utf8),
    ] {
        if n > 0 {
            writeln!(out, "note       {n} {name}")?;
        }
    }
    for record in records {
        record_as_text(record, out)?;
    }
    Ok(())
}

fn record_as_text(record: &Json, out: &mut impl Write) -> io::Result<()> {
    let text = |key: &str| record[key].as_str().unwrap_or_default();
    let time = match text("time") {
        "" => "no time",
        time => time,
    };
    let from = match text("time_from") {
        "line" | "reading" => String::new(),
        from => format!(" ({from}; the line says {:?})", text("time_text")),
    };
    let severity = text("severity").to_uppercase();
    let range = match record["lines"].as_u64() {
        Some(n @ 2..) => format!("{}, {n} lines", record["line"]),
        _ => record["line"].to_string(),
    };
    writeln!(out, "\n[{range}] {time}{from} {severity}")?;
    for line in short(text("body")).lines() {
        writeln!(out, "    | {line}")?;
    }
    if let Some(nanos) = record["duration_nanoseconds"].as_u64() {
        writeln!(out, "    duration = {} ms", nanos as f64 / 1e6)?;
    }
    for key in ["trace_id", "span_id", "parent_span_id", "trace_flags", "stream"] {
        match &record[key] {
            Json::Null => {}
            Json::String(value) => writeln!(out, "    {key} = {value}")?,
            value => writeln!(out, "    {key} = {value}")?,
        }
    }
    for (key, value) in record["attributes"].as_object().into_iter().flatten() {
        match value {
            Json::String(value) => writeln!(out, "    {key} = {}", short(value).replace('\n', "\n        "))?,
            value => writeln!(out, "    {key} = {}", short(&value.to_string()))?,
        }
    }
    for span in record["spans"].as_array().into_iter().flatten() {
        let millis = span["duration_nanoseconds"].as_u64().unwrap_or_default() as f64 / 1e6;
        let part = |key: &str| span[key].as_str().unwrap_or_default();
        let server =
            if part("server").is_empty() { String::new() } else { format!(" to {}", part("server")) };
        let failed = if part("status") == "error" { ", failed" } else { "" };
        writeln!(
            out,
            "    => {} span {:?}{server}, from {} for {millis} ms{failed}",
            part("kind"),
            part("name"),
            part("start")
        )?;
    }
    for issue in record["issues"].as_array().into_iter().flatten() {
        writeln!(out, "    issue: {}", issue.as_str().unwrap_or_default())?;
    }
    Ok(())
}

/// The beginning of a long text, with what is left out counted.
fn short(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS) {
        None => text.to_owned(),
        Some((at, _)) => format!("{}… and {} bytes more", &text[..at], text.len() - at),
    }
}
