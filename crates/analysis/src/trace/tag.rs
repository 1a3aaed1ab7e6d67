//! What a span called, in a few words.

use weir_model::otlp::{SpanKind, Value};

/// Longest tag, in characters; the rest gives way to an ellipsis.
const LENGTH: usize = 120;

/// Attributes that a tag is made of. Newer names of OpenTelemetry's conventions win over older ones.
#[derive(Debug, Default)]
pub(super) struct Tag<'a> {
    system: &'a str,
    summary: &'a str,
    query: &'a str,
    db_operation: &'a str,
    collection: &'a str,
    method: &'a str,
    route: &'a str,
    path: &'a str,
    status: Option<i64>,
    rpc_service: &'a str,
    rpc_method: &'a str,
    messaging: &'a str,
    destination: &'a str,
}

impl<'a> Tag<'a> {
    pub(super) fn see(&mut self, key: &str, value: Value<'a>) {
        let (slot, text) = match (key, value) {
            ("http.response.status_code" | "http.status_code", Value::Int(code)) => {
                self.status = Some(code);
                return;
            }
            (_, Value::Str(text)) => {
                let slot = match key {
                    "db.system.name" | "db.system" => &mut self.system,
                    "db.query.summary" => &mut self.summary,
                    "db.query.text" | "db.statement" => &mut self.query,
                    "db.operation.name" | "db.operation" => &mut self.db_operation,
                    "db.collection.name" | "db.sql.table" | "db.mongodb.collection" => &mut self.collection,
                    "http.request.method" | "http.method" => &mut self.method,
                    "http.route" => &mut self.route,
                    "url.path" | "http.target" | "url.full" | "http.url" => &mut self.path,
                    "rpc.service" => &mut self.rpc_service,
                    "rpc.method" => &mut self.rpc_method,
                    "messaging.system" => &mut self.messaging,
                    "messaging.destination.name" | "messaging.destination" => &mut self.destination,
                    _ => return,
                };
                (slot, text)
            }
            _ => return,
        };
        if slot.is_empty() || !matches!(key, "http.target" | "http.url" | "url.full") {
            *slot = text;
        }
    }

    pub(super) fn text(&self, kind: SpanKind) -> String {
        let Tag { system, summary, query, db_operation, collection, .. } = *self;
        if !(system.is_empty() && query.is_empty() && summary.is_empty()) {
            let what = [summary, query].into_iter().find(|text| !text.is_empty());
            return match what {
                Some(what) => short([system, what]),
                None => short([system, db_operation, collection]),
            };
        }
        if !self.messaging.is_empty() {
            return short([self.messaging, self.destination]);
        }
        if !(self.rpc_service.is_empty() && self.rpc_method.is_empty()) {
            let slash = if self.rpc_service.is_empty() || self.rpc_method.is_empty() { "" } else { "/" };
            return short([&format!("{}{slash}{}", self.rpc_service, self.rpc_method)]);
        }
        if !self.method.is_empty() {
            // A caller knows the address, a server the route.
            let (first, second) =
                if kind == SpanKind::CLIENT { (self.path, self.route) } else { (self.route, self.path) };
            let path = if first.is_empty() { second } else { first };
            let status = self.status.map(|code| code.to_string()).unwrap_or_default();
            return short([self.method, path, &status]);
        }
        String::new()
    }
}

/// Words beside one another, with white space made single, cut at [`LENGTH`].
fn short<const N: usize>(parts: [&str; N]) -> String {
    let mut out = String::new();
    let mut room = LENGTH;
    for word in parts.into_iter().flat_map(str::split_whitespace) {
        if !out.is_empty() {
            out.push(' ');
            room = room.saturating_sub(1);
        }
        let mut chars = word.chars();
        out.extend(chars.by_ref().take(room));
        room = room.saturating_sub(word.chars().take(room).count());
        if chars.next().is_some() || room == 0 {
            out.push('…');
            break;
        }
    }
    out
}
