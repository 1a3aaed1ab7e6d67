//! Bounds on what is taken in. Whoever cuts at one of them counts it and marks the record; nothing is cut silently.

/// Longest attribute key, in bytes; a longer one is cut at intake.
pub const KEY_BYTES: usize = 256;

/// Longest attribute value, in bytes; a longer one is cut and the record flagged.
pub const VALUE_BYTES: usize = 64 * 1024;

/// Values are indexed by this many first bytes and a hash of the whole (see the search page of the guide).
pub const INDEXED_VALUE_BYTES: usize = 1024;

/// Longest log body, in bytes; the rest of a longer line is dropped, counted, and the record flagged.
pub const BODY_BYTES: usize = 1024 * 1024;

/// Attributes of one record; further ones are dropped into `dropped_attributes_count`.
pub const ATTRIBUTES: usize = 1024;

/// Nesting of arrays and maps in a value; deeper input is refused.
pub const VALUE_DEPTH: usize = 32;

/// Encoded size of one batch, in bytes, that a sender aims to stay below.
pub const BATCH_BYTES: usize = 1024 * 1024;

/// Encoded size of one batch, in bytes, above which it is refused.
pub const BATCH_BYTES_MAX: usize = 64 * 1024 * 1024;
