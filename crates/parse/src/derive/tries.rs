//! The upstream tries of a request. nginx separates tries of one group by a comma and groups after an internal redirect by a colon, in all of
//! `$upstream_addr`, `$upstream_status` and the times alike; `-` stands for what a try does not have.

use std::borrow::Cow;

use weir_model::otlp::{SpanKind, StatusCode};
use weir_model::{SpanId, identity};

use super::Derived;
use super::call::{Call, seconds};

/// Tries of one request that become spans. nginx ends after as many as its group has servers.
pub(super) const TRIES: usize = 64;

/// One try: a client span below the request's.
#[derive(Debug, Clone, PartialEq)]
pub struct Try<'a> {
    pub span_id: SpanId,
    /// As the line has it: `10.0.0.1:8080`, `unix:/run/app.sock`, or the name of a group of which no server was left.
    pub address: Cow<'a, str>,
    /// Nanoseconds since the Unix epoch.
    pub start: u64,
    pub end: u64,
    /// Nanoseconds until the connection stood, and until the answer's head was there.
    pub connect: Option<u64>,
    pub header: Option<u64>,
    /// The upstream's status; without one nothing came back.
    pub response: Option<i64>,
    pub status: StatusCode,
}

impl Try<'_> {
    pub const KIND: SpanKind = SpanKind::CLIENT;

    /// Host and port apart. A socket's path has no port, a group's name neither.
    pub fn host_and_port(&self) -> (&str, Option<u16>) {
        if let Some(path) = self.address.strip_prefix("unix:") {
            return (path, None);
        }
        match self.address.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() => match port.parse() {
                Ok(port) => (host.trim_matches(['[', ']']), Some(port)),
                Err(_) => (&self.address, None),
            },
            _ => (&self.address, None),
        }
    }
}

impl<'a> Derived<'a> {
    pub(super) fn add_tries(&mut self) {
        let Call { addresses, response_times, connect_times, header_times, upstream_statuses, .. } =
            self.call.clone();
        let addresses = items(addresses);
        let times = items(response_times);
        // Without addresses the times or statuses still tell how many there were.
        let count = match addresses.len() {
            0 => times.len().max(items(upstream_statuses.clone()).len()),
            count => count,
        };
        let (connects, headers, statuses) =
            (items(connect_times), items(header_times), items(upstream_statuses));
        let alone = count == 1 && times.is_empty();
        let mut from = self.start;
        for at in 0..count {
            let address = addresses.get(at).cloned().unwrap_or_default();
            let of = |list: &[Cow<'a, str>]| list.get(at).and_then(|item| seconds(item));
            // Of a single try without a time it is only known that it lies within the request.
            let time = of(&times).or(alone.then(|| self.call.response_time.unwrap_or(self.end - self.start)));
            let response = statuses.get(at).and_then(|item| item.parse().ok());
            // After an internal redirect to what needs no upstream there is an item, but no try.
            if address.is_empty() && time.is_none() && response.is_none() {
                continue;
            }
            if self.tries.len() == TRIES {
                self.dropped_tries += 1;
                continue;
            }
            let end = from.saturating_add(time.unwrap_or(0)).min(self.end).max(from);
            // Where the line has statuses, a try without one got no answer.
            let unanswered = response.is_none() && !statuses.is_empty();
            let failed = unanswered || response.is_some_and(|code: i64| code >= 400);
            let nth = self.tries.len() as u32 + 1;
            self.tries.push(Try {
                span_id: identity::derived_span_id(self.incarnation, self.record.start, 0, nth),
                address,
                start: from,
                end,
                connect: of(&connects),
                header: of(&headers),
                response,
                status: if failed { StatusCode::ERROR } else { StatusCode::UNSET },
            });
            from = end;
        }
    }
}

/// The items of a list; `-` is empty.
fn items(list: Option<Cow<'_, str>>) -> Vec<Cow<'_, str>> {
    match list {
        None => Vec::new(),
        Some(Cow::Borrowed(list)) => split(list).map(Cow::Borrowed).collect(),
        Some(Cow::Owned(list)) => split(&list).map(|item| Cow::Owned(item.to_owned())).collect(),
    }
}

/// A colon is a separator only between blanks: addresses have colons of their own.
fn split(list: &str) -> impl Iterator<Item = &str> {
    list.split(", ").flat_map(|tries| tries.split(" : ")).flat_map(|tries| tries.split(',')).map(|item| {
        match item.trim() {
            "-" => "",
            item => item,
        }
    })
}
