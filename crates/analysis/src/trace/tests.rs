//! Traces as data: a picture of the spans in, a picture of the rows out.

use std::fmt::Write;

use proptest::prelude::*;
use weir_model::otlp::{BodyWriter, LogWriter, SpanKind, SpanWriter, StatusCode, log_refs, span_refs};
use weir_model::{Severity, SpanId, TraceId, identity};

use super::*;

fn id(n: u64) -> SpanId {
    SpanId::new(n.to_be_bytes()).unwrap()
}

fn kind(letter: &str) -> SpanKind {
    match letter {
        "s" => SpanKind::SERVER,
        "c" => SpanKind::CLIENT,
        _ => SpanKind::INTERNAL,
    }
}

/// Encodes spans given as lines `id parent service kind start end [key=value…]`; parent 0 is none.
fn encode(spans: &str) -> Vec<u8> {
    let mut body = BodyWriter::default();
    for line in spans.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |at: usize| words[at].parse::<u64>().unwrap();
        body.resource(|attrs| {
            attrs.str("service.name", words[2]);
            attrs.str(identity::INCARNATION, "f");
        });
        body.scope("", "");
        body.record(|out| {
            let mut span = SpanWriter::new(out, TraceId::from_low(7).unwrap(), id(number(0)));
            if number(1) != 0 {
                span.parent(id(number(1)));
            }
            span.name(&format!("op{}", words[0]));
            span.kind(kind(words[3]));
            span.times(number(4), number(5));
            for (key, value) in words[6..].iter().filter_map(|word| word.split_once('=')) {
                match (key, value.parse::<i64>()) {
                    ("derived", _) => span.attrs().bool(identity::DERIVED, true),
                    ("line", Ok(offset)) => span.attrs().int(identity::OFFSET, offset),
                    ("status", _) => span.status(StatusCode::ERROR, ""),
                    (key, Ok(number)) if key.ends_with("status_code") => span.attrs().int(key, number),
                    _ => span.attrs().str(key, value),
                }
            }
        });
    }
    body.finish()
}

/// Encodes lines `span service time severity [offset [words…]]`.
fn encode_logs(logs: &str) -> Vec<u8> {
    let mut body = BodyWriter::default();
    for line in logs.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        body.resource(|attrs| {
            attrs.str("service.name", words[1]);
            attrs.str(identity::INCARNATION, "f");
        });
        body.scope("", "");
        body.record(|out| {
            let mut log = LogWriter::new(out);
            log.trace_id(TraceId::from_low(7).unwrap());
            if words[0] != "0" {
                log.span_id(id(words[0].parse().unwrap()));
            }
            log.time(words[2].parse().unwrap());
            log.severity(Severity(words[3].parse().unwrap()), "");
            log.body(&words.get(5..).unwrap_or_default().join(" "));
            if let Some(offset) = words.get(4) {
                log.attrs().int(identity::OFFSET, offset.parse().unwrap());
            }
        });
    }
    body.finish()
}

/// Draws a trace: `depth id service start-end self=n [flags] [logs]`, then notes, then the critical path.
fn draw(trace: &Trace<'_>) -> String {
    let mut out = String::new();
    let mut depth: Vec<usize> = Vec::new();
    // The id of a pair of lines is a hash.
    let short = |row: usize| {
        let row = &trace.rows[row];
        match (row.id.map_or(0, |id| u64::from_be_bytes(*id.as_bytes())), trace.operations[row.operation]) {
            (id, pair) if id > 1 << 32 => pair.replace(' ', "_"),
            (id, _) => id.to_string(),
        }
    };
    for (at, row) in trace.rows.iter().enumerate() {
        let level = row.parent.map_or(0, |parent| depth[parent] + 1);
        depth.push(level);
        let dots = ".".repeat(level);
        let name = short(at);
        write!(
            out,
            "{dots}{name} {} {}-{} self={}",
            trace.services[row.service], row.start, row.end, row.self_time
        )
        .unwrap();
        if row.flags.0 != 0 {
            write!(out, " flags={}", row.flags.0).unwrap();
        }
        if row.logs != 0 {
            write!(out, " logs={}/{}/{}", row.logs, row.error_logs, row.worst_log.0).unwrap();
        }
        out.push('\n');
    }
    for note in &trace.notes {
        writeln!(out, "note {} {} {}", short(note.row), note.kind.name(), note.ns).unwrap();
    }
    let path: Vec<_> =
        trace.critical.iter().map(|s| format!("{}:{}-{}", short(s.row), s.from, s.to)).collect();
    writeln!(out, "path {}", path.join(" ")).unwrap();
    let shares: Vec<_> =
        trace.shares.iter().map(|share| format!("{}={}", trace.services[share.service], share.ns)).collect();
    writeln!(out, "where {}", shares.join(" ")).unwrap();
    out
}

#[track_caller]
fn check(spans: &str, logs: &str, expect: &str) {
    let (spans, logs) = (encode(spans), encode_logs(logs));
    let spans: Vec<_> = span_refs(&spans).collect();
    let logs: Vec<_> = log_refs(&logs).collect();
    let trace = assemble(&spans, &logs);
    holds(&trace, spans.len());
    let expect: String = expect.lines().map(|line| line.trim().to_owned() + "\n").skip(1).collect();
    pretty(&draw(&trace), expect.trim_end());
}

#[track_caller]
fn pretty(found: &str, expect: &str) {
    assert_eq!(found.trim_end(), expect, "\nfound:\n{found}");
}

#[test]
fn a_call_and_its_parts() {
    check(
        "3 1 b s 50 90
         1 0 a s 0 100
         2 1 a i 10 40",
        "",
        "
        1 a 0-100 self=30
        .2 a 10-40 self=30
        .3 b 50-90 self=40
        path 1:0-10 2:10-40 1:40-50 3:50-90 1:90-100
        where a=60 b=40",
    );
}

#[test]
fn of_parallel_children_the_last_one_is_waited_for() {
    check(
        "1 0 a s 0 100
         2 1 b s 0 50
         3 1 c s 10 100
         4 3 d s 20 60
         5 3 e s 30 70",
        "",
        "
        1 a 0-100 self=0
        .2 b 0-50 self=50
        .3 c 10-100 self=40
        ..4 d 20-60 self=40
        ..5 e 30-70 self=40
        path 1:0-10 3:10-30 5:30-70 3:70-100
        where c=50 e=40 a=10",
    );
}

#[test]
fn work_after_the_roots_end_is_on_the_path() {
    check(
        "1 0 a s 0 100
         2 1 b s 20 150
         3 1 c s 160 200
         4 1 d s 90 110",
        "",
        "
        1 a 0-100 self=20
        .2 b 20-150 self=130 flags=8
        .4 d 90-110 self=20 flags=8
        .3 c 160-200 self=40 flags=8
        note 2 ends-after-parent 50
        note 4 ends-after-parent 10
        note 3 starts-after-parent-end 60
        path 1:0-20 2:20-150 1:150-160 3:160-200
        where b=130 c=40 a=30",
    );
}

#[test]
fn a_client_and_a_server_with_one_id() {
    check(
        "1 0 a s 0 100
         2 1 a c 10 90
         2 1 b s 20 80
         3 2 b i 30 40",
        "",
        "
        1 a 0-100 self=20
        .2 a 10-90 self=20
        ..2 b 20-80 self=50
        ...3 b 30-40 self=10
        path 1:0-10 2:10-20 2:20-30 3:30-40 2:40-80 2:80-90 1:90-100
        where b=60 a=40",
    );
}

#[test]
fn repeated_ids_orphans_and_cycles() {
    check(
        "1 0 a s 0 100
         2 1 a i 10 20
         2 1 a i 30 40
         4 9 b s 50 60
         5 6 c i 70 80
         6 5 c i 72 78
         7 7 d i 90 95",
        "",
        "
        1 a 0-100 self=80
        .2 a 10-20 self=10
        .2 a 30-40 self=10
        4 b 50-60 self=10 flags=4
        5 c 70-80 self=4
        .6 c 72-78 self=6
        7 d 90-95 self=5
        note 2 duplicate-id 0
        note 4 missing-parent 0
        note 5 cycle 0
        note 7 cycle 0
        path 1:0-10 2:10-20 1:20-30 2:30-40 1:40-50 4:50-60 1:60-70 5:70-72 6:72-78 5:78-80 1:80-90 7:90-95 1:95-100
        where a=75 b=10 c=10 d=5",
    );
}

#[test]
fn clocks_that_differ_are_told_not_corrected() {
    check(
        "1 0 a s 100 200
         2 1 b s 90 150",
        "",
        "
        1 a 100-200 self=50
        .2 b 90-150 self=60 flags=16
        note 2 starts-before-parent 10
        path 2:100-150 1:150-200
        where a=50 b=50",
    );
}

#[test]
fn without_a_root_the_first_span_takes_its_place() {
    check(
        "2 1 a s 10 50
         3 1 b s 60 90",
        "",
        "
        2 a 10-50 self=40 flags=4
        3 b 60-90 self=30 flags=4
        note 2 missing-parent 0
        note 3 missing-parent 0
        path 2:10-60 3:60-90
        where a=50 b=30",
    );
}

#[test]
fn lines_alone_give_observed_spans() {
    check(
        "",
        "1 a 10 9
         2 b 20 9
         2 b 30 17
         1 a 60 9
         0 c 70 9",
        "
        1 a 10-60 self=40 flags=2 logs=2/0/9
        .2 b 20-30 self=10 flags=66 logs=2/1/17
        path 1:10-20 2:20-30 1:30-60
        where a=40 b=10",
    );
}

#[test]
fn the_parent_of_an_observed_span_contains_it_and_began_last() {
    check(
        "",
        "1 a 10 9
         1 a 90 9
         2 b 20 9
         2 b 60 9
         3 c 30 9
         3 c 50 9
         4 d 55 9
         4 d 70 9",
        "
        1 a 10-90 self=30 flags=2 logs=2/0/9
        .2 b 20-60 self=20 flags=66 logs=2/0/9
        ..3 c 30-50 self=20 flags=66 logs=2/0/9
        .4 d 55-70 self=15 flags=66 logs=2/0/9
        path 1:10-55 4:55-70 1:70-90
        where a=65 d=15",
    );
}

#[test]
fn an_observed_span_never_stands_below_what_names_it_as_its_parent() {
    check(
        "2 1 b s 10 90",
        "1 a 20 9
         1 a 30 9",
        "
        1 a 20-30 self=0 flags=2 logs=2/0/9
        .2 b 10-90 self=80 flags=24
        note 2 starts-before-parent 10
        note 2 ends-after-parent 60
        path 2:10-90
        where b=80",
    );
}

#[test]
fn a_real_span_takes_the_place_of_an_observed_one() {
    check(
        "1 0 a s 0 100",
        "1 a 10 9
         2 b 20 13
         1 a 120 9",
        "
        1 a 0-100 self=100 logs=2/0/9
        .2 b 20-20 self=0 flags=66 logs=1/0/13
        path 1:0-100
        where a=100",
    );
}

#[test]
fn lines_of_a_shared_id_go_to_their_service() {
    check(
        "2 0 a c 10 90
         2 0 b s 20 80",
        "2 b 30 9
         2 a 15 9
         2 b 31 17",
        "
        2 a 10-90 self=20 logs=1/0/9
        .2 b 20-80 self=60 logs=2/1/17
        path 2:10-20 2:20-80 2:80-90
        where b=60 a=20",
    );
}

#[test]
fn a_derived_span_joins_the_real_one() {
    // By name, by request, by time; the fourth is another call.
    check(
        "1 0 a s 0 900000000
         2 1 web s 100000000 200000000
         3 1 web s 300000000 400000000 http.request.id=r1
         4 1 web s 500000000 600000000 http.request.method=GET http.response.status_code=200
         12 1 web s 150000000 160000000 derived=1 weir.span_id=0000000000000002
         13 1 web s 320000000 330000000 derived=1 http.request.id=r1
         14 1 web s 501000000 599000000 derived=1 http.request.method=GET
         15 1 web s 501000000 599000000 derived=1 http.request.method=POST
         20 14 api c 510000000 520000000 derived=1",
        "",
        "
        1 a 0-900000000 self=600000000
        .2 web 100000000-200000000 self=100000000 flags=32
        .3 web 300000000-400000000 self=100000000 flags=32
        .4 web 500000000-600000000 self=90000000 flags=32
        ..20 api 510000000-520000000 self=10000000 flags=1
        .15 web 501000000-599000000 self=98000000 flags=1
        path 1:0-100000000 2:100000000-200000000 1:200000000-300000000 3:300000000-400000000 1:400000000-500000000 4:500000000-510000000 20:510000000-520000000 4:520000000-600000000 1:600000000-900000000
        where a=600000000 web=290000000 api=10000000",
    );
}

#[test]
fn a_derived_span_stands_for_the_real_one_until_it_comes() {
    check(
        "12 0 web s 10 50 derived=1 weir.span_id=0000000000000002
         3 2 api s 20 30",
        "2 web 25 17",
        "
        12 web 10-50 self=30 flags=1 logs=1/1/17
        .3 api 20-30 self=10
        path 12:10-20 3:20-30 12:30-50
        where web=30 api=10",
    );
}

#[test]
fn the_id_in_a_header_is_the_callers_or_its_own() {
    // The caller's client span is reported: the gateway's request stands below it, and what passed the header on beside it.
    check(
        "1 0 shop c 100000000 300000000
         12 1 gateway s 110000000 290000000 derived=1 weir.span_id=0000000000000001
         13 12 gateway c 120000000 280000000 derived=1",
        "",
        "
        1 shop 100000000-300000000 self=20000000
        .12 gateway 110000000-290000000 self=20000000 flags=1
        ..13 gateway 120000000-280000000 self=160000000 flags=1
        path 1:100000000-110000000 12:110000000-120000000 13:120000000-280000000 12:280000000-290000000 1:290000000-300000000
        where gateway=180000000 shop=20000000",
    );
    // Nobody reported the caller: the request stands for it, and what names the same header is behind its try.
    check(
        "12 1 gateway s 110 290 derived=1 weir.span_id=0000000000000001
         13 12 gateway c 120 280 derived=1
         20 1 api s 130 270",
        "",
        "
        12 gateway 110-290 self=20 flags=1
        .13 gateway 120-280 self=20 flags=1
        ..20 api 130-270 self=140 flags=64
        path 12:110-120 13:120-130 20:130-270 13:270-280 12:280-290
        where api=140 gateway=40",
    );
    // The file is called otherwise than the service, but the request took as long as the span.
    check(
        "2 0 shop s 100000000 300000000
         12 0 access s 101000000 300000000 derived=1 weir.span_id=0000000000000002",
        "",
        "
        2 shop 100000000-300000000 self=200000000 flags=32
        path 2:100000000-300000000
        where shop=200000000",
    );
}

#[test]
fn what_is_behind_a_proxy() {
    // Two hops that share a request's id and know of no trace; the first try of each failed.
    check(
        "12 0 edge s 100000000 400000000 derived=1
         13 12 edge c 100000000 390000000 derived=1
         22 0 gateway s 110000000 380000000 derived=1
         23 22 gateway c 110000000 111000000 derived=1
         24 22 gateway c 111000000 370000000 derived=1",
        "",
        "
        12 edge 100000000-400000000 self=10000000 flags=1
        .13 edge 100000000-390000000 self=20000000 flags=1
        ..22 gateway 110000000-380000000 self=10000000 flags=65
        ...23 gateway 110000000-111000000 self=1000000 flags=1
        ...24 gateway 111000000-370000000 self=259000000 flags=1
        path 13:100000000-110000000 23:110000000-111000000 24:111000000-370000000 22:370000000-380000000 13:380000000-390000000 12:390000000-400000000
        where gateway=270000000 edge=30000000",
    );
    // The reported caller's header was passed on: the api names it too, but came through the gateway. The other one did not fit into the try.
    check(
        "1 0 shop c 100000000 400000000
         12 1 gateway s 110000000 390000000 derived=1 weir.span_id=0000000000000001
         13 12 gateway c 120000000 300000000 derived=1
         30 1 api s 130000000 290000000
         31 1 other s 130000000 350000000",
        "",
        "
        1 shop 100000000-400000000 self=20000000
        .12 gateway 110000000-390000000 self=100000000 flags=1
        ..13 gateway 120000000-300000000 self=20000000 flags=1
        ...30 api 130000000-290000000 self=160000000 flags=64
        .31 other 130000000-350000000 self=220000000
        path 1:100000000-110000000 12:110000000-120000000 13:120000000-130000000 30:130000000-290000000 13:290000000-300000000 12:300000000-390000000 1:390000000-400000000
        where api=160000000 gateway=120000000 shop=20000000",
    );
}

#[test]
fn lines_that_tell_of_steps_stand_below_their_span() {
    check(
        "2 0 shop s 100000000 300000000
         12 0 shop i 150000000 170000000 derived=1 weir.span_id=0000000000000002
         13 0 shop i 101000000 299000000 derived=1 weir.span_id=0000000000000002",
        "",
        "
        2 shop 100000000-300000000 self=180000000 flags=32
        .12 shop 150000000-170000000 self=20000000 flags=1
        path 2:100000000-150000000 12:150000000-170000000 2:170000000-300000000
        where shop=200000000",
    );
    check(
        "12 0 shop i 150 170 derived=1 weir.span_id=0000000000000002
         13 0 shop i 101 299 derived=1 weir.span_id=0000000000000002",
        "2 shop 160 9",
        "
        13 shop 101-299 self=178 flags=1 logs=1/0/9
        .12 shop 150-170 self=20 flags=1
        path 13:101-150 12:150-170 13:170-299
        where shop=198",
    );
}

#[test]
fn a_line_that_counts_in_whole_seconds() {
    // It says 3 s; the real span ended at 3.4 s. The paths tell the two calls apart, and the try goes with its request.
    check(
        "1 0 web s 3100000000 3400000000 url.path=/a
         2 0 web s 3150000000 3450000000 url.path=/b
         12 0 web s 2699000000 3000000000 derived=1 url.path=/b
         13 12 web c 2699000000 2999000000 derived=1",
        "",
        "
        1 web 3100000000-3400000000 self=300000000
        2 web 3150000000-3450000000 self=1000000 flags=32
        .13 web 3149000000-3449000000 self=300000000 flags=17
        note 13 starts-before-parent 1000000
        path 1:3100000000-3150000000 13:3150000000-3449000000 2:3449000000-3450000000
        where web=350000000",
    );
}

#[test]
fn a_line_stands_on_the_span_that_it_yielded() {
    check(
        "1 0 shop c 100000000 300000000
         12 1 gateway s 110000000 290000000 derived=1 line=40 weir.span_id=0000000000000001
         13 1 gateway s 110000000 120000000 derived=1 line=80",
        "1 gateway 290000000 9 40 started x
         1 gateway 290000000 9 41
         0 gateway 290000000 17 80",
        "
        1 shop 100000000-300000000 self=20000000 logs=1/0/9
        .12 gateway 110000000-290000000 self=180000000 flags=1 logs=1/0/9
        .13 gateway 110000000-120000000 self=10000000 flags=1 logs=1/1/17
        path 1:100000000-110000000 12:110000000-290000000 1:290000000-300000000
        where gateway=180000000 shop=20000000",
    );
}

#[test]
fn a_beginning_and_its_end() {
    // Of a reported span, of none, of one that only its lines tell of; a beginning without an end and one of another service are nothing.
    check(
        "1 0 shop s 0 900",
        "1 shop 100 9 1 started charge card
         1 shop 300 9 2 charge card finished in 200 ns
         0 shop 400 9 3 Beginning: refund
         0 shop 450 9 4 begin refund
         0 shop 460 9 5 refund failed
         0 shop 500 9 6 refund done
         7 mail 600 9 7 started mail
         7 mail 650 9 8 hello
         7 mail 700 9 9 mail done
         0 shop 710 9 10 started nothing
         0 mail 720 9 11 nothing done",
        "
        1 shop 0-900 self=500 logs=2/0/9
        .charge_card shop 100-300 self=200 flags=2
        .refund shop 400-500 self=90 flags=66 logs=2/0/9
        ..refund shop 450-460 self=10 flags=66 logs=2/0/9
        .7 mail 600-700 self=100 flags=66 logs=3/0/9
        path 1:0-100 charge_card:100-300 1:300-400 refund:400-450 refund:450-460 refund:460-500 1:500-600 7:600-700 1:700-900
        where shop=800 mail=100",
    );
}

#[test]
fn tags() {
    for (kind, attributes, expect) in [
        (
            "s",
            "http.request.method=GET http.route=/cart/{id} url.path=/cart/7 http.response.status_code=503",
            "GET /cart/{id} 503",
        ),
        ("c", "http.request.method=GET url.full=http://b/x", "GET http://b/x"),
        ("c", "db.system.name=mysql db.query.summary=SELECT db.query.text=no", "mysql SELECT"),
        ("c", "db.system=redis db.operation=GET", "redis GET"),
        ("c", "rpc.service=Cart rpc.method=Add", "Cart/Add"),
        ("c", "messaging.system=kafka messaging.destination.name=orders", "kafka orders"),
        ("i", "code.function=x", ""),
    ] {
        let body = encode(&format!("1 0 a {kind} 0 1 {attributes}"));
        let spans: Vec<_> = span_refs(&body).collect();
        assert_eq!(assemble(&spans, &[]).rows[0].tag, expect, "{attributes}");
    }
}

#[test]
fn a_chain_of_a_hundred_thousand_calls() {
    let mut spans = String::new();
    for n in 1..=100_000_u64 {
        writeln!(spans, "{n} {} a i {n} {}", n - 1, 300_000 - n).unwrap();
    }
    let body = encode(&spans);
    let spans: Vec<_> = span_refs(&body).collect();
    let trace = assemble(&spans, &[]);
    assert_eq!(trace.rows.last().unwrap().parent, Some(99_998));
    holds(&trace, spans.len());
}

/// What is true of every trace.
#[track_caller]
fn holds(trace: &Trace<'_>, spans: usize) {
    let mut seen = vec![0; spans];
    for (at, row) in trace.rows.iter().enumerate() {
        if let Origin::Span { span, derived } = row.origin {
            seen[span] += 1;
            derived.into_iter().for_each(|span| seen[span] += 1);
        }
        assert!(row.parent.is_none_or(|parent| parent < at), "row {at} stands before its parent");
        assert!(row.self_time <= row.duration());
    }
    assert!(seen.iter().all(|&times| times == 1), "each span is in one row: {seen:?}");
    let mut at = trace.start;
    for segment in &trace.critical {
        assert_eq!(segment.from, at, "a gap or overlap in {:?}", trace.critical);
        assert!(segment.to > segment.from);
        at = segment.to;
    }
    assert_eq!(at, trace.start + trace.duration, "the path covers the trace");
    assert_eq!(trace.shares.iter().map(|share| share.ns).sum::<u64>(), trace.duration);
}

proptest! {
    #[test]
    fn any_spans_make_a_trace(
        spans in prop::collection::vec((1..12_u64, 0..14_u64, 0..3_u8, 0..5_u8, 0..60_u64, 0..60_u64), 0..24),
        logs in prop::collection::vec((0..20_u64, 0..90_u64), 0..6),
    ) {
        let mut text = String::new();
        for (id, parent, service, kind, start, length) in &spans {
            let kind = ["s", "c", "i", "s", "c"][*kind as usize];
            let derived = if id % 5 == 0 { "derived=1" } else { "" };
            writeln!(text, "{id} {parent} {} {kind} {start} {} {derived}", ["a", "b", "c"][*service as usize], start + length).unwrap();
        }
        let lines: String = logs.iter().map(|(span, time)| format!("{span} a {time} 9\n")).collect();
        let (body, lines) = (encode(&text), encode_logs(&lines));
        let spans: Vec<_> = span_refs(&body).collect();
        let logs: Vec<_> = log_refs(&lines).collect();
        let trace = assemble(&spans, &logs);
        holds(&trace, spans.len());
        let mut reversed = spans.clone();
        reversed.reverse();
        let again = assemble(&reversed, &logs);
        holds(&again, spans.len());
        // Which of several equal spans a line joins depends on their order, and it may end later than they do.
        if trace.rows.iter().chain(&again.rows).all(|row| !row.flags.has(Flags::JOINED)) {
            prop_assert_eq!((again.start, again.duration), (trace.start, trace.duration));
        }
    }
}
