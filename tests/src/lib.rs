//! What whole-system tests share: a running `weir up`, a plain HTTP client, and the Train Ticket data.

pub mod http;
pub mod server;
pub mod trainticket;
