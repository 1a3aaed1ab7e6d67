//! What the log lines alone tell, and what becomes of it when the real spans come.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::Value;
use weir_tests::client::Client;
use weir_tests::otlp;
use weir_tests::raw::{Line, Span};
use weir_tests::trainticket::TrainTicket;
use weir_tests::verify::{self, differ};

use crate::{config, export_all, start};

/// Flag of a span that was made of log lines.
const OBSERVED: u64 = 2;

/// How much of what is there was found, and how much of what was found is there.
#[derive(Debug, Default)]
struct Score {
    right: u64,
    found: u64,
    expected: u64,
}

impl Score {
    fn precision(&self) -> f64 {
        self.right as f64 / self.found as f64
    }

    fn recall(&self) -> f64 {
        self.right as f64 / self.expected as f64
    }
}

/// Lines of each trace.
fn by_trace(lines: &[Line]) -> BTreeMap<&str, Vec<&Line>> {
    let mut traces: BTreeMap<&str, Vec<&Line>> = BTreeMap::new();
    lines.iter().for_each(|line| traces.entry(&line.trace).or_default().push(line));
    traces
}

/// Span ids that lines name.
fn named<'a>(lines: &[&'a Line]) -> HashSet<&'a str> {
    lines.iter().map(|line| line.span.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_alone_give_observed_spans() {
    let folder = tempfile::tempdir().unwrap();
    let Some(data) = TrainTicket::load(folder.path()) else { return };
    let client = start(folder.path(), &config(&data));
    client.wait_for_totals(data.lines.len() as u64, 0).await;
    let traces = by_trace(&data.lines);
    score(&client, &data, &traces).await;
    lists_know_them(&client, &traces).await;

    // Real spans take the place of the observed ones, one by one as they come.
    let (first, second): (Vec<_>, Vec<_>) = data.spans.iter().enumerate().partition(|(n, _)| n % 2 == 0);
    let requests = |part: &[(usize, &Span)]| -> Vec<_> {
        part.chunks(2_000).map(|chunk| otlp::request(chunk.iter().map(|(_, span)| *span))).collect()
    };
    export_all(&client, &requests(&first)).await;
    client.wait_for_totals(data.lines.len() as u64, first.len() as u64).await;
    let come: HashSet<(&str, &str)> = first.iter().map(|(_, s)| (&*s.trace, &*s.span)).collect();
    for (trace, lines) in traces.iter().step_by(10) {
        let answer = client.get(&format!("/api/v1/traces/{trace}")).await;
        let mut found = HashSet::new();
        for (id, flags) in column(&answer, "id").iter().zip(column(&answer, "flags")) {
            let id = id.as_str().unwrap();
            let observed = flags.as_u64().unwrap() & OBSERVED != 0;
            assert_eq!(observed, !come.contains(&(*trace, id)), "{id} of {trace} is observed until it comes");
            assert!(found.insert(id), "{id} of {trace} is one row");
        }
        let real = come.iter().filter(|(of, _)| of == trace).map(|(_, id)| *id);
        assert_eq!(found, named(lines).into_iter().chain(real).collect(), "spans of {trace}");
    }
    export_all(&client, &requests(&second)).await;
    client.wait_for_totals(data.lines.len() as u64, data.spans.len() as u64).await;
    verify::trees(&client, &data.spans, &data.lines, 10).await;
    client.server.stop().unwrap();
}

fn column<'a>(answer: &'a Value, name: &str) -> &'a [Value] {
    answer["spans"][name].as_array().unwrap()
}

/// Every span that wrote a line is found, with its service; its parent is a guess.
async fn score(client: &Client, data: &TrainTicket, traces: &BTreeMap<&str, Vec<&Line>>) {
    let rows: HashMap<(&str, &str), &Span> = data.spans.iter().map(|s| ((&*s.trace, &*s.span), s)).collect();
    let (mut spans, mut services, mut edges) = (Score::default(), Score::default(), Score::default());
    for (trace, lines) in traces {
        let ids = named(lines);
        // The nearest ancestor that lines name too.
        let parent_of = |span: &str| {
            std::iter::successors(rows[&(*trace, span)].parent.as_deref(), |&id| {
                rows[&(*trace, id)].parent.as_deref()
            })
            .find(|id| ids.contains(id))
        };
        let answer = client.get(&format!("/api/v1/traces/{trace}")).await;
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let names: Vec<String> =
            answer["services"].as_array().unwrap().iter().map(|s| text(&s["name"])).collect();
        let found: Vec<String> = column(&answer, "id").iter().map(text).collect();
        let truth: HashSet<&str> = ids.iter().map(|id| rows[&(*trace, *id)].service.as_str()).collect();
        spans.found += found.len() as u64;
        spans.expected += ids.len() as u64;
        spans.right += found.iter().filter(|id| ids.contains(id.as_str())).count() as u64;
        services.found += names.len() as u64;
        services.expected += truth.len() as u64;
        services.right += names.iter().filter(|name| truth.contains(name.as_str())).count() as u64;
        for (id, parent) in found.iter().zip(column(&answer, "parent")) {
            let parent = usize::try_from(parent.as_i64().unwrap()).ok().map(|row| found[row].as_str());
            let truth = parent_of(id);
            edges.found += u64::from(parent.is_some());
            edges.expected += u64::from(truth.is_some());
            edges.right += u64::from(truth.is_some() && parent == truth);
        }
        let observed = column(&answer, "flags").iter().all(|flags| flags.as_u64().unwrap() & OBSERVED != 0);
        assert!(observed, "{trace}: no span has come, so all are marked as observed");
    }
    for (what, score) in [("spans", &spans), ("services", &services), ("parents", &edges)] {
        println!(
            "from logs alone, {what}: precision {:.4}, recall {:.4} of {}",
            score.precision(),
            score.recall(),
            score.expected
        );
    }
    assert_eq!((spans.right, spans.found), (35_709, 35_709));
    assert_eq!((services.precision(), services.recall()), (1.0, 1.0));
    // The guide states these figures.
    assert_eq!(edges.expected, 32_557);
    let per_mille = |share: f64| (share * 1000.0).round() as u64;
    assert_eq!((per_mille(edges.precision()), per_mille(edges.recall())), (995, 958), "{edges:?}");
}

/// Lists know a trace of which only lines came: how many, how many of them errors, and when.
async fn lists_know_them(client: &Client, traces: &BTreeMap<&str, Vec<&Line>>) {
    let errors = |lines: &[&Line]| lines.iter().filter(|line| line.severity == "ERROR").count() as u64;
    let first = |lines: &[&Line]| lines.iter().filter_map(|line| line.time).min().unwrap();
    let told = |id: &str, start: u64, logs: u64, errors: u64| format!("{id} {start} {logs} {errors}");
    let expect: BTreeMap<String, u64> = traces
        .iter()
        .map(|(id, lines)| (told(id, first(lines), lines.len() as u64, errors(lines)), 1))
        .collect();
    let listed = client.list("/api/v1/traces?q=", "traces").await;
    let found = listed.iter().map(|trace| {
        assert_eq!((&trace["spans"], &trace["root"]), (&0.into(), &Value::Null));
        let number = |key: &str| trace[key].as_u64().unwrap();
        let start = trace["start"].as_str().unwrap().parse().unwrap();
        (told(trace["traceId"].as_str().unwrap(), start, number("logs"), number("errorLogs")), 1)
    });
    differ("traces that only lines tell of", &expect, &found.collect());
    let answer = client.get("/api/v1/traces/scatter?q=&limit=20000").await;
    assert_eq!(answer["total"]["value"], traces.len() as u64);
}
