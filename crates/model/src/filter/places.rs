//! Where the values of an attribute's key stand.

/// A part of what is stored that has attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Level {
    Resource,
    Scope,
    /// The span or log record itself.
    Record,
}

impl Level {
    pub const ALL: [Level; 3] = [Level::Resource, Level::Scope, Level::Record];
}

/// The level that a key names, and the attribute's name there.
fn named(key: &str) -> Option<(Level, &str)> {
    let (prefix, name) = key.split_once('.')?;
    let level = match prefix {
        "resource" => Level::Resource,
        "scope" => Level::Scope,
        "span" | "log" => Level::Record,
        _ => return None,
    };
    Some((level, name))
}

/// Where the values of an attribute's key stand, and how it is called there: by its whole name at every level, and where its beginning names a level,
/// by the rest there. So `log.file.name` is an attribute of that name, which OpenTelemetry's conventions have, and a log's own `file.name`.
///
/// They come in the order in which a record is grouped by the first of them that it has: its resource's, its scope's, its own.
pub fn places(key: &str) -> impl Iterator<Item = (Level, &str)> + Clone {
    let named = named(key);
    Level::ALL.into_iter().flat_map(move |level| {
        let rest = named.filter(|(own, _)| *own == level);
        rest.into_iter().chain([(level, key)])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_places() {
        use Level::{Record, Resource, Scope};
        let check = |key: &str, expect: &[(Level, &str)]| {
            assert_eq!(places(key).collect::<Vec<_>>(), expect, "{key}");
        };
        check("a.b", &[(Resource, "a.b"), (Scope, "a.b"), (Record, "a.b")]);
        check("log", &[(Resource, "log"), (Scope, "log"), (Record, "log")]);
        check("log.a.b", &[(Resource, "log.a.b"), (Scope, "log.a.b"), (Record, "a.b"), (Record, "log.a.b")]);
        check("span.a", &[(Resource, "span.a"), (Scope, "span.a"), (Record, "a"), (Record, "span.a")]);
        check("scope.a", &[(Resource, "scope.a"), (Scope, "a"), (Scope, "scope.a"), (Record, "scope.a")]);
        let resource =
            [(Resource, "a"), (Resource, "resource.a"), (Scope, "resource.a"), (Record, "resource.a")];
        check("resource.a", &resource);
    }
}
