//! What is found of a generated fleet, against its ledger: every line in its place, and what searches find.

use std::collections::HashMap;

use serde_json::Value as Json;

use crate::client::{Client, encode};
use crate::generator::{BEGIN, Ledger};
use crate::raw::{Attributed, Line, Span, Value, count_by, has_phrase, has_prefix, has_word};
use crate::verify::{self, Search, Whole, search};

const MS: u64 = 1_000_000;

/// Waits until all that a fleet made is found, and goes through it.
pub async fn everything(client: &Client, ledger: &Ledger) {
    let (lines, spans) = (ledger.lines.len() as u64, ledger.spans.len() as u64);
    client.wait_for_logs(lines).await;
    account(client, ledger).await;
    client.wait_for_totals(lines, spans).await;
    account(client, ledger).await;
}

/// Searches find what they should and no more.
pub async fn by_searches(client: &Client, ledger: &Ledger) {
    verify::logs(client, &ledger.lines, &log_searches(ledger)).await;
    verify::spans(client, &ledger.spans, &span_searches(ledger)).await;
    verify::traces(client, &ledger.spans, &trace_searches()).await;
}

/// Spans are counted by service and trace, and the tree of every `nth` trace is as it was made, with its lines.
pub async fn by_traces(client: &Client, ledger: &Ledger, nth: usize) {
    verify::spans(client, &ledger.spans, &[search("", |_| true)]).await;
    let even = |trace: &str| !ledger.odd.contains(trace);
    let spans: Vec<Span> = ledger.spans.iter().filter(|span| even(&span.trace)).cloned().collect();
    let lines: Vec<Line> = ledger.lines.iter().filter(|line| even(&line.trace)).cloned().collect();
    verify::trees(client, &spans, &lines, nth).await;
}

/// Goes through every line that is found: each must be there once, whole, in its place, and said to be whose it is.
pub async fn account(client: &Client, ledger: &Ledger) {
    let keyed: HashMap<String, &Line> =
        ledger.lines.iter().filter_map(|line| Some((key(&line.body)?, line))).collect();
    let mut seen: HashMap<String, u64> = HashMap::new();
    let (mut torn, mut disordered, mut misattributed) = (Vec::new(), Vec::new(), Vec::new());
    let mut keyless = Vec::new();
    let mut lives: HashMap<String, Vec<String>> = HashMap::new();
    let (_, incarnations) = client.groups("logs", "", "weir.incarnation").await;
    for incarnation in incarnations.keys() {
        let q = encode(&format!("resource.weir.incarnation = \"{incarnation}\""));
        let mut logs = client.list(&format!("/api/v1/logs?q={q}"), "logs").await;
        logs.sort_by_key(offset);
        let mut before = String::new();
        for log in &logs {
            let body = log["body"].as_str().unwrap();
            let Some(key) = key(body) else {
                keyless.push(body.to_owned());
                continue;
            };
            *seen.entry(key.clone()).or_default() += 1;
            lives.entry(key.clone()).or_default().push(format!(
                "{} {incarnation:.8} at {}",
                log["service"],
                offset(log)
            ));
            match keyed.get(&key) {
                Some(line) if line.body == body => misattributed.extend(wrong(log, line)),
                _ => torn.push(format!("{key}: {body:.200}")),
            }
            if key < before {
                disordered.push(format!("{key} after {before}"));
            }
            before = key;
        }
    }
    let lost: Vec<&String> = keyed.keys().filter(|key| !seen.contains_key(*key)).collect();
    let doubled: Vec<_> = seen.iter().filter(|(_, count)| **count > 1).collect();
    println!(
        "of {} lines in {} lives of files: lost {}, doubled {}, torn {}, disordered {}, misattributed {}",
        ledger.lines.len(),
        incarnations.len(),
        lost.len(),
        doubled.len(),
        torn.len(),
        disordered.len(),
        misattributed.len()
    );
    let some = |list: &[String]| list.iter().take(5).cloned().collect::<Vec<_>>();
    let doubled: Vec<String> =
        doubled.iter().map(|(key, count)| format!("{key} {count} times in {:?}", lives[*key])).collect();
    let lost: Vec<String> = lost.into_iter().map(|key| format!("{key} of {}", keyed[key].service)).collect();
    let found = [lost, doubled, torn, disordered, misattributed].map(|list| some(&list));
    assert_eq!(found, [const { Vec::<String>::new() }; 5], "lost, doubled, torn, disordered, misattributed");
    let expect = ledger.lines.iter().map(|line| line.body.clone()).filter(|body| key(body).is_none());
    verify::differ(
        "lines without a key",
        &count_by(expect, String::clone),
        &count_by(keyless, String::clone),
    );
}

/// The key in a body, such as `k000123`.
pub fn key(body: &str) -> Option<String> {
    let is_key = |word: &&str| {
        word.len() == 7 && word.starts_with('k') && word[1..].bytes().all(|b| b.is_ascii_digit())
    };
    body.split(|c: char| !c.is_ascii_alphanumeric()).find(is_key).map(str::to_owned)
}

fn offset(log: &Json) -> u64 {
    let attributes = log["attributes"].as_array().unwrap();
    let offset = attributes.iter().find(|attr| attr["key"] == "weir.offset").expect("a line of a file");
    offset["value"].as_str().unwrap().parse().unwrap()
}

/// What a line is said to be and is not.
fn wrong(log: &Json, line: &Line) -> Option<String> {
    let mut expect = vec![
        ("service", line.service.clone()),
        ("traceId", line.trace.clone()),
        ("spanId", line.span.clone()),
    ];
    expect.extend(line.time.map(|time| ("time", time.to_string())));
    expect.extend((!line.severity.is_empty()).then(|| ("severityText", line.severity.clone())));
    let wrong = expect.into_iter().find(|(name, value)| log[*name] != value.as_str());
    let (name, value) = wrong?;
    Some(format!("{name} is {} instead of {value:?}: {:.100}", log[name], line.body))
}

/// Whether a value, or an element of it, satisfies a condition.
fn any(value: &Value, holds: &dyn Fn(&Value) -> bool) -> bool {
    match value {
        Value::List(values) => values.iter().any(|value| any(value, holds)),
        value => holds(value),
    }
}

fn has<T: Attributed>(record: &T, key: &str, holds: impl Fn(&Value) -> bool) -> bool {
    record.attr(key).is_some_and(|value| any(value, &holds))
}

/// The record has the key and no value of it is this.
fn not<T: Attributed>(record: &T, key: &str, holds: impl Fn(&Value) -> bool) -> bool {
    record.attr(key).is_some_and(|value| !any(value, &holds))
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Int(n) => Some(*n as f64),
        Value::Double(x) => Some(*x),
        _ => None,
    }
}

fn above(limit: f64) -> impl Fn(&Value) -> bool {
    move |value| number(value).is_some_and(|number| number > limit)
}

fn is(text: &str) -> impl Fn(&Value) -> bool {
    move |value| matches!(value, Value::Text(t) if t == text)
}

fn log_searches(ledger: &Ledger) -> Vec<Search<'_, Line>> {
    let middle = BEGIN + 60_000 * MS;
    let narrow =
        ledger.lines.iter().find(|line| line.trace.starts_with("0000000000000000")).expect("one of 64 bits");
    let json = |line: &Line| line.service == "storefront";
    vec![
        search("", |_| true),
        search("accepted", move |l: &Line| has_word(&l.body, "accepted")),
        search("库存", move |l: &Line| has_phrase(&l.body, "库存")),
        search("\"用户登录\"", move |l: &Line| has_phrase(&l.body, "用户登录")),
        search("登 NOT 用户", move |l: &Line| has_word(&l.body, "登") && !has_phrase(&l.body, "用户")),
        search("naïve", move |l: &Line| has_word(&l.body, "naïve")),
        search("\"payment refused\" item", move |l: &Line| {
            has_phrase(&l.body, "payment refused") && has_word(&l.body, "item")
        }),
        search("goroutine OR traceback", move |l: &Line| {
            has_word(&l.body, "goroutine") || has_word(&l.body, "traceback")
        }),
        search("illegalstate*", move |l: &Line| has_prefix(&l.body, "illegalstate")),
        search("lorem", move |l: &Line| has_word(&l.body, "lorem")),
        search("k00001*", move |l: &Line| has_prefix(&l.body, "k00001")),
        search("service = storefront severity = error", move |l: &Line| json(l) && l.severity == "error"),
        search("service = order severity >= warn", move |l: &Line| {
            l.service == "order" && l.severity != "INFO"
        }),
        search("amount > 1000", move |l: &Line| has(l, "amount", above(1000.0))),
        search("amount <= 250.5", move |l: &Line| {
            has(l, "amount", |v| number(v).is_some_and(|n| n <= 250.5))
        }),
        search("count = 7", move |l: &Line| has(l, "count", |v| *v == Value::Int(7))),
        search("count != 7", move |l: &Line| not(l, "count", |v| *v == Value::Int(7))),
        search("NOT count = 7", move |l: &Line| !has(l, "count", |v| *v == Value::Int(7))),
        search("log.count > 10 accepted", move |l: &Line| {
            has(l, "count", above(10.0)) && has_word(&l.body, "accepted")
        }),
        search("vip = true", move |l: &Line| has(l, "vip", |v| *v == Value::Bool(true))),
        search("customer = 张三", move |l: &Line| has(l, "customer", is("张三"))),
        search("customer != \"张三\"", move |l: &Line| not(l, "customer", is("张三"))),
        search("customer ~ \"李.*\"", move |l: &Line| {
            l.text("customer").is_some_and(|t| t.starts_with('李'))
        }),
        search("tags = red", move |l: &Line| has(l, "tags", is("red"))),
        search("tags != red", move |l: &Line| not(l, "tags", is("red"))),
        search("tags * tags = \"old\"", move |l: &Line| has(l, "tags", is("old"))),
        search("weir.truncated = true", move |l: &Line| l.truncated),
        search(format!("trace.id = {}", narrow.trace), move |l: &Line| l.trace == narrow.trace),
        search("service = shipping", move |l: &Line| l.service == "shipping").within(0, middle),
        search("service = midnight", move |l: &Line| l.service == "midnight")
            .within(1_775_174_400_000_000_000, u64::MAX),
    ]
}

fn span_searches(ledger: &Ledger) -> Vec<Search<'_, Span>> {
    let long = ledger.spans.iter().find_map(|span| span.text("long.value")).expect("one that is long");
    let big = 9_007_199_254_740_993;
    vec![
        search("", |_| true),
        search("status = error", move |s: &Span| s.error),
        search("kind = client", move |s: &Span| s.kind == 3),
        search("kind = server status = error service = payment", move |s: &Span| {
            s.kind == 2 && s.error && s.service == "payment"
        }),
        search("http.response.status_code >= 500", move |s: &Span| {
            has(s, "http.response.status_code", above(499.0))
        }),
        search("http.response.status_code = 200", move |s: &Span| {
            has(s, "http.response.status_code", |v| *v == Value::Int(200))
        }),
        search("http.response.status_code != 200", move |s: &Span| {
            not(s, "http.response.status_code", |v| *v == Value::Int(200))
        }),
        search("NOT http.response.status_code = 200", move |s: &Span| {
            !has(s, "http.response.status_code", |v| *v == Value::Int(200))
        }),
        search("order.total > 100", move |s: &Span| has(s, "order.total", above(100.0))),
        search("queue.delta < 0", move |s: &Span| {
            has(s, "queue.delta", |v| number(v).is_some_and(|n| n < 0.0))
        }),
        search("cache.hit = true", move |s: &Span| has(s, "cache.hit", |v| *v == Value::Bool(true))),
        search("order.items = tea", move |s: &Span| has(s, "order.items", is("tea"))),
        search("order.items != tea", move |s: &Span| not(s, "order.items", is("tea"))),
        search("order.items = 7", move |s: &Span| has(s, "order.items", |v| *v == Value::Int(7))),
        search(format!("big = {big}"), move |s: &Span| has(s, "big", |v| *v == Value::Int(big))),
        search(format!("big > {big}"), move |s: &Span| {
            has(s, "big", |v| matches!(v, Value::Int(n) if *n > big))
        }),
        search("empty = \"\"", move |s: &Span| has(s, "empty", is(""))),
        search("nothing *", move |s: &Span| s.attr("nothing").is_some()),
        search("cart *", move |s: &Span| s.attr("cart").is_some()),
        search("customer.name = \"张三\"", move |s: &Span| has(s, "customer.name", is("张三"))),
        search("customer.name = \"o'neil \\\"o\\\"\"", move |s: &Span| {
            has(s, "customer.name", is("o'neil \"o\""))
        }),
        search("customer.name ~ \".*[三四]\"", move |s: &Span| {
            has(s, "customer.name", |v| is("张三")(v) || is("李四")(v))
        }),
        search(format!("long.value = \"{long}\""), move |s: &Span| has(s, "long.value", is(long))),
        search("long.value ~ \"x+1\"", move |s: &Span| {
            s.text("long.value").is_some_and(|t| t.ends_with('1'))
        }),
        search("mixed = 5", move |s: &Span| has(s, "mixed", |v| *v == Value::Int(5) || is("5")(v))),
        search("mixed = \"5\"", move |s: &Span| has(s, "mixed", is("5"))),
        search("mixed > 4", move |s: &Span| has(s, "mixed", above(4.0))),
        search("resource.host.name = order-1", move |s: &Span| s.service == "order"),
        search("operation = \"POST /付款\"", move |s: &Span| s.name == "POST /付款"),
        search("付款", move |s: &Span| has_phrase(&s.name, "付款")),
        search("again", move |s: &Span| has_word(&s.name, "again")),
        search("duration > 10ms kind = server", move |s: &Span| s.duration() > 10 * MS && s.kind == 2),
        search("", |_| true).within(BEGIN, BEGIN + 30_000 * MS),
        search("status = error", move |s: &Span| s.error).within(0, BEGIN),
    ]
}

fn trace_searches<'a>() -> Vec<Search<'a, Whole<'a>>> {
    let of = |trace: &Whole<'_>, service: &str| trace.spans.iter().any(|span| span.service == service);
    vec![
        search("trace.errors > 0", move |t: &Whole<'_>| t.errors() > 0),
        search("trace.errors >= 2 trace.service = payment", move |t: &Whole<'_>| {
            t.errors() >= 2 && of(t, "payment")
        }),
        search("trace.spans > 5", move |t: &Whole<'_>| t.spans.len() > 5),
        search("trace.service = shipping status = error", move |t: &Whole<'_>| {
            of(t, "shipping") && t.errors() > 0
        }),
        search("trace.duration > 20ms", move |t: &Whole<'_>| t.duration() > 20 * MS),
    ]
}
