//! Checkpoints: how far each file is acknowledged, and every decision about it that its bytes alone do not tell.
//!
//! Two files that are replaced in turn, each in one durable step: a line with a hash, then JSON. The one with the higher revision counts; where it
//! is damaged, the one before it does. A decision (a file's incarnation, its format, a record cut by a timer) is written before any record that
//! depends on it is sent, so that reading again after a crash gives the same records.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use weir_disk::{Disk, write_atomic};
use xxhash_rust::xxh3::xxh3_64;

/// The files, in the order in which they are first written.
const NAMES: [&str; 2] = ["checkpoints.json", "checkpoints.1.json"];

use crate::ledger::Hole;

/// What is known of one life of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Saved {
    pub(crate) path: PathBuf,
    /// 32 hexadecimal digits.
    pub(crate) incarnation: String,
    pub(crate) device: u64,
    pub(crate) inode: u64,
    /// Everything below is acknowledged.
    pub(crate) acked: u64,
    /// How many first bytes `head_hash` covers.
    pub(crate) head_len: u64,
    pub(crate) head_hash: u64,
    /// How far it was read when this was written.
    pub(crate) read: u64,
    /// Hash of the last bytes before `read`, see [`MARKER_BYTES`](crate::tail::MARKER_BYTES). It is not taken where `acked` stands: files with
    /// the same beginning could not be told apart while little is acknowledged.
    pub(crate) marker: u64,
    /// What was decided about the file, see [`Decision`](weir_parse::Decision).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) decisions: Vec<String>,
    /// Parts below `acked` that no stored record was made of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) holes: Vec<Hole>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Content {
    revision: u64,
    files: Vec<Saved>,
}

#[derive(Debug)]
pub(crate) struct Checkpoints {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    revision: u64,
    last: Vec<Saved>,
}

impl Checkpoints {
    /// Opens the files in a folder. The second value is `None` where there were none: the folder is new.
    ///
    /// # Errors
    /// When the folder can't be read. Damage is no error: the other file counts, and where both are damaged, nothing is known.
    pub(crate) fn open(disk: Arc<dyn Disk>, dir: PathBuf) -> io::Result<(Self, Option<Vec<Saved>>)> {
        disk.create_dir_all(&dir)?;
        let mut newest: Option<Content> = None;
        let mut damaged = Vec::new();
        for name in NAMES {
            let path = dir.join(name);
            if !disk.exists(&path)? {
                continue;
            }
            match content(&weir_disk::read(disk.as_ref(), &path)?) {
                Some(content) if newest.as_ref().is_none_or(|n| n.revision < content.revision) => {
                    newest = Some(content);
                }
                Some(_) => {}
                None => damaged.push(path),
            }
        }
        for path in &damaged {
            match newest {
                Some(_) => {
                    tracing::error!(path = %path.display(), "the checkpoint is damaged; the one before it is used, and what was read since is read again")
                }
                None => {
                    tracing::error!(path = %path.display(), "the checkpoint is damaged and there is none before it; all files are read again from their beginning")
                }
            }
        }
        let revision = newest.as_ref().map_or(0, |content| content.revision);
        let saved = match newest {
            Some(content) => Some(content.files),
            None => (!damaged.is_empty()).then(Vec::new),
        };
        Ok((Self { disk, dir, revision, last: Vec::new() }, saved))
    }

    /// Makes the state durable, if it has changed.
    pub(crate) fn save(&mut self, files: Vec<Saved>) -> io::Result<()> {
        if self.revision > 0 && files == self.last {
            return Ok(());
        }
        let content = Content { revision: self.revision + 1, files };
        let json = serde_json::to_vec_pretty(&content).expect("plain data becomes JSON");
        let mut bytes = format!("{:016x}\n", xxh3_64(&json)).into_bytes();
        bytes.extend_from_slice(&json);
        let _step = tracing::debug_span!("checkpoint", bytes = bytes.len()).entered();
        // The newest one is never touched.
        let name = NAMES[(self.revision % 2) as usize];
        write_atomic(self.disk.as_ref(), &self.dir.join(name), &bytes)?;
        self.revision = content.revision;
        self.last = content.files;
        Ok(())
    }
}

/// What a file holds; `None` where it is damaged.
fn content(bytes: &[u8]) -> Option<Content> {
    let (sum, json) = bytes.split_at_checked(17)?;
    let sum = u64::from_str_radix(std::str::from_utf8(sum).ok()?.strip_suffix('\n')?, 16).ok()?;
    if sum != xxh3_64(json) {
        return None;
    }
    serde_json::from_slice(json).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_disk::sim::SimDisk;

    fn saved(acked: u64) -> Saved {
        Saved {
            path: "/var/log/a.log".into(),
            incarnation: "0".repeat(32),
            device: 1,
            inode: 2,
            acked,
            head_len: 3,
            head_hash: 4,
            read: 5,
            marker: 6,
            decisions: vec!["cut 9".into()],
            holes: Vec::new(),
        }
    }

    #[test]
    fn after_a_crash_at_any_step_it_is_the_last_saved_or_the_one_under_way() {
        for seed in 0..20 {
            for step in 0..20 {
                let sim = SimDisk::new(seed);
                let open = |sim: &SimDisk| Checkpoints::open(Arc::new(sim.clone()), "/agent".into());
                let (mut checkpoints, none) = open(&sim).unwrap();
                assert_eq!(none, None);
                checkpoints.save(vec![saved(1)]).unwrap();
                sim.crash_at(sim.steps() + step);
                let mut last = 1;
                while checkpoints.save(vec![saved(last + 1)]).is_ok() {
                    last += 1;
                }
                let (_, found) = open(&sim.restart()).unwrap();
                let acked = found.expect("something was saved")[0].acked;
                assert!(acked == last || acked == last + 1, "{acked} after {last}");
            }
        }
    }

    #[test]
    fn a_damaged_one_gives_way_to_the_one_before_it() {
        type Damage = fn(&mut Vec<u8>);
        let cases: [(&str, Damage); 5] = [
            ("cut", |bytes| bytes.truncate(bytes.len() / 2)),
            ("emptied", Vec::clear),
            ("zeros", |bytes| bytes.fill(0)),
            ("half zeros", |bytes| {
                let half = bytes.len() / 2;
                bytes[half..].fill(0);
            }),
            ("a flipped bit", |bytes| bytes[40] ^= 1),
        ];
        for (name, damage) in cases {
            let folder = tempfile::tempdir().unwrap();
            let open = || Checkpoints::open(Arc::new(weir_disk::RealDisk), folder.path().into()).unwrap();
            let acked =
                |found: Option<Vec<Saved>>| found.map(|files| files.iter().map(|f| f.acked).collect());
            let hurt = |at: usize| {
                let path = folder.path().join(NAMES[at]);
                let mut bytes = std::fs::read(&path).unwrap();
                damage(&mut bytes);
                std::fs::write(path, bytes).unwrap();
            };
            let (mut checkpoints, _) = open();
            (1..=3).for_each(|n| checkpoints.save(vec![saved(n)]).unwrap());
            assert_eq!(acked(open().1), Some(vec![3]), "{name}");
            hurt(0);
            let (mut checkpoints, found) = open();
            assert_eq!(acked(found), Some(vec![2]), "{name}");
            // The damaged one is the next to be written.
            checkpoints.save(vec![saved(4)]).unwrap();
            assert_eq!(acked(open().1), Some(vec![4]), "{name}");
            hurt(0);
            hurt(1);
            assert_eq!(acked(open().1), Some(vec![]), "{name}: the folder is not new");
        }
    }
}
