//! Which lines belong to the line before them: stack traces of Java, Python, Go, Node and .NET, and indented text.

/// What the lines of a record so far tell about the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Trace {
    #[default]
    None,
    /// Behind `Traceback (most recent call last):`: everything indented, then one line with the exception.
    Python,
    /// Behind `panic:` or `goroutine 1 [running]:`: everything until an empty line and what follows it of further goroutines.
    Go,
}

impl Trace {
    /// What holds behind a line that begins a record or goes on with one.
    pub fn after(self, line: &str) -> Trace {
        if line.starts_with("Traceback (most recent call last)") {
            Trace::Python
        } else if line.starts_with("panic: ") || is_goroutine(line) {
            Trace::Go
        } else {
            self
        }
    }

    /// Whether a line goes on with the record.
    pub fn continues(self, line: &str) -> bool {
        if is_indented(line) || is_java(line) || line.starts_with("Traceback (most recent call last)") {
            return true;
        }
        match self {
            Trace::None => false,
            Trace::Python => is_exception(line) || is_chained(line),
            Trace::Go => line.is_empty() || is_goroutine(line) || is_go_frame(line),
        }
    }
}

fn is_indented(line: &str) -> bool {
    line.starts_with(['\t', ' ']) && !line.trim_start().is_empty()
}

/// Lines of a Java or .NET trace that are not indented: `Caused by: x`, `Suppressed: x`, and the exception's own name.
fn is_java(line: &str) -> bool {
    line.starts_with("Caused by: ")
        || line.starts_with("Suppressed: ")
        || line.starts_with("--- End of ")
        || is_exception(line)
}

/// `java.io.IOException: reset` or `ValueError: bad`: a name that ends like an exception's, then a colon or nothing.
fn is_exception(line: &str) -> bool {
    let name = line.split([':', ' ']).next().unwrap_or("");
    let named = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._$".contains(&b));
    let ends = ["Exception", "Error", "Throwable"].iter().any(|end| name.ends_with(end)) && name.len() > 5;
    let behind = &line[name.len()..];
    named
        && ends
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && (behind.is_empty() || behind.starts_with(':'))
}

/// Between the traces of a chained exception.
fn is_chained(line: &str) -> bool {
    line.is_empty()
        || line.starts_with("During handling of the above exception")
        || line.starts_with("The above exception was")
}

fn is_goroutine(line: &str) -> bool {
    line.starts_with("goroutine ") && line.ends_with("]:")
}

/// `main.f(0x1, …)` or `created by main.g`.
fn is_go_frame(line: &str) -> bool {
    line.starts_with("created by ")
        || line.starts_with("[signal ")
        || line.starts_with("exit status")
        || (line.ends_with(')') && line.contains('.') && !line.contains(' '))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines that begin a record are marked with `>`, those that belong to it are not.
    fn check(text: &str) {
        let mut trace = Trace::None;
        for marked in text.lines() {
            let (begins, line) = match marked.strip_prefix('>') {
                Some(line) => (true, line),
                None => (false, marked),
            };
            assert_eq!(trace.continues(line), !begins, "{line:?} behind {trace:?}");
            trace = if begins { Trace::None.after(line) } else { trace.after(line) };
        }
    }

    #[test]
    fn java() {
        check(
            ">12:00:00 ERROR x failed\njava.io.IOException: reset\n\tat a.B.c(B.java:7)\n\t... 3 more\nCaused by: java.lang.IllegalStateException\n\tat d.E.f(E.java:1)\n>12:00:01 INFO next",
        );
    }

    #[test]
    fn python() {
        check(
            ">ERROR:root:failed\nTraceback (most recent call last):\n  File \"a.py\", line 1, in f\n    g()\nValueError: bad\n\nDuring handling of the above exception, another exception occurred:\n>next",
        );
    }

    #[test]
    fn go() {
        check(
            ">panic: runtime error\n\ngoroutine 1 [running]:\nmain.f(0x1)\n\t/a/b.go:7 +0x1d\nmain.main()\n\t/a/b.go:3 +0x20\n>12:00 next line",
        );
    }

    #[test]
    fn node() {
        check(
            ">failed\nTypeError: x is not a function\n    at f (/a/b.js:1:2)\n    at node:internal/x:3\n>next",
        );
    }
}
