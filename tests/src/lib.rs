//! What whole-system tests share: Weir in processes of its own, a client of its interfaces, and the Train Ticket data.

pub mod client;
pub mod disk;
pub mod feed;
pub mod found;
pub mod generator;
pub mod http;
pub mod input;
pub mod letters;
pub mod nginx;
pub mod otlp;
pub mod raw;
pub mod sdk;
pub mod server;
pub mod trainticket;
pub mod verify;
