//! What a container engine puts around a line.

use std::borrow::Cow;

use serde::Deserialize;

use crate::time;

/// Who wrapped a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrapper {
    None,
    /// Docker's json-file driver: `{"log":"…\n","stream":"stdout","time":"…"}`.
    Docker,
    /// Container runtime interface: `2023-01-29T08:42:10.175Z stdout F …`.
    Cri,
}

/// A line without its wrapper.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry<'a> {
    pub wrapper: Wrapper,
    /// Without its newline. Bytes that are not UTF-8 are replaced.
    pub text: Cow<'a, str>,
    /// `stdout` or `stderr`; empty without a wrapper.
    pub stream: Cow<'a, str>,
    /// Nanoseconds since the Unix epoch, as the engine saw it.
    pub time: Option<u64>,
    /// The wrapper's time as it is written: parts of one line carry the same.
    pub time_text: Cow<'a, str>,
    /// The line goes on in the next entry of its stream.
    pub partial: bool,
}

#[derive(Deserialize)]
struct DockerLine<'a> {
    #[serde(borrow)]
    log: Cow<'a, str>,
    #[serde(borrow)]
    stream: Cow<'a, str>,
    #[serde(borrow)]
    time: Cow<'a, str>,
}

/// Takes the wrapper off a line, which is given without its newline.
pub fn unwrap_entry(line: &[u8]) -> Entry<'_> {
    docker(line).or_else(|| cri(line)).unwrap_or_else(|| Entry {
        wrapper: Wrapper::None,
        text: String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)),
        stream: Cow::Borrowed(""),
        time: None,
        time_text: Cow::Borrowed(""),
        partial: false,
    })
}

fn docker(line: &[u8]) -> Option<Entry<'_>> {
    if !line.starts_with(b"{\"log\":") {
        return None;
    }
    let parsed: DockerLine<'_> = serde_json::from_slice(line).ok()?;
    let instant = time::parse_all(&parsed.time)?.instant();
    let partial = !parsed.log.ends_with('\n');
    let text = match parsed.log {
        Cow::Borrowed(text) => Cow::Borrowed(trim_newline(text)),
        Cow::Owned(mut text) => {
            text.truncate(trim_newline(&text).len());
            Cow::Owned(text)
        }
    };
    Some(Entry {
        wrapper: Wrapper::Docker,
        text,
        stream: parsed.stream,
        time: instant,
        time_text: parsed.time,
        partial,
    })
}

fn trim_newline(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}

fn cri(line: &[u8]) -> Option<Entry<'_>> {
    let (stamp, len) = time::parse(line)?;
    let rest = line[len..].strip_prefix(b" ")?;
    let stream = [&b"stdout"[..], b"stderr"].into_iter().find(|s| rest.starts_with(s))?;
    let rest = rest[stream.len()..].strip_prefix(b" ")?;
    let (tag, text) = match rest.iter().position(|b| *b == b' ') {
        Some(at) => (&rest[..at], &rest[at + 1..]),
        None => (rest, &rest[rest.len()..]),
    };
    let partial = match tag {
        b"P" => true,
        b"F" => false,
        _ => return None,
    };
    Some(Entry {
        wrapper: Wrapper::Cri,
        text: String::from_utf8_lossy(text),
        stream: Cow::Borrowed(if stream == b"stdout" { "stdout" } else { "stderr" }),
        time: stamp.instant(),
        time_text: String::from_utf8_lossy(&line[..len]),
        partial,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, wrapper: Wrapper, stream: &str, time: Option<u64>, text: &str, partial: bool) {
        let entry = unwrap_entry(line.as_bytes());
        let found = (entry.wrapper, entry.stream.as_ref(), entry.time, entry.text.as_ref(), entry.partial);
        assert_eq!(found, (wrapper, stream, time, text, partial), "{line}");
    }

    #[test]
    fn wrappers() {
        const T: u64 = 1_674_981_730_176_365_235;
        check(
            r#"{"log":"a \"b\"\n","stream":"stdout","time":"2023-01-29T08:42:10.176365235Z"}"#,
            Wrapper::Docker,
            "stdout",
            Some(T),
            "a \"b\"",
            false,
        );
        check(
            r#"{"log":"half","stream":"stderr","time":"2023-01-29T08:42:10.176365235Z"}"#,
            Wrapper::Docker,
            "stderr",
            Some(T),
            "half",
            true,
        );
        check("2023-01-29T08:42:10.176365235Z stdout F a b", Wrapper::Cri, "stdout", Some(T), "a b", false);
        check("2023-01-29T16:42:10.176365235+08:00 stderr P ", Wrapper::Cri, "stderr", Some(T), "", true);
        check(
            "2023-01-29T08:42:10Z stdout X a",
            Wrapper::None,
            "",
            None,
            "2023-01-29T08:42:10Z stdout X a",
            false,
        );
        check(r#"{"log":"no time"}"#, Wrapper::None, "", None, r#"{"log":"no time"}"#, false);
        check("plain\r", Wrapper::None, "", None, "plain", false);
    }
}
