//! What a running Weir finds, compared with a scan of the raw records: searches, trees, lines by their id.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use futures::StreamExt;
use serde_json::Value as Json;

use crate::client::{Client, encode};
use crate::raw::{Line, Span, count_by};

/// Lists longer than this are compared by their totals and counts alone.
const LISTED: usize = 30_000;
/// Requests that are under way at a time.
const AT_ONCE: usize = 8;

/// A search, and which records satisfy it.
pub struct Search<'a, T> {
    q: String,
    /// Half open, nanoseconds since the Unix epoch.
    range: Option<(u64, u64)>,
    holds: Box<dyn Fn(&T) -> bool + 'a>,
}

/// A search over all times.
pub fn search<'a, T>(q: impl Into<String>, holds: impl Fn(&T) -> bool + 'a) -> Search<'a, T> {
    Search { q: q.into(), range: None, holds: Box::new(holds) }
}

impl<T> Search<'_, T> {
    pub fn within(self, from: u64, to: u64) -> Self {
        Self { range: Some((from, to)), ..self }
    }

    fn covers(&self, time: u64) -> bool {
        self.range.is_none_or(|(from, to)| from <= time && time < to)
    }

    fn query(&self) -> String {
        let range = self.range.map_or(String::new(), |(from, to)| format!("&from={from}&to={to}"));
        format!("q={}{range}", encode(&self.q))
    }
}

/// Totals, counts by service and, unless they are very many, the lines themselves are what a scan finds.
pub async fn logs(client: &Client, lines: &[Line], searches: &[Search<'_, Line>]) {
    for search in searches {
        let expect: Vec<&Line> = lines
            .iter()
            .filter(|line| (search.holds)(line))
            .filter(|line| search.range.is_none() || line.time.is_some_and(|time| search.covers(time)))
            .collect();
        groups(client, "logs", search, expect.iter().map(|line| line.service.as_str())).await;
        if expect.len() <= LISTED {
            let found = client.list(&format!("/api/v1/logs?{}", search.query()), "logs").await;
            let found = count_by(&found, |log| shown(log));
            let expect = count_by(expect, |line| told(line));
            differ(&search.q, &expect, &found);
        }
    }
}

fn shown(log: &Json) -> String {
    let text = |key: &str| log[key].as_str().unwrap_or_default();
    format!("{} {} {} {}", text("service"), text("traceId"), text("spanId"), text("body"))
}

fn told(line: &Line) -> String {
    format!("{} {} {} {}", line.service, line.trace, line.span, line.body)
}

/// Fails with some of what is missing or too much.
pub fn differ(what: &str, expect: &BTreeMap<String, u64>, found: &BTreeMap<String, u64>) {
    if expect == found {
        return;
    }
    let beyond = |a: &BTreeMap<String, u64>, b: &BTreeMap<String, u64>| -> Vec<String> {
        let more = a.iter().filter(|(key, count)| b.get(*key).unwrap_or(&0) < count);
        more.take(5).map(|(key, count)| format!("{count}x {key:.300}")).collect()
    };
    panic!("{what}: missing {:#?}, too much {:#?}", beyond(expect, found), beyond(found, expect));
}

async fn groups<'a, T>(
    client: &Client,
    signal: &str,
    search: &Search<'_, T>,
    services: impl Iterator<Item = &'a str>,
) {
    let expect = count_by(services, |service| (*service).to_owned());
    let path = format!("/api/v1/{signal}/groups?{}&by=service&limit=1000", search.query());
    let answer = client.get(&path).await;
    let (total, found) = counted(&answer);
    differ(&format!("{signal} {}", search.q), &expect, &found);
    assert_eq!(total, expect.values().sum::<u64>(), "{signal} {}", search.q);
}

/// Total and counts of an answer in groups.
pub fn counted(answer: &Json) -> (u64, BTreeMap<String, u64>) {
    assert_eq!(answer["total"]["exact"], true);
    let groups = answer["groups"].as_array().unwrap().iter();
    let groups = groups.map(|g| (g["value"].as_str().unwrap().to_owned(), g["count"].as_u64().unwrap()));
    (answer["total"]["value"].as_u64().unwrap(), groups.collect())
}

/// Totals and counts by service of spans, and the traces that have such spans with the number of them, are what a scan finds.
pub async fn spans(client: &Client, spans: &[Span], searches: &[Search<'_, Span>]) {
    for search in searches {
        let expect: Vec<&Span> =
            spans.iter().filter(|span| (search.holds)(span) && search.covers(span.start)).collect();
        groups(client, "spans", search, expect.iter().map(|span| span.service.as_str())).await;
        let expect: BTreeSet<String> = expect.iter().map(|span| span.trace.clone()).collect();
        let found = trace_ids(client, &search.query()).await;
        assert_eq!(found.len(), expect.len(), "traces {}", search.q);
        assert!(found == expect, "traces {}: other ones", search.q);
    }
}

async fn trace_ids(client: &Client, query: &str) -> BTreeSet<String> {
    let answer = client.get(&format!("/api/v1/traces/scatter?{query}&limit=20000")).await;
    let ids = answer["traceId"].as_array().unwrap();
    assert_eq!(answer["total"]["value"], ids.len() as u64, "{query}");
    ids.iter().map(|id| id.as_str().unwrap().to_owned()).collect()
}

/// A whole trace as a scan sees it.
pub struct Whole<'a> {
    pub spans: Vec<&'a Span>,
}

impl Whole<'_> {
    /// Root start to last end; first start where there is no root.
    pub fn duration(&self) -> u64 {
        let root = self.spans.iter().filter(|span| span.parent.is_none()).map(|span| span.start).min();
        let first = self.spans.iter().map(|span| span.start).min();
        let end = self.spans.iter().map(|span| span.end).max();
        end.unwrap_or(0).saturating_sub(root.or(first).unwrap_or(0))
    }

    pub fn root(&self) -> Option<&Span> {
        self.spans.iter().find(|span| span.parent.is_none()).copied()
    }

    pub fn errors(&self) -> usize {
        self.spans.iter().filter(|span| span.error).count()
    }
}

/// Searches of whole traces find those that a scan finds, and those alone.
pub async fn traces<'a>(client: &Client, spans: &'a [Span], searches: &[Search<'_, Whole<'a>>]) {
    let mut whole: BTreeMap<&str, Whole<'_>> = BTreeMap::new();
    for span in spans {
        whole.entry(&span.trace).or_insert_with(|| Whole { spans: Vec::new() }).spans.push(span);
    }
    for search in searches {
        let starts_in = |trace: &Whole<'_>| trace.spans.iter().any(|span| search.covers(span.start));
        let matching = whole.iter().filter(|(_, trace)| (search.holds)(trace) && starts_in(trace));
        let expect: BTreeSet<String> = matching.map(|(id, _)| (*id).to_owned()).collect();
        let found = trace_ids(client, &search.query()).await;
        assert_eq!(found.len(), expect.len(), "traces {}", search.q);
        assert!(found == expect, "traces {}: other ones", search.q);
    }
}

/// Every tree is the input's; every line of it stands on its span and is the same when asked for by its id. Returns how many lines were asked
/// for. Span ids must be unique in each trace.
pub async fn trees(client: &Client, spans: &[Span], lines: &[Line], every: usize) -> usize {
    let mut by_trace: BTreeMap<&str, Vec<&Span>> = BTreeMap::new();
    spans.iter().for_each(|span| by_trace.entry(&span.trace).or_default().push(span));
    let mut by_line: HashMap<&str, Vec<&Line>> = HashMap::new();
    lines.iter().for_each(|line| by_line.entry(&line.trace).or_default().push(line));
    let checks = by_trace.iter().step_by(every).map(|(trace, spans)| {
        let lines = by_line.get(trace).map_or(&[][..], Vec::as_slice);
        tree(client, trace, spans, lines)
    });
    futures::stream::iter(checks).buffer_unordered(AT_ONCE).fold(0, async |sum, count| sum + count).await
}

async fn tree(client: &Client, trace: &str, spans: &[&Span], lines: &[&Line]) -> usize {
    let answer = client.get(&format!("/api/v1/traces/{trace}")).await;
    let column = |name: &str| answer["spans"][name].as_array().unwrap();
    let ids: Vec<&str> = column("id").iter().map(|id| id.as_str().unwrap()).collect();
    let named = |list: &str, row: &Json| answer[list][row.as_u64().unwrap() as usize].clone();
    let start: u64 = answer["start"].as_str().unwrap().parse().unwrap();
    let mut found: BTreeMap<&str, (Option<&str>, String, String, u64, u64)> = BTreeMap::new();
    for (row, id) in ids.iter().enumerate() {
        let parent = usize::try_from(column("parent")[row].as_i64().unwrap()).ok().map(|p| ids[p]);
        let service = named("services", &column("service")[row])["name"].as_str().unwrap().to_owned();
        let name = named("operations", &column("operation")[row]).as_str().unwrap().to_owned();
        let from = start.wrapping_add_signed(column("startNs")[row].as_i64().unwrap());
        found.insert(id, (parent, service, name, from, column("durationNs")[row].as_u64().unwrap()));
    }
    let known: HashSet<&str> = spans.iter().map(|span| span.span.as_str()).collect();
    let expect = spans.iter().map(|span| {
        let parent = span.parent.as_deref().filter(|parent| known.contains(parent));
        (&*span.span, (parent, span.service.clone(), span.name.clone(), span.start, span.duration()))
    });
    assert_eq!(ids.len(), spans.len(), "spans of {trace}");
    assert_eq!(found, expect.collect(), "the tree of {trace}");

    let answer = client.get(&format!("/api/v1/traces/{trace}/logs?limit=1000")).await;
    let logs = answer["logs"].as_array().unwrap();
    for log in logs {
        let row = usize::try_from(log["span"].as_i64().unwrap()).ok();
        let stands_on = row.map_or("", |row| ids[row]);
        let span = log["spanId"].as_str().unwrap();
        let expect = if known.contains(span) { span } else { "" };
        assert_eq!(stands_on, expect, "a line of {trace} stands on its span");
    }
    let expect = count_by(lines.iter().copied(), |line| told(line));
    differ(&format!("lines of {trace}"), &expect, &count_by(logs, |log| shown(log)));
    for log in logs {
        back(client, log).await;
    }
    logs.len()
}

/// A line asked for by its id is the one that the list had.
async fn back(client: &Client, log: &Json) {
    let again = client.get(&format!("/api/v1/logs/{}", encode(log["id"].as_str().unwrap()))).await;
    for key in ["id", "time", "service", "body", "traceId", "spanId", "attributes"] {
        assert_eq!(again[key], log[key], "{key} of a line asked for by its id");
    }
}

/// All pages of a list while `more` makes data arrive: what was there when the first page was asked for comes once, and nothing else.
pub async fn paged(
    client: &Client,
    path: &str,
    list: &str,
    id: &str,
    expect: u64,
    mut more: impl AsyncFnMut(),
) {
    let mut seen: HashSet<String> = HashSet::new();
    let mut before = u64::MAX;
    let mut cursor = None;
    loop {
        let (page, next) = client.page(path, list, 100, cursor.as_deref()).await;
        for item in &page {
            let id = item[id].as_str().unwrap().to_owned();
            assert!(seen.insert(id), "a page repeats {item}");
            if list == "logs" {
                let time: u64 = item["time"].as_str().unwrap().parse().unwrap();
                assert!(time <= before, "newest first");
                before = time;
            }
        }
        more().await;
        match next {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    assert_eq!(seen.len() as u64, expect, "{path}: pages hold what was there when they were asked for");
}
