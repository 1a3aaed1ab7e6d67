//! Every query of the API has the same answer whichever engine stores: the embedded store and the search engines are given the same data, and
//! asked the same.
//!
//! `weir query` answers as the process that stores: by asking that one, or by reading the search engine itself.
//!
//! The data is a part of Train Ticket, and records with what it lacks.

mod compare;
mod made;
mod queries;

use std::collections::HashSet;
use std::time::{SystemTime, UNIX_EPOCH};

use http::{Method, StatusCode};
use serde_json::{Value, json};
use weir_model::Signal;
use weir_testkit::search::{Engine, SearchServer};
use weir_tests::client::{Client, encode};
use weir_tests::http::Http;
use weir_tests::server::Server;
use weir_tests::trainticket::TrainTicket;

use crate::compare::{comparable, differences, in_order};
use crate::made::Made;

/// The part: traces whose id ends so, 50 of 3,152, with all of their spans and lines.
const PART: [&str; 4] = ["08", "18", "28", "38"];
/// Entries of a page of lines, and of traces, of which each needs a look at all of its spans.
const LINES: usize = 150;
const TRACES: usize = 10;
/// Pages of a list that are compared.
const PAGES: usize = 2;
/// Each so many-th trace of a list is compared span by span.
const WHOLE: usize = 8;
/// Each so many-th filter is put to `weir query` too.
const READ: usize = 4;
/// Lines that are few.
const FEW: u64 = 20;
/// Nanoseconds.
const DAY: u64 = 86_400_000_000_000;

/// Weir with one of the engines.
struct Weir {
    name: String,
    client: Client,
    engine: Option<SearchServer>,
    _data: tempfile::TempDir,
}

impl Weir {
    fn start(engine: Option<&Engine>, source: &str) -> Self {
        let server = engine.map(|engine| SearchServer::start(engine, &[]));
        let store = server.as_ref().map_or("shard_records: 3000".to_owned(), |server| {
            format!("elastic: {{ urls: [\"{}\"], replicas: 0 }}", server.url())
        });
        let config = format!(
            "agent:\n  host_metrics: 0s\n  sources:\n{source}collector:\n  commit_every: 500ms\nstore:\n  {store}\n"
        );
        let data = tempfile::tempdir().unwrap();
        let client = Client::new(Server::start(data.path(), &config).unwrap());
        let name = engine.map_or("embedded store", Engine::name).to_owned();
        Self { name, client, engine: server, _data: data }
    }

    /// `weir query` over the same data.
    fn reader(&self) -> Self {
        let config = match &self.engine {
            Some(server) => format!("store: {{ elastic: {{ urls: [\"{}\"] }} }}\n", server.url()),
            None => format!("query: {{ collector: \"{}\" }}\n", self.client.server.api()),
        };
        let data = tempfile::tempdir().unwrap();
        let client = Client::new(Server::role("query", data.path(), &config, &[]).unwrap());
        Self { name: format!("weir query over {}", self.name), client, engine: None, _data: data }
    }

    /// Gives it all but the files, which it follows, and waits until it has stored everything.
    async fn feed(&self, data: &TrainTicket, made: &Made) {
        for request in data.requests(2_000, 1) {
            assert!(self.client.export(&request).await, "{} takes it", self.name);
        }
        for (signal, body) in &made.requests {
            let url = format!("{}/v1/{signal}", self.client.server.otlp());
            let body = body.to_string().into();
            let sent = Http::default().request(Method::POST, &url, "application/json", body).await;
            assert_eq!(sent.unwrap().0, StatusCode::OK, "{} takes {signal}", self.name);
        }
        // By its counters: a look at totals makes what was written visible to searches first, which would take longer than the writing.
        let counts = [
            (Signal::Logs, data.lines.len() as u64 + made.lines),
            (Signal::Spans, data.spans.len() as u64 + made.spans),
            (Signal::Metrics, made.points),
        ];
        for (signal, count) in counts {
            assert!(self.client.wait_for_received(signal, count).await, "{} runs", self.name);
        }
    }

    /// Any answer, with its status.
    async fn ask(&self, path: &str) -> Value {
        let url = format!("{}{path}", self.client.server.api());
        let asked = Http::default().request(Method::GET, &url, "application/json", bytes::Bytes::new()).await;
        let (status, body) = asked.unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        json!({ "status": status.as_u16(), "body": comparable(body) })
    }

    /// The newest line of a list, as it is when asked for by its id.
    async fn newest(&self, path: &str) -> Value {
        let (lines, _) = self.client.page(path, "logs", LINES, None).await;
        let Some(first) = lines.first() else { return Value::Null };
        let same = lines.iter().filter(|line| line["time"] == first["time"]);
        let line = same.min_by_key(|line| comparable((*line).clone()).to_string()).expect("one of them");
        self.ask(&format!("/api/v1/logs/{}", encode(line["id"].as_str().expect("an id")))).await
    }

    /// The first pages of a list.
    async fn pages(&self, path: &str, list: &str, size: usize) -> Value {
        let (mut all, mut rest) = self.client.page(path, list, size, None).await;
        for _ in 1..PAGES {
            let Some(cursor) = rest.take() else { break };
            let (page, next) = self.client.page(path, list, size, Some(&cursor)).await;
            all.extend(page);
            rest = next;
        }
        let mut all: Vec<Value> = all.into_iter().map(comparable).collect();
        if list == "logs" {
            in_order(&mut all);
            // Of lines of one time at the end others may stand on this page.
            if let (Some(last), true) = (all.last().map(|line| line["time"].clone()), rest.is_some()) {
                all.retain(|line| line["time"] != last);
            }
        }
        json!({ "entries": all, "goes on": rest.is_some() })
    }
}

/// The same question to all of them, and what they answered otherwise than the first.
struct Comparison<'a> {
    weirs: &'a [Weir],
    /// How many of them store; the others read what they have.
    writers: usize,
    /// Whether those are asked too.
    with_readers: bool,
    wrong: Vec<String>,
    asked: usize,
    /// Traces that were compared.
    traces: HashSet<String>,
}

impl Comparison<'_> {
    /// Returns the answer of the first.
    async fn same(&mut self, what: &str, ask: impl AsyncFn(&Weir) -> Value) -> Value {
        let weirs = if self.with_readers { self.weirs } else { &self.weirs[..self.writers] };
        let answers = futures::future::join_all(weirs.iter().map(|weir| ask(weir))).await;
        self.asked += 1;
        let (expect, others) = answers.split_first().expect("several");
        for (weir, found) in weirs[1..].iter().zip(others) {
            let differ = differences(expect, found);
            if !differ.is_empty() {
                self.wrong.push(format!("{what}\n  {}:\n    {}", weir.name, differ.join("\n    ")));
            }
        }
        answers.into_iter().next().expect("several")
    }

    async fn call(&mut self, path: &str) -> Value {
        self.same(path, async |weir: &Weir| weir.ask(path).await).await["body"].take()
    }

    async fn list(&mut self, path: &str, list: &str, size: usize) -> Value {
        self.same(path, async |weir: &Weir| weir.pages(path, list, size).await).await["entries"].take()
    }

    /// A trace, its lines, and some of its spans with theirs; once.
    async fn trace(&mut self, id: &str) {
        if !self.traces.insert(id.to_owned()) {
            return;
        }
        let path = format!("/api/v1/traces/{id}");
        let answer = self.call(&path).await;
        self.lines(&format!("{path}/logs?limit=20000")).await;
        let rows = answer["spans"]["id"].as_array().expect("rows").len();
        for row in [0, rows / 3, rows - 1] {
            self.call(&format!("{path}/spans/{row}")).await;
            self.lines(&format!("{path}/spans/{row}/logs")).await;
        }
    }

    /// Lines that come all at once.
    async fn lines(&mut self, path: &str) {
        let ordered = async |weir: &Weir| {
            let mut answer = weir.ask(path).await;
            in_order(answer["body"]["logs"].as_array_mut().expect("lines"));
            answer
        };
        self.same(path, ordered).await;
    }

    /// Holds a total to what was counted by hand.
    fn counted(&mut self, what: &str, answer: &Value, expect: Option<u64>) {
        let total = &answer["total"];
        if let Some(expect) = expect
            && (total["value"] != expect || total["exact"] != true)
        {
            self.wrong.push(format!("{what}\n  counted by hand: {expect}, answered: {total}"));
        }
    }
}

/// Calls that are no search, and what a process tells of itself.
async fn calls(comparison: &mut Comparison<'_>, placed: impl Fn(&str) -> String) {
    for path in queries::CALLS {
        comparison.call(&placed(path)).await;
    }
    let told = |path: &'static str, keys: &'static [&'static str]| {
        async move |weir: &Weir| {
            let answer = weir.ask(path).await;
            keys.iter()
                .map(|key| (*key, answer["body"][key].clone()))
                .collect::<Vec<_>>()
                .into_iter()
                .collect()
        }
    };
    // The rest is of the process alone.
    comparison.same("/api/v1/status", told("/api/v1/status", &["newestNs", "services", "hosts"])).await;
    // What agents have read, and of which files nothing is stored, is known where they run.
    let stored = async |weir: &Weir| {
        let mut ledger = weir.ask("/api/v1/ledger").await["body"].take();
        for source in ledger["sources"].as_array_mut().expect("a list") {
            let source = source.as_object_mut().expect("a source");
            source.retain(|key, _| !["read", "acknowledged", "pending"].contains(&key.as_str()));
        }
        let sources = ledger["sources"].as_array().into_iter().flatten();
        sources.filter(|source| source["stored"] != json!([])).cloned().collect()
    };
    comparison.same("/api/v1/ledger", stored).await;
    for trace in [made::BOUGHT, made::ALONE, made::WILD, made::HEADLESS] {
        comparison.trace(trace).await;
    }
}

/// Lines that a filter finds. Where they are not few, also how they lie in time, and one as it is when asked for alone.
async fn logs(comparison: &mut Comparison<'_>, query: &str, filter: &queries::Filter) {
    let by_service = format!("/api/v1/logs/groups?{query}&by=service&limit=1000");
    let answer = comparison.call(&by_service).await;
    comparison.counted(&by_service, &answer, filter.2);
    let path = format!("/api/v1/logs?{query}");
    comparison.list(&path, "logs", LINES).await;
    if filter.2.is_none_or(|count| count > FEW) {
        comparison.call(&format!("/api/v1/logs/groups?{query}&by=logger")).await;
        comparison.call(&format!("/api/v1/logs/histogram?{query}&buckets=24")).await;
        let newest = format!("the newest line of {path}");
        comparison.same(&newest, async |weir: &Weir| weir.newest(&path).await).await;
    }
}

/// Spans that a filter finds, and the traces that have one of them.
async fn spans(comparison: &mut Comparison<'_>, query: &str, filter: &queries::Filter) {
    let by_service = format!("/api/v1/spans/groups?{query}&by=service&limit=1000");
    let answer = comparison.call(&by_service).await;
    comparison.counted(&by_service, &answer, filter.2);
    comparison.call(&format!("/api/v1/traces/count?{query}")).await;
    newest_traces(comparison, query).await;
}

/// Traces that a filter finds, all of them.
async fn traces(comparison: &mut Comparison<'_>, query: &str, filter: &queries::Filter) {
    let all = format!("/api/v1/traces/scatter?{query}&limit=20000");
    let answer = comparison.call(&all).await;
    comparison.counted(&all, &answer, filter.2);
    newest_traces(comparison, query).await;
}

async fn newest_traces(comparison: &mut Comparison<'_>, query: &str) {
    let list = comparison.list(&format!("/api/v1/traces?{query}"), "traces", TRACES).await;
    for trace in list.as_array().expect("a list").iter().step_by(WHOLE) {
        comparison.trace(trace["traceId"].as_str().expect("an id")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_engine_answers_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut data) = TrainTicket::load(folder.path()) else { return };
    data.keep(|trace| PART.iter().any(|end| trace.ends_with(end)));
    assert_eq!((data.lines.len(), data.spans.len()), (1_801, 3_414), "as grep counts");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    let day = |ago: u64| (now / DAY - ago) * DAY;
    let made = made::made(day);
    let engines = Engine::all();
    let all = std::iter::once(None).chain(engines.iter().map(Some));
    let weirs: Vec<Weir> = all.map(|engine| Weir::start(engine, &data.source())).collect();
    futures::future::join_all(weirs.iter().map(|weir| weir.feed(&data, &made))).await;
    // A look of those who write makes all of it visible to those who only read, and gives colours.
    futures::future::join_all(weirs.iter().map(|weir| weir.client.get("/api/v1/services"))).await;
    let readers: Vec<Weir> = weirs.iter().map(Weir::reader).collect();
    let writers = weirs.len();
    let weirs: Vec<Weir> = weirs.into_iter().chain(readers).collect();

    let mut comparison = Comparison {
        weirs: &weirs,
        writers,
        with_readers: true,
        wrong: Vec::new(),
        asked: 0,
        traces: HashSet::new(),
    };
    let placed = |text: &str| -> String {
        let text =
            (0..5).fold(text.to_owned(), |text, n| text.replace(&format!("@{n}"), &day(n).to_string()));
        let text = text.replace("@now", &now.to_string());
        text.replace("LONG-", &made::long(""))
    };
    let query = |(q, range, _): &queries::Filter| {
        let range = placed(range);
        format!("q={}{}{range}", encode(&placed(q)), if range.is_empty() { "" } else { "&" })
    };
    calls(&mut comparison, placed).await;
    // The same code answers: a part of the filters is enough for those who read.
    for (n, filter) in queries::LOGS.iter().enumerate() {
        comparison.with_readers = n % READ == 0;
        logs(&mut comparison, &query(filter), filter).await;
    }
    for (n, filter) in queries::SPANS.iter().enumerate() {
        comparison.with_readers = n % READ == 0;
        spans(&mut comparison, &query(filter), filter).await;
    }
    for (n, filter) in queries::TRACES.iter().enumerate() {
        comparison.with_readers = n % READ == 0;
        traces(&mut comparison, &query(filter), filter).await;
    }
    println!("{} questions", comparison.asked);
    let wrong = comparison.wrong;
    assert!(wrong.is_empty(), "{} answers differ:\n{}", wrong.len(), wrong.join("\n"));
    // Those who ask others first.
    for weir in weirs.into_iter().rev() {
        weir.client.server.stop().unwrap();
    }
}
