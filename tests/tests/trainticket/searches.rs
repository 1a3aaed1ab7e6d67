//! Searches over the Train Ticket data, each beside the scan that says what it must find.

use weir_tests::client::Client;
use weir_tests::raw::{Attributed, Line, Span, count_by, has_phrase, has_prefix, has_word};
use weir_tests::trainticket::{POD, TrainTicket};
use weir_tests::verify::{self, Search, Whole, search};

const SEAT: &str = "ts-seat-service";
/// 2023-01-30T00:00:00Z, between the two days of the data.
const MIDNIGHT: u64 = 1_675_036_800_000_000_000;
const MS: u64 = 1_000_000;

/// Counts by every key, and all searches.
pub(crate) async fn all(client: &Client, data: &TrainTicket) {
    groups(client, data).await;
    verify::logs(client, &data.lines, &logs(&data.lines[0])).await;
    verify::spans(client, &data.spans, &spans(&data.spans[0])).await;
    verify::traces(client, &data.spans, &traces()).await;
}

pub(crate) async fn groups(client: &Client, data: &TrainTicket) {
    let pod = |found: Option<&str>| found.unwrap().to_owned();
    let expect = count_by(&data.lines, |line| pod(line.text(POD)));
    assert_eq!(client.groups("logs", "", POD).await.1, expect);
    let expect = count_by(&data.lines, |line| line.service.clone());
    assert_eq!(client.groups("logs", "", "service").await.1, expect);
    let expect = count_by(&data.spans, |span| pod(span.text(POD)));
    assert_eq!((client.groups("spans", "", POD).await.1, expect.len()), (expect, 56));
    let expect = count_by(&data.spans, |span| span.service.clone());
    assert_eq!((client.groups("spans", "", "service").await.1, expect.len()), (expect, 28));
    let expect = count_by(&data.spans, |span| span.name.clone());
    assert_eq!(client.groups("spans", "", "operation").await.1, expect);
}

fn word<'a>(word: &'a str) -> Search<'a, Line> {
    search(word, move |line: &Line| has_word(&line.body, word))
}

fn phrase<'a>(words: &'a str) -> Search<'a, Line> {
    search(format!("\"{words}\""), move |line: &Line| has_phrase(&line.body, words))
}

fn is<T: Attributed>(record: &T, key: &str, value: &str) -> bool {
    record.text(key) == Some(value)
}

fn logs(first: &Line) -> Vec<Search<'_, Line>> {
    let (pod, logger) = (first.text(POD).unwrap(), "s.s.SeatServiceImpl");
    let failed = |line: &Line| line.severity == "ERROR";
    let has = |line: &Line, word: &str| has_word(&line.body, word);
    vec![
        search("", |_| true),
        // Full text.
        word("ticket"),
        word("orderid"),
        word("error"),
        word("typeindex"),
        word("nosuchword"),
        search("order success", move |l: &Line| has(l, "order") && has(l, "success")),
        search("ORDER Success ticket", move |l: &Line| {
            has(l, "order") && has(l, "success") && has(l, "ticket")
        }),
        search("ticket OR trip", move |l: &Line| has(l, "ticket") || has(l, "trip")),
        search("NOT service", move |l: &Line| !has(l, "service")),
        search("(ticket OR order) NOT success", move |l: &Line| {
            (has(l, "ticket") || has(l, "order")) && !has(l, "success")
        }),
        phrase("no content"),
        phrase("content no"),
        phrase("seat from date"),
        phrase("Get Left Ticket of interval"),
        // Two tokens written as one word are a phrase.
        search("start-with", move |l: &Line| has_phrase(&l.body, "start with")),
        search("tick*", move |l: &Line| has_prefix(&l.body, "tick")),
        search("getleft* interval", move |l: &Line| has_prefix(&l.body, "getleft") && has(l, "interval")),
        // Attributes.
        search(format!("resource.k8s.pod.name = {pod}"), move |l: &Line| is(l, POD, pod)),
        search(format!("k8s.pod.name != \"{pod}\""), move |l: &Line| !is(l, POD, pod)),
        search("k8s.pod.name ~ \"ts-seat-.*\"", move |l: &Line| l.text(POD).unwrap().starts_with("ts-seat-")),
        search("k8s.pod.name ~ \"seat\"", |_| false),
        search("k8s.pod.name !~ \"ts-.*-service-.*\"", |_| false),
        search(format!("logger = \"{logger}\""), move |l: &Line| is(l, "logger", logger)),
        search(format!("log.logger != \"{logger}\""), move |l: &Line| !is(l, "logger", logger)),
        search(format!("NOT logger = {logger}"), move |l: &Line| !is(l, "logger", logger)),
        search("logger ~ \"[a-z]\\\\.s\\\\..*Impl\"", move |l: &Line| {
            let logger = l.text("logger").unwrap();
            logger[1..].starts_with(".s.") && logger.ends_with("Impl")
        }),
        search("logger * k8s.pod.name *", |_| true),
        search("nosuchkey != 1", |_| false),
        search("NOT nosuchkey = 1", |_| true),
        search(format!("service = {SEAT} severity = error"), move |l: &Line| l.service == SEAT && failed(l)),
        search("severity >= warn", move |l: &Line| matches!(&*l.severity, "WARN" | "ERROR")),
        search("severity = error NOT ticket", move |l: &Line| failed(l) && !has(l, "ticket")),
        search("weir.truncated = true", move |l: &Line| l.truncated),
        search(format!("trace.id = {}", first.trace), move |l: &Line| l.trace == first.trace),
        search(format!("span.id = {}", first.span), move |l: &Line| l.span == first.span),
        // Time ranges, half open.
        search("", |_| true).within(0, MIDNIGHT),
        search("ticket severity >= warn", move |l: &Line| has(l, "ticket") && l.severity != "INFO")
            .within(MIDNIGHT, u64::MAX),
        search("", |_| true).within(first.time.unwrap(), first.time.unwrap() + 1),
        search("", |_| true).within(0, first.time.unwrap()),
    ]
}

fn spans(first: &Span) -> Vec<Search<'_, Span>> {
    let (pod, exact) = (first.text(POD).unwrap(), first.duration());
    let longer = |ms: u64| search(format!("duration >= {ms}ms"), move |s: &Span| s.duration() >= ms * MS);
    let has = |s: &Span, word: &str| has_word(&s.name, word);
    vec![
        search("", |_| true),
        longer(0),
        longer(5),
        longer(60),
        longer(1_000),
        search("duration < 100us", move |s: &Span| s.duration() < 100_000),
        search("duration > 60ms duration <= 80ms", move |s: &Span| {
            s.duration() > 60 * MS && s.duration() <= 80 * MS
        }),
        search(format!("duration = {exact}ns"), move |s: &Span| s.duration() == exact),
        search("NOT duration < 1s", move |s: &Span| s.duration() >= 1_000 * MS),
        search("status = error", |_| false),
        search("status != error", |_| true),
        search(format!("operation = \"{}\"", first.name), move |s: &Span| s.name == first.name),
        search(format!("operation != \"{}\" service = {SEAT}", first.name), move |s: &Span| {
            s.name != first.name && s.service == SEAT
        }),
        search("operation ~ \"HTTP .*\"", move |s: &Span| s.name.starts_with("HTTP ")),
        search("operation !~ \"(HTTP|SELECT) .*\" duration > 100ms", move |s: &Span| {
            !s.name.starts_with("HTTP ") && !s.name.starts_with("SELECT ") && s.duration() > 100 * MS
        }),
        search("operation ~ \".*Controller\\\\..*\" duration > 20ms", move |s: &Span| {
            s.name.contains("Controller.") && s.duration() > 20 * MS
        }),
        search("orders", move |s: &Span| has(s, "orders")),
        search("handle NOT service = ts-gateway-service", move |s: &Span| {
            has(s, "handle") && s.service != "ts-gateway-service"
        }),
        search("\"api v1\"", move |s: &Span| has_phrase(&s.name, "api v1")),
        search("find* duration >= 5ms", move |s: &Span| {
            has_prefix(&s.name, "find") && s.duration() >= 5 * MS
        }),
        search(format!("resource.k8s.pod.name = {pod}"), move |s: &Span| is(s, POD, pod)),
        search(format!("k8s.pod.name != {pod}"), move |s: &Span| !is(s, POD, pod)),
        search(format!("span.id = {}", first.span), move |s: &Span| s.span == first.span),
        search("", |_| true).within(0, MIDNIGHT),
        search("duration >= 60ms", move |s: &Span| s.duration() >= 60 * MS)
            .within(MIDNIGHT, MIDNIGHT + 43_200_000 * MS),
        search("", |_| true).within(first.start, first.start + 1),
    ]
}

fn traces<'a>() -> Vec<Search<'a, Whole<'a>>> {
    let entry = |trace: &Whole<'_>| -> Option<String> {
        // The root's name is a wildcard, so the entry is the first span below it in another service.
        let root = trace.root()?;
        let others = trace.spans.iter().filter(|span| span.service != root.service);
        others.min_by_key(|span| span.start).map(|span| span.name.clone())
    };
    vec![
        search("trace.duration >= 2s", move |t: &Whole<'_>| t.duration() >= 2_000 * MS),
        search("trace.duration < 50ms", move |t: &Whole<'_>| t.duration() < 50 * MS),
        search("trace.spans = 200", move |t: &Whole<'_>| t.spans.len() == 200),
        search("trace.spans > 76 trace.duration > 500ms", move |t: &Whole<'_>| {
            t.spans.len() > 76 && t.duration() > 500 * MS
        }),
        search("trace.errors > 0", move |t: &Whole<'_>| t.errors() > 0),
        search(format!("trace.service = {SEAT}"), move |t: &Whole<'_>| {
            t.spans.iter().any(|s| s.service == SEAT)
        }),
        search(format!("trace.service = {SEAT} duration > 1s"), move |t: &Whole<'_>| {
            t.spans.iter().any(|s| s.service == SEAT) && t.spans.iter().any(|s| s.duration() > 1_000 * MS)
        }),
        search("NOT trace.spans > 6", move |t: &Whole<'_>| t.spans.len() <= 6),
        search("trace.duration >= 1s", move |t: &Whole<'_>| t.duration() >= 1_000 * MS).within(0, MIDNIGHT),
        search("entry ~ \"/api/v1/.*order.*\"", move |t: &Whole<'_>| {
            entry(t).is_some_and(|name| name.starts_with("/api/v1/") && name[8..].contains("order"))
        }),
    ]
}
