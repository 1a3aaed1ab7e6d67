//! What holds for any input: nothing panics, every line is accounted for, reading again gives the same records, and fields that were
//! written in a format are read from it.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use weir_model::{SpanId, TraceId};
use weir_parse::stream::{Counts, Event, Record};
use weir_parse::{Decision, Format, Issues, Options, Parsed, Stream, Wrapper, attr};

/// A record without its borrow.
#[derive(Debug, Clone, PartialEq)]
struct Owned {
    start: u64,
    end: u64,
    lines: u32,
    time: u64,
    text: String,
    shown: String,
    truncated: bool,
}

fn owned(record: &Record<'_>) -> Owned {
    Owned {
        start: record.start,
        end: record.end,
        lines: record.lines,
        time: record.time,
        text: record.text.into(),
        shown: format!("{:?} {:?}", record.parsed, record.iostream),
        truncated: record.parsed.issues.has(Issues::TRUNCATED),
    }
}

struct Read {
    records: Vec<Owned>,
    decisions: Vec<Decision>,
    /// Where reading could begin again, after each chunk.
    resumes: Vec<u64>,
    counts: Counts,
}

/// Reads `input` from `from` on in chunks of these sizes, taken in turn.
fn read(input: &[u8], from: u64, sizes: &[usize], decisions: Vec<Decision>) -> Read {
    let mut stream = Stream::new(Options::default(), decisions, from);
    let mut out = Read { records: vec![], decisions: vec![], resumes: vec![], counts: Counts::default() };
    let (mut used, mut end) = (from as usize, from as usize);
    let mut sizes = sizes.iter().cycle();
    let mut emit = |event: Event<'_>| match event {
        Event::Decision(decision) => out.decisions.push(decision),
        Event::Record(record) => out.records.push(owned(&record)),
    };
    while end < input.len() {
        end = input.len().min(end + sizes.next().expect("there is a size"));
        used += stream.push(&input[used..end], &mut emit);
        out.resumes.push(stream.resume());
    }
    if used < input.len() {
        stream.push_cut(&input[used..], input.len() as u64, &mut emit);
    }
    stream.cut(&mut emit);
    assert_eq!(stream.resume(), input.len() as u64);
    out.counts = stream.counts();
    out
}

fn samples() -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/cases/formats");
    let folders = fs::read_dir(root).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_dir());
    let mut samples: Vec<_> = folders.map(|p| fs::read(p.join("sample.log")).unwrap()).collect();
    samples.sort();
    samples
}

/// Lines of real samples, shuffled, cut, and with bytes changed.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let short = |sample: &Vec<u8>| sample.len() < 8192;
    let lines: Vec<Vec<Vec<u8>>> = samples()
        .into_iter()
        .filter(short)
        .map(|sample| sample.split_inclusive(|b| *b == b'\n').map(<[u8]>::to_vec).collect())
        .collect();
    let all: Vec<Vec<u8>> = lines.iter().flatten().cloned().collect();
    let whole = prop::sample::select(lines);
    let mixed = prop::collection::vec(prop::sample::select(all), 0..20);
    let damage = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3u8), 0..6);
    (prop_oneof![whole, mixed], damage).prop_map(|(lines, damage)| {
        let mut bytes = lines.concat();
        for (at, byte, kind) in damage {
            if bytes.is_empty() {
                break;
            }
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => bytes.truncate(at),
            }
        }
        bytes
    })
}

fn sizes() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(prop_oneof![1..8usize, 1..400usize, Just(usize::MAX >> 1)], 1..6)
}

/// Every line is in one record or was empty, in the order of the source, with all of its characters.
fn accounted(input: &[u8], read: &Read) {
    let lines: u64 = read.records.iter().map(|r| u64::from(r.lines)).sum();
    assert!(lines + read.counts.blank <= read.counts.lines);
    let wrapped = read
        .decisions
        .iter()
        .any(|d| matches!(d, Decision::Lock { locked, .. } if locked.wrapper != Wrapper::None));
    if wrapped {
        return;
    }
    assert_eq!(lines + read.counts.blank, read.counts.lines);
    let blank = |bytes: &[u8]| bytes.iter().all(|b| matches!(b, b'\n' | b'\r' | 0));
    let mut at = 0;
    for record in &read.records {
        let (start, end) = (record.start as usize, record.end as usize);
        assert!(start >= at && blank(&input[at..start]), "bytes {at} to {start} are in no record");
        at = end;
        if record.truncated {
            continue;
        }
        let raw: Vec<String> = input[start..end]
            .strip_suffix(b"\n")
            .unwrap_or(&input[start..end])
            .split(|b| *b == b'\n')
            .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
            .map(|line| &line[line.iter().take_while(|b| **b == 0).count()..])
            .map(|line| String::from_utf8_lossy(line).into_owned())
            .collect();
        assert_eq!(record.text.replace('\r', ""), raw.join("\n").replace('\r', ""));
    }
    assert!(blank(&input[at..]), "bytes from {at} on are in no record");
}

/// No format fails on a line, and the quick look never refuses what its parser takes.
fn every_format(input: &[u8]) {
    let mut parsed = Parsed::default();
    for line in String::from_utf8_lossy(input).lines() {
        for format in Format::ALL.into_iter().filter(|format| *format != Format::Plain) {
            let takes = format.parse(line, &mut parsed);
            assert!(!takes || format.may_begin(line.as_bytes()), "{}: {line}", format.name());
        }
    }
}

/// Whatever was sent is the same when it is read again from any place where reading may begin again.
fn repeatable(input: &[u8], first: &[usize], again: &[usize]) {
    let through = read(input, 0, first, vec![]);
    let mut places = through.resumes.clone();
    places.push(0);
    places.dedup();
    for from in places.into_iter().rev().take(12) {
        let mut decisions = through.decisions.clone();
        Decision::forget(&mut decisions, from);
        let second = read(input, from, again, decisions);
        let expect: Vec<_> = through.records.iter().filter(|r| r.start >= from).cloned().collect();
        assert_eq!(second.records, expect, "from {from} of {}", String::from_utf8_lossy(input));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn any_bytes_are_taken(input in prop::collection::vec(any::<u8>(), 0..600), sizes in sizes()) {
        accounted(&input, &read(&input, 0, &sizes, vec![]));
        every_format(&input);
    }

    #[test]
    fn damaged_lines_are_taken(input in damaged(), sizes in sizes()) {
        accounted(&input, &read(&input, 0, &sizes, vec![]));
        every_format(&input);
    }

    #[test]
    fn reading_again_gives_the_same(input in damaged(), first in sizes(), again in sizes()) {
        repeatable(&input, &first, &again);
    }

    #[test]
    fn fields_are_read_as_they_were_written(fields in fields()) {
        WRITERS.iter().for_each(|(format, write, has)| round_trip(*format, write(&fields), *has, &fields));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    /// Fragments are cut between any two bytes, as CRI does; Docker cuts between characters only, or loses them.
    #[test]
    fn wrapped_lines_come_out_whole(
        lines in prop::collection::vec(("x [ -~é茶]{0,40}", any::<prop::sample::Index>(), any::<bool>()), 1..12),
        sizes in sizes(),
    ) {
        for wrapper in [Wrapper::Docker, Wrapper::Cri] {
            let mut input = Vec::new();
            for (n, (text, cut, stderr)) in lines.iter().enumerate() {
                let mut at = cut.index(text.len());
                while wrapper == Wrapper::Docker && !text.is_char_boundary(at) {
                    at -= 1;
                }
                let stream = if *stderr { "stderr" } else { "stdout" };
                let time = format!("2026-01-02T03:04:{:02}Z", n % 60);
                for (part, end) in [(&text.as_bytes()[..at], false), (&text.as_bytes()[at..], true)] {
                    if part.is_empty() {
                        continue;
                    }
                    if wrapper == Wrapper::Cri {
                        input.extend(format!("{time} {stream} {} ", if end { "F" } else { "P" }).bytes());
                        input.extend(part);
                    } else {
                        let part = std::str::from_utf8(part).unwrap().to_owned() + if end { "\n" } else { "" };
                        let entry = serde_json::json!({ "log": part, "stream": stream, "time": time });
                        input.extend(entry.to_string().bytes());
                    }
                    input.push(b'\n');
                }
            }
            let lock = format!("lock 0 {} plain 99 0", wrapper.name()).parse().unwrap();
            let found = read(&input, 0, &sizes, vec![lock]);
            let texts: Vec<_> = found.records.iter().map(|r| r.text.as_str()).collect();
            let expect: Vec<_> = lines.iter().map(|(text, ..)| text.as_str()).collect();
            prop_assert_eq!(texts, expect, "{}", String::from_utf8_lossy(&input));
            prop_assert!(found.records.iter().all(|r| !r.truncated));
        }
    }

    #[test]
    fn access_lines_are_read_as_they_were_written(
        seconds in 0..4_102_444_800i64,
        method in prop::sample::select(vec!["GET", "POST", "DELETE"]),
        (path, query) in ("/[a-z0-9/%.-]{0,20}", prop::option::of("[a-z0-9=&%]{1,20}")),
        (status, size) in (100..600i64, 0..1_000_000_000i64),
        agent in "[!#-\\[\\]-~ ]{1,30}",
        tries in prop::collection::vec((0..100_000u32, 1..255u8, 1..=u16::MAX), 0..4),
        millis in 0..1_000_000u64,
    ) {
        let time = jiff::Timestamp::from_second(seconds).unwrap().strftime("%d/%b/%Y:%H:%M:%S +0000");
        let target = query.as_ref().map_or(path.clone(), |query| format!("{path}?{query}"));
        let seconds_of = |millis: u64| format!("{}.{:03}", millis / 1000, millis % 1000);
        let list = |items: Vec<String>| if items.is_empty() { "-".into() } else { items.join(", ") };
        let times = list(tries.iter().map(|(millis, ..)| seconds_of((*millis).into())).collect());
        let addresses = list(tries.iter().map(|(_, host, port)| format!("10.0.0.{host}:{port}")).collect());
        let line = format!(
            r#"192.0.2.7 - - [{time}] "{method} {target} HTTP/1.1" {status} {size} "-" "{agent}" {} {times} {addresses} 8d1d3abc4df2fd702649b89394ce7deb"#,
            seconds_of(millis),
        );
        let mut parsed = Parsed::default();
        prop_assert!(Format::Access.parse(&line, &mut parsed), "{line}");
        prop_assert_eq!(parsed.time.and_then(|when| when.unix()), Some(seconds as u64 * 1_000_000_000));
        prop_assert_eq!(parsed.duration, Some(millis * 1_000_000));
        let text = |key| parsed.attr_str(&line, key);
        prop_assert_eq!(text(attr::METHOD), Some(method));
        prop_assert_eq!(text(attr::PATH), Some(path.as_str()));
        prop_assert_eq!(text(attr::QUERY), query.as_deref());
        prop_assert_eq!(text(attr::USER_AGENT), Some(agent.as_str()).filter(|agent| *agent != "-"));
        prop_assert_eq!(text(attr::UPSTREAM_TIME), Some(times.as_str()).filter(|_| !tries.is_empty()));
        prop_assert_eq!(text(attr::UPSTREAM_ADDRESS), Some(addresses.as_str()).filter(|_| !tries.is_empty()));
        prop_assert_eq!(text(attr::REQUEST_ID), Some("8d1d3abc4df2fd702649b89394ce7deb"));
        prop_assert_eq!(parsed.attr_f64(&line, attr::STATUS), Some(status as f64));
        prop_assert_eq!(parsed.attr_f64(&line, attr::RESPONSE_BODY_BYTES), Some(size as f64));
    }
}

/// What a producer is told to write.
#[derive(Debug, Clone)]
struct Fields {
    /// Milliseconds since the Unix epoch.
    millis: i64,
    level: &'static str,
    logger: String,
    message: String,
    trace: TraceId,
    span: SpanId,
    value: String,
    number: u32,
}

fn fields() -> impl Strategy<Value = Fields> {
    let level = prop::sample::select(vec!["DEBUG", "INFO", "WARN", "ERROR"]);
    let logger = "[a-z]{1,8}(\\.[a-z]{1,8}){1,3}\\.[A-Z][a-zA-Z]{0,8}";
    // A message that begins with a word, as messages do; the formats without quotes could not tell other beginnings from their own parts.
    let message = "[a-z]{2,8}( [a-z0-9.,:\"\\\\é茶-]{1,8}){0,5}";
    let ids = (1..=u64::MAX, any::<u64>(), 1..=u64::MAX);
    (0..4_102_444_800_000i64, level, logger, message, ids, "[ -~é茶]{0,20}", any::<u32>()).prop_map(
        |(millis, level, logger, message, (high, low, span), value, number)| Fields {
            millis,
            level,
            logger,
            message,
            trace: TraceId::from_hex(format!("{high:016x}{low:016x}").as_bytes()).unwrap(),
            span: SpanId::new(span.to_be_bytes()).unwrap(),
            value,
            number,
        },
    )
}

impl Fields {
    fn time(&self, format: &str) -> String {
        jiff::Timestamp::from_millisecond(self.millis).unwrap().strftime(format).to_string()
    }

    fn quoted(&self, text: &str) -> String {
        serde_json::to_string(text).unwrap()
    }
}

/// Which of the fields a format has.
#[derive(Debug, Clone, Copy)]
struct Has {
    /// Precision of its time, in milliseconds; 0 for none that is whole.
    millis: i64,
    logger: bool,
    ids: bool,
    /// The attributes `value` and `number`.
    attributes: bool,
}

const ALL: Has = Has { millis: 1, logger: true, ids: true, attributes: true };

type Writer = fn(&Fields) -> String;

const WRITERS: [(Format, Writer, Has); 9] = [
    (Format::Json, json, ALL),
    (Format::Logfmt, logfmt, ALL),
    (Format::App, logback, Has { attributes: false, ..ALL }),
    (Format::App, spring, Has { attributes: false, ..ALL }),
    (Format::App, zap_console, ALL),
    (Format::Python, python, Has { millis: 0, ids: false, attributes: false, ..ALL }),
    (Format::Klog, klog, Has { millis: 0, logger: false, ..ALL }),
    (Format::Syslog5424, syslog, Has { logger: false, ..ALL }),
    (Format::ErrorLog, error_log, Has { millis: 0, logger: false, ids: false, attributes: false }),
];

fn json(f: &Fields) -> String {
    format!(
        r#"{{"ts":"{}","level":"{}","logger":"{}","msg":{},"trace_id":"{}","span_id":"{}","value":{},"number":{}}}"#,
        f.time("%Y-%m-%dT%H:%M:%S.%3fZ"),
        f.level.to_lowercase(),
        f.logger,
        f.quoted(&f.message),
        f.trace,
        f.span,
        f.quoted(&f.value),
        f.number
    )
}

fn logfmt(f: &Fields) -> String {
    format!(
        "time={} level={} logger={} msg={} trace_id={} span_id={} value={} number={}",
        f.time("%Y-%m-%dT%H:%M:%S.%3fZ"),
        f.level,
        f.logger,
        f.quoted(&f.message),
        f.trace,
        f.span,
        f.quoted(&f.value),
        f.number
    )
}

fn logback(f: &Fields) -> String {
    let time = f.time("%Y-%m-%d %H:%M:%S.%3f+0000");
    format!(
        "{time} [main] {:5} {} [traceId={}, spanId={}] - {}",
        f.level, f.logger, f.trace, f.span, f.message
    )
}

fn spring(f: &Fields) -> String {
    let time = f.time("%Y-%m-%dT%H:%M:%S.%3fZ");
    format!(
        "{time} {:>5} 7 --- [shop] [  main] [{}-{}] {:<40} : {}",
        f.level, f.trace, f.span, f.logger, f.message
    )
}

fn zap_console(f: &Fields) -> String {
    format!(
        "{}\t{}\t{}\tshop/cart.go:7\t{}\t{{\"trace_id\": \"{}\", \"span_id\": \"{}\", \"value\": {}, \"number\": {}}}",
        f.time("%Y-%m-%dT%H:%M:%S.%3fZ"),
        f.level,
        f.logger,
        f.message,
        f.trace,
        f.span,
        f.quoted(&f.value),
        f.number
    )
}

fn python(f: &Fields) -> String {
    format!("{}:{}:{}", if f.level == "WARN" { "WARNING" } else { f.level }, f.logger, f.message)
}

fn klog(f: &Fields) -> String {
    format!(
        "{}{}   7 cart.go:7] {} trace_id={} span_id={} value={} number={}",
        if f.level == "DEBUG" { "D" } else { &f.level[..1] },
        f.time("%m%d %H:%M:%S.%6f"),
        f.quoted(&f.message),
        f.quoted(&f.trace.to_string()),
        f.quoted(&f.span.to_string()),
        f.quoted(&f.value),
        f.number
    )
}

fn syslog(f: &Fields) -> String {
    let escaped = f.value.replace('\\', "\\\\").replace('"', "\\\"").replace(']', "\\]");
    let severity = match f.level {
        "DEBUG" => 7,
        "INFO" => 6,
        "WARN" => 4,
        _ => 3,
    };
    format!(
        r#"<{}>1 {} host shop 7 - [x@1 trace_id="{}" span_id="{}" value="{escaped}" number="{}"] {}"#,
        16 * 8 + severity,
        f.time("%Y-%m-%dT%H:%M:%S.%3fZ"),
        f.trace,
        f.span,
        f.number,
        f.message
    )
}

fn error_log(f: &Fields) -> String {
    let time = f.time("%Y/%m/%d %H:%M:%S");
    format!("{time} [{}] 7#7: *9 {}, client: 1.2.3.4, server: _", f.level.to_lowercase(), f.message)
}

fn round_trip(format: Format, line: String, has: Has, fields: &Fields) {
    let mut parsed = Parsed::default();
    assert!(format.parse(&line, &mut parsed), "{line}");
    let said = parsed.text(&line, parsed.body);
    assert_eq!(said, fields.message, "{line}");
    assert_eq!(parsed.severity.level(), fields.level.to_lowercase(), "{line}");
    if has.millis > 0 {
        let time = parsed.time.and_then(|when| when.unix());
        assert_eq!(time, Some((fields.millis / has.millis * has.millis) as u64 * 1_000_000), "{line}");
    }
    if has.logger {
        assert_eq!(parsed.attr_str(&line, attr::LOGGER), Some(fields.logger.as_str()), "{line}");
    }
    if has.ids {
        assert_eq!((parsed.trace_id, parsed.span_id), (Some(fields.trace), Some(fields.span)), "{line}");
    }
    if has.attributes {
        assert_eq!(parsed.attr_str(&line, "value"), Some(fields.value.as_str()), "{line}");
        let number = parsed.attr_f64(&line, "number");
        let number = number.or_else(|| parsed.attr_str(&line, "number")?.parse().ok());
        assert_eq!(number, Some(f64::from(fields.number)), "{line}");
    }
}
