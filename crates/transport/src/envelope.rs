//! What a batch carries beside its records on its way between processes: `message { fixed64 arrived = 1; fixed64 route = 2;
//! repeated bytes origin = 3; }`, an origin being `u128 incarnation | u64 start | u64 end | u64 acked below`, little endian.
//!
//! Where a transport has room beside the body it travels there ([`write`], [`read`]), else as one more field at the end of the request
//! ([`seal`], [`open`]): protobuf readers skip fields that they do not know, so any OTLP receiver takes such a request.

use bytes::{Bytes, BytesMut};
use weir_model::wire::{DecodeError, Fields, Kind, Writer};
use weir_model::{Incarnation, Signal};

use crate::{Batch, Origin};

/// Number of the field: OTLP numbers its own from 1, and none of its messages comes near.
const ENVELOPE: u32 = 20_477;
const ARRIVED: u32 = 1;
const ROUTE: u32 = 2;
const ORIGIN: u32 = 3;
/// One origin, bytes.
const ORIGIN_BYTES: usize = 16 + 8 + 8 + 8;

/// The envelope alone.
pub fn write(batch: &Batch) -> Vec<u8> {
    let mut fields = Writer::new();
    fields.fixed64(ARRIVED, batch.arrived);
    fields.fixed64(ROUTE, batch.route);
    for origin in &batch.origins {
        let mut bytes = [0; ORIGIN_BYTES];
        bytes[..16].copy_from_slice(&origin.incarnation.0.to_le_bytes());
        bytes[16..24].copy_from_slice(&origin.range.start.to_le_bytes());
        bytes[24..32].copy_from_slice(&origin.range.end.to_le_bytes());
        bytes[32..].copy_from_slice(&origin.acked_below.to_le_bytes());
        fields.bytes(ORIGIN, &bytes);
    }
    fields.into_vec()
}

/// The request and its envelope, in one piece.
pub fn seal(batch: &Batch) -> Bytes {
    let mut envelope = Writer::new();
    envelope.bytes(ENVELOPE, &write(batch));
    let mut sealed = BytesMut::with_capacity(batch.body.len() + envelope.len());
    sealed.extend_from_slice(&batch.body);
    sealed.extend_from_slice(envelope.as_slice());
    sealed.freeze()
}

/// Takes a request apart. `None` where it has no envelope: it comes from a stranger who speaks plain OTLP.
///
/// The body of the batch shares the request's memory. Its records are not checked here.
///
/// # Errors
/// When the request is not protobuf, or its envelope is not one.
pub fn open(signal: Signal, request: &Bytes) -> Result<Option<Batch>, DecodeError> {
    // The envelope is written last: all before it is the body.
    let mut fields = Fields::new(request);
    let mut end = 0;
    while let Some(field) = fields.next() {
        let field = field?;
        if field.number == ENVELOPE {
            let Kind::Bytes(content) = field.kind else { return Err(DecodeError::Mismatch(ENVELOPE)) };
            if !fields.rest().is_empty() {
                return Err(DecodeError::Mismatch(ENVELOPE));
            }
            return read(signal, request.slice(..end), content).map(Some);
        }
        end = request.len() - fields.rest().len();
    }
    Ok(None)
}

/// The batch of a body and the envelope that [`write`] made. The body is not checked here.
///
/// # Errors
/// When it is not an envelope.
pub fn read(signal: Signal, body: Bytes, content: &[u8]) -> Result<Batch, DecodeError> {
    let mut batch = Batch { signal, origins: Vec::new(), route: 0, arrived: 0, body };
    for field in Fields::new(content) {
        let field = field?;
        match field.number {
            ARRIVED => batch.arrived = field.number_value(),
            ROUTE => batch.route = field.number_value(),
            ORIGIN => batch.origins.push(origin(field.bytes()).ok_or(DecodeError::Mismatch(ORIGIN))?),
            _ => {}
        }
    }
    Ok(batch)
}

fn origin(bytes: &[u8]) -> Option<Origin> {
    let bytes: &[u8; ORIGIN_BYTES] = bytes.try_into().ok()?;
    let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
    let incarnation = u128::from_le_bytes(bytes[..16].try_into().expect("sixteen bytes"));
    Some(Origin {
        incarnation: Incarnation(incarnation),
        range: number(16)..number(24),
        acked_below: number(32),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A request of one resource without records, and a field that nobody knows.
    const REQUEST: &[u8] = &[0x0a, 0x02, 0x0a, 0x00, 0x28, 0x07];

    prop_compose! {
        fn origins()(list in prop::collection::vec(any::<(u128, u64, u64, u64)>(), 0..5)) -> Vec<Origin> {
            list.into_iter()
                .map(|(id, a, b, acked_below)| Origin { incarnation: Incarnation(id), range: a..b, acked_below })
                .collect()
        }
    }

    proptest! {
        #[test]
        fn round_trip(origins in origins(), route: u64, arrived: u64, empty: bool) {
            let body = Bytes::from_static(if empty { &[] } else { REQUEST });
            let batch = Batch { signal: Signal::Logs, origins, route, arrived, body };
            prop_assert_eq!(read(Signal::Logs, batch.body.clone(), &write(&batch)), Ok(batch.clone()));
            prop_assert_eq!(open(Signal::Logs, &seal(&batch)), Ok(Some(batch)));
        }

        #[test]
        fn any_bytes_are_survived(bytes: Vec<u8>, cut in 0_usize..100) {
            let _ = open(Signal::Logs, &bytes.into());
            let batch = Batch {
                signal: Signal::Logs,
                origins: vec![Origin { incarnation: Incarnation(1), range: 2..3, acked_below: 2 }],
                route: 4,
                arrived: 5,
                body: Bytes::from_static(REQUEST),
            };
            let sealed = seal(&batch);
            let cut = sealed.slice(..cut.min(sealed.len() - 1));
            prop_assert_ne!(open(Signal::Logs, &cut), Ok(Some(batch)));
        }
    }

    #[test]
    fn plain_otlp_has_none() {
        assert_eq!(open(Signal::Spans, &Bytes::from_static(REQUEST)), Ok(None));
    }

    #[test]
    fn nothing_may_follow_the_envelope() {
        let batch = Batch { signal: Signal::Logs, origins: vec![], route: 1, arrived: 1, body: Bytes::new() };
        let mut sealed = seal(&batch).to_vec();
        sealed.extend_from_slice(REQUEST);
        assert!(open(Signal::Logs, &sealed.into()).is_err());
    }
}
