//! What two answers have in common, and where they differ.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// Differences of one answer that are told.
const TOLD: usize = 8;
/// Characters of a value that are told.
const SHOWN: usize = 160;

/// An answer without what says only which process gave it: ids that the engine made up, cursors, lives of files, times of reading.
pub(crate) fn comparable(mut answer: Value) -> Value {
    plain(&mut answer);
    answer
}

fn plain(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(plain),
        Value::Object(object) => {
            object.remove("snapshot");
            object.remove("incarnation");
            if let Some(cursor) = object.get_mut("cursor") {
                *cursor = cursor.is_string().into();
            }
            if object.contains_key("severityText") {
                object.remove("id");
                // Lines of files are seen when they are read.
                if attributes(object, "attributes").any(|attribute| attribute["key"] == "weir.offset") {
                    object.remove("observed");
                }
                if let Some(resource) = object.get_mut("resource").and_then(Value::as_array_mut) {
                    resource.retain(|attribute| attribute["key"] != "weir.incarnation");
                }
            }
            object.values_mut().for_each(plain);
        }
        _ => {}
    }
}

fn attributes<'a>(line: &'a Map<String, Value>, level: &str) -> impl Iterator<Item = &'a Value> {
    line.get(level).and_then(Value::as_array).into_iter().flatten()
}

/// Puts lines of one time, which have no order among them, into one.
pub(crate) fn in_order(lines: &mut [Value]) {
    for same in lines.chunk_by_mut(|a, b| a["time"] == b["time"]) {
        same.sort_by_cached_key(Value::to_string);
    }
}

/// Where an answer is another one than expected, as a readable list; empty where it is the same.
pub(crate) fn differences(expect: &Value, found: &Value) -> Vec<String> {
    let mut told = Vec::new();
    differ("", expect, found, &mut told);
    let more = told.len().saturating_sub(TOLD);
    told.truncate(TOLD);
    if more > 0 {
        told.push(format!("and {more} more"));
    }
    told
}

fn differ(at: &str, expect: &Value, found: &Value, told: &mut Vec<String>) {
    match (expect, found) {
        (Value::Object(a), Value::Object(b)) if a.contains_key("exact") && b.contains_key("exact") => {
            // How far it is cheap to count depends on the engine; what is not exact is too little.
            let least = |total: &Value| (total["value"].as_u64().unwrap_or(0), total["exact"] == true);
            let right = match (least(expect), least(found)) {
                ((a, true), (b, true)) => a == b,
                ((a, true), (b, false)) => b <= a,
                ((a, false), (b, true)) => a <= b,
                ((_, false), (_, false)) => true,
            };
            if !right {
                told.push(format!("{at}: {found} instead of {expect}"));
            }
        }
        (Value::Object(a), Value::Object(b)) => {
            let keys: BTreeSet<_> = a.keys().chain(b.keys()).collect();
            for key in keys {
                let of = |object: &Map<String, Value>| object.get(key).cloned();
                match (of(a), of(b)) {
                    (Some(a), Some(b)) => differ(&format!("{at}/{key}"), &a, &b, told),
                    (a, _) => {
                        let what = if a.is_some() { "missing" } else { "too much" };
                        told.push(format!("{at}/{key}: {what}"));
                    }
                }
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            if a.len() != b.len() {
                told.push(format!("{at}: {} entries instead of {}", b.len(), a.len()));
            }
            for (n, (a, b)) in a.iter().zip(b).enumerate() {
                differ(&format!("{at}/{n}"), a, b, told);
            }
        }
        _ if expect == found => {}
        _ => told.push(format!("{at}: {found:.SHOWN$} instead of {expect:.SHOWN$}")),
    }
}
