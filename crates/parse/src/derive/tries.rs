//! The upstream tries of a request. nginx separates tries of one group by a comma and groups after an internal redirect by a colon, in all of
//! `$upstream_addr`, `$upstream_status` and the times alike; `-` stands for what a try does not have.

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
    pub address: &'a str,
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
                Err(_) => (self.address, None),
            },
            _ => (self.address, None),
        }
    }
}

impl Derived<'_> {
    pub(super) fn add_tries(&mut self) {
        let Call { addresses, response_times, connect_times, header_times, upstream_statuses, .. } =
            &self.call;
        let (times, statuses) = (response_times.as_deref(), upstream_statuses.as_deref());
        // Without addresses the times or statuses still tell how many there were.
        let count = match items(*addresses).count() {
            0 => items(times).count().max(items(statuses).count()),
            count => count,
        };
        // Of a single try without a time it is only known that it lies within the request.
        let alone =
            (count == 1 && times.is_none()).then(|| self.call.response_time.unwrap_or(self.end - self.start));
        let (mut addresses, mut responses) = (items(*addresses), items(statuses));
        let [mut times, mut connects, mut headers] =
            [times, connect_times.as_deref(), header_times.as_deref()].map(|list| items(list).map(seconds));
        let mut from = self.start;
        for _ in 0..count {
            let address = addresses.next().unwrap_or("");
            let (connect, header) = (connects.next().flatten(), headers.next().flatten());
            let time = times.next().flatten().or(alone);
            let response = responses.next().and_then(|item| item.parse().ok());
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
            let unanswered = response.is_none() && statuses.is_some();
            let failed = unanswered || response.is_some_and(|code: i64| code >= 400);
            let nth = self.tries.len() as u32 + 1;
            self.tries.push(Try {
                span_id: identity::derived_span_id(self.incarnation, self.record.start, 0, nth),
                address,
                start: from,
                end,
                connect,
                header,
                response,
                status: if failed { StatusCode::ERROR } else { StatusCode::UNSET },
            });
            from = end;
        }
    }
}

/// The items of a list; `-` is empty. A colon is a separator only between blanks: addresses have colons of their own.
fn items(list: Option<&str>) -> impl Iterator<Item = &str> {
    let mut rest = list;
    std::iter::from_fn(move || {
        let list = rest?;
        let bytes = list.as_bytes();
        let ends = |at: &usize| match bytes[*at] {
            b',' => true,
            b':' => *at > 0 && bytes[*at - 1] == b' ' && bytes.get(*at + 1) == Some(&b' '),
            _ => false,
        };
        let end = (0..bytes.len()).find(ends);
        rest = end.map(|end| &list[end + 1..]);
        match list[..end.unwrap_or(list.len())].trim_ascii() {
            "-" => Some(""),
            item => Some(item),
        }
    })
}
