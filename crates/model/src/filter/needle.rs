//! What must stand in the encoding of every record that satisfies a filter: batches without it need not be decoded.

use super::{Cond, Filter, Key, Test, places};

impl Filter {
    /// A text that the encoded record, or its resource or scope, has somewhere as a whole string field if it satisfies the filter; the longest that
    /// is known. `None` where nothing can be said.
    pub fn needle(&self) -> Option<&[u8]> {
        match self {
            Filter::And(parts) => parts.iter().filter_map(Filter::needle).max_by_key(|needle| needle.len()),
            Filter::Cond(cond) => cond.needle(),
            Filter::All | Filter::Or(_) | Filter::Not(_) | Filter::Text(_) => None,
        }
    }
}

impl Cond {
    fn needle(&self) -> Option<&[u8]> {
        let value = match &self.test {
            // Numbers and truth values are encoded in other ways.
            Test::Eq(operand) if operand.quoted || !matches!(&*operand.text, "true" | "false") => {
                Some(operand).filter(|operand| operand.quoted || operand.number.is_none())
            }
            _ => None,
        };
        // Bytes that are no text read as a replacement character.
        let value = value.map(|operand| operand.text.as_str()).filter(|text| !text.contains('\u{fffd}'));
        let key = match &self.key {
            // Also the negative tests want the key to be there.
            // Where it may have several names, none of them must be there.
            Key::Attr(key) => Some(key.as_str())
                .filter(|key| !key.contains('\u{fffd}') && places(key).all(|(_, name)| name == *key)),
            Key::Service | Key::Operation => None,
            _ => return None,
        };
        let needle = value.into_iter().chain(key).max_by_key(|text| text.len())?;
        Some(needle.as_bytes()).filter(|needle| !needle.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn needles() {
        let check = |text: &str, expect: Option<&str>| {
            let filter = Filter::parse(text).unwrap();
            assert_eq!(filter.needle().map(|n| std::str::from_utf8(n).unwrap()), expect, "{text}");
        };
        check("key-1 = value-23", Some("value-23"));
        check("key-1 = 5", Some("key-1"));
        check("key-1 = \"5\"", Some("key-1"));
        check("k = \"500\"", Some("500"));
        check("vip = true", Some("vip"));
        check("host.name != a", Some("host.name"));
        check("resource.host.name != a", None);
        check("resource.host.name = node-1", Some("node-1"));
        check("amount > 5 service = storefront", Some("storefront"));
        check("operation = \"GET /a\" status = error", Some("GET /a"));
        check("service != shop", None);
        check("service ~ sh.*", None);
        check("status = error", None);
        check("a = b OR c = d", None);
        check("NOT a = b", None);
        check("words alone", None);
        check("", None);
    }
}
