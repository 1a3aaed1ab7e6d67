//! Names with few values: paths and messages without what differs from call to call.

use std::borrow::Cow;

use super::NAME_BYTES;

/// Segments of a path that are kept; deeper ones become `*`.
const SEGMENTS: usize = 8;
/// Digits beyond which a segment is an id, wherever they stand in it: `sku-00123`, `2024-05-01`.
const DIGITS: usize = 5;
/// Hexadecimal digits from which a segment is an id, if there is a decimal one among them.
const HEX: usize = 8;
/// A longer segment is a token or a name that someone chose.
const SEGMENT_BYTES: usize = 40;
const ID: &str = "{id}";

/// The route of a request's target: numbers, UUIDs, hashes and the like become `{id}`; scheme, host, query and fragment are left out.
pub(super) fn of_path(target: &str) -> Cow<'_, str> {
    // What begins as a path has no scheme; what looks like one is a part of it.
    let scheme = if target.starts_with('/') { None } else { target.split_once("://") };
    let path = match scheme {
        Some((_, rest)) => rest.find('/').map_or("/", |at| &rest[at..]),
        None => target,
    };
    let path = &path[..path.find(['?', '#', ';']).unwrap_or(path.len())];
    let deep = path.bytes().filter(|b| *b == b'/').count() > SEGMENTS;
    if !deep && path.len() <= NAME_BYTES && !path.split('/').any(is_id) {
        return Cow::Borrowed(path);
    }
    let mut route = String::with_capacity(path.len());
    for (at, segment) in path.split('/').enumerate() {
        if at > 0 {
            route.push('/');
        }
        if at > SEGMENTS || route.len() + segment.len() > NAME_BYTES {
            route.push('*');
            break;
        }
        route.push_str(if is_id(segment) { ID } else { segment });
    }
    Cow::Owned(route)
}

fn is_id(segment: &str) -> bool {
    let digits = segment.bytes().filter(u8::is_ascii_digit).count();
    if digits == 0 {
        return segment.len() > SEGMENT_BYTES || segment.contains('@');
    }
    let is_hex = |b: u8| b.is_ascii_hexdigit() || b == b'-';
    digits == segment.len()
        || digits >= DIGITS
        || segment.len() > SEGMENT_BYTES
        || segment.contains('@')
        || (segment.len() >= HEX && segment.bytes().all(is_hex))
}

/// The first line of a message with its numbers and ids as `{id}`.
pub(super) fn message(text: &str) -> Cow<'_, str> {
    let line = text.lines().next().unwrap_or("").trim();
    let line = &line[..line.floor_char_boundary(NAME_BYTES)];
    let differs = |word: &str| word.bytes().any(|b| b.is_ascii_digit());
    if !line.split(' ').any(differs) {
        return Cow::Borrowed(line);
    }
    let words: Vec<&str> = line.split(' ').map(|word| if differs(word) { ID } else { word }).collect();
    Cow::Owned(words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes() {
        for (path, expect) in [
            ("/", "/"),
            ("/go/http://shop.example/a", "/go/http://shop.example/a"),
            ("/orders", "/orders"),
            ("/orders/17", "/orders/{id}"),
            ("/orders/17/items/3?page=2", "/orders/{id}/items/{id}"),
            ("/api/v1/users/", "/api/v1/users/"),
            ("/u/6ba7b810-9dad-11d1-80b4-00c04fd430c8", "/u/{id}"),
            ("/m/507f1f77bcf86cd799439011", "/m/{id}"),
            ("/deadbeef", "/deadbeef"),
            ("/t/9f86d081", "/t/{id}"),
            ("/sku-00123", "/{id}"),
            ("/2024-05-01/report", "/{id}/report"),
            ("/who/anna@example.org", "/who/{id}"),
            ("http://shop.example:80/a/1", "/a/{id}"),
            ("http://shop.example", "/"),
            ("*", "*"),
            ("/a/b/c/d/e/f/g/h/i/j", "/a/b/c/d/e/f/g/h/*"),
            ("/中文/7", "/中文/{id}"),
        ] {
            assert_eq!(of_path(path), expect, "{path}");
        }
        assert!(of_path(&format!("/{}", "long/".repeat(400))).len() <= NAME_BYTES + 2);
        assert!(of_path(&format!("/{}", "x".repeat(5000))).len() <= NAME_BYTES);
    }

    #[test]
    fn messages() {
        assert_eq!(message("charged card"), "charged card");
        assert_eq!(message("order 17 took 12ms\n\tat x"), "order {id} took {id}");
        assert!(message(&"é".repeat(500)).len() <= NAME_BYTES);
    }
}
