//! Checkpoints: how far each file is acknowledged, and every decision about it that its bytes alone do not tell.
//!
//! One JSON file, replaced in one durable step. A decision (a file's incarnation, its format, a record cut by a timer) is written before any record that
//! depends on it is sent, so that reading again after a crash gives the same records.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use weir_disk::{Disk, write_atomic};

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
    /// Hash of the last bytes before `acked`, see [`MARKER_BYTES`](crate::tail::MARKER_BYTES).
    pub(crate) marker: u64,
    /// What was decided about the file, see [`Decision`](weir_parse::Decision).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) decisions: Vec<String>,
    /// Parts below `acked` that no stored record was made of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) holes: Vec<Hole>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Content {
    files: Vec<Saved>,
}

#[derive(Debug)]
pub(crate) struct Checkpoints {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    last: Vec<u8>,
}

impl Checkpoints {
    /// Opens the file in a folder. The second value is `None` where there was none: the folder is new.
    pub(crate) fn open(disk: Arc<dyn Disk>, dir: PathBuf) -> io::Result<(Self, Option<Vec<Saved>>)> {
        disk.create_dir_all(&dir)?;
        let path = dir.join("checkpoints.json");
        let saved = match disk.exists(&path)? {
            false => None,
            true => {
                let content: Content = serde_json::from_slice(&weir_disk::read(disk.as_ref(), &path)?)
                    .map_err(|error| {
                        io::Error::other(format!(
                            "the checkpoint {} is damaged: {error}; move it away to begin anew: files are then read from their beginning, or \
                             their end where `start: end` says so, and lines that were stored before are stored again",
                            path.display()
                        ))
                    })?;
                Some(content.files)
            }
        };
        Ok((Self { disk, path, last: Vec::new() }, saved))
    }

    /// Makes the state durable, if it has changed.
    pub(crate) fn save(&mut self, files: Vec<Saved>) -> io::Result<()> {
        let bytes = serde_json::to_vec_pretty(&Content { files }).expect("plain data becomes JSON");
        if bytes != self.last {
            write_atomic(self.disk.as_ref(), &self.path, &bytes)?;
            self.last = bytes;
        }
        Ok(())
    }
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
            marker: 5,
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
}
