//! Records that an engine can't store: kept with their cause, and holes in what is stored of their sources.

use std::collections::BTreeMap;

use weir_model::Incarnation;
use weir_model::otlp::{BodyWriter, Group};
use weir_transport::{Batch, Origin, Position};

/// Records of one batch that can't be stored for one cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Of the batch that they came in.
    pub position: Position,
    /// Why, for a person.
    pub cause: String,
    pub records: u64,
    /// These records alone. Its origins cover them and nothing else.
    pub batch: Batch,
}

/// Collects what is refused of a write.
#[derive(Debug, Default)]
pub struct Refusals {
    found: BTreeMap<(Position, String), Found>,
}

#[derive(Debug)]
struct Found {
    body: BodyWriter,
    origins: Vec<Origin>,
    /// The batch that they came in.
    of: Batch,
}

impl Refusals {
    /// Takes a record of a batch. `source` is where it stands in its file, for a batch that has ranges.
    pub fn add(
        &mut self,
        position: Position,
        batch: &Batch,
        group: &Group<'_>,
        record: &[u8],
        source: Option<(Incarnation, u64)>,
        cause: &str,
    ) {
        let found = self.found.entry((position, cause.to_owned())).or_insert_with(|| Found {
            body: BodyWriter::default(),
            origins: Vec::new(),
            of: batch.clone(),
        });
        found.body.raw_resource(group.resource.message());
        found.body.raw_scope(group.scope.message());
        found.body.raw_record(record);
        if let Some((incarnation, start)) = source {
            // It may be sent again at any time: nothing is acknowledged for it.
            let hole = Origin { incarnation, range: start..start + 1, acked_below: 0 };
            if !found.origins.contains(&hole) {
                found.origins.push(hole);
            }
        }
    }

    /// What of a batch's ranges is stored: all but the starts of the records that were refused.
    pub fn stored(&self, position: Position, batch: &Batch) -> Vec<Origin> {
        let refused = self.found.range((position, String::new())..(position.next(), String::new()));
        let mut holes: Vec<(Incarnation, u64)> = refused
            .flat_map(|(_, found)| found.origins.iter().map(|hole| (hole.incarnation, hole.range.start)))
            .collect();
        if holes.is_empty() {
            return batch.origins.clone();
        }
        holes.sort_unstable();
        let mut stored = Vec::new();
        for origin in &batch.origins {
            let mut rest = origin.range.clone();
            for (_, hole) in
                holes.iter().filter(|(of, at)| *of == origin.incarnation && origin.range.contains(at))
            {
                stored.push(Origin { range: rest.start..*hole, ..origin.clone() });
                rest.start = hole + 1;
            }
            stored.push(Origin { range: rest, ..origin.clone() });
        }
        stored.retain(|origin| !origin.range.is_empty());
        stored
    }

    /// How many records were refused.
    pub fn records(&self) -> u64 {
        self.found.values().map(|found| found.body.records()).sum()
    }

    pub fn finish(self) -> Vec<Refusal> {
        let refusal = |((position, cause), found): ((Position, String), Found)| {
            let Found { mut body, origins, of } = found;
            let records = body.records();
            let batch = Batch { origins, body: body.finish().into(), ..of };
            Refusal { position, cause, records, batch }
        };
        self.found.into_iter().map(refusal).collect()
    }
}
