//! Records as a scan of the raw input sees them, and the words of a text. Nothing here is shared with Weir: it is what Weir is measured by.

use std::collections::BTreeMap;

/// Attributes of whatever level.
pub type Attrs = BTreeMap<String, Value>;

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null,
    Text(String),
    Int(i64),
    Double(f64),
    Bool(bool),
    Bytes(Vec<u8>),
    List(Vec<Value>),
    Map(Vec<(String, Value)>),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

/// A log line.
#[derive(Debug, Clone, Default)]
pub struct Line {
    pub service: String,
    pub resource: Attrs,
    pub attrs: Attrs,
    /// Without its newline.
    pub body: String,
    /// Nanoseconds since the Unix epoch; `None` where the input holds none, and the time of reading has to do.
    pub time: Option<u64>,
    /// As the line has it; empty where it has none.
    pub severity: String,
    /// Hexadecimal; empty where the line names none.
    pub trace: String,
    pub span: String,
    /// Its end is missing, or it was over a limit.
    pub truncated: bool,
}

/// A span.
#[derive(Debug, Clone, Default)]
pub struct Span {
    pub service: String,
    pub resource: Attrs,
    pub attrs: Attrs,
    /// Hexadecimal.
    pub trace: String,
    pub span: String,
    /// `None` for a root.
    pub parent: Option<String>,
    pub name: String,
    /// Number of its kind in OTLP, 0 for none.
    pub kind: i32,
    /// The status is error.
    pub error: bool,
    /// Nanoseconds since the Unix epoch.
    pub start: u64,
    pub end: u64,
}

impl Span {
    pub fn duration(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }
}

/// Something with attributes at several levels.
pub trait Attributed {
    fn service(&self) -> &str;
    fn own(&self) -> &Attrs;
    fn resource(&self) -> &Attrs;

    /// The value of a key at the record's level, or the resource's.
    fn attr(&self, key: &str) -> Option<&Value> {
        self.own().get(key).or_else(|| self.resource().get(key))
    }

    fn text(&self, key: &str) -> Option<&str> {
        match self.attr(key) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }
}

macro_rules! attributed {
    ($($name:ident)*) => { $(
        impl Attributed for $name {
            fn service(&self) -> &str {
                &self.service
            }

            fn own(&self) -> &Attrs {
                &self.attrs
            }

            fn resource(&self) -> &Attrs {
                &self.resource
            }
        }
    )* };
}

attributed!(Line Span);

/// The words of a text as the guide's page on search defines them: runs of letters, digits and `_` in lower case; a Chinese, Japanese or
/// Korean character is a word of its own.
pub fn words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for c in text.chars() {
        if is_ideograph(c) {
            words.extend([c.to_string(), String::new()]);
        } else if c.is_alphanumeric() || c == '_' {
            words.last_mut().expect("never empty").extend(c.to_lowercase());
        } else {
            words.push(String::new());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

fn is_ideograph(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}')
}

pub fn has_word(text: &str, word: &str) -> bool {
    words(text).iter().any(|w| w == word)
}

pub fn has_prefix(text: &str, prefix: &str) -> bool {
    words(text).iter().any(|w| w.starts_with(prefix))
}

/// Whether the words stand side by side.
pub fn has_phrase(text: &str, phrase: &str) -> bool {
    let phrase = words(phrase);
    words(text).windows(phrase.len()).any(|window| window == phrase)
}

/// How many of each there are.
pub fn count_by<T>(items: impl IntoIterator<Item = T>, key: impl Fn(&T) -> String) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    items.into_iter().for_each(|item| *counts.entry(key(&item)).or_default() += 1);
    counts
}
