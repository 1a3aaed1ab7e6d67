//! Which partition a record goes to, and the parts of a batch.
//!
//! - Spans: the hash (XXH3, 64 bits) of their trace id's 16 bytes, modulo the number of partitions, so that one partition holds a whole trace.
//! - Logs and metrics that were read from files: the hash of their file's incarnation, so that a file keeps its order and its ranges stay in one
//!   lane, whichever other files it shares a batch with.
//! - All others: the batch's route.
//!
//! The number of partitions is that of the topic when the process began, or when it was recreated: were it to change in between, a batch that is
//! sent again could go elsewhere, where nobody knows that it is stored already.

use bytes::Bytes;
use weir_model::otlp::{Log, Resource, Span};
use weir_model::wire::{Fields, Kind, Mark, Writer};
use weir_model::{Incarnation, Signal, TraceId, identity};
use weir_transport::{Batch, Origin};
use xxhash_rust::xxh3::xxh3_64;

/// The partition of a trace.
pub(crate) fn of_trace(trace: TraceId, partitions: u32) -> u32 {
    (xxh3_64(trace.as_bytes()) % u64::from(partitions)) as u32
}

/// The partition of a file.
fn of_source(incarnation: Incarnation, partitions: u32) -> u32 {
    (xxh3_64(&incarnation.to_bytes()) % u64::from(partitions)) as u32
}

/// The parts of a batch with their partitions; in all they hold its records, each once.
///
/// A batch without origins is cut further where a part would have more than `limit` bytes; for one with origins that is left to [`cut`].
pub(crate) fn split(batch: Batch, partitions: u32, limit: usize) -> Vec<(u32, Batch)> {
    let whole = (batch.route % u64::from(partitions)) as u32;
    let by_trace = batch.signal == Signal::Spans && partitions > 1;
    let by_source = batch.signal != Signal::Spans && partitions > 1 && !batch.origins.is_empty();
    let too_large = batch.origins.is_empty() && batch.body.len() > limit;
    if !by_trace && !by_source && !too_large {
        return vec![(whole, batch)];
    }
    // Most batches have one busy file's records.
    if by_source && let Some(partition) = one_home(&batch, whole, partitions) {
        return vec![(partition, batch)];
    }
    let limit = if batch.origins.is_empty() { limit } else { usize::MAX };
    let mut parts = Parts { limit, parts: Vec::new() };
    for (resource, head) in messages(&batch.body, 1) {
        let source = if by_source { incarnation(&head) } else { None };
        let home = source.map_or(whole, |source| of_source(source, partitions));
        parts.parts.iter_mut().for_each(Part::end_resource);
        for (scope, scope_head) in messages(resource, 2) {
            parts.parts.iter_mut().for_each(Part::end_scope);
            for (record, _) in messages_in(scope, 2) {
                let partition = match by_trace {
                    true => Span::decode(record).trace_id.map_or(home, |id| of_trace(id, partitions)),
                    false => home,
                };
                parts.add(partition, &head, &scope_head, record);
            }
        }
    }
    let mut parts = parts.parts;
    if by_source {
        // A range none of whose lines became a record is told as well.
        let homes = batch.origins.iter().map(|origin| of_source(origin.incarnation, partitions));
        for home in homes {
            if parts.iter().all(|part| part.partition != home) {
                parts.push(Part::empty(home));
            }
        }
    }
    match parts.len() {
        0 => vec![(whole, batch)],
        // As it came, where it can be.
        1 => vec![(parts.remove(0).partition, batch)],
        _ => {
            let origins = |partition| match by_source {
                true => batch
                    .origins
                    .iter()
                    .filter(|origin| of_source(origin.incarnation, partitions) == partition)
                    .cloned()
                    .collect(),
                false => batch.origins.clone(),
            };
            parts.into_iter().map(|part| part.finish(&batch, origins)).collect()
        }
    }
}

/// Cuts a batch that covers ranges into several, in order, each of at most `limit` bytes and a few of framing, unless one line alone has more.
/// Each covers that part of the ranges in which its own records start. `None` where it can't be cut.
pub(crate) fn cut(batch: &Batch, limit: usize) -> Option<Vec<Batch>> {
    if batch.origins.is_empty() || batch.body.len() <= limit {
        return None;
    }
    // A piece is a part with its number in the place of a partition's.
    let mut parts = Parts { limit: usize::MAX, parts: Vec::new() };
    let (mut pieces, mut last) = (0, None);
    let mut starts = Vec::new();
    for (resource, head) in messages(&batch.body, 1) {
        let source = incarnation(&head);
        parts.parts.iter_mut().for_each(Part::end_resource);
        for (scope, scope_head) in messages(resource, 2) {
            parts.parts.iter_mut().for_each(Part::end_scope);
            for (record, _) in messages_in(scope, 2) {
                let start = source.zip(start(batch.signal, record));
                let more = head.len() + scope_head.len() + record.len();
                let is_full = parts.parts.last().is_none_or(|open| open.out.len() + more > limit);
                // What starts at one place stays together: a range has either all of it or nothing.
                if pieces == 0 || (is_full && (start.is_none() || start != last)) {
                    pieces += 1;
                }
                parts.add(pieces - 1, &head, &scope_head, record);
                starts.extend(start.map(|(source, offset)| (source, offset, pieces - 1)));
                last = start;
            }
        }
    }
    let mut origins = vec![Vec::new(); pieces as usize];
    for origin in &batch.origins {
        let of = starts.iter().filter(|(source, ..)| *source == origin.incarnation);
        // From the last piece to the first: each ends where the next one's records begin.
        let mut end = origin.range.end;
        let mut own: Vec<_> = of.map(|(_, offset, piece)| (*piece, *offset)).collect();
        // Where records do not stand in their order, no range has a piece's records and no others.
        if !own
            .is_sorted_by(|(piece, offset), (next, then)| offset < then || (offset == then && piece == next))
        {
            return None;
        }
        own.dedup_by_key(|(piece, _)| *piece);
        let first = own.first().map_or(0, |(piece, _)| *piece);
        for (piece, offset) in own.into_iter().skip(1).rev() {
            origins[piece as usize].push(Origin { range: offset..end, ..origin.clone() });
            end = offset;
        }
        origins[first as usize].push(Origin { range: origin.range.start..end, ..origin.clone() });
    }
    let pieces = parts.parts.into_iter().map(|part| {
        let number = part.partition as usize;
        part.finish(batch, |_| origins[number].clone()).1
    });
    Some(pieces.collect()).filter(|pieces: &Vec<_>| pieces.len() > 1)
}

/// Where in its source a record starts.
fn start(signal: Signal, record: &[u8]) -> Option<u64> {
    let attrs = match signal {
        Signal::Logs => Log::decode(record).attrs(),
        Signal::Spans => Span::decode(record).attrs(),
        Signal::Metrics => return None,
    };
    attrs.get(identity::OFFSET)?.as_int()?.try_into().ok()
}

/// The partition of all files of a batch, where it is one. Records without a file go to `whole`.
fn one_home(batch: &Batch, whole: u32, partitions: u32) -> Option<u32> {
    let resources = messages_in(&batch.body, 1).map(|(resource, _)| {
        incarnation(resource).map_or(whole, |incarnation| of_source(incarnation, partitions))
    });
    let origins = batch.origins.iter().map(|origin| of_source(origin.incarnation, partitions));
    let mut homes = resources.chain(origins);
    let first = homes.next()?;
    homes.all(|home| home == first).then_some(first)
}

/// The file of a `Resource…` message, or of its fields beside the records.
fn incarnation(head: &[u8]) -> Option<Incarnation> {
    let (resource, _) = messages_in(head, 1).next()?;
    Resource::decode(resource).incarnation()
}

/// The nested messages in fields numbered `field`, each with what stands in it beside the fields that are `2`: resource or scope, and the URL of
/// its schema.
fn messages(message: &[u8], field: u32) -> Vec<(&[u8], Vec<u8>)> {
    messages_in(message, field).map(|(content, _)| (content, others(content, 2))).collect()
}

fn messages_in(message: &[u8], field: u32) -> impl Iterator<Item = (&[u8], u32)> {
    Fields::new(message).map_while(Result::ok).filter_map(move |f| match f.kind {
        Kind::Bytes(content) if f.number == field => Some((content, f.number)),
        _ => None,
    })
}

/// All fields but those numbered `field`, as they are encoded.
fn others(message: &[u8], field: u32) -> Vec<u8> {
    let mut fields = Fields::new(message);
    let mut out = Vec::new();
    loop {
        let before = fields.rest();
        match fields.next() {
            Some(Ok(found)) if found.number == field => {}
            Some(Ok(_)) => out.extend_from_slice(&before[..before.len() - fields.rest().len()]),
            _ => return out,
        }
    }
}

struct Parts {
    limit: usize,
    /// The last of a partition is the one that is written to.
    parts: Vec<Part>,
}

impl Parts {
    fn add(&mut self, partition: u32, resource: &[u8], scope: &[u8], record: &[u8]) {
        let open = self.parts.iter().rposition(|part| part.partition == partition);
        let fits = |part: &Part| part.out.len() + resource.len() + scope.len() + record.len() <= self.limit;
        let at = match open {
            Some(at) if fits(&self.parts[at]) => at,
            _ => {
                self.parts.push(Part { partition, out: Writer::new(), resource: None, scope: None });
                self.parts.len() - 1
            }
        };
        self.parts[at].add(resource, scope, record);
    }
}

/// A request that is being written.
struct Part {
    partition: u32,
    out: Writer,
    resource: Option<Mark>,
    scope: Option<Mark>,
}

impl Part {
    /// Without records, but with a resource, since a message needs a payload.
    fn empty(partition: u32) -> Self {
        let mut out = Writer::new();
        let resource = Some(out.begin(1));
        Self { partition, out, resource, scope: None }
    }

    fn add(&mut self, resource: &[u8], scope: &[u8], record: &[u8]) {
        if self.resource.is_none() {
            self.resource = Some(self.out.begin(1));
            self.out.raw(resource);
        }
        if self.scope.is_none() {
            self.scope = Some(self.out.begin(2));
            self.out.raw(scope);
        }
        self.out.bytes(2, record);
    }

    fn end_scope(&mut self) {
        if let Some(mark) = self.scope.take() {
            self.out.end(mark);
        }
    }

    fn end_resource(&mut self) {
        self.end_scope();
        if let Some(mark) = self.resource.take() {
            self.out.end(mark);
        }
    }

    fn finish(mut self, of: &Batch, origins: impl Fn(u32) -> Vec<Origin>) -> (u32, Batch) {
        self.end_resource();
        let (origins, body) = (origins(self.partition), Bytes::from(self.out.into_vec()));
        (self.partition, Batch { origins, body, ..of.clone() })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};

    use weir_model::otlp::{BodyWriter, LogWriter, Refs, SpanWriter, validate};
    use weir_model::{SpanId, identity};

    use super::*;

    fn spans(count: u64) -> Batch {
        let mut body = BodyWriter::default();
        for resource in 0..3 {
            body.resource(|attrs| attrs.str("service.name", &format!("service-{resource}")));
            for scope in 0..2 {
                body.scope("library", &scope.to_string());
                for n in (0..count).filter(|n| n % 6 == resource * 2 + scope) {
                    let trace = TraceId::from_low(n / 4 + 1).unwrap();
                    body.record(|out| {
                        SpanWriter::new(out, trace, SpanId::new((n + 1).to_be_bytes()).unwrap()).name("work")
                    });
                }
            }
        }
        let body = Bytes::from(body.finish());
        Batch { signal: Signal::Spans, origins: Vec::new(), route: 5, arrived: 1, body }
    }

    /// Records with their service and scope, as many times as they come.
    fn records(batches: &[(u32, Batch)]) -> BTreeMap<(String, String, Vec<u8>), usize> {
        let mut all = BTreeMap::new();
        for (_, batch) in batches {
            validate(batch.signal, &batch.body).expect("a part is OTLP");
            for (group, record) in Refs::new(&batch.body) {
                let (service, scope) =
                    (group.resource.service().to_owned(), group.scope.version().to_owned());
                *all.entry((service, scope, record.to_vec())).or_default() += 1;
            }
        }
        all
    }

    #[test]
    fn a_trace_is_in_one_partition_and_nothing_is_lost() {
        let batch = spans(1_000);
        let whole = records(&[(0, batch.clone())]);
        for partitions in [1, 2, 3, 16] {
            let parts = split(batch.clone(), partitions, usize::MAX);
            assert_eq!(parts.len(), partitions as usize, "one message a partition");
            assert_eq!(records(&parts), whole);
            let mut at: HashMap<TraceId, u32> = HashMap::new();
            for (partition, part) in &parts {
                for (_, record) in Refs::new(&part.body) {
                    let trace = Span::decode(record).trace_id.unwrap();
                    assert_eq!(*at.entry(trace).or_insert(*partition), *partition);
                }
            }
        }
    }

    #[test]
    fn what_is_too_large_is_cut_unless_it_has_origins() {
        let mut batch = spans(1_000);
        let whole = records(&[(0, batch.clone())]);
        let parts = split(batch.clone(), 2, 2_000);
        assert!(parts.iter().all(|(_, part)| part.body.len() <= 2_100), "a few bytes of framing beside");
        assert!(parts.len() > 10);
        assert_eq!(records(&parts), whole);
        batch.origins = vec![Origin { incarnation: Incarnation(1), range: 0..9, acked_below: 0 }];
        assert_eq!(split(batch, 2, 2_000).len(), 2);
    }

    /// Lines of two files, of which each second line becomes two records, and a file of which there is only a range.
    fn long_lines() -> Batch {
        lines_at(|record| 50 + (record - i64::from(record % 3 == 2)) * 10)
    }

    /// The same, each record where it is said to start.
    fn lines_at(start: impl Fn(i64) -> i64) -> Batch {
        let mut body = BodyWriter::default();
        for file in [1, 2] {
            body.resource(|attrs| attrs.str(identity::INCARNATION, &Incarnation(file).to_string()));
            body.scope("", "");
            for record in 0..90_i64 {
                let text = "x".repeat(record as usize % 7 * 40);
                body.record(|out| {
                    let mut log = LogWriter::new(out);
                    log.body(&text);
                    log.attrs().int(identity::OFFSET, start(record));
                });
            }
        }
        let origin = |file| Origin { incarnation: Incarnation(file), range: 10..2_000, acked_below: 5 };
        let origins = [1, 2, 3].map(origin).into();
        let body = Bytes::from(body.finish());
        Batch { signal: Signal::Logs, origins, route: 7, arrived: 1, body }
    }

    #[test]
    fn ranges_are_cut_with_their_records() {
        let batch = long_lines();
        let pieces = cut(&batch, 1_000).expect("it can be cut");
        assert!(pieces.len() > 10);
        assert!(pieces.iter().all(|piece| piece.body.len() < 1_500), "one line more at the most");
        let numbered: Vec<_> = pieces.iter().map(|piece| (0, piece.clone())).collect();
        assert_eq!(records(&numbered), records(&[(0, batch.clone())]));
        let mut covered: HashMap<Incarnation, u64> = HashMap::new();
        for piece in &pieces {
            for origin in &piece.origins {
                let next = covered.insert(origin.incarnation, origin.range.end).unwrap_or(10);
                assert_eq!((origin.range.start, origin.acked_below), (next, 5), "they follow each other");
            }
            for (group, record) in Refs::new(&piece.body) {
                let (file, offset) = (group.resource.incarnation(), start(Signal::Logs, record).unwrap());
                let is_in =
                    |origin: &&Origin| Some(origin.incarnation) == file && origin.range.contains(&offset);
                assert_eq!(piece.origins.iter().filter(is_in).count(), 1, "a range has what starts in it");
            }
        }
        assert!([1, 2, 3].iter().all(|file| covered[&Incarnation(*file)] == 2_000));
        assert_eq!(cut(&batch, usize::MAX), None);
        let alone = Batch { body: pieces[0].body.clone(), origins: pieces[0].origins.clone(), ..batch };
        assert_eq!(cut(&alone, 1_000), None, "what fits is left alone");
        assert_eq!(cut(&lines_at(|record| 1_000 - record * 10), 1), None, "backwards, a piece each");
    }

    #[test]
    fn one_line_of_many_records_stays_whole() {
        let pieces = cut(&lines_at(|record| 50 + record / 45 * 10), 1_000).expect("it can be cut");
        assert_eq!(pieces.len(), 4, "two lines of two files");
    }

    /// A batch of a line of each file, and nothing of the last one's range.
    fn lines(files: &[u128]) -> Batch {
        let mut body = BodyWriter::default();
        for file in files.split_last().unwrap().1 {
            body.resource(|attrs| attrs.str(identity::INCARNATION, &Incarnation(*file).to_string()));
            body.scope("", "");
            body.record(|out| LogWriter::new(out).body("line"));
        }
        let origin = |file: &u128| Origin { incarnation: Incarnation(*file), range: 0..5, acked_below: 0 };
        let origins = files.iter().map(origin).collect();
        let body = Bytes::from(body.finish());
        Batch { signal: Signal::Logs, origins, route: files[0] as u64, arrived: 1, body }
    }

    #[test]
    fn a_file_is_in_one_partition_whatever_it_shares_a_batch_with() {
        let files: Vec<u128> = (1..=12).collect();
        let mut homes: HashMap<Incarnation, u32> = HashMap::new();
        // Also where all records are of one file and only a range is of another.
        let pairs = files.iter().map(|file| lines(&[4, *file]));
        for batch in [lines(&files), lines(&files[3..]), lines(&[9, 2, 5, 7])].into_iter().chain(pairs) {
            let parts = split(batch.clone(), 4, usize::MAX);
            assert_eq!(records(&parts), records(&[(0, batch.clone())]));
            let mut origins = Vec::new();
            for (partition, part) in &parts {
                validate(Signal::Logs, &part.body).expect("a part is OTLP");
                assert!(!part.body.is_empty());
                let covered: Vec<_> = part.origins.iter().map(|origin| origin.incarnation).collect();
                for (group, _) in Refs::new(&part.body) {
                    assert!(covered.contains(&group.resource.incarnation().unwrap()));
                }
                for incarnation in covered {
                    assert_eq!(*homes.entry(incarnation).or_insert(*partition), *partition);
                }
                origins.extend(part.origins.clone());
            }
            origins.sort_by_key(|origin| origin.incarnation);
            let mut all = batch.origins;
            all.sort_by_key(|origin| origin.incarnation);
            assert_eq!(origins, all, "each range once");
        }
        assert!(homes.values().any(|partition| *partition != homes[&Incarnation(1)]));
    }

    #[test]
    fn logs_without_a_file_go_by_their_route_and_stay_as_they_are() {
        let mut body = BodyWriter::default();
        body.resource(|_| ());
        body.scope("", "");
        body.record(|out| LogWriter::new(out).body("line"));
        let body = Bytes::from(body.finish());
        let batch = Batch { signal: Signal::Logs, origins: Vec::new(), route: 7, arrived: 1, body };
        assert_eq!(split(batch.clone(), 4, usize::MAX), [(3, batch)]);
    }

    #[test]
    fn the_url_of_a_schema_is_kept() {
        let with_schema = |content: &[u8]| {
            let mut out = Writer::new();
            for trace in 1..=40_u64 {
                let resource = out.begin(1);
                let scope = out.begin(2);
                let span = out.begin(2);
                SpanWriter::new(&mut out, TraceId::from_low(trace).unwrap(), SpanId::new([1; 8]).unwrap())
                    .name("a");
                out.end(span);
                out.bytes(3, content);
                out.end(scope);
                out.bytes(3, content);
                out.end(resource);
            }
            out.into_vec()
        };
        let body = Bytes::from(with_schema(b"https://schema"));
        let batch = Batch { signal: Signal::Spans, origins: Vec::new(), route: 0, arrived: 0, body };
        let parts = split(batch, 2, usize::MAX);
        let urls = |body: &[u8]| body.windows(14).filter(|w| w == b"https://schema").count();
        assert_eq!(parts.iter().map(|(_, part)| urls(&part.body)).sum::<usize>(), 80);
    }
}
