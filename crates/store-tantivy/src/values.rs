//! Which keys and values there are: read from the term dictionaries, and by scanning the tail.

use std::collections::{BTreeSet, HashMap};

use weir_model::Signal;
use weir_model::otlp::{Attrs, Value};
use weir_store::{FieldKey, Values};

use crate::aggregate::value_text;
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

pub(crate) fn values(part: &PartView, key: &str, prefix: &str, limit: usize) -> Result<Values, Error> {
    let mut counts: HashMap<String, u64> = HashMap::new();
    let mut add = |value: &str, count: u64| {
        if value.starts_with(prefix) && (counts.len() < VALUES || counts.contains_key(value)) {
            *counts.entry(value.to_owned()).or_default() += count;
        }
    };
    let name = match key {
        "service" => "service.name",
        _ => ["resource.", "scope.", "span.", "log."]
            .iter()
            .find_map(|level| key.strip_prefix(level))
            .unwrap_or(key),
    };
    let of_attrs = |attrs: Attrs<'_>, count: u64, add: &mut dyn FnMut(&str, u64)| {
        for attr in attrs.iter().filter(|attr| attr.key == name) {
            match attr.value {
                Value::Array(array) => array.iter().filter_map(value_text).for_each(|text| add(&text, count)),
                value => value_text(value).iter().for_each(|text| add(text, count)),
            }
        }
    };
    for shard in &part.shards {
        let Some(reader) = shard.reader()? else { continue };
        for (number, pair) in (0u32..).zip(reader.pairs.iter()) {
            let count = records_of_pair(&reader, number)?;
            of_attrs(pair.resource().attrs(), count, &mut add);
            of_attrs(pair.scope().attrs(), count, &mut add);
        }
        for segment in reader.searcher.segment_readers() {
            let index = segment.inverted_index(schema().1.tokens)?;
            let from = match key {
                "operation" => tokens::built_in(BuiltIn::Operation, prefix.as_bytes()),
                "event" => tokens::built_in(BuiltIn::Event, prefix.as_bytes()),
                _ => tokens::text(name, prefix),
            };
            let mut terms = index.terms().range().ge(&from).lt(after(&from)).into_stream()?;
            while terms.advance() {
                if let Ok(rest) = std::str::from_utf8(&terms.key()[from.len()..]) {
                    add(&format!("{prefix}{rest}"), terms.value().doc_freq as u64);
                }
            }
        }
    }
    for batch in &part.tail {
        for row in &batch.rows {
            of_attrs(batch.resource(row).attrs(), 1, &mut add);
            of_attrs(batch.scope(row).attrs(), 1, &mut add);
            match part.signal {
                Signal::Logs => of_attrs(batch.log(row).log.attrs(), 1, &mut add),
                _ if key == "operation" => add(batch.span(row).span.name, 1),
                _ => of_attrs(batch.span(row).span.attrs(), 1, &mut add),
            }
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
