//! Dead letters on disk: they survive a crash at any step, are bounded, and are sent again as records that are known when they come twice.

use std::path::Path;
use std::sync::Arc;

use weir_disk::sim::SimDisk;
use weir_disk::{Disk, RealDisk};
use weir_model::otlp::{BodyWriter, LogWriter, log_refs, validate};
use weir_model::{Signal, identity};
use weir_transport::conformance::numbered;
use weir_transport::disk_log::{DiskDeadLetters, KeptLetter, OpenError};
use weir_transport::{Batch, DeadLetters, Lane, Letter, Position, envelope};

const DIR: &str = "/letters";

fn letter(n: u64) -> Letter {
    let batch = numbered(Signal::Spans, n);
    Letter {
        lane: Lane { signal: Signal::Spans, partition: 3 },
        position: Position(n),
        cause: format!("cause {n}"),
        records: 1,
        envelope: Some(envelope::write(&batch).into()),
        body: batch.body,
    }
}

fn open(disk: &SimDisk, max_bytes: u64) -> Result<DiskDeadLetters, OpenError> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    DiskDeadLetters::open(disk, Path::new(DIR), max_bytes, 7)
}

fn read(letters: &DiskDeadLetters) -> Vec<KeptLetter> {
    let mut found = Vec::new();
    letters
        .read(0, |letter| {
            found.push(letter);
            true
        })
        .unwrap();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_put_survives_a_crash_at_any_step() {
    for seed in 0..4 {
        for step in 0.. {
            let sim = SimDisk::new(seed);
            sim.crash_at(sim.steps() + step);
            let (mut kept, mut sent_again) = (0, 0);
            if let Ok(letters) = open(&sim, 1 << 20) {
                while kept < 6 && letters.put(&[letter(kept), letter(kept + 1)]).await.is_ok() {
                    kept += 2;
                }
                if letters.note_sent_again(2).is_ok() {
                    sent_again = 3;
                }
            }
            let done = !sim.crashed();
            let letters = open(&sim.restart(), 1 << 20).unwrap();
            let found = read(&letters);
            let numbers: Vec<u64> = found.iter().map(|letter| letter.number).collect();
            assert!(
                numbers.len() as u64 >= kept,
                "seed {seed}, step {step}: {kept} were kept, {numbers:?} are there"
            );
            for (n, found) in (0..).zip(&found) {
                assert_eq!((found.number, &found.letter), (n, &letter(n)), "seed {seed}, step {step}");
            }
            let again = found.iter().filter(|letter| letter.sent_again).count() as u64;
            // What was not acknowledged may have been noted.
            assert!(
                again >= sent_again.min(found.len() as u64) && again <= 3,
                "seed {seed}, step {step}: {again}"
            );
            if done {
                break;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_disk_is_told_and_letters_are_put_again() {
    for step in 0..8 {
        let sim = SimDisk::new(step as u64);
        let letters = open(&sim, 1 << 20).unwrap();
        letters.put(&[letter(0)]).await.unwrap();
        sim.fail_at(sim.steps() + step, 28);
        let mut failed = 0;
        for n in 1..6 {
            while let Err(message) = letters.put(&[letter(n)]).await {
                assert!(message.contains(DIR), "{message}");
                failed += 1;
            }
        }
        assert_eq!(failed, 1, "step {step}");
        let found: Vec<Letter> = read(&letters).into_iter().map(|kept| kept.letter).collect();
        assert_eq!(found, (0..6).map(letter).collect::<Vec<_>>(), "step {step}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_give_way_and_are_counted() {
    const ROOM: u64 = 16 << 10;
    let sim = SimDisk::new(1);
    let letters = open(&sim, ROOM).unwrap();
    for n in 0..20 {
        letters.put(&[letter(n)]).await.unwrap();
    }
    assert_eq!(letters.dropped(), 0);
    // Those that were sent again are no loss.
    letters.note_sent_again(19).unwrap();
    for n in 20..400 {
        letters.put(&[letter(n)]).await.unwrap();
        assert!(letters.bytes() <= ROOM, "{} bytes", letters.bytes());
    }
    let found = read(&letters);
    let (first, last) = (found[0].number, found[found.len() - 1].number);
    assert_eq!(last, 399);
    assert_eq!(found.len() as u64, 400 - first, "all since the oldest");
    assert!(first > 100 && found.len() > 20, "{first} is the oldest of {}", found.len());
    assert_eq!((letters.removed(), letters.dropped()), (first, first - 20));
    assert_eq!(letters.find(first - 1).unwrap(), None);
    assert_eq!(letters.find(399).unwrap().map(|kept| kept.letter), Some(letter(399)));
    assert_eq!(letters.find(400).unwrap(), None);
    // One that is larger than all the room is kept alone.
    let large = Letter { body: vec![0; 2 * ROOM as usize].into(), ..letter(400) };
    letters.put(std::slice::from_ref(&large)).await.unwrap();
    assert_eq!(read(&letters).last().map(|kept| kept.letter.clone()), Some(large));
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_of_another_size_and_cause() {
    let folder = tempfile::tempdir().unwrap();
    let open = || DiskDeadLetters::open(Arc::new(RealDisk), folder.path(), 1 << 20, 7);
    let letters = open().unwrap();
    let odd = [
        Letter { cause: "界".repeat(4_000), ..letter(0) },
        Letter { envelope: None, records: 0, body: "no batch".into(), ..letter(1) },
        Letter { body: Vec::new().into(), lane: Lane { signal: Signal::Metrics, partition: 0 }, ..letter(2) },
    ];
    letters.put(&odd).await.unwrap();
    let found = read(&letters);
    assert_eq!(found[0].letter.cause, "界".repeat(4_096 / 3));
    assert_eq!([&found[1].letter, &found[2].letter], [&odd[1], &odd[2]]);
    assert!(letters.batch(&found[1]).unwrap_err().contains("the dead letter 1 is no batch"));
    assert!(matches!(open(), Err(OpenError::InUse(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_is_sent_again_as_what_it_was_and_known_when_it_comes_twice() {
    let sim = SimDisk::new(1);
    let letters = open(&sim, 1 << 20).unwrap();
    let mut body = BodyWriter::default();
    for service in ["a", "b"] {
        body.resource(|attrs| attrs.str("service.name", service));
        body.scope("scope", "1");
        for text in ["one", "two"] {
            body.record(|out| {
                let mut log = LogWriter::new(out);
                log.body(text);
                log.attrs().str("key", text);
            });
        }
    }
    let stranger =
        Batch { signal: Signal::Logs, origins: Vec::new(), route: 5, arrived: 6, body: body.finish().into() };
    let of = |batch: &Batch| Letter {
        lane: Lane { signal: batch.signal, partition: 0 },
        envelope: Some(envelope::write(batch).into()),
        body: batch.body.clone(),
        ..letter(0)
    };
    let known = numbered(Signal::Logs, 4);
    let spans = Batch { origins: Vec::new(), ..numbered(Signal::Spans, 4) };
    letters.put(&[of(&stranger), of(&stranger), of(&known), of(&spans)]).await.unwrap();
    let sent: Vec<Batch> = read(&letters).iter().map(|kept| letters.batch(kept).unwrap()).collect();
    // What is told apart by itself stays as it was.
    assert_eq!(sent[2..], [known, spans]);

    let first = &sent[0];
    assert_eq!((first.route, first.arrived, first.origins[0].range.clone()), (5, 6, 0..4));
    validate(Signal::Logs, &first.body).unwrap();
    let (before, after) = (log_refs(&stranger.body), log_refs(&first.body));
    let mut offsets = Vec::new();
    for (before, after) in before.zip(after) {
        assert_eq!(after.resource.incarnation(), Some(first.origins[0].incarnation));
        assert_eq!(after.resource.service(), before.resource.service());
        assert_eq!(after.log.body, before.log.body);
        assert_eq!(after.log.attrs().get("key"), before.log.attrs().get("key"));
        offsets.push(after.log.attrs().get(identity::OFFSET).and_then(|value| value.as_int()));
    }
    assert_eq!(offsets, [0, 1, 2, 3].map(Some));
    // The next letter is another source, and the same letter is the same one, also after a restart.
    assert_ne!(sent[1].origins, first.origins);
    drop(letters);
    let letters = open(&sim.restart(), 1 << 20).unwrap();
    assert_eq!(&letters.batch(&read(&letters)[0]).unwrap(), first);
}
