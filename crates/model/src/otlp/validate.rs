//! The check at the door: every field that a view will read has the right wire type, texts are UTF-8, nesting is bounded.

use crate::limits::VALUE_DEPTH;
use crate::signal::Signal;
use crate::wire::{DecodeError, Field, Fields, Kind};

/// What a valid body holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Log records, spans, or metrics (not their points).
    pub records: u64,
}

/// Walks an encoded request once.
///
/// # Errors
/// Names the first thing in the body that is not OTLP. A body that passes can be read by the views without loss.
pub fn validate(signal: Signal, body: &[u8]) -> Result<Counts, DecodeError> {
    let mut counts = Counts::default();
    each(body, |group| match group.number {
        1 => each(message(group)?, |field| match field.number {
            1 => resource(message(field)?),
            2 => each(message(field)?, |field| match field.number {
                1 => scope(message(field)?),
                2 => {
                    counts.records += 1;
                    record(signal, message(field)?)
                }
                3 => utf8(field),
                _ => Ok(()),
            }),
            3 => utf8(field),
            _ => Ok(()),
        }),
        _ => Ok(()),
    })?;
    Ok(counts)
}

type Check = Result<(), DecodeError>;

fn each<'a>(bytes: &'a [u8], mut check: impl FnMut(Field<'a>) -> Check) -> Check {
    Fields::new(bytes).try_for_each(|field| check(field?))
}

fn message(field: Field<'_>) -> Result<&[u8], DecodeError> {
    match field.kind {
        Kind::Bytes(bytes) => Ok(bytes),
        _ => Err(DecodeError::Mismatch(field.number)),
    }
}

fn utf8(field: Field<'_>) -> Check {
    simdutf8::basic::from_utf8(message(field)?).map(|_| ()).map_err(|_| DecodeError::Utf8)
}

fn varint(field: Field<'_>) -> Check {
    matches!(field.kind, Kind::Varint(_)).then_some(()).ok_or(DecodeError::Mismatch(field.number))
}

fn fixed64(field: Field<'_>) -> Check {
    matches!(field.kind, Kind::Fixed64(_)).then_some(()).ok_or(DecodeError::Mismatch(field.number))
}

fn fixed32(field: Field<'_>) -> Check {
    matches!(field.kind, Kind::Fixed32(_)).then_some(()).ok_or(DecodeError::Mismatch(field.number))
}

fn resource(bytes: &[u8]) -> Check {
    each(bytes, |field| match field.number {
        1 => attr(field, VALUE_DEPTH),
        2 => varint(field),
        _ => Ok(()),
    })
}

fn scope(bytes: &[u8]) -> Check {
    each(bytes, |field| match field.number {
        1 | 2 => utf8(field),
        3 => attr(field, VALUE_DEPTH),
        4 => varint(field),
        _ => Ok(()),
    })
}

fn attr(field: Field<'_>, depth: usize) -> Check {
    each(message(field)?, |field| match field.number {
        1 => utf8(field),
        2 => value(message(field)?, depth),
        _ => Ok(()),
    })
}

fn value(bytes: &[u8], depth: usize) -> Check {
    let Some(below) = depth.checked_sub(1) else { return Err(DecodeError::Depth(VALUE_DEPTH)) };
    each(bytes, |field| match field.number {
        1 => utf8(field),
        2 | 3 => varint(field),
        4 => fixed64(field),
        5 => each(message(field)?, |field| match field.number {
            1 => value(message(field)?, below),
            _ => Ok(()),
        }),
        6 => each(message(field)?, |field| match field.number {
            1 => attr(field, below),
            _ => Ok(()),
        }),
        7 => message(field).map(|_| ()),
        _ => Ok(()),
    })
}

fn record(signal: Signal, bytes: &[u8]) -> Check {
    match signal {
        Signal::Logs => each(bytes, log_field),
        Signal::Spans => each(bytes, span_field),
        Signal::Metrics => each(bytes, metric_field),
    }
}

fn log_field(field: Field<'_>) -> Check {
    match field.number {
        1 | 11 => fixed64(field),
        2 | 7 => varint(field),
        3 | 12 => utf8(field),
        5 => value(message(field)?, VALUE_DEPTH),
        6 => attr(field, VALUE_DEPTH),
        8 => fixed32(field),
        9 | 10 => message(field).map(|_| ()),
        _ => Ok(()),
    }
}

fn span_field(field: Field<'_>) -> Check {
    match field.number {
        1 | 2 | 4 => message(field).map(|_| ()),
        3 | 5 => utf8(field),
        6 | 10 | 12 | 14 => varint(field),
        7 | 8 => fixed64(field),
        9 => attr(field, VALUE_DEPTH),
        11 => each(message(field)?, |field| match field.number {
            1 => fixed64(field),
            2 => utf8(field),
            3 => attr(field, VALUE_DEPTH),
            _ => Ok(()),
        }),
        13 => each(message(field)?, |field| match field.number {
            1 | 2 => message(field).map(|_| ()),
            3 => utf8(field),
            4 => attr(field, VALUE_DEPTH),
            _ => Ok(()),
        }),
        15 => each(message(field)?, |field| match field.number {
            2 => utf8(field),
            3 => varint(field),
            _ => Ok(()),
        }),
        16 => fixed32(field),
        _ => Ok(()),
    }
}

fn metric_field(field: Field<'_>) -> Check {
    match field.number {
        1..=3 => utf8(field),
        5 | 7 => each(message(field)?, |field| match field.number {
            1 => each(message(field)?, point_field),
            2 | 3 => varint(field),
            _ => Ok(()),
        }),
        9..=11 => each(message(field)?, |_| Ok(())),
        _ => Ok(()),
    }
}

fn point_field(field: Field<'_>) -> Check {
    match field.number {
        2 | 3 | 4 | 6 => fixed64(field),
        7 => attr(field, VALUE_DEPTH),
        _ => Ok(()),
    }
}
