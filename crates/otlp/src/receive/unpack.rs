//! Request bodies as they were before a client compressed them.

use std::io::Read;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use http::{HeaderMap, StatusCode, header};

use super::{REQUEST_BYTES, Refusal};

/// The body of a request, plain: at most [`REQUEST_BYTES`] are unpacked, whatever a few bytes may unfold to.
///
/// # Errors
/// When the body is too large, or not what its headers say.
pub fn unpack(headers: &HeaderMap, body: Result<Bytes, BytesRejection>) -> Result<Bytes, Refusal> {
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Refusal::TooLarge,
        _ => Refusal::Malformed(rejection.body_text()),
    })?;
    let encoding = headers.get(header::CONTENT_ENCODING).map_or("", |value| value.to_str().unwrap_or("?"));
    let bad = |error| Refusal::Malformed(format!("the body is not {encoding}, as its header says: {error}"));
    let mut reader: Box<dyn Read> = match encoding.trim().to_ascii_lowercase().as_str() {
        "" | "identity" => return Ok(body),
        "gzip" => Box::new(flate2::read::MultiGzDecoder::new(body.as_ref())),
        "zstd" => Box::new(zstd::Decoder::new(body.as_ref()).map_err(bad)?),
        other => {
            let message = format!("the content encoding `{other}` is not taken; use gzip or zstd");
            return Err(Refusal::Unsupported(message));
        }
    };
    let mut plain = Vec::new();
    reader.by_ref().take(REQUEST_BYTES as u64 + 1).read_to_end(&mut plain).map_err(bad)?;
    if plain.len() > REQUEST_BYTES {
        return Err(Refusal::TooLarge);
    }
    Ok(plain.into())
}
