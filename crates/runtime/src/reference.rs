//! The reference of a configuration, written from its types: what a key is called, takes, is by default and means stands once, in the code.

use std::fmt::Write as _;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde::Serialize;
use serde_json::Value;

/// Writes the reference as Markdown: a section for each part, and in it a table of keys, in the order in which the types have them.
///
/// # Panics
/// Where the default configuration does not become JSON, or a part of the schema is no object: such a type is no configuration.
pub fn markdown<T: JsonSchema + Serialize + Default>() -> String {
    let schema = schema::<T>();
    let schema = schema.as_value();
    // The schema has its keys sorted; YAML has them as they are declared.
    let order = serde_yaml_ng::to_value(T::default()).expect("a configuration becomes YAML");
    let mut text = String::new();
    for (section, below) in properties(schema, Some(&order)) {
        let place = below.order;
        write!(text, "\n## `{section}`\n\n{}\n\n", describe(below.schema)).expect("memory");
        text.push_str("| key | takes | default | meaning |\n|---|---|---|---|\n");
        rows(&mut text, section, below.schema, place);
    }
    text
}

/// The path of every key that has a value of its own, as `agent.sources`; keys of a list's elements have none.
pub(crate) fn keys<T: JsonSchema>() -> Vec<String> {
    fn collect(schema: &Value, path: &str, keys: &mut Vec<String>) {
        for (key, Below { schema, .. }) in properties(schema, None) {
            let path = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
            match schema.get("properties") {
                Some(_) => collect(schema, &path, keys),
                None => keys.push(path),
            }
        }
    }
    let mut keys = Vec::new();
    collect(schema::<T>().as_value(), "", &mut keys);
    keys
}

/// The schema of a type, in which each part stands where it is used.
fn schema<T: JsonSchema>() -> Schema {
    let mut settings = SchemaSettings::draft2020_12();
    settings.inline_subschemas = true;
    settings.into_generator().into_root_schema_for::<T>()
}

struct Below<'a> {
    schema: &'a Value,
    order: Option<&'a serde_yaml_ng::Value>,
}

/// The keys of an object, in the order of a value of its type where there is one.
fn properties<'a>(schema: &'a Value, order: Option<&'a serde_yaml_ng::Value>) -> Vec<(&'a str, Below<'a>)> {
    let properties = schema.get("properties").and_then(Value::as_object);
    let value = |key: &str| order.and_then(|order| order.get(key));
    let at = |key: &str| {
        let keys = order.and_then(serde_yaml_ng::Value::as_mapping).into_iter().flat_map(|map| map.keys());
        keys.into_iter().position(|other| other.as_str() == Some(key))
    };
    let mut keys: Vec<_> = properties
        .into_iter()
        .flatten()
        .map(|(key, schema)| (key.as_str(), Below { schema, order: value(key) }))
        .collect();
    keys.sort_by_key(|(key, _)| at(key).unwrap_or(usize::MAX));
    keys
}

fn rows(text: &mut String, path: &str, schema: &Value, order: Option<&serde_yaml_ng::Value>) {
    for (key, Below { schema, order }) in properties(schema, order) {
        let path = format!("{path}.{key}");
        let items = schema.get("items").filter(|items| items.get("properties").is_some());
        match items {
            Some(items) => {
                let default = schema.get("default").map(|list| elements(list, items)).unwrap_or_default();
                row(text, &path, "a list", &default, &describe(schema));
                rows(text, &format!("{path}[]"), items, order.and_then(|list| list.get(0)));
            }
            None if schema.get("properties").is_some() => rows(text, &path, schema, order),
            None => {
                let default = schema.get("default").map(default).unwrap_or_default();
                row(text, &path, &takes(schema), &default, &describe(schema));
            }
        }
    }
}

fn row(text: &mut String, path: &str, takes: &str, default: &str, meaning: &str) {
    let default = if default.is_empty() { String::new() } else { format!("`{default}`") };
    let cell = |text: &str| text.replace('|', "\\|");
    writeln!(text, "| `{path}` | {} | {} | {} |", cell(takes), cell(&default), cell(meaning))
        .expect("memory");
}

/// What the type's or field's documentation says, in one line.
fn describe(schema: &Value) -> String {
    let text = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn default(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A list of objects, of each the keys that differ from what they are by default.
fn elements(list: &Value, items: &Value) -> String {
    let usual = |key: &str| items.get("properties")?.get(key)?.get("default");
    let mut list = list.clone();
    for element in list.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        element.retain(|key, value| usual(key) != Some(value));
    }
    default(&list)
}

/// What a value may be, in words.
fn takes(schema: &Value) -> String {
    if let Some(any) = ["anyOf", "oneOf"].iter().find_map(|of| schema.get(of)?.as_array()) {
        return any.iter().map(takes).collect::<Vec<_>>().join(" or ");
    }
    let constants = |schema: &Value| match (schema.get("const"), schema.get("enum")) {
        (Some(only), _) => Some(vec![default(only)]),
        (_, Some(Value::Array(all))) => Some(all.iter().map(default).collect()),
        _ => None,
    };
    if let Some(constants) = constants(schema) {
        return constants.iter().map(|c| format!("`{c}`")).collect::<Vec<_>>().join(" or ");
    }
    let format = schema.get("format").and_then(Value::as_str);
    let name = |kind: &str| match (kind, format) {
        ("string", Some(format)) => format!("a {format}"),
        ("string", None) => "text".into(),
        ("integer" | "number", _) => "a number".into(),
        ("boolean", _) => "`true` or `false`".into(),
        ("array", _) => match schema.get("items").map(takes) {
            Some(items) if items == "text" => "a list of texts".into(),
            _ => "a list".into(),
        },
        ("object", _) => "keys with texts".into(),
        ("null", _) => "`null`".into(),
        (other, _) => other.to_owned(),
    };
    match schema.get("type") {
        Some(Value::String(kind)) => name(kind),
        Some(Value::Array(kinds)) => {
            kinds.iter().filter_map(Value::as_str).map(name).collect::<Vec<_>>().join(" or ")
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ByteSize, Period};

    /// How fast it goes.
    #[derive(Serialize, JsonSchema, Default)]
    #[serde(rename_all = "lowercase")]
    enum Speed {
        #[expect(dead_code, reason = "it stands in the schema")]
        Slow,
        #[default]
        Fast,
    }

    #[derive(Serialize, JsonSchema)]
    #[serde(default)]
    struct Part {
        /// What is
        /// sent | kept.
        zebra: ByteSize,
        apple: Option<Period>,
        speed: Speed,
    }

    impl Default for Part {
        fn default() -> Self {
            Self { zebra: ByteSize::mib(2), apple: None, speed: Speed::default() }
        }
    }

    /// A section.
    #[derive(Serialize, JsonSchema)]
    #[serde(default)]
    struct Section {
        /// Parts of it.
        parts: Vec<Part>,
        one: Part,
    }

    impl Default for Section {
        fn default() -> Self {
            let parts = vec![Part { apple: Some(Period::secs(3)), ..Part::default() }];
            Self { parts, one: Part::default() }
        }
    }

    #[derive(Serialize, JsonSchema, Default)]
    #[serde(default)]
    struct Whole {
        section: Section,
    }

    #[test]
    fn keys_stand_in_their_order_with_type_default_and_meaning() {
        let text = markdown::<Whole>();
        let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
        assert_eq!(lines[..2], ["## `section`", "A section."]);
        assert!(
            lines.contains(&"| `section.parts` | a list | `[{\"apple\":\"3s\"}]` | Parts of it. |"),
            "{text}"
        );
        let one: Vec<&&str> = lines.iter().filter(|line| line.contains("`section.one.")).collect();
        assert_eq!(
            one,
            [
                &"| `section.one.zebra` | a size | `2MiB` | What is sent \\| kept. |",
                &"| `section.one.apple` | a period or `null` | `null` |  |",
                &"| `section.one.speed` | `slow` or `fast` | `fast` | How fast it goes. |",
            ]
        );
        assert!(text.contains("| `section.parts[].zebra` | a size |"), "{text}");
    }

    #[test]
    fn keys_are_what_has_a_value() {
        let mut keys = keys::<Whole>();
        keys.sort();
        assert_eq!(keys, ["section.one.apple", "section.one.speed", "section.one.zebra", "section.parts"]);
    }
}
