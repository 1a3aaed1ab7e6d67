//! Who reports: the resource and the instrumentation scope.

use super::value::{Attrs, text};
use crate::identity;
use crate::ids::Incarnation;
use crate::wire::Fields;

/// The entity that produced telemetry.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Resource<'a> {
    message: &'a [u8],
}

impl<'a> Resource<'a> {
    pub const EMPTY: Resource<'static> = Resource { message: &[] };

    pub fn decode(message: &'a [u8]) -> Self {
        Self { message }
    }

    /// The encoded message: equal bytes mean the same resource.
    pub fn message(&self) -> &'a [u8] {
        self.message
    }

    pub fn attrs(&self) -> Attrs<'a> {
        Attrs::new(self.message, 1)
    }

    /// `service.name`, or empty.
    pub fn service(&self) -> &'a str {
        self.attrs().get("service.name").and_then(|v| v.as_str()).unwrap_or("")
    }

    /// The life of the file that its records are from; `None` for what was not read from one.
    pub fn incarnation(&self) -> Option<Incarnation> {
        self.attrs().get(identity::INCARNATION)?.as_str()?.parse().ok()
    }
}

/// The library that recorded telemetry.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scope<'a> {
    message: &'a [u8],
}

impl<'a> Scope<'a> {
    pub const EMPTY: Scope<'static> = Scope { message: &[] };

    pub fn decode(message: &'a [u8]) -> Self {
        Self { message }
    }

    /// The encoded message: equal bytes mean the same scope.
    pub fn message(&self) -> &'a [u8] {
        self.message
    }

    pub fn name(&self) -> &'a str {
        self.text(1)
    }

    pub fn version(&self) -> &'a str {
        self.text(2)
    }

    pub fn attrs(&self) -> Attrs<'a> {
        Attrs::new(self.message, 3)
    }

    fn text(&self, number: u32) -> &'a str {
        Fields::new(self.message)
            .map_while(Result::ok)
            .filter(|f| f.number == number)
            .last()
            .map_or("", |f| text(f.bytes()))
    }
}
