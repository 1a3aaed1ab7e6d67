//! Protobuf on the wire, as far as OTLP needs it: a reader that borrows, and a writer that patches lengths back.
//!
//! Encoding: <https://protobuf.dev/programming-guides/encoding/>.

mod read;
mod write;

pub use read::{DecodeError, Field, Fields, Kind};
pub use write::{Mark, Writer, field_len, varint_len};
