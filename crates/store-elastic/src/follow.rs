//! Live tail of what other processes store: the engine is asked again and again for what has become visible.
//!
//! What is new is told by positions, not by clocks, which differ between machines: the document of a lane says up to where everything is stored, whatever a
//! writer had to try again. A shard shows what is stored with its next refresh, so a line is delivered when its lane had come to its position [`LAG`]
//! looks ago, each look being at least one `refresh` after the one before.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::watch;
use weir_model::Signal;
use weir_model::filter::{Filter, Matcher};
use weir_store::{Agg, Table, TailEvent, TimeRange};

use crate::error::Error;
use crate::lane;
use crate::query::Candidates;
use crate::reading::Reading;
use crate::template::ordered;
use crate::view::{Order, View};

/// How many looks a position must be old.
const LAG: usize = 2;
/// Pause between two looks where `refresh` is shorter.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Lines that are handed to a tail for one look; further ones are counted.
const LINES: usize = 1_000;

/// By lane the position behind the last one that counts.
type Ends = BTreeMap<u32, u64>;

/// What a look has found.
struct Look {
    view: Arc<View>,
    /// Up to where everything is visible.
    ends: Ends,
}

type Looked = Option<Arc<Look>>;

/// Looks for all tails together, while there are any.
pub(crate) struct Follow {
    reading: Arc<Reading>,
    every: Duration,
    last: Mutex<Option<watch::Receiver<Looked>>>,
}

impl Follow {
    pub(crate) fn new(reading: Arc<Reading>, refresh: Duration) -> Self {
        Self { reading, every: refresh.max(LOOK_EVERY), last: Mutex::new(None) }
    }

    /// What is stored from now on and matches.
    pub(crate) fn tail(self: Arc<Self>, filter: Filter, matcher: Matcher) -> BoxStream<'static, TailEvent> {
        let tail = Tail { looks: self.looks(), follow: self, filter, matcher, from: None };
        let events = futures::stream::unfold(tail, |mut tail| async {
            let events = tail.next().await;
            Some((events, tail))
        });
        events.flat_map(futures::stream::iter).boxed()
    }

    /// The looks, beginning with the next one.
    fn looks(&self) -> watch::Receiver<Looked> {
        let mut last = self.last.lock();
        if let Some(looks) = last.as_ref().filter(|looks| looks.has_changed().is_ok()) {
            return looks.clone();
        }
        let (sender, looks) = watch::channel(None);
        tokio::spawn(look(self.reading.clone(), self.every, sender));
        *last = Some(looks.clone());
        looks
    }
}

/// Looks until nobody wants to know: the receiver that [`Follow`] keeps does not count.
async fn look(reading: Arc<Reading>, every: Duration, looks: watch::Sender<Looked>) {
    let mut before = VecDeque::new();
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while looks.receiver_count() > 1 {
        ticks.tick().await;
        let looked = async {
            let view = reading.view(Vec::new(), None).await?;
            let ends = lane::positions(&view, Signal::Logs).await?;
            Ok::<_, Error>((view, ends))
        };
        let (view, ends) = match looked.await {
            Ok(looked) => looked,
            Err(error) => {
                tracing::debug!(%error, "live tails wait: the search engine can't be asked");
                continue;
            }
        };
        before.push_back(ends);
        if before.len() > LAG + 1 {
            before.pop_front();
        }
        let ends = before.front().expect("just added").clone();
        looks.send_replace(Some(Arc::new(Look { view, ends })));
    }
}

/// Log records of a lane between two positions.
fn between(lane: u32, from: u64, end: u64) -> Value {
    let range = json!({ "range": { "pos": { "gte": ordered(from), "lt": ordered(end) } } });
    json!({ "bool": { "filter": [{ "term": { "lane": lane } }, range] } })
}

/// One reader.
struct Tail {
    follow: Arc<Follow>,
    looks: watch::Receiver<Looked>,
    filter: Filter,
    matcher: Matcher,
    /// Up to where it has everything; `None` before its first look.
    from: Option<Ends>,
}

impl Tail {
    /// What the next look brings that brings something.
    async fn next(&mut self) -> Vec<TailEvent> {
        loop {
            // The one who looked may have seen nobody just before this one came.
            if self.looks.changed().await.is_err() {
                self.looks = self.follow.looks();
                continue;
            }
            let Some(look) = self.looks.borrow_and_update().clone() else { continue };
            let Some(from) = &self.from else {
                self.from = Some(look.ends.clone());
                continue;
            };
            match self.between(from, &look).await {
                Ok(events) => {
                    self.from = Some(look.ends.clone());
                    if !events.is_empty() {
                        return events;
                    }
                }
                // It is asked for again with what the next look finds.
                Err(error) => tracing::debug!(%error, "a live tail waits: the search engine can't be asked"),
            }
        }
    }

    async fn between(&self, from: &Ends, look: &Look) -> Result<Vec<TailEvent>, Error> {
        let windows: Vec<Value> = look
            .ends
            .iter()
            .map(|(lane, end)| (*lane, from.get(lane).copied().unwrap_or(0), *end))
            .filter(|(_, from, end)| from < end)
            .map(|(lane, from, end)| between(lane, from, end))
            .collect();
        if windows.is_empty() {
            return Ok(Vec::new());
        }
        let view = &look.view;
        let found = view.found(Signal::Logs, &self.filter, TimeRange::ALL).await?;
        let windows = json!({ "bool": { "should": windows, "minimum_should_match": 1 } });
        let found = Candidates::and([found, Candidates { query: windows, exact: true }]);
        let mut logs = view.logs(&found, Some(&self.matcher), Order::Oldest, LINES, None).await?;
        let mut events = Vec::new();
        if logs.len() > LINES {
            logs.truncate(LINES);
            let total = view.table(Signal::Logs, &found, &self.matcher, &Agg::Count).await?;
            if let Table::Count(total) = total {
                events.push(TailEvent::Dropped(total.value.saturating_sub(LINES as u64)));
            }
        }
        if !logs.is_empty() {
            events.push(TailEvent::Logs(logs.into_iter().map(|(_, log)| log).collect()));
        }
        Ok(events)
    }
}
