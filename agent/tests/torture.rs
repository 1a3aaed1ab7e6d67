//! Files in large numbers, sizes and pieces, and a disk that fails: what a list of steps can't say. The numbers are those of `tail.rs`.

mod rig;

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use flate2::write::GzEncoder;
use rig::{Mood, Rig, set_modified, until};
use weir_agent::Start;
use weir_disk::{Disk, File, Lock, Mapped, RealDisk};

/// Bytes that the agent reads from a file at a time.
const TURN: usize = 256 * 1024;

#[tokio::test]
async fn files_that_take_turns_keep_their_own_resource() {
    let mut rig = Rig::new();
    // Longer than a turn, and both turns together shorter than a batch: the files alternate within it.
    let lines: Vec<String> = ["app-a.log", "app-b.log"]
        .iter()
        .flat_map(|name| (0..1_500).map(move |n| format!("{name} {n} {}", "x".repeat(400))))
        .collect();
    for line in &lines {
        rig.write(&line[..9], format!("{line}\n"));
    }
    rig.start().await;
    rig.expect(&lines).await;
    rig.stop().await;
    for record in rig.records() {
        assert!(record.path.ends_with(&record.body[..9]), "{} in {}", record.body, record.path);
    }
}

#[tokio::test]
async fn a_restart_sends_nothing_again() {
    let mut rig = Rig::new();
    rig.write("app.log", "one\nhal");
    rig.start().await;
    rig.expect(&["one"]).await;
    rig.stop().await;
    rig.write("app.log", "f\nthree\n");
    rig.start().await;
    rig.expect(&["one", "half", "three"]).await;
    rig.stop().await;
    assert_eq!(rig.sent(), 3);
}

#[tokio::test]
async fn files_from_before_the_data_folder_may_start_at_their_end() {
    let mut rig = Rig::new();
    rig.start = Start::End;
    rig.write("app.log", "old\n");
    rig.start().await;
    // The checkpoint is there as soon as the first look is over.
    until("the first look is over", || rig.data("checkpoints.json").exists()).await;
    rig.write("app-2.log", "later file\n");
    rig.expect(&["later file"]).await;
    rig.write("app.log", "new\n");
    rig.expect(&["later file", "new"]).await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t8_a_thousand_files_with_the_same_head() {
    let mut rig = Rig::new();
    let banner = "banner".repeat(700);
    let mut lines = Vec::new();
    for n in 0..1000 {
        rig.write(&format!("app{n:04}.log"), format!("{banner}\n"));
        lines.push(banner.clone());
    }
    rig.start().await;
    rig.expect(&lines).await;
    rig.crash().await;
    for n in 0..1000 {
        let line = format!("line of {n}");
        rig.write(&format!("app{n:04}.log"), format!("{line}\n"));
        lines.push(line);
    }
    rig.start().await;
    rig.expect(&lines).await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t9_a_file_that_grows_over_crashes() {
    let mut rig = Rig::new();
    let line = |n: usize| format!("{n:03} {}", "x".repeat(40));
    let text: String = (0..30).map(|n| line(n) + "\n").collect();
    let mut at = 0;
    for end in [1, 10, 63, 64, 65, 1023, 1024, 1025, text.len()] {
        rig.write("app.log", &text[at..end]);
        at = end;
        rig.start().await;
        rig.tick().await;
        let whole = text[..at].matches('\n').count();
        rig.expect(&(0..whole).map(line).collect::<Vec<_>>()).await;
        rig.crash().await;
    }
    let incarnations: std::collections::HashSet<_> = rig.records().iter().map(|r| r.incarnation).collect();
    assert_eq!(incarnations.len(), 1, "it is one file all the time");
}

#[tokio::test(flavor = "multi_thread")]
async fn t12_long_lines_are_cut_and_those_after_them_are_whole() {
    let mut rig = Rig::new();
    let huge = "y".repeat(64 << 20);
    let long = "x".repeat(3 << 20);
    rig.write("app.log", format!("one\n{long}\n\0\0\0\0two\n{huge}\nthree\n"));
    rig.start().await;
    rig.expect(&["one", &long[..1 << 20], "two", &huge[..1 << 20], "three"]).await;
    let truncated: Vec<_> = rig.records().into_iter().filter(|r| r.truncated).map(|r| r.body.len()).collect();
    assert_eq!(truncated, [1 << 20, 1 << 20]);
    assert_eq!(rig.counter("weir_agent_truncated_records"), 2);
    assert_eq!(rig.counter("weir_agent_cut_bytes"), (2 << 20) + (63 << 20));
    rig.stop().await;
}

fn trace(n: usize, frames: usize) -> String {
    let frames: String = (0..frames).map(|f| format!("\n\tat org.shop.Cart{n}.add(Cart.java:{f})")).collect();
    format!(
        "10:00:00.000 ERROR x failed {n}\njava.lang.IllegalStateException: no stock {n}{frames}\nCaused by: java.io.IOException: reset\n\t... 3 more"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn t13_stack_traces_over_the_ends_of_reads() {
    let mut rig = Rig::new();
    // Of many lengths, so that a read ends at every kind of place.
    let traces: Vec<String> = (0..1_500).map(|n| trace(n, 10 + n % 17)).collect();
    let text: String = traces.iter().map(|trace| format!("{trace}\n")).collect();
    assert!(text.len() > 4 * TURN);
    rig.write("app.log", &text);
    rig.start().await;
    rig.expect(&traces).await;
    rig.crash().await;
    rig.start().await;
    rig.tick().await;
    rig.expect(&traces).await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t13_a_trace_that_never_ends_is_bounded() {
    let mut rig = Rig::new();
    let deep = trace(1, 5_000);
    rig.write("app.log", format!("{deep}\n10:00:01.000 INFO x next\n"));
    rig.start().await;
    rig.arrive(|found| found.len() == 2).await;
    let records = rig.records();
    assert!(records[0].truncated && deep.starts_with(&records[0].body), "it is its beginning, flagged");
    assert_eq!(records[0].body.lines().count(), 4_096);
    assert_eq!(records[1].body, "10:00:01.000 INFO x next");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t14_messages_in_parts() {
    let mut rig = Rig::new();
    let cri = |stream: &str, tag: &str, text: &str| {
        format!("2024-05-01T10:00:00.000000000Z {stream} {tag} {text}\n")
    };
    let message: Vec<String> = (0..60).map(|n| format!("{n:04}{}", "m".repeat(16 * 1024 - 4))).collect();
    let (last, parts) = message.split_last().unwrap();
    for (n, part) in parts.iter().enumerate() {
        rig.write("app.log", cri("stdout", "P", part));
        // The other stream goes on meanwhile.
        rig.write("app.log", cri("stderr", "F", &format!("between {n}")));
    }
    rig.write("app.log", cri("stdout", "F", last) + &cri("stdout", "F", "after"));
    rig.start().await;
    let between: Vec<String> = (0..59).map(|n| format!("between {n}")).collect();
    let mut expect: Vec<&str> = between.iter().map(String::as_str).collect();
    let whole = message.concat();
    expect.extend([whole.as_str(), "after"]);
    rig.expect(&expect).await;
    // The container dies in the middle of a message: what there is comes once, flagged.
    rig.write("app.log", cri("stdout", "P", "cut off"));
    rig.rename("app.log", "gone");
    rig.write("app.log", cri("stdout", "F", "a new container"));
    expect.extend(["cut off", "a new container"]);
    rig.expect(&expect).await;
    assert_eq!(rig.records().iter().filter(|r| r.truncated).count(), 1);
    rig.stop().await;
}

/// A disk that is full when it is told to be.
#[derive(Debug)]
struct Full(Arc<AtomicBool>);

impl Full {
    fn check(&self) -> io::Result<()> {
        match self.0.load(Ordering::Relaxed) {
            true => Err(io::ErrorKind::StorageFull.into()),
            false => Ok(()),
        }
    }
}

#[derive(Debug)]
struct OnFull(Arc<dyn File>, Arc<AtomicBool>);

impl File for OnFull {
    fn append_parts(&self, parts: &[&[u8]]) -> io::Result<()> {
        Full(self.1.clone()).check()?;
        self.0.append_parts(parts)
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buf, offset)
    }

    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.0.truncate(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }

    fn map(&self) -> io::Result<Mapped> {
        self.0.map()
    }
}

impl Disk for Full {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.check()?;
        Ok(Arc::new(OnFull(RealDisk.open(path)?, self.0.clone())))
    }

    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        RealDisk.open_read(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.check()?;
        RealDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove_dir_all(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        RealDisk.list(path)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        RealDisk.exists(path)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        RealDisk.create_dir_all(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        RealDisk.sync_dir(path)
    }

    fn lock(&self, dir: &Path) -> io::Result<Box<dyn Lock>> {
        RealDisk.lock(dir)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn t18_nothing_new_is_sent_while_the_checkpoint_has_no_room() {
    let mut rig = Rig::new();
    let disk = Arc::new(Full(Arc::new(true.into())));
    rig.disk = disk.clone();
    rig.write("app.log", "one\n");
    rig.start().await;
    until("the failure is counted", || rig.counter("weir_agent_errors") > 2).await;
    assert!(rig.records().is_empty(), "its incarnation is not safe yet");
    disk.0.store(false, Ordering::Relaxed);
    rig.expect(&["one"]).await;
    rig.crash().await;
    rig.start().await;
    rig.tick().await;
    rig.expect(&["one"]).await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t7_nothing_is_sent_of_a_file_before_its_first_bytes_are_saved() {
    let mut rig = Rig::new();
    let disk = Arc::new(Full(Arc::default()));
    rig.disk = disk.clone();
    rig.write("app.log", "banner\n");
    rig.start().await;
    rig.expect(&["banner"]).await;
    rig.tick().await;
    disk.0.store(true, Ordering::Relaxed);
    rig.write("app.log", "one\ntwo\n");
    let tried = || rig.counter("weir_agent_errors") > 2 || rig.records().len() > 1;
    until("it can't be saved", tried).await;
    rig.crash().await;
    // Another file that begins alike, in its inode: nothing tells them apart but what comes after the banner.
    fs::write(rig.path("app.log"), "banner\nanother\nthree\n").unwrap();
    disk.0.store(false, Ordering::Relaxed);
    rig.start().await;
    rig.expect(&["banner", "another", "three"]).await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t6_a_hole_tells_nothing_of_a_file() {
    let mut rig = Rig::new();
    let hole = "\0".repeat(TURN);
    rig.write("app.log", &hole);
    rig.start().await;
    rig.opened("app.log").await;
    rig.tick().await;
    // A life of which nothing but a hole was read.
    fs::write(rig.path("app.log"), "").unwrap();
    rig.tick().await;
    rig.write("app.log", hole + "one\n");
    rig.expect(&["one"]).await;
    fs::copy(rig.path("app.log"), rig.path("app.log.1")).unwrap();
    fs::write(rig.path("app.log"), "two\n").unwrap();
    rig.expect(&["one", "two"]).await;
    rig.write("app.log.1", "three\n");
    rig.expect(&["one", "two", "three"]).await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t3_a_life_goes_on_in_a_compressed_file_that_was_not_whole_at_first() {
    let mut rig = Rig::new();
    rig.write("app.log", "one\n");
    rig.start().await;
    rig.expect(&["one"]).await;
    rig.tick().await;
    rig.stop().await;
    fs::remove_file(rig.path("app.log")).unwrap();
    // What is there so far holds all that was read, but ends before the first bytes by which a file is recognised.
    let mut gzip = GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(b"one\n").unwrap();
    gzip.flush().unwrap();
    rig.write("app.log.1.gz", gzip.get_ref());
    let written = gzip.get_ref().len();
    rig.start().await;
    until("it can't be read", || rig.counter("weir_agent_errors") > 0).await;
    gzip.write_all(b"two\n").unwrap();
    rig.write("app.log.1.gz", &gzip.finish().unwrap()[written..]);
    rig.expect(&["one", "two"]).await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t8_a_rotated_file_that_begins_like_the_new_one_is_no_copy_of_it() {
    let mut rig = Rig::new();
    rig.write("app.log", "banner\n");
    rig.start().await;
    rig.expect(&["banner"]).await;
    // It was rotated before it was seen under its first name, and is longer than a copy could be.
    rig.write("fresh", "banner\ntwo\n");
    rig.rename("fresh", "app.log.1");
    rig.expect(&["banner", "banner", "two"]).await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t20_a_damaged_checkpoint_gives_way_to_the_other_one() {
    for name in ["checkpoints.json", "checkpoints.1.json"] {
        for damage in
            [&b""[..], b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", b"{\"files\": [{\"path\": \"/var"]
        {
            let mut rig = Rig::new();
            rig.write("app.log", "one\n");
            rig.start().await;
            rig.expect(&["one"]).await;
            rig.write("app.log", "two\n");
            rig.expect(&["one", "two"]).await;
            rig.tick().await;
            rig.stop().await;
            fs::write(rig.data(name), damage).unwrap();
            rig.write("app.log", "three\n");
            rig.start().await;
            rig.expect(&["one", "two", "three"]).await;
            rig.stop().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn t24_file_times_do_not_matter() {
    let mut rig = Rig::new();
    let year = Duration::from_secs(365 * 86_400);
    for (name, time) in
        [("app-old.log", SystemTime::now() - 30 * year), ("app-new.log", SystemTime::now() + year)]
    {
        rig.write(name, format!("one of {name}\n"));
        set_modified(&rig.path(name), time);
    }
    rig.start().await;
    rig.expect(&["one of app-old.log", "one of app-new.log"]).await;
    rig.write("app-old.log", "appended again\n");
    set_modified(&rig.path("app-old.log"), SystemTime::UNIX_EPOCH);
    rig.expect(&["one of app-old.log", "one of app-new.log", "appended again"]).await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t26_bytes_at_the_ends_of_reads() {
    let mut rig = Rig::new();
    let mut expect = Vec::new();
    // What stands on the end of a read: a line end of two bytes, characters of several, and what is no text at all.
    for (n, (middle, whole)) in [
        (&b"end\r\n"[..], "end"),
        ("库存不足\n".as_bytes(), "库存不足"),
        ("🦀🦀\n".as_bytes(), "🦀🦀"),
        (b"bad \xff\xfe byte\n", "bad \u{fffd}\u{fffd} byte"),
        (b"half \xe5\xba\n", "half \u{fffd}"),
    ]
    .into_iter()
    .enumerate()
    {
        for before in 0..middle.len() {
            let filler = "f".repeat(TURN - 1 - before);
            rig.write(
                &format!("app-{n}-{before}.log"),
                [filler.as_bytes(), b"\n", middle, b"next\n"].concat(),
            );
            expect.extend([filler, whole.to_owned(), "next".to_owned()]);
        }
    }
    rig.start().await;
    rig.expect(&expect).await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t28_a_folder_that_is_removed_and_made_again() {
    let mut rig = Rig::new();
    rig.write("app.log", "one\n");
    rig.start().await;
    rig.expect(&["one"]).await;
    fs::remove_dir_all(rig.path("")).unwrap();
    fs::create_dir(rig.path("")).unwrap();
    rig.write("app.log", "two\n");
    rig.expect(&["one", "two"]).await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t23_firehoses_do_not_starve_quiet_files() {
    let mut rig = Rig::new();
    let flood = format!("{}\n", "x".repeat(1_000)).repeat(5_000);
    rig.set_mood(Mood::Waits);
    for n in 0..10 {
        rig.write(&format!("app-0-flood-{n}.log"), &flood);
    }
    for n in 0..20 {
        rig.write(&format!("app-{:02}-quiet.log", n + 1), format!("quiet {n}\nnext\n"));
    }
    rig.start().await;
    rig.opened("app-20-quiet.log").await;
    rig.set_mood(Mood::Takes);
    rig.arrive(|found| found.len() == 50_040).await;
    let last = rig.records().iter().rposition(|record| record.body.starts_with("quiet")).unwrap();
    assert!(last < 10_000, "in turns: long before the floods are over, not {last}");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t6_a_hole_that_is_larger_than_a_line_may_be() {
    let mut rig = Rig::new();
    rig.write("app.log", "one\n");
    rig.start().await;
    rig.expect(&["one"]).await;
    let file = fs::OpenOptions::new().write(true).open(rig.path("app.log")).unwrap();
    file.set_len(0).unwrap();
    file.write_all_at(b"two\nthree\n", 5 << 20).unwrap();
    rig.expect(&["one", "two", "three"]).await;
    rig.crash().await;
    rig.start().await;
    rig.tick().await;
    rig.expect(&["one", "two", "three"]).await;
    assert_eq!(rig.records().iter().filter(|record| record.truncated).count(), 0);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_grows_is_not_read_beside_what_it_copies() {
    let mut rig = Rig::new();
    let lines: Vec<String> = (0..200).map(|n| format!("line {n}")).collect();
    let text = lines.join("\n") + "\n";
    rig.write("app.log", &text);
    rig.start().await;
    rig.expect(&lines).await;
    // copytruncate of a large file: what is copied so far is seen several times.
    for part in text.as_bytes().chunks(500) {
        rig.write("app.log.1", part);
        rig.tick().await;
    }
    fs::write(rig.path("app.log"), "new\n").unwrap();
    rig.arrive(|found| found.len() > lines.len()).await;
    rig.tick().await;
    let mut expect = lines;
    expect.push("new".into());
    rig.expect(&expect).await;
    rig.stop().await;
}
