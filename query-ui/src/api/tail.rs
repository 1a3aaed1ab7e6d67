//! Log lines as they are stored, as server-sent events.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::{Stream, StreamExt, stream};
use serde::Serialize;
use utoipa::ToSchema;
use weir_store::{StoredLog, TailEvent};

use super::Shared;
use crate::body::log::{LogBody, listed};
use crate::error::{ApiError, ErrorBody};
use crate::params::{Params, TailParams, of_records};

/// Sent when nothing else is, so that proxies and browsers keep the connection.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Lines in one event, so that a browser never has to take in too much at once.
const EVENT_LINES: usize = 500;

/// Data of an event `logs`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TailLogs {
    logs: Vec<LogBody>,
}

/// Data of an event `dropped`: so many records were left out because the reader was too slow.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TailDropped {
    count: u64,
}

#[utoipa::path(get, path = "/api/v1/logs/tail", params(TailParams), responses(
    (status = 200, description = "Events `logs` with `{logs:[Log]}` and `dropped` with `{count}`", body = TailLogs, content_type = "text/event-stream"),
    (status = "default", body = ErrorBody)))]
pub(crate) async fn tail(
    State(app): Shared,
    Params(params): Params<TailParams>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    let filter = of_records(&params.q)?;
    let Ok(place) = app.tails.clone().try_acquire_owned() else {
        return Err(ApiError::busy("as many live tails are open as are allowed; close one and try again"));
    };
    let tail = app.deps.reader.tail(&filter)?;
    let events = tail.flat_map(|event| stream::iter(events(event))).map(move |event| {
        // Its place is free again when the stream is dropped.
        let _held = &place;
        Ok(event)
    });
    let events = events.take_until(app.shutdown.clone().cancelled_owned());
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

fn events(event: TailEvent) -> Vec<Event> {
    match event {
        TailEvent::Dropped(count) => vec![json("dropped", &TailDropped { count })],
        TailEvent::Logs(lines) => lines.chunks(EVENT_LINES).map(logs).collect(),
    }
}

fn logs(lines: &[StoredLog]) -> Event {
    json("logs", &TailLogs { logs: lines.iter().map(listed).collect() })
}

fn json(name: &str, data: &impl Serialize) -> Event {
    let text = serde_json::to_string(data).expect("bodies are made of text and numbers");
    Event::default().event(name).data(text)
}
