//! Files of every fate, followed: each line comes once, whole, in order. A case is a list of what happens; T1 to T28 are the numbers of a
//! list of what breaks agents in the field (rotation, truncation, reused names, crashes between any two of them).

mod rig;

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt, symlink};

use rig::{Mood, Rig};

/// Something that happens to the files or the agent.
#[derive(Debug, Clone, Copy)]
enum Do {
    /// Appends to a file.
    Write(&'static str, &'static str),
    /// Gives a file another content in place, as `cp /dev/null` and a writer do, or copytruncate.
    Set(&'static str, &'static str),
    /// Cuts a file whose writer keeps its position: what it writes next stands behind a hole.
    Hole(&'static str, u64, &'static str),
    Copy(&'static str, &'static str),
    /// Also replaces a file, as editors do.
    Rename(&'static str, &'static str),
    Gzip(&'static str),
    Remove(&'static str),
    Link(&'static str, &'static str),
    Start,
    Stop,
    /// kill -9.
    Crash,
    /// How the next hop behaves from now on.
    Hop(Mood),
    /// Until the agent holds it open.
    Opened(&'static str),
    /// Until it has let go of a removed file, whose disk is free then.
    Released(&'static str),
    /// Long enough for a sweep, and for records to be let out that wait for further lines.
    Tick,
    /// All that has come so far, in whatever order.
    Expect(&'static [&'static str]),
    /// How many records are flagged truncated.
    Truncated(usize),
}

use Do::*;

async fn run(rig: &mut Rig, step: Do) {
    match step {
        Write(name, text) => rig.write(name, text),
        Set(name, text) => fs::write(rig.path(name), text).unwrap(),
        Hole(name, at, text) => {
            let file = OpenOptions::new().write(true).open(rig.path(name)).unwrap();
            file.set_len(0).unwrap();
            file.write_all_at(text.as_bytes(), at).unwrap();
        }
        Copy(from, to) => _ = fs::copy(rig.path(from), rig.path(to)).unwrap(),
        Rename(from, to) => rig.rename(from, to),
        Gzip(name) => rig.gzip(name),
        Remove(name) => fs::remove_file(rig.path(name)).unwrap(),
        Link(target, name) => {
            let fresh = rig.path("link.new");
            symlink(rig.path(target), &fresh).unwrap();
            fs::rename(fresh, rig.path(name)).unwrap();
        }
        Start => rig.start().await,
        Stop => rig.stop().await,
        Crash => rig.crash().await,
        Hop(mood) => rig.set_mood(mood),
        Opened(name) => rig.opened(name).await,
        Released(name) => rig.released(name).await,
        Tick => rig.tick().await,
        Expect(lines) => rig.expect(lines).await,
        Truncated(count) => assert_eq!(rig.records().iter().filter(|r| r.truncated).count(), count),
    }
}

/// Runs a case, then looks once more: nothing may come late, or again, also after a restart.
async fn check(name: &str, steps: &[Do]) {
    println!("{name}");
    let mut rig = Rig::new();
    for step in steps {
        run(&mut rig, *step).await;
    }
    let all = rig.bodies();
    rig.tick().await;
    rig.expect(&all).await;
    rig.crash().await;
    rig.start().await;
    rig.tick().await;
    rig.expect(&all).await;
    rig.stop().await;
}

async fn check_all(cases: &[(&str, &[Do])]) {
    for (name, steps) in cases {
        check(name, steps).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn growing() {
    check_all(&[
        (
            "lines come as they are written, a half line when it is whole, an empty one never",
            &[
                Write("app.log", "one\ntwo\nhal"),
                Start,
                Expect(&["one", "two"]),
                Write("app.log", "f\n\nlast\n"),
                Write("other.log", "not included\n"),
                Expect(&["one", "two", "half", "last"]),
            ],
        ),
        (
            "T10 a half line over a crash",
            &[
                Write("app.log", "one\nhal"),
                Start,
                Expect(&["one"]),
                Crash,
                Start,
                Tick,
                Write("app.log", "f\n"),
                Expect(&["one", "half"]),
            ],
        ),
        (
            "T10 a half line that never ends comes once, flagged",
            &[
                Write("app.log", "one\nunfin"),
                Start,
                Expect(&["one"]),
                Remove("app.log"),
                Expect(&["one", "unfin"]),
                Truncated(1),
            ],
        ),
        (
            "T11 a line that is written slowly",
            &[
                Start,
                Write("app.log", "s"),
                Tick,
                Write("app.log", "lo"),
                Tick,
                Write("app.log", "w\n"),
                Expect(&["slow"]),
            ],
        ),
        (
            "T24 a restart goes on where it was",
            &[
                Write("app.log", "one\n"),
                Start,
                Expect(&["one"]),
                Stop,
                Write("app.log", "two\n"),
                Start,
                Expect(&["one", "two"]),
            ],
        ),
        (
            "T21 a next hop that refuses, then loses answers",
            &[
                Hop(Mood::Refuses),
                Write("app.log", "one\ntwo\n"),
                Start,
                Opened("app.log"),
                Hop(Mood::LosesAnswers),
                Expect(&["one", "two"]),
                Write("app.log", "three\n"),
                Tick,
                Expect(&["one", "two", "three"]),
            ],
        ),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rotated_by_renaming() {
    check_all(&[
        (
            "renamed, then compressed",
            &[
                Write("app.log", "one\n"),
                Start,
                Expect(&["one"]),
                Write("app.log", "two\n"),
                Rename("app.log", "app.log.1"),
                Write("app.log", "three\n"),
                Expect(&["one", "two", "three"]),
                Gzip("app.log.1"),
                Write("app.log", "four\n"),
                Expect(&["one", "two", "three", "four"]),
            ],
        ),
        (
            "T1 five times while nothing is taken, to names that are not looked for",
            &[
                Write("app.log", "0\n"),
                Start,
                Expect(&["0"]),
                Hop(Mood::Waits),
                Write("app.log", "1\n"),
                Rename("app.log", "old.1"),
                Write("app.log", "2\n"),
                Opened("app.log"),
                Write("app.log", "3\n"),
                Rename("app.log", "old.2"),
                Write("app.log", "4\n"),
                Opened("app.log"),
                Write("app.log", "5\n"),
                Rename("app.log", "old.3"),
                Write("app.log", "6\n"),
                Opened("app.log"),
                Rename("app.log", "old.4"),
                // The writer has not noticed yet.
                Write("old.4", "7\n"),
                Write("app.log", "8\n"),
                Opened("app.log"),
                Rename("app.log", "old.5"),
                Write("app.log", "9\n"),
                Opened("app.log"),
                Hop(Mood::Takes),
                Expect(&["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]),
            ],
        ),
        (
            "T2 compressed before it was read to its end; T28 its disk is free soon",
            &[
                Write("app.log", "one\n"),
                Start,
                Expect(&["one"]),
                Hop(Mood::Waits),
                Write("app.log", "two\n"),
                Rename("app.log", "app.log.1"),
                Gzip("app.log.1"),
                Write("app.log", "three\n"),
                Opened("app.log"),
                Hop(Mood::Takes),
                Expect(&["one", "two", "three"]),
                Released("app.log.1"),
            ],
        ),
        (
            "T3 renamed and compressed while it was stopped",
            &[
                Write("app.log", "one\n"),
                Start,
                Expect(&["one"]),
                Crash,
                Write("app.log", "two\n"),
                Rename("app.log", "app.log.1"),
                Gzip("app.log.1"),
                Write("app.log", "three\n"),
                Start,
                Expect(&["one", "two", "three"]),
                Stop,
                Start,
                Write("app.log", "four\n"),
                Expect(&["one", "two", "three", "four"]),
            ],
        ),
        (
            "T3 twice, with the same first line in every file",
            &[
                Write("app.log", "banner\n"),
                Start,
                Expect(&["banner"]),
                Crash,
                Write("app.log", "one\n"),
                Rename("app.log", "app.log.2"),
                Gzip("app.log.2"),
                Write("app.log", "banner\ntwo\n"),
                Rename("app.log", "app.log.1"),
                Write("app.log", "banner\nthree\n"),
                Start,
                Expect(&["banner", "one", "banner", "two", "banner", "three"]),
            ],
        ),
        (
            "killed before anything was acknowledged, and compressed",
            &[
                Hop(Mood::LosesAnswers),
                Write("app.log", "one\ntwo\n"),
                Start,
                Expect(&["one", "two"]),
                Crash,
                Write("app.log", "three\n"),
                Rename("app.log", "app-20240501.log"),
                Gzip("app-20240501.log"),
                Start,
                Expect(&["one", "two", "three"]),
            ],
        ),
        (
            "T13 the rest of a stack trace is written after the rename",
            &[
                Write("app.log", "10:00:00.000 INFO x first\n"),
                Start,
                Expect(&["10:00:00.000 INFO x first"]),
                Crash,
                Write("app.log", "10:00:00.000 ERROR x failed\njava.io.IOException: reset\n"),
                Rename("app.log", "app.log.1"),
                Write("app.log.1", "\tat a.B.c(B.java:1)\n10:00:01.000 INFO x next\n"),
                Write("app.log", "10:00:02.000 INFO x new\n"),
                Start,
                Expect(&[
                    "10:00:00.000 INFO x first",
                    "10:00:00.000 ERROR x failed\njava.io.IOException: reset\n\tat a.B.c(B.java:1)",
                    "10:00:01.000 INFO x next",
                    "10:00:02.000 INFO x new",
                ]),
            ],
        ),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cut_in_place() {
    check_all(&[
        (
            "T4 the new first line is the old one; T5 filled beyond the old place at once",
            &[
                Write("app.log", "same first line\ntwo\n"),
                Start,
                Expect(&["same first line", "two"]),
                Copy("app.log", "app.log.1"),
                Set("app.log", "same first line\n"),
                Expect(&["same first line", "two", "same first line"]),
                Set("app.log", "quite another line, and longer\n"),
                Expect(&["same first line", "two", "same first line", "quite another line, and longer"]),
            ],
        ),
        (
            "cut twice, with the same first line: the copy is of the life that it holds all of",
            &[
                Write("app.log", "banner\n"),
                Start,
                Expect(&["banner"]),
                Set("app.log", ""),
                Tick,
                Write("app.log", "banner\none\n"),
                Expect(&["banner", "banner", "one"]),
                Copy("app.log", "app.log.1"),
                Set("app.log", "two\n"),
                Expect(&["banner", "banner", "one", "two"]),
                Write("app.log.1", "three\n"),
                Expect(&["banner", "banner", "one", "two", "three"]),
            ],
        ),
        (
            "T5 copied, cut and filled while it was stopped",
            &[
                Write("app.log", "a\nb\n"),
                Start,
                Expect(&["a", "b"]),
                Crash,
                Write("app.log", "c\n"),
                Copy("app.log", "app.log.1"),
                Set("app.log", "d\ne\nf\ng\n"),
                Start,
                Expect(&["a", "b", "c", "d", "e", "f", "g"]),
            ],
        ),
        (
            "T5 in the middle of a line, which its copy ends",
            &[
                Write("app.log", "one\nha"),
                Start,
                Expect(&["one"]),
                Tick,
                Write("app.log", "lf\ntwo\n"),
                Copy("app.log", "app.log.1"),
                Set("app.log", "three\n"),
                Expect(&["one", "half", "two", "three"]),
                Truncated(0),
            ],
        ),
        (
            "cut in the middle of a line, of which there is no copy",
            &[
                Write("app.log", "one\nha"),
                Start,
                Expect(&["one"]),
                Tick,
                Set("app.log", "b\n"),
                Expect(&["one", "ha", "b"]),
                Truncated(1),
            ],
        ),
        (
            "T6 its writer keeps its place and leaves a hole",
            &[
                Write("app.log", "one\ntwo\n"),
                Start,
                Expect(&["one", "two"]),
                Copy("app.log", "app.log.1"),
                Hole("app.log", 8, "three\n"),
                Write("app.log", "four\n"),
                Expect(&["one", "two", "three", "four"]),
            ],
        ),
        (
            "T28 emptied, and filled again later",
            &[
                Write("app.log", "one\n"),
                Start,
                Expect(&["one"]),
                Set("app.log", ""),
                Tick,
                Write("app.log", "two\n"),
                Expect(&["one", "two"]),
            ],
        ),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replaced() {
    check_all(&[
        (
            "T7 removed and made anew, shorter and longer",
            &[
                Write("app.log", "one\ntwo\n"),
                Start,
                Expect(&["one", "two"]),
                Remove("app.log"),
                Write("app.log", "b\n"),
                Expect(&["one", "two", "b"]),
                Remove("app.log"),
                Write("app.log", "longer than what was there before\n"),
                Expect(&["one", "two", "b", "longer than what was there before"]),
            ],
        ),
        (
            "T7 the same while it was stopped",
            &[
                Write("app.log", "one\ntwo\n"),
                Start,
                Expect(&["one", "two"]),
                Crash,
                Remove("app.log"),
                Write("app.log", "b\n"),
                Start,
                Expect(&["one", "two", "b"]),
                Crash,
                Remove("app.log"),
                Write("app.log", "longer than what was there before\n"),
                Start,
                Expect(&["one", "two", "b", "longer than what was there before"]),
            ],
        ),
        (
            "T28 an editor writes it anew with a line more",
            &[
                Write("app.log", "one\ntwo\n"),
                Start,
                Expect(&["one", "two"]),
                Write("fresh", "one\ntwo\nthree\n"),
                Rename("fresh", "app.log"),
                Expect(&["one", "two", "three"]),
                Write("app.log", "four\n"),
                Expect(&["one", "two", "three", "four"]),
            ],
        ),
        (
            "T15 a link whose target changes, is gone, and is there again",
            &[
                Write("a", "one\n"),
                Link("a", "app.log"),
                Start,
                Expect(&["one"]),
                Write("b", "two\n"),
                Link("b", "app.log"),
                Opened("b"),
                // Its writer has not noticed yet.
                Write("a", "three\n"),
                Expect(&["one", "two", "three"]),
                Link("nowhere", "app.log"),
                Tick,
                Write("nowhere", "four\n"),
                Expect(&["one", "two", "three", "four"]),
                Link("b", "app.log"),
                Write("b", "five\n"),
                Expect(&["one", "two", "three", "four", "five"]),
            ],
        ),
        (
            "T27 two names of one file",
            &[
                Write("app.log", "one\n"),
                Link("app.log", "app-link.log"),
                Start,
                Expect(&["one"]),
                Write("app.log", "two\n"),
                Expect(&["one", "two"]),
            ],
        ),
        (
            "T18 what can't be opened holds nothing up",
            &[
                Link("app-loop.log", "app-loop.log"),
                Link("missing", "app-0.log"),
                Write("app.log", "one\n"),
                Start,
                Expect(&["one"]),
                Remove("app-loop.log"),
                Write("app-loop.log", "two\n"),
                Expect(&["one", "two"]),
            ],
        ),
    ])
    .await;
}
