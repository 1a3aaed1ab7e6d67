//! Which keys and values there are: read from the term dictionaries, and by scanning the tail.

use std::collections::{BTreeSet, HashMap};

use weir_model::Signal;
use weir_model::filter::{Level, places};
use weir_model::limits::INDEXED_VALUE_BYTES;
use weir_model::otlp::{Resource, Scope};
use weir_store::{FieldKey, Values, listed_values};

use crate::candidates::after;
use crate::error::Error;
use crate::part::PartView;
use crate::schema::schema;
use crate::shard::Reader;
use crate::tokens::{self, BuiltIn};

/// Distinct values that are looked at before a list is called incomplete.
const VALUES: usize = 100_000;

fn record_level(signal: Signal) -> &'static str {
    if signal == Signal::Logs { "log" } else { "span" }
}

pub(crate) fn keys(part: &PartView, prefix: &str) -> Result<Vec<FieldKey>, Error> {
    let mut keys = BTreeSet::new();
    let mut add = |key: &str, level: &'static str| {
        if key.starts_with(prefix) {
            keys.insert(FieldKey { key: key.to_owned(), level });
        }
    };
    for shard in &part.shards {
        let Some(reader) = shard.reader()? else { continue };
        for pair in reader.pairs.iter() {
            pair.resource().attrs().iter().for_each(|attr| add(attr.key, "resource"));
            pair.scope().attrs().iter().for_each(|attr| add(attr.key, "scope"));
        }
        for segment in reader.searcher.segment_readers() {
            let index = segment.inverted_index(schema().1.tokens)?;
            // From key to key: behind the last token of one stands the first of the next.
            let mut from = prefix.as_bytes().to_vec();
            loop {
                let mut terms = index.terms().range().ge(&from).into_stream()?;
                if !terms.advance() {
                    break;
                }
                match tokens::split(terms.key()) {
                    Some((key, _)) if key.starts_with(prefix) => {
                        add(key, record_level(part.signal));
                        from = after(&tokens::key(key));
                    }
                    Some(_) => break,
                    // Built-in tokens stand before all keys.
                    None => from = vec![2],
                }
            }
        }
    }
    for batch in &part.tail {
        for row in &batch.rows {
            batch.resource(row).attrs().iter().for_each(|attr| add(attr.key, "resource"));
            batch.scope(row).attrs().iter().for_each(|attr| add(attr.key, "scope"));
            let attrs = match part.signal {
                Signal::Logs => batch.log(row).log.attrs(),
                _ => batch.span(row).span.attrs(),
            };
            attrs.iter().for_each(|attr| add(attr.key, record_level(part.signal)));
        }
    }
    Ok(keys.into_iter().collect())
}

/// Where the values of a key are listed from.
fn wanted(key: &str) -> Vec<(Level, &str)> {
    match key {
        "service" => vec![(Level::Resource, "service.name")],
        key => places(key).collect(),
    }
}

fn of_pair(wanted: &[(Level, &str)], resource: Resource<'_>, scope: Scope<'_>) -> Vec<String> {
    let values = wanted.iter().map(|(level, name)| match level {
        Level::Resource => listed_values(resource.attrs(), name),
        Level::Scope => listed_values(scope.attrs(), name),
        Level::Record => Vec::new(),
    });
    values.flatten().collect()
}

pub(crate) fn values(part: &PartView, key: &str, prefix: &str, limit: usize) -> Result<Values, Error> {
    let mut counts: HashMap<String, u64> = HashMap::new();
    let mut add = |value: &str, count: u64| {
        if count > 0 && value.starts_with(prefix) && (counts.len() < VALUES || counts.contains_key(value)) {
            *counts.entry(value.to_owned()).or_default() += count;
        }
    };
    let built_in = match (key, part.signal) {
        ("operation", Signal::Spans) => Some(BuiltIn::Operation),
        ("event", _) => Some(BuiltIn::Event),
        _ => None,
    };
    let wanted = wanted(key);
    let own = || wanted.iter().filter(|(level, _)| *level == Level::Record).map(|(_, name)| *name);
    for shard in &part.shards {
        let Some(reader) = shard.reader()? else { continue };
        if built_in.is_none() {
            for (number, pair) in (0u32..).zip(reader.pairs.iter()) {
                let listed = of_pair(&wanted, pair.resource(), pair.scope());
                let count = if listed.is_empty() { 0 } else { records_of_pair(&reader, number)? };
                listed.iter().for_each(|value| add(value, count));
            }
        }
        for segment in reader.searcher.segment_readers() {
            let index = segment.inverted_index(schema().1.tokens)?;
            let mut texts = |from: Vec<u8>| -> Result<(), Error> {
                let mut terms = index.terms().range().ge(&from).lt(after(&from)).into_stream()?;
                while terms.advance() {
                    let rest = &terms.key()[from.len()..];
                    if let Ok(rest) = std::str::from_utf8(rest)
                        && prefix.len() + rest.len() < INDEXED_VALUE_BYTES
                    {
                        add(&format!("{prefix}{rest}"), terms.value().doc_freq as u64);
                    }
                }
                Ok(())
            };
            if let Some(built_in) = built_in {
                texts(tokens::built_in(built_in, prefix.as_bytes()))?;
                continue;
            }
            for name in own() {
                texts(tokens::text(name, prefix))?;
            }
            for name in own() {
                for value in [true, false] {
                    let count = index.terms().get(tokens::boolean(name, value))?;
                    add(&value.to_string(), count.map_or(0, |info| info.doc_freq as u64));
                }
                let (from, to) = (tokens::number_bound(name, false), tokens::number_bound(name, true));
                let mut terms = index.terms().range().ge(&from).lt(&to).into_stream()?;
                while terms.advance() {
                    if let Some(number) = tokens::number_of(&terms.key()[from.len()..]) {
                        add(&number.to_string(), terms.value().doc_freq as u64);
                    }
                }
            }
        }
    }
    for batch in &part.tail {
        for row in &batch.rows {
            let attrs = match (built_in, part.signal) {
                (Some(BuiltIn::Operation), _) => {
                    add(batch.span(row).span.name, 1);
                    continue;
                }
                (Some(_), Signal::Logs) => {
                    let event = batch.log(row).log.event_name;
                    add(event, u64::from(!event.is_empty()));
                    continue;
                }
                (Some(_), _) => {
                    let names: BTreeSet<&str> =
                        batch.span(row).span.events().map(|event| event.name).collect();
                    names.into_iter().for_each(|name| add(name, 1));
                    continue;
                }
                (None, Signal::Logs) => batch.log(row).log.attrs(),
                (None, _) => batch.span(row).span.attrs(),
            };
            let mut listed = of_pair(&wanted, batch.resource(row), batch.scope(row));
            listed.extend(own().flat_map(|name| listed_values(attrs, name)));
            listed.iter().for_each(|value| add(value, 1));
        }
    }
    let complete = counts.len() <= limit;
    let mut values: Vec<_> = counts.into_iter().collect();
    values.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    values.truncate(limit);
    Ok(Values { values, complete })
}

fn records_of_pair(reader: &Reader, number: u32) -> Result<u64, Error> {
    let token = tokens::built_in(BuiltIn::Pair, &number.to_be_bytes());
    let mut count = 0;
    for segment in reader.searcher.segment_readers() {
        let index = segment.inverted_index(schema().1.tokens)?;
        count += index.terms().get(&token)?.map_or(0, |info| info.doc_freq as u64);
    }
    Ok(count)
}
