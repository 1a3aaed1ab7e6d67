//! The two levels that all three signals share: records of one scope, scopes of one resource.

use super::resource::{Resource, Scope};
use crate::wire::Fields;

/// Records that share a resource and a scope: a `ScopeLogs`, `ScopeSpans` or `ScopeMetrics` in its `Resource…`.
#[derive(Debug, Clone, Copy)]
pub struct Group<'a> {
    pub resource: Resource<'a>,
    pub scope: Scope<'a>,
    message: &'a [u8],
}

impl<'a> Group<'a> {
    /// The encoded records, in their order.
    pub fn records(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        nested(self.message, 2)
    }
}

fn nested(message: &[u8], number: u32) -> impl Iterator<Item = &[u8]> {
    Fields::new(message).map_while(Result::ok).filter(move |f| f.number == number).map(|f| f.bytes())
}

/// The message in a singular field; it may stand behind the repeated ones.
fn singular(message: &[u8], number: u32) -> &[u8] {
    // Writers put it first, so the common case looks at one field only.
    match Fields::new(message).next() {
        Some(Ok(first)) if first.number == number => first.bytes(),
        _ => nested(message, number).last().unwrap_or(&[]),
    }
}

/// Iterates over the groups of a request.
#[derive(Debug, Clone)]
pub struct Groups<'a> {
    body: Fields<'a>,
    resource: Resource<'a>,
    scopes: Fields<'a>,
}

impl<'a> Groups<'a> {
    pub fn new(body: &'a [u8]) -> Self {
        Self { body: Fields::new(body), resource: Resource::EMPTY, scopes: Fields::new(&[]) }
    }
}

impl<'a> Iterator for Groups<'a> {
    type Item = Group<'a>;

    fn next(&mut self) -> Option<Group<'a>> {
        loop {
            if let Some(field) = self.scopes.by_ref().map_while(Result::ok).find(|f| f.number == 2) {
                let message = field.bytes();
                let scope = Scope::decode(singular(message, 1));
                return Some(Group { resource: self.resource, scope, message });
            }
            let message = self.body.by_ref().map_while(Result::ok).find(|f| f.number == 1)?.bytes();
            self.resource = Resource::decode(singular(message, 1));
            self.scopes = Fields::new(message);
        }
    }
}

/// Iterates over the encoded records of a request, each with its group.
#[derive(Debug, Clone)]
pub struct Refs<'a> {
    groups: Groups<'a>,
    group: Option<(Group<'a>, Fields<'a>)>,
}

impl<'a> Refs<'a> {
    pub fn new(body: &'a [u8]) -> Self {
        Self { groups: Groups::new(body), group: None }
    }
}

impl<'a> Iterator for Refs<'a> {
    type Item = (Group<'a>, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((group, fields)) = &mut self.group
                && let Some(field) = fields.by_ref().map_while(Result::ok).find(|f| f.number == 2)
            {
                return Some((*group, field.bytes()));
            }
            let group = self.groups.next()?;
            self.group = Some((group, Fields::new(group.message)));
        }
    }
}
