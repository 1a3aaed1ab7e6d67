//! Stack traces of Java, .NET, Python, Go and Node: which lines belong to one, and which exception it shows.

/// Lines that one uncaught Node error may print before its `Node.js v…` line.
const NODE_LINES: u16 = 200;

/// Says line by line what continues a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tracer {
    state: State,
    /// Lines since the record began.
    lines: u16,
    /// The last one of them was indented.
    indented: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Free,
    /// After `Traceback`: frames, then the exception.
    PythonFrames,
    /// After the exception: a blank line and a chained traceback may come.
    PythonEnd,
    Go,
    /// Node prints the source line before the error.
    NodeSource,
}

impl Tracer {
    /// For a record that begins with this line.
    pub fn begin(head: &[u8]) -> Self {
        let state = match head.first() {
            Some(b'T') if is_traceback(head) => State::PythonFrames,
            Some(b'p') if head.starts_with(b"panic: ") => State::Go,
            Some(b'f') if head.starts_with(b"fatal error: ") => State::Go,
            Some(b'g') if is_goroutine(head) => State::Go,
            Some(b'/' | b'f' | b'n') if is_node_source(head) => State::NodeSource,
            _ => State::Free,
        };
        Self { state, lines: 0, indented: false }
    }

    /// Whether the line belongs to the record; `own` says that a traceback may begin in it (it is a logger's line, not free text).
    pub fn continues(&mut self, line: &[u8], own: bool) -> bool {
        self.lines = self.lines.saturating_add(1);
        let indented = std::mem::replace(&mut self.indented, matches!(line.first(), Some(b' ' | b'\t')));
        match self.state {
            State::PythonFrames => {
                if !line.is_empty() && !line[0].is_ascii_whitespace() {
                    self.state = State::PythonEnd;
                }
                true
            }
            State::PythonEnd if line.is_empty() || is_chain(line) => true,
            State::PythonEnd if is_traceback(line) => {
                self.state = State::PythonFrames;
                true
            }
            State::Go => is_go(line),
            State::NodeSource => {
                if line.starts_with(b"Node.js v") || self.lines > NODE_LINES {
                    self.state = State::Free;
                }
                true
            }
            State::Free | State::PythonEnd => self.free(line, own, indented),
        }
    }

    fn free(&mut self, line: &[u8], own: bool, indented: bool) -> bool {
        match line.first() {
            None => false,
            Some(b' ' | b'\t') => true,
            Some(b'T') if own && is_traceback(line) => {
                self.state = State::PythonFrames;
                true
            }
            Some(b'g') if is_goroutine(line) => {
                self.state = State::Go;
                true
            }
            Some(b'}') => self.lines > 1 && line == b"}",
            Some(b'C') => line.starts_with(b"Caused by: "),
            Some(b'S') => line.starts_with(b"Suppressed: "),
            Some(b'-') => line.starts_with(b"--- End of "),
            // Java's exception stands right below the message, or after Spring Boot's empty line; zap's stack too, then above each place.
            _ if own && self.lines <= 2 && std::str::from_utf8(line).is_ok_and(is_named) => true,
            _ => own && (self.lines == 1 || indented) && is_go_symbol(line),
        }
    }
}

/// Whether a runtime prints such a line above the stack of what nobody caught: it belongs to no line before it.
pub fn is_crash(line: &[u8]) -> bool {
    match line.first() {
        Some(b'p') => line.starts_with(b"panic: "),
        Some(b'f') => line.starts_with(b"fatal error: ") || is_node_source(line),
        Some(b'E') => line.starts_with(b"Exception in thread \""),
        Some(b'U') => line.starts_with(b"Unhandled exception. "),
        Some(b'/' | b'n') => is_node_source(line),
        _ => false,
    }
}

fn is_traceback(line: &[u8]) -> bool {
    line.starts_with(b"Traceback (most recent call last):")
}

fn is_chain(line: &[u8]) -> bool {
    line.starts_with(b"During handling of the above exception")
        || line.starts_with(b"The above exception was the direct cause")
}

fn is_goroutine(line: &[u8]) -> bool {
    line.starts_with(b"goroutine ") && line.ends_with(b":")
}

/// A line of a Go panic: blank, `goroutine 1 [running]:`, `main.f(0x1)`, an indented place, `created by …`, `exit status 2`.
fn is_go(line: &[u8]) -> bool {
    match line.first() {
        None | Some(b'\t' | b' ') => true,
        _ => {
            is_goroutine(line)
                || is_go_call(line)
                || line.starts_with(b"created by ")
                || line.starts_with(b"exit status ")
                || line.starts_with(b"[signal ")
                || line.starts_with(b"runtime stack:")
        }
    }
}

/// `main.(*cart).add(...)`, `net/http.serverHandler.ServeHTTP({0x1?}, {0x2?, 0x3})`, `panic({0x1?, 0x2?})`.
fn is_go_call(line: &[u8]) -> bool {
    let name = &line[..memchr::memchr2(b' ', b'{', line).unwrap_or(line.len())];
    let name = &name[..memchr::memchr(b'(', name).unwrap_or(0)];
    line.ends_with(b")") && (name == b"panic" || memchr::memchr(b'.', name).is_some())
}

/// `net/http.(*conn).serve` or `main.main`, which zap prints above each place of a stack.
fn is_go_symbol(line: &[u8]) -> bool {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"._/-()*[]".contains(b);
    memchr::memchr(b'.', line).is_some_and(|dot| dot > 0 && dot + 1 < line.len()) && line.iter().all(plain)
}

/// `/app/server.js:12` or `node:internal/…:123`, which Node prints above an uncaught error.
fn is_node_source(line: &[u8]) -> bool {
    let Some(colon) = memchr::memrchr(b':', line) else { return false };
    let (path, number) = (&line[..colon], &line[colon + 1..]);
    let script = [b".js".as_slice(), b".cjs", b".mjs", b".ts"].iter().any(|ext| path.ends_with(ext));
    !number.is_empty() && number.iter().all(u8::is_ascii_digit) && (script || path.starts_with(b"node:"))
}

/// The exception of a stack trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exception<'a> {
    /// Class or type; empty where only frames are there.
    pub kind: &'a str,
    pub message: &'a str,
    /// From the line that names the exception to the end.
    pub stack: &'a str,
}

/// Finds the exception that a text shows; `None` where there is no stack trace in it.
pub fn exception(text: &str) -> Option<Exception<'_>> {
    python(text).or_else(|| go(text)).or_else(|| frames(text))
}

fn python(text: &str) -> Option<Exception<'_>> {
    let start = text.find("Traceback (most recent call last):")?;
    let stack = text[start..].trim_end();
    // The last unindented line names what was raised last; its message may go on below it.
    let last = stack.rfind("Traceback (most recent call last):")?;
    let mut at = last;
    for line in stack[last..].split_inclusive('\n') {
        if at > last && !line.starts_with([' ', '\t', '\n', '\r']) {
            let (kind, message) = header(stack[at..].trim_end()).unwrap_or((line.trim_end(), ""));
            return Some(Exception { kind, message, stack });
        }
        at += line.len();
    }
    Some(Exception { kind: "", message: "", stack })
}

/// `panic: …` and `fatal error: …` of the runtime, with what was panicked about last, and what net/http says of a panic that it
/// recovered from.
fn go(text: &str) -> Option<Exception<'_>> {
    let goroutine = text.find("goroutine ").filter(|at| *at == 0 || text.as_bytes()[at - 1] == b'\n')?;
    let head = text[..goroutine].trim_end();
    let mut found = None;
    let mut start = None;
    let mut at = 0;
    for line in head.split_inclusive('\n') {
        let trimmed = line.trim();
        for kind in ["panic", "fatal error"] {
            if let Some(message) = trimmed.strip_prefix(kind).and_then(|rest| rest.strip_prefix(": ")) {
                start.get_or_insert(at);
                found = Some((&trimmed[..kind.len()], message));
            }
        }
        if let Some((from, message)) =
            trimmed.find("panic serving ").and_then(|from| Some((from, trimmed[from..].split_once(": ")?.1)))
        {
            start.get_or_insert(at);
            found = Some((&trimmed[from..from + "panic".len()], message));
        }
        at += line.len();
    }
    let ((kind, message), start) = (found?, start?);
    let message = message.strip_suffix(" [recovered]").unwrap_or(message);
    Some(Exception { kind, message, stack: text[start..].trim_end() })
}

/// Java, Kotlin, Node and .NET: a line that names the exception, then `at` lines.
fn frames(text: &str) -> Option<Exception<'_>> {
    let (mut before, mut at) = (0, 0);
    let mut named = None;
    for line in text.split_inclusive('\n') {
        let trimmed = line.trim_start();
        if trimmed.starts_with("at ") && trimmed.len() < line.len() {
            let Some(start) = named.or_else(|| named_inside(text, before, at)) else {
                let stack = text[at..].trim_end();
                return Some(Exception { kind: "", message: "", stack });
            };
            let head = text[start..at].trim_end();
            // .NET names the inner exceptions before the frames.
            let head = head.find("\n --->").map_or(head, |end| head[..end].trim_end());
            let (kind, message) = header(head)?;
            return Some(Exception { kind, message, stack: text[start..].trim_end() });
        }
        if named.is_none() {
            let gap = line
                .strip_prefix("Exception in thread \"")
                .and_then(|rest| rest.find("\" ").map(|quote| line.len() - rest.len() + quote + 2));
            let skip = gap.or_else(|| line.starts_with("Unhandled exception. ").then_some(21)).unwrap_or(0);
            if header(line[skip..].trim_end()).is_some() {
                named = Some(at + skip);
            }
        }
        before = at;
        at += line.len();
    }
    None
}

/// `console.error("could not pay:", error)` puts the exception behind a text: where in the line between `from` and `to` it begins.
fn named_inside(text: &str, from: usize, to: usize) -> Option<usize> {
    let line = text[from..to].trim_end();
    line.match_indices(": ")
        .map(|(at, gap)| at + gap.len())
        .find(|at| header(&line[*at..]).is_some())
        .map(|at| from + at)
}

/// The line that names an exception with its package, as Java's loggers print it below the message.
fn is_named(line: &str) -> bool {
    header(line).is_some_and(|(kind, _)| kind.contains('.'))
}

/// `java.lang.IllegalStateException: message`, `TypeError [ERR_X]: message`, `ValueError`.
fn header(text: &str) -> Option<(&str, &str)> {
    let end = text
        .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '$')))
        .unwrap_or(text.len());
    let kind = &text[..end];
    let known = ["Error", "Exception", "Throwable", "Interrupt", "Exit", "Warning", "Fault", "Failure"];
    if !kind.contains('.') && !known.iter().any(|suffix| kind.ends_with(suffix)) {
        return None;
    }
    if !kind.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') || kind.ends_with('.') {
        return None;
    }
    let mut rest = &text[end..];
    if let Some(code) = rest.strip_prefix(" [") {
        rest = &code[code.find(']')? + 1..];
    }
    if rest.is_empty() || rest.starts_with('\n') {
        return Some((kind, ""));
    }
    Some((kind, rest.strip_prefix(':')?.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions() {
        let cases: [(&str, Option<(&str, &str)>); 13] = [
            (
                "java.lang.IllegalStateException: no seat\n\tat a.B.c(B.java:1)\nCaused by: x.Y\n\tat d.E.f(E.java:2)",
                Some(("java.lang.IllegalStateException", "no seat")),
            ),
            (
                "Exception in thread \"main\" java.lang.NullPointerException\n\tat a.B.main(B.java:1)",
                Some(("java.lang.NullPointerException", "")),
            ),
            ("TypeError [ERR_X]: bad\n    at f (/a.js:1:2)", Some(("TypeError", "bad"))),
            (
                "Traceback (most recent call last):\n  File \"a.py\", line 1, in <module>\nValueError: no",
                Some(("ValueError", "no")),
            ),
            (
                "Traceback (most recent call last):\n  File \"a\"\nKeyError: 'k'\n\nDuring handling of the above exception, another exception occurred:\n\nTraceback (most recent call last):\n  File \"b\"\nshop.StockError: none left",
                Some(("shop.StockError", "none left")),
            ),
            ("panic: boom\n\ngoroutine 1 [running]:\nmain.main()\n\t/a.go:3 +0x1", Some(("panic", "boom"))),
            ("panic: a [recovered]\n\tpanic: b\n\ngoroutine 1 [running]:\nmain.main()", Some(("panic", "b"))),
            (
                "http: panic serving 1.2.3.4:5: gone\ngoroutine 9 [running]:\nmain.f(0x1)",
                Some(("panic", "gone")),
            ),
            ("could not pay: Error: no\n    at f (/a.js:1:2)", Some(("Error", "no"))),
            (
                "System.Exception: bad\r\n ---> System.ArgumentException: worse\r\n   at A.B() in /a.cs:line 3",
                Some(("System.Exception", "bad")),
            ),
            (
                "System.InvalidOperationException: bad\n   at A.B() in /a.cs:line 3",
                Some(("System.InvalidOperationException", "bad")),
            ),
            ("\tat a.B.c(B.java:1)", Some(("", ""))),
            ("all is well\n  at home", Some(("", ""))),
        ];
        for (text, expect) in cases {
            assert_eq!(exception(text).map(|e| (e.kind, e.message)), expect, "{text}");
        }
        assert_eq!(exception("order 7 took 12ms"), None);
    }

    #[test]
    fn lines_of_a_panic() {
        let cases = [
            ("net/http.(*conn).serve(0x16e14ce60480, {0x8448b8, 0x16e14ce1bda0})", true),
            ("panic({0x7a5dc0?, 0xb485a0?})", true),
            ("main.init.2.func3.1({0x678845?, 0x16e14ce040f8?}, 0x0?)", true),
            ("created by net/http.(*Server).Serve in goroutine 20", true),
            ("exit status 2", true),
            ("listening (again)", false),
            ("2026/11/25 18:27:15 done()", false),
        ];
        for (line, expect) in cases {
            assert_eq!(is_go(line.as_bytes()), expect, "{line}");
        }
    }
}
