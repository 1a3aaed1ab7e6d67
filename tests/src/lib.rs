//! What whole-system tests share: a running `weir up`, and a plain HTTP client.

pub mod http;
pub mod server;
