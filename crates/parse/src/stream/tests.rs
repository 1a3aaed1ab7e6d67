use super::*;
use crate::attr;
use crate::zone::Zone;
use proptest::prelude::*;

/// What came out, as text: `start-end time body | type: message | issues`.
fn run(input: &[u8], chunks: &[usize], decisions: Vec<Decision>) -> (Vec<String>, Vec<Decision>) {
    let mut stream = Stream::new(Options::default(), decisions, 0);
    let mut records = Vec::new();
    let mut announced = Vec::new();
    let mut emit = |event: Event<'_>| match event {
        Event::Decision(decision) => announced.push(decision),
        Event::Record(record) => records.push(show(&record)),
    };
    let mut buffer = Vec::new();
    let mut at = 0;
    let mut sizes = chunks.iter().cycle();
    while at < input.len() {
        let take = sizes.next().map_or(input.len(), |n| *n.max(&1)).min(input.len() - at);
        buffer.extend_from_slice(&input[at..at + take]);
        at += take;
        let used = stream.push(&buffer, &mut emit);
        buffer.drain(..used);
    }
    if !buffer.is_empty() {
        stream.push_cut(&buffer, input.len() as u64, &mut emit);
    }
    stream.cut(&mut emit);
    assert!(!stream.is_holding());
    assert_eq!(stream.resume(), input.len() as u64);
    (records, announced)
}

fn show(record: &Record<'_>) -> String {
    let Record { start, end, text, parsed, time, .. } = *record;
    let mut out = format!("{start}-{end} {time} {:?}", parsed.text(text, parsed.body));
    if let Some(message) = parsed.attr_str(text, attr::EXCEPTION_MESSAGE) {
        let kind = parsed.attr_str(text, attr::EXCEPTION_TYPE).unwrap_or("");
        out.push_str(&format!(" | {kind}: {message}"));
    }
    let issues: Vec<&str> = parsed.issues.names().collect();
    if !issues.is_empty() {
        out.push_str(&format!(" | {}", issues.join(",")));
    }
    out
}

fn check(input: &str, expect: &[&str]) {
    let bodies = |records: Vec<String>| -> Vec<String> {
        records.into_iter().map(|r| r.splitn(3, ' ').nth(2).unwrap_or("").to_owned()).collect()
    };
    for chunks in [&[usize::MAX][..], &[1], &[7, 64]] {
        // The format is decided on the first chunk; it is given here so that the size of chunks plays no part.
        let (whole, decisions) = run(input.as_bytes(), &[usize::MAX], vec![]);
        assert_eq!(bodies(whole.clone()), expect, "{input}");
        let replay = decisions.into_iter().collect();
        assert_eq!(run(input.as_bytes(), chunks, replay).0, whole, "{chunks:?}");
    }
}

fn docker(entries: &[(&str, &str, u32)]) -> String {
    let entry = |(log, stream, second): &(&str, &str, u32)| {
        format!("{{\"log\":\"{log}\",\"stream\":\"{stream}\",\"time\":\"2023-01-30T11:38:{second:02}Z\"}}\n")
    };
    entries.iter().map(entry).collect()
}

#[test]
fn plain_lines() {
    check("one\ntwo\r\n\nthree", &[r#""one""#, r#""two""#, r#""three" | truncated"#]);
}

#[test]
fn a_java_trace_joins_its_line() {
    check(
        "2023-01-30 11:38:53.622 ERROR [main] c.e.App - failed\n\
         java.lang.IllegalStateException: no seat\n\
         \tat a.B.c(B.java:1)\n\
         Caused by: java.io.IOException: gone\n\
         \t... 3 more\n\
         2023-01-30 11:38:54.000 INFO  [main] c.e.App - next\n",
        &[r#""failed" | java.lang.IllegalStateException: no seat"#, r#""next""#],
    );
}

#[test]
fn a_panic_in_plain_text() {
    check(
        "starting\npanic: boom\n\ngoroutine 1 [running]:\nmain.main()\n\t/a.go:3 +0x1\nexit status 2\nagain\n",
        &[r#""starting""#, r#""panic: boom" | panic: boom"#, r#""again""#],
    );
}

#[test]
fn docker_fragments() {
    let line = |text: &str| {
        format!("11:38:53.622 INFO  o.c.Order#1 TraceID: 42b4f7d894cd9d4759a7f1e1acfef52f {text}")
    };
    let (a, b) = (line("left ticket "), line("whole\\n"));
    check(
        &docker(&[(&a, "stdout", 1), ("info\\n", "stdout", 1), (&b, "stdout", 2)]),
        &[r#""left ticket info""#, r#""whole""#],
    );
    // Another time, but no record begins with it.
    check(
        &docker(&[(&a, "stdout", 1), ("info\\n", "stdout", 2), (&b, "stdout", 2)]),
        &[r#""left ticket info""#, r#""whole""#],
    );
    // The rest is missing: never glued to a stranger.
    check(&docker(&[(&a, "stdout", 1), (&b, "stdout", 2)]), &[r#""left ticket " | truncated"#, r#""whole""#]);
    // The other lane comes in between.
    check(
        &docker(&[(&a, "stdout", 1), (&b, "stderr", 1), ("info\\n", "stdout", 1)]),
        &[r#""left ticket info""#, r#""whole""#],
    );
}

/// The first of these entries is there when the format is looked for, and nothing else; the rest comes at once.
fn check_first_alone(entries: &[(&str, &str, u32)], expect: &[&str]) {
    let (input, first) = (docker(entries), docker(&entries[..1]).len());
    let bodies = |records: &[String]| -> Vec<String> {
        records.iter().map(|record| record.splitn(3, ' ').nth(2).unwrap_or("").to_owned()).collect()
    };
    let (records, decisions) = run(input.as_bytes(), &[first, usize::MAX], vec![]);
    assert_eq!(bodies(&records), expect);
    for chunks in [&[first, usize::MAX][..], &[usize::MAX], &[1]] {
        assert_eq!(run(input.as_bytes(), chunks, decisions.clone()).0, records, "{chunks:?}");
    }
}

#[test]
fn a_source_that_begins_with_a_fragment() {
    let line = |text: &str| format!("11:38:53.622 INFO  o.c.Order#1 TraceID: 42b4f7d894cd9d47 {text}");
    let (a, b) = (line("left ticket "), line("whole\\n"));
    check_first_alone(
        &[(&a, "stdout", 1), ("info\\n", "stdout", 1), (&b, "stdout", 2)],
        &[r#""left ticket info""#, r#""whole""#],
    );
    // The rest of it is missing.
    check_first_alone(
        &[(&a, "stdout", 1), (&b, "stdout", 2)],
        &[r#""left ticket " | truncated"#, r#""whole""#],
    );
    // Which format this is only its end tells.
    let access = r#"10.0.0.1 - - [30/Jan/2023:11:38:53 +0000] \"GET /"#;
    let next = r#"10.0.0.1 - - [30/Jan/2023:11:38:54 +0000] \"GET /b HTTP/1.1\" 200 2\n"#;
    check_first_alone(
        &[(access, "stdout", 1), ("a HTTP/1.1\\\" 200 2\\n", "stdout", 1), (next, "stdout", 2)],
        &[
            r#""10.0.0.1 - - [30/Jan/2023:11:38:53 +0000] \"GET /a HTTP/1.1\" 200 2""#,
            r#""10.0.0.1 - - [30/Jan/2023:11:38:54 +0000] \"GET /b HTTP/1.1\" 200 2""#,
        ],
    );
}

#[test]
fn cri_fragments_of_two_streams() {
    check(
        "2024-01-02T15:04:05Z stdout P {\"msg\":\n\
         2024-01-02T15:04:05Z stderr F {\"msg\":\"other\"}\n\
         2024-01-02T15:04:06Z stdout F \"mine\"}\n\
         2024-01-02T15:04:07Z stdout F {\"msg\":\"last\"}\n",
        &[r#""mine""#, r#""other""#, r#""last""#],
    );
}

#[test]
fn the_wrappers_time_stands_in_for_half_a_time() {
    let input = docker(&[("19:38:53.621 INFO  a.B#1 - hi\\n", "stdout", 53)]);
    let (records, _) = run(input.as_bytes(), &[usize::MAX], vec![]);
    assert_eq!(records, [format!("0-{} 1675078733000000000 \"hi\"", input.len())]);
}

#[test]
fn a_record_that_goes_on_too_long_is_cut() {
    let frames = "\tat a.B.c(B.java:1)\n".repeat(RECORD_LINES as usize + 5);
    let input = format!("java.lang.Error: deep\n{frames}after\n");
    let (records, _) = run(input.as_bytes(), &[usize::MAX], vec![]);
    assert_eq!(records.len(), 2);
    assert!(records[0].ends_with("java.lang.Error: deep | truncated"), "{}", records[0]);
}

#[test]
fn a_recorded_cut_is_kept_when_read_again() {
    let input = b"java.lang.Error: x\n\tat a.B.c(B.java:1)\n";
    let cut = vec!["lock 0 none plain 1 0".parse().unwrap(), Decision::Cut { at: 19 }];
    let (records, announced) = run(input, &[usize::MAX], cut);
    assert_eq!(records.len(), 2);
    assert_eq!(announced.last(), Some(&Decision::Cut { at: input.len() as u64 }));
}

#[test]
fn a_recorded_region_is_looked_up() {
    fn regions(name: &str) -> Option<TimeZone> {
        (name == "Europe/Berlin").then(|| TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap())
    }
    let input = b"2026-07-01 12:00:00 INFO a.B - hi\n";
    let read = |zone: &str| {
        let lock = format!("lock 0 none app 8 {zone}").parse().unwrap();
        let evidence = Evidence { host_zone: Zone::Fixed(3600), ..Evidence::default() };
        let options = Options { evidence, regions: Some(regions), ..Options::default() };
        let mut stream = Stream::new(options, [lock], 0);
        let mut time = 0;
        let mut emit = |event: Event<'_>| {
            if let Event::Record(record) = event {
                time = record.time
            }
        };
        stream.push(input, &mut emit);
        stream.cut(&mut emit);
        time / 1_000_000_000
    };
    let noon = 1_782_907_200;
    assert_eq!(read("0"), noon);
    assert_eq!(read("Europe/Berlin"), noon - 7200);
    // Nobody knows it here: the host's has to do.
    assert_eq!(read("Europe/Nowhere"), noon - 3600);
}

#[test]
fn another_format_is_found_when_the_first_fails() {
    let banner = "starting up\n";
    let json: String = (0..200).map(|n| format!("{{\"level\":\"info\",\"msg\":\"m{n}\"}}\n")).collect();
    let (records, announced) = run((banner.to_owned() + &json).as_bytes(), &[12, 600], vec![]);
    assert_eq!(records.len(), 201);
    assert!(records[200].contains("\"m199\""), "{}", records[200]);
    let formats: Vec<&str> = announced
        .iter()
        .filter_map(|d| match d {
            Decision::Lock { locked, .. } => Some(locked.format),
            _ => None,
        })
        .collect();
    assert_eq!(formats, ["plain", "json"]);
}

#[test]
fn a_long_first_line_tells_the_format() {
    let long = "x".repeat(100_000);
    let line = format!("{{\"level\":\"info\",\"msg\":\"{long}\"}}");
    check(&format!("{line}\n"), &[&format!("{long:?}")]);
    // In parts, of which the first read may find one.
    let line = line.replace('"', "\\\"");
    let (first, rest) = line.split_at(16 * 1024);
    let (second, third) = rest.split_at(16 * 1024);
    let parts = docker(&[(first, "stdout", 1), (second, "stdout", 1), (&format!("{third}\\n"), "stdout", 1)]);
    let one = parts.find('\n').unwrap() + 1;
    for chunks in [&[usize::MAX][..], &[one], &[parts.len() - 1]] {
        let (records, _) = run(parts.as_bytes(), chunks, vec![]);
        assert!(records.len() == 1 && records[0].ends_with(&format!(" {long:?}")), "{:.100}", records[0]);
    }
}

#[test]
fn another_format_is_found_by_a_reader_that_begins_again() {
    let first = "starting up\n";
    let json = "{\"level\":\"info\",\"msg\":\"hi\"}\n".repeat(3);
    let input = first.to_owned() + &json;
    let (_, mut announced) = run(first.as_bytes(), &[usize::MAX], vec![]);
    announced.retain(|decision| !matches!(decision, Decision::Cut { .. }));
    for chunks in [&[usize::MAX][..], &[first.len()], &[first.len() + json.len() / 3], &[1]] {
        let (records, _) = run(input.as_bytes(), chunks, announced.clone());
        assert!(
            records[0].ends_with("\"starting up\""),
            "what may have been sent stays as it was: {}",
            records[0]
        );
        records[1..].iter().for_each(|record| assert!(record.ends_with(" \"hi\""), "{chunks:?}: {record}"));
    }
}

fn lines() -> impl Strategy<Value = Vec<u8>> {
    let samples = prop::sample::select(vec![
        &b"{\"log\":\"half\",\"stream\":\"stdout\",\"time\":\"2023-01-30T11:38:53Z\"}"[..],
        b"{\"log\":\"19:38:53.6 INFO a.B#1 - x\\n\",\"stream\":\"stderr\",\"time\":\"2023-01-30T11:38:53Z\"}",
        b"2023-01-30 11:38:53.622 ERROR [main] c.e.App - failed",
        b"19:38:53.621 INFO  a.B - hi",
        b"java.lang.IllegalStateException: no seat",
        b"\tat a.B.c(B.java:1)",
        b"Traceback (most recent call last):",
        b"panic: boom",
        b"goroutine 1 [running]:",
        b"{\"level\":30,\"time\":1675078733622,\"msg\":\"a\\u00e9\"}",
        b"2024-01-02T15:04:05Z stdout P part",
        b"\xff\xfe",
        b"",
    ]);
    let line =
        prop_oneof![4 => samples.prop_map(<[u8]>::to_vec), 1 => prop::collection::vec(any::<u8>(), 0..40)];
    prop::collection::vec(line, 0..30).prop_map(|lines| lines.join(&b'\n'))
}

proptest! {
    #[test]
    fn chunks_make_no_difference(input in lines(), sizes in prop::collection::vec(1..100usize, 1..6)) {
        let (whole, decisions) = run(&input, &[usize::MAX], vec![]);
        let (parts, _) = run(&input, &sizes, decisions);
        prop_assert_eq!(parts, whole, "{}", String::from_utf8_lossy(&input));
    }

    #[test]
    fn reading_again_from_where_it_stopped_gives_the_same(input in lines(), at in 0..400usize) {
        let (whole, decisions) = run(&input, &[usize::MAX], vec![]);
        // Read up to a line's end, stop, and begin again at the resume position with what was recorded.
        let stop = input[..at.min(input.len())].iter().rposition(|b| *b == b'\n').map_or(0, |p| p + 1);
        let mut records = Vec::new();
        let mut first = Stream::new(Options::default(), decisions.clone(), 0);
        let mut emit = |event: Event<'_>| if let Event::Record(record) = event { records.push(show(&record)) };
        first.push(&input[..stop], &mut emit);
        let resume = first.resume();
        let mut second = Stream::new(Options::default(), decisions, resume);
        let rest = &input[resume as usize..];
        let used = second.push(rest, &mut emit);
        if used < rest.len() {
            second.push_cut(&rest[used..], input.len() as u64, &mut emit);
        }
        second.cut(&mut emit);
        prop_assert_eq!(records, whole, "{}", String::from_utf8_lossy(&input));
    }
}

/// Places and bodies of records, read in parts that end at `cuts`, from `from` on.
fn places(
    input: &[u8],
    charset: Charset,
    cuts: &[usize],
    from: usize,
    decisions: Vec<Decision>,
) -> (Vec<(usize, usize, String)>, Vec<Decision>) {
    let options = Options { charset, ..Options::default() };
    let mut stream = Stream::new(options, decisions, from as u64);
    let (mut records, mut announced) = (Vec::new(), Vec::new());
    let mut emit = |event: Event<'_>| match event {
        Event::Decision(decision) => announced.push(decision),
        Event::Record(record) => {
            assert_eq!(record.parsed.issues, Issues::NONE, "{}", record.text);
            records.push((record.start as usize, record.end as usize, record.text.to_owned()));
        }
    };
    let mut at = from;
    for &to in cuts.iter().filter(|cut| **cut >= from).chain([&input.len()]) {
        at += stream.push(&input[at..to], &mut emit);
    }
    stream.cut(&mut emit);
    assert_eq!(at, input.len());
    (records, announced)
}

#[test]
fn places_in_other_encodings_are_those_of_the_source() {
    // The second line has characters with the byte of a line end in UTF-16.
    let text = "2026-11-25 12:00:00,123 INFO a.B - 一杯茶\r\n2026-11-25 12:00:01,123 WARN a.B - \u{a0a}\u{a00}上\n\
                2026-11-25 12:00:02,123 ERROR a.B - 失败\njava.lang.Error: 没有茶\n\tat a.B.c(B.java:7)\n";
    let bodies = |records: &[(usize, usize, String)]| {
        records.iter().map(|record| record.2.clone()).collect::<Vec<_>>()
    };
    let (expect, _) = places(text.as_bytes(), Charset::default(), &[], 0, Vec::new());
    assert_eq!(expect.len(), 3);
    let utf16 = |mark: &str, bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
        [mark, text].concat().encode_utf16().flat_map(bytes).collect()
    };
    let charset = |label| Charset::of(label).unwrap();
    // Those two characters are in none of the encodings of China but the last.
    let (gb18030, _, _) = encoding_rs::GB18030.encode(text);
    for (input, charset, told) in [
        (utf16("\u{feff}", u16::to_le_bytes), Charset::default(), "utf-16le"),
        (utf16("\u{feff}", u16::to_be_bytes), charset("gbk"), "utf-16be"),
        (utf16("", u16::to_le_bytes), charset("utf-16"), "utf-16"),
        (utf16("", u16::to_be_bytes), charset("utf-16be"), "utf-16be"),
        (gb18030.into_owned(), charset("gb18030"), "gb18030"),
    ] {
        let (whole, decisions) = places(&input, charset, &[], 0, Vec::new());
        assert_eq!(bodies(&whole), bodies(&expect), "{told}");
        let told = Charset::of(told).unwrap();
        for (start, end, body) in &whole {
            let mut text = String::new();
            told.decode(&input[*start..*end], *start as u64, true, &mut text);
            assert_eq!(text.replace("\r\n", "\n").trim_end(), body, "at {start} of {}", told.name());
        }
        assert_eq!(whole.last().unwrap().1, input.len());
        for cut in 0..input.len() {
            let (parts, _) = places(&input, charset, &[cut], 0, decisions.clone());
            assert_eq!(parts, whole, "{} in two parts at {cut}", told.name());
        }
        let each: Vec<usize> = (0..input.len()).collect();
        assert_eq!(places(&input, charset, &each, 0, decisions.clone()).0, whole, "{}", told.name());
        // Whoever reads on looks for the mark at the beginning.
        for (nth, (start, ..)) in whole.iter().enumerate() {
            let (rest, _) = places(&input, charset.marked(&input), &[], *start, decisions.clone());
            assert_eq!(rest, whole[nth..], "{} from {start}", told.name());
        }
    }
}

#[test]
fn bytes_that_are_no_text_and_lines_that_are_cut() {
    let options = Options { charset: Charset::of("gbk").unwrap(), ..Options::default() };
    let mut stream = Stream::new(options, [], 0);
    let mut records = Vec::new();
    let mut emit = |event: Event<'_>| {
        if let Event::Record(record) = event {
            records.push(show(&record));
        }
    };
    stream.push(b"\xb2\xe8 \xff\n\xb2\n", &mut emit);
    // Of a line of 100 bytes the first 5 are at hand, the last one a half of a character.
    stream.push_cut(b"\xb2\xe8\xb2\xe8\xb2", 107, &mut emit);
    stream.cut(&mut emit);
    assert_eq!(stream.counts().invalid_utf8, 2);
    assert_eq!(stream.counts().dropped_bytes, 94);
    assert_eq!(records.len(), 3);
    assert!(records[0].starts_with("0-5 ") && records[0].contains("茶 \u{fffd}"), "{records:?}");
    assert!(records[1].starts_with("5-7 ") && records[1].contains("\u{fffd}"), "{records:?}");
    assert!(
        records[2].starts_with("7-107 ") && records[2].contains("茶茶") && !records[2].contains('\u{fffd}'),
        "{records:?}"
    );
}
