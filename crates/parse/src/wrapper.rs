//! What a container runtime puts around a line: Docker's json-file and Kubernetes' CRI.

use crate::format::json::unescape;
use crate::parsed::{Span, Text};
use crate::scan::{Cursor, str_of};
use crate::time;
use memchr::{memchr, memchr2};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Wrapper {
    #[default]
    None,
    /// `{"log":"…\n","stream":"stdout","time":"…"}`
    Docker,
    /// `2024-01-02T15:04:05.000000000Z stdout F …`
    Cri,
}

impl Wrapper {
    pub fn name(self) -> &'static str {
        match self {
            Wrapper::None => "none",
            Wrapper::Docker => "docker",
            Wrapper::Cri => "cri",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        [Wrapper::None, Wrapper::Docker, Wrapper::Cri].into_iter().find(|w| w.name() == name)
    }

    /// Takes the wrapper off a line; `None` when it has none of this kind. Text that must be unescaped goes into `scratch`, which is cleared first.
    #[inline]
    pub fn unwrap(self, line: &[u8], scratch: &mut String) -> Option<Entry> {
        scratch.clear();
        match self {
            Wrapper::None => {
                Some(Entry { content: Text::Line(Span::new(0, line.len())), ..Entry::default() })
            }
            Wrapper::Docker => docker(line, scratch),
            Wrapper::Cri => cri(line),
        }
    }
}

/// One line without its wrapper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Entry {
    /// In the line or the scratch buffer, without its line end.
    pub content: Text,
    /// 0 for stdout, 1 for stderr.
    pub lane: u8,
    /// When the runtime saw it, in nanoseconds since the Unix epoch.
    pub time: Option<u64>,
    /// The line goes on in a later entry, or its end is missing.
    pub partial: bool,
}

fn docker(line: &[u8], scratch: &mut String) -> Option<Entry> {
    let mut entry = Entry::default();
    let mut has_log = false;
    let mut cursor = Cursor::new(line);
    cursor.eat(b'{')?;
    loop {
        cursor.spaces();
        cursor.eat(b'"')?;
        let key = cursor.until(b'"')?;
        cursor.spaces();
        cursor.eat(b':')?;
        cursor.spaces();
        match key.of(line) {
            b"log" => {
                cursor.eat(b'"')?;
                let (inside, first_escape) = string(&mut cursor)?;
                has_log = true;
                log(line, inside, first_escape, &mut entry, scratch);
            }
            b"stream" => {
                cursor.eat(b'"')?;
                let (name, _) = string(&mut cursor)?;
                entry.lane = u8::from(name.of(line) == b"stderr");
            }
            b"time" => {
                cursor.eat(b'"')?;
                let (text, _) = string(&mut cursor)?;
                entry.time = time::iso(text.of(line)).and_then(|(when, _)| when.unix());
            }
            // `attrs` holds what the log options copy from labels and environment.
            _ => skip(&mut cursor)?,
        }
        cursor.spaces();
        match cursor.peek()? {
            b',' => cursor.pos += 1,
            b'}' => break,
            _ => return None,
        }
    }
    // Both must be there: an application's own JSON line may well have a field `log`.
    (has_log && entry.time.is_some() && cursor.pos + 1 == line.len()).then_some(entry)
}

/// The inside of a string whose opening quote was passed, and where its first escape is.
#[inline]
fn string(cursor: &mut Cursor<'_>) -> Option<(Span, Option<usize>)> {
    let start = cursor.pos;
    let mut first = None;
    loop {
        let at = cursor.pos + memchr2(b'"', b'\\', cursor.rest())?;
        if cursor.line[at] == b'"' {
            cursor.pos = at + 1;
            return Some((Span::new(start, at), first));
        }
        first.get_or_insert(at);
        cursor.pos = at + 2;
    }
}

/// The text of a `log` value: where it stands if the line end is its only escape.
fn log(line: &[u8], inside: Span, first_escape: Option<usize>, entry: &mut Entry, scratch: &mut String) {
    let end = inside.end as usize;
    match first_escape {
        None => {
            entry.partial = true;
            entry.content = Text::Line(inside);
        }
        Some(at) if at + 2 == end && line[at + 1] == b'n' => {
            entry.content = Text::Line(Span::new(inside.start as usize, at));
        }
        Some(_) => {
            unescape(inside.of(line), scratch);
            entry.partial = !scratch.ends_with('\n');
            let text = scratch.trim_end_matches(['\n', '\r']);
            entry.content = Text::Scratch(Span::new(0, text.len()));
        }
    }
}

fn skip(cursor: &mut Cursor<'_>) -> Option<()> {
    let mut depth = 0usize;
    loop {
        match cursor.peek()? {
            b'"' => {
                cursor.pos += 1;
                string(cursor)?;
            }
            b'{' | b'[' => {
                depth += 1;
                cursor.pos += 1;
            }
            b'}' | b']' if depth > 0 => {
                depth -= 1;
                cursor.pos += 1;
            }
            b',' | b'}' if depth == 0 => return Some(()),
            _ => cursor.pos += 1,
        }
    }
}

fn cri(line: &[u8]) -> Option<Entry> {
    let (when, len) = time::iso(line)?;
    let mut cursor = Cursor { line, pos: len };
    cursor.eat(b' ')?;
    let lane = match cursor.until(b' ')?.of(line) {
        b"stdout" => 0,
        b"stderr" => 1,
        _ => return None,
    };
    // Tags are separated by colons; the first says whether the line is whole.
    let tags = cursor.pos;
    let end = memchr(b' ', cursor.rest()).map_or(line.len(), |len| tags + len);
    let partial = match str_of(&line[tags..end]).split(':').next()? {
        "P" => true,
        "F" => false,
        _ => return None,
    };
    let content = Text::Line(Span::new((end + 1).min(line.len()), line.len()));
    Some(Entry { content, lane, time: when.unix(), partial })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(wrapper: Wrapper, line: &str, expect: Option<(&str, u8, bool)>) {
        let mut scratch = String::new();
        let entry = wrapper.unwrap(line.as_bytes(), &mut scratch);
        let found = entry.map(|e| {
            let text = match e.content {
                Text::Line(s) => str_of(s.of(line.as_bytes())).to_owned(),
                Text::Scratch(s) => str_of(s.of(scratch.as_bytes())).to_owned(),
                Text::Static(s) => s.to_owned(),
            };
            assert_eq!(e.time, Some(1_675_078_733_622_000_000), "{line}");
            (text, e.lane, e.partial)
        });
        assert_eq!(found, expect.map(|(t, l, p)| (t.to_owned(), l, p)), "{line}");
    }

    #[test]
    fn docker_entries() {
        let t = r#""time":"2023-01-30T11:38:53.622Z"}"#;
        let docker = |line: String, expect| check(Wrapper::Docker, &line, expect);
        docker(format!(r#"{{"log":"hi\n","stream":"stdout",{t}"#), Some(("hi", 0, false)));
        docker(
            format!(r#"{{"log": "say \"hi\"\n", "stream": "stderr", {t}"#),
            Some(("say \"hi\"", 1, false)),
        );
        docker(format!(r#"{{"log":"half","stream":"stdout",{t}"#), Some(("half", 0, true)));
        docker(format!(r#"{{"log":"a\tb","stream":"stdout",{t}"#), Some(("a\tb", 0, true)));
        docker(
            format!(r#"{{"log":"x\r\n","stream":"stdout","attrs":{{"a":"}}"}},{t}"#),
            Some(("x", 0, false)),
        );
        docker(r#"{"log":"no time\n","stream":"stdout"}"#.into(), None);
        docker(r#"{"log":"cut"#.into(), None);
    }

    #[test]
    fn cri_entries() {
        let cri =
            |rest: &str, expect| check(Wrapper::Cri, &format!("2023-01-30T11:38:53.622Z {rest}"), expect);
        cri("stdout F hello world", Some(("hello world", 0, false)));
        cri("stderr P part", Some(("part", 1, true)));
        cri("stdout F ", Some(("", 0, false)));
        cri("stdout F:x tagged", Some(("tagged", 0, false)));
        cri("stdin F x", None);
        cri("stdout X x", None);
    }
}
