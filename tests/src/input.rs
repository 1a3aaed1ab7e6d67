//! Lines and spans for tests that only count them.

use std::fs::OpenOptions;
use std::io::Write;
use std::ops::Range;
use std::path::Path;

use bytes::Bytes;
use weir_model::otlp::{BodyWriter, SpanWriter};
use weir_model::{SpanId, TraceId};

/// Adds numbered lines to a file, and returns how many bytes they have.
pub fn append_lines(path: &Path, numbers: Range<u64>) -> u64 {
    let name = path.file_name().expect("a file").to_string_lossy();
    let text: String = numbers.map(|n| format!("{name} line {n}\n")).collect();
    let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    text.len() as u64
}

/// An export request of numbered spans, each the only one of its trace.
pub fn spans(numbers: Range<u64>) -> Bytes {
    let mut body = BodyWriter::default();
    body.resource(|attrs| attrs.str("service.name", "shop"));
    body.scope("test", "");
    for n in numbers.map(|n| n + 1) {
        body.record(|out| {
            let (trace, span) = (TraceId::new(u128::from(n).to_be_bytes()), SpanId::new(n.to_be_bytes()));
            let mut span = SpanWriter::new(out, trace.unwrap(), span.unwrap());
            span.name("work");
            span.times(1_700_000_000_000_000_000 + n, 1_700_000_000_000_000_500 + n);
        });
    }
    body.finish().into()
}
