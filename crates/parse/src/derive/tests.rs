//! Lines in, a picture of their spans out.

use std::fmt::Write;

use proptest::prelude::*;
use weir_model::otlp::{BodyWriter, Value, span_refs};
use weir_model::{Incarnation, identity};

use super::*;
use crate::stream::{Event, Options, Stream};

const PLACE: Incarnation = Incarnation(7);
const NGINX: &str =
    "10.0.0.9 - - [25/Nov/2026:12:00:01 +0000] \"GET /orders/17?x=1 HTTP/1.1\" 200 5 \"-\" \"curl/8\"";

/// What the lines of a file yield: `kind name trace|own|request:… start+duration [status]` in milliseconds from 2026-11-25T12:00:00Z, then attributes asked for.
fn derived(lines: &str, shown: &[&str]) -> String {
    let mut out = String::new();
    let mut stream = Stream::new(Options::default(), [], 0);
    let mut emit = |event: Event<'_>| {
        let Event::Record(record) = event else { return };
        let Some(derived) = derive(&record, PLACE) else { return };
        let mut body = BodyWriter::default();
        body.resource(|_| {});
        body.scope("", "");
        derived.write(&mut body);
        assert_eq!(body.records(), derived.count() as u64);
        for span in span_refs(&body.finish()).map(|found| found.span) {
            assert_eq!(span.attrs().get(identity::DERIVED), Some(Value::Bool(true)));
            assert_eq!(span.attrs().get(identity::OFFSET).unwrap().as_int(), Some(record.start as i64));
            let millis = |nanos: u64| (nanos as i64 - 1_795_608_000_000_000_000) as f64 / 1e6;
            let took = (span.end - span.start) as f64 / 1e6;
            let parent = span.parent_span_id.map_or(String::new(), |id| match id == derived.span_id {
                true => " below".into(),
                false => format!(" below {id}"),
            });
            write!(out, "{} {:?} at {} took {took}{parent}", span.kind.name(), span.name, millis(span.start))
                .unwrap();
            if span.status.code == StatusCode::ERROR {
                write!(out, " error {:?}", span.status.message).unwrap();
            }
            for key in shown {
                if let Some(value) = span.attrs().get(key) {
                    write!(out, " {key}={value:?}").unwrap();
                }
            }
            out.push('\n');
        }
    };
    stream.push(lines.as_bytes(), &mut emit);
    stream.cut(&mut emit);
    out
}

#[track_caller]
fn check(line: &str, shown: &[&str], expect: &str) {
    let expect: String = expect.lines().map(|line| line.trim().to_owned() + "\n").collect();
    assert_eq!(derived(&format!("{line}\n"), shown), expect.trim_start_matches('\n'), "{line}");
}

#[test]
fn nginx_with_its_tries() {
    check(NGINX, &[], "");
    check(
        &format!("{NGINX} 0.250"),
        &["http.route", "url.query"],
        r#"server "GET /orders/{id}" at 750 took 250 http.route=Str("/orders/{id}") url.query=Str("x=1")"#,
    );
    check(
        &format!(
            "{NGINX} rt=0.250 ua=\"10.0.0.1:80, [::1]:81 : unix:/run/a.sock\" ust=\"502, 504 : 200\" uct=\"-, 0.001 : 0.002\" uht=\"-, - : 0.020\" urt=\"0.000, 0.100 : 0.120\""
        ),
        &[
            "server.address",
            "server.port",
            "http.response.status_code",
            "http.request.resend_count",
            "nginx.upstream_connect_time",
            "weir.ordinal",
        ],
        r#"server "GET /orders/{id}" at 750 took 250 http.response.status_code=Int(200)
           client "GET /orders/{id}" at 750 took 0 below error "" server.address=Str("10.0.0.1") server.port=Int(80) http.response.status_code=Int(502) weir.ordinal=Int(1)
           client "GET /orders/{id}" at 750 took 100 below error "" server.address=Str("::1") server.port=Int(81) http.response.status_code=Int(504) http.request.resend_count=Int(1) nginx.upstream_connect_time=Double(0.001) weir.ordinal=Int(2)
           client "GET /orders/{id}" at 850 took 120 below server.address=Str("/run/a.sock") http.response.status_code=Int(200) http.request.resend_count=Int(2) nginx.upstream_connect_time=Double(0.002) weir.ordinal=Int(3)"#,
    );
    // By shape alone, with the precise time, and a first server that did not answer.
    check(
        &format!("{NGINX} 1795608001.423 0.250 0.001, 0.120 10.0.0.1:80, 10.0.0.2:80 -, 200"),
        &["server.address"],
        r#"server "GET /orders/{id}" at 1173 took 250
           client "GET /orders/{id}" at 1173 took 1 below error "no answer" server.address=Str("10.0.0.1")
           client "GET /orders/{id}" at 1174 took 120 below server.address=Str("10.0.0.2")"#,
    );
    // Nothing passed it on.
    check(&format!("{NGINX} rt=0.001 ua=- urt=-"), &[], r#"server "GET /orders/{id}" at 999 took 1"#);
}

#[test]
fn names_and_statuses() {
    let line = |request: &str, status: u16| {
        format!("1.1.1.1 - - [25/Nov/2026:12:00:01 +0000] \"{request}\" {status} 5 \"-\" \"-\" 0.001")
    };
    check(&line("POST /a/1 HTTP/1.1", 503), &[], r#"server "POST /a/{id}" at 999 took 1 error """#);
    check(&line("GET /wp-admin HTTP/1.1", 404), &[], r#"server "GET" at 999 took 1"#);
    check(&line(r"\x16\x03\x01", 400), &[], "");
}

#[test]
fn proxies_that_write_json() {
    check(
        r#"{"time":"2026-11-25T12:00:01Z","request":"GET /a/7 HTTP/1.1","status":"200","request_time":"0.100","upstream_addr":"10.0.0.1:80","upstream_response_time":"0.090","upstream_status":"200","request_id":"r"}"#,
        &["url.path", "server.address"],
        r#"server "GET /a/{id}" at 900 took 100 url.path=Str("/a/7")
           client "GET /a/{id}" at 900 took 90 below url.path=Str("/a/7") server.address=Str("10.0.0.1")"#,
    );
    // Envoy's times are of the start, its milliseconds have no unit.
    check(
        r#"{"start_time":"2026-11-25T12:00:01.250Z","method":"GET","path":"/a/7","response_code":503,"duration":12,"upstream_host":"10.0.0.1:80","upstream_service_time":"9","traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}"#,
        &["weir.span_id"],
        r#"server "GET /a/{id}" at 1250 took 12 below b7ad6b7169203331 error "" weir.span_id=Str("b7ad6b7169203331")
           client "GET /a/{id}" at 1250 took 9 below"#,
    );
    check(
        r#"1.1.1.1 - - [25/Nov/2026:12:00:01 +0000] "GET /a HTTP/1.1" 200 5 "-" "-" duration_us=1500"#,
        &[],
        r#"server "GET /a" at 1000 took 1.5"#,
    );
}

/// Sources of the formats stand beside those of their parsers.
#[test]
fn lines_of_traefik_caddy_and_envoy() {
    check(
        r#"1.1.1.1 - - [25/Nov/2026:12:00:01 +0000] "GET /a/7 HTTP/1.1" 200 5 "-" "-" 42 "shop@docker" "http://[::1]:80/base" 250ms"#,
        &["server.address", "server.port", "RouterName"],
        r#"server "GET /a/{id}" at 1000 took 250 RouterName=Str("shop@docker")
           client "GET /a/{id}" at 1000 took 250 below server.address=Str("::1") server.port=Int(80)"#,
    );
    check(
        r#"{"DownstreamStatus":502,"Duration":2500000,"OriginDuration":2000000,"OriginStatus":500,"RequestMethod":"GET","RequestPath":"/a/7?b=1","ServiceAddr":"10.0.0.1:80","ServiceURL":"http://10.0.0.1:80","StartUTC":"2026-11-25T12:00:01.25Z","level":"info","msg":"","time":"2026-11-25T12:00:01Z"}"#,
        &["http.response.status_code", "server.address"],
        r#"server "GET /a/{id}" at 1250 took 2.5 error "" http.response.status_code=Int(502)
           client "GET /a/{id}" at 1250 took 2 below error "" http.response.status_code=Int(500) server.address=Str("10.0.0.1")"#,
    );
    check(
        r#"{"level":"info","ts":1795608001.25,"logger":"http.log.access","msg":"handled request","request":{"remote_ip":"1.1.1.1","proto":"HTTP/2.0","method":"GET","uri":"/a/7?b=1","headers":{"Traceparent":["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"]}},"duration":0.05,"size":5,"status":200}"#,
        &["url.query"],
        r#"server "GET /a/{id}" at 1200 took 50 below b7ad6b7169203331 url.query=Str("b=1")"#,
    );
    check(
        r#"[2026-11-25T12:00:01.250Z] "GET /a/7 HTTP/1.1" 503 UF 0 91 12 9 "-" "curl/8" "cc21d9b0-cf5c-432b-8c7e-98aeb7988cd2" "shop" "10.0.0.1:80""#,
        &["server.address", "response_flags"],
        r#"server "GET /a/{id}" at 1250 took 12 error "" response_flags=Str("UF")
           client "GET /a/{id}" at 1250 took 9 below server.address=Str("10.0.0.1")"#,
    );
}

#[test]
fn a_structured_line_with_ids_and_a_duration() {
    let ids = r#""trace_id":"0af7651916cd43dd8448eb211c80319c","span_id":"b7ad6b7169203331""#;
    check(
        &format!(
            r#"{{"time":"2026-11-25T12:00:01Z","level":"error","msg":"charged 17 in 30ms",{ids},"parent_id":"00f067aa0ba902b7","duration_ms":30,"card":"x"}}"#
        ),
        &["weir.span_id", "card", "duration_ms"],
        r#"internal "charged {id} in {id}" at 970 took 30 below 00f067aa0ba902b7 error "" weir.span_id=Str("b7ad6b7169203331") card=Str("x") duration_ms=Int(30)"#,
    );
    check(
        r#"time=2026-11-25T12:00:01Z level=info msg=done trace_id=0af7651916cd43dd8448eb211c80319c span_id=b7ad6b7169203331 span.kind=consumer operation="take order" took=12ms"#,
        &[],
        r#"consumer "take order" at 988 took 12"#,
    );
    // Without a span, without a duration, without a time, with one that can't be.
    check(
        r#"{"time":"2026-11-25T12:00:01Z","msg":"x","trace_id":"0af7651916cd43dd8448eb211c80319c","duration_ms":30}"#,
        &[],
        "",
    );
    check(&format!(r#"{{"time":"2026-11-25T12:00:01Z","msg":"x",{ids}}}"#), &[], "");
    check(&format!(r#"{{"msg":"x",{ids},"duration_ms":30}}"#), &[], "");
    check(
        &format!(r#"{{"time":"2026-11-25T12:00:01Z","msg":"x",{ids},"duration_ms":99999999999}}"#),
        &[],
        "",
    );
}

/// The trace of the only span that a file with this line yields.
fn trace(line: &str) -> TraceId {
    let mut found = None;
    let mut stream = Stream::new(Options::default(), [], 0);
    let mut emit = |event: Event<'_>| {
        if let Event::Record(record) = event {
            found = derive(&record, PLACE).map(|derived| derived.trace_id);
        }
    };
    stream.push(format!("{line}\n").as_bytes(), &mut emit);
    stream.cut(&mut emit);
    found.expect("a span")
}

#[test]
fn which_trace_it_belongs_to() {
    let id = "0af7651916cd43dd8448eb211c80319c";
    assert_eq!(trace(&format!("{NGINX} 0.250")), identity::derived_trace_id(PLACE, 0, 0));
    // Two hops that write down one request meet, whatever else they write.
    let by_request = identity::request_trace_id(id);
    assert_eq!(trace(&format!("{NGINX} 0.250 {id}")), by_request);
    assert_eq!(
        trace(&format!(
            r#"{{"time":"2026-11-25T12:00:01Z","method":"GET","path":"/","status":200,"duration_ms":3,"request_id":"{id}"}}"#
        )),
        by_request
    );
    // A trace that is named comes first.
    assert_eq!(trace(&format!("{NGINX} 0.250 {id} 00-{id}-b7ad6b7169203331-01")).to_string(), id);
}

#[test]
fn tries_are_bounded() {
    let list = |item: &str| vec![item; 200].join(", ");
    let line = format!("{NGINX} rt=1.000 ua=\"{}\" urt=\"{}\"", list("10.0.0.1:80"), list("0.001"));
    let found = derived(&format!("{line}\n"), &[identity::TRUNCATED]);
    assert_eq!(found.lines().count(), 1 + tries::TRIES);
    assert!(found.lines().next().unwrap().ends_with("weir.truncated=Bool(true)"), "{found}");
}

proptest! {
    /// Whatever a line says: what is derived lies within its bounds and can be written.
    #[test]
    fn never_absurd(request in "[ -~]{0,40}", status in 0u16..1000, extras in "[0-9.,:a-z=\" -]{0,60}") {
        derived(&format!("1.1.1.1 - - [25/Nov/2026:12:00:01 +0000] \"{request}\" {status} 5 \"-\" \"-\" {extras}\n"), &[]);
        derived(&format!("{NGINX} {extras}\n"), &[]);
    }
}
