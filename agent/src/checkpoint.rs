//! Checkpoints: how far each file is acknowledged, and every decision about it that its bytes alone do not tell.
//!
//! Two files that say the same, lest one is damaged. Each begins with the whole state, which replaces what it held in one durable step, and goes on with
//! what has changed, a synced line a save; once the changes have outgrown the whole, both begin anew. A line is a hash, then JSON with a revision.
//! Reading takes the sound lines of both in the order of their revisions. A decision (a file's incarnation, its format, a record cut by a timer) is
//! written before any record that depends on it is sent, so that reading again after a crash gives the same records.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use weir_disk::{Disk, File, write_atomic};
use xxhash_rust::xxh3::xxh3_64;

use crate::ledger::Hole;

/// The files, in the order in which they are written.
const NAMES: [&str; 2] = ["checkpoints.json", "checkpoints.1.json"];
/// Changes that a file takes at least before it begins anew, in bytes.
const CHANGES_BYTES: u64 = 64 * 1024;

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
    /// Which first bytes `head_hash` covers: from where on, behind a hole, and how many.
    pub(crate) head_at: u64,
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

/// One line: the whole state, or what has changed since the line before it.
#[derive(Debug, Serialize, Deserialize)]
struct Line<S> {
    revision: u64,
    /// Lives that it does not name are not known any more.
    whole: bool,
    lives: Vec<S>,
    #[serde(default = "Vec::new", skip_serializing_if = "Vec::is_empty")]
    forgotten: Vec<String>,
}

#[derive(Debug)]
pub(crate) struct Checkpoints {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    revision: u64,
    /// By incarnation.
    lives: BTreeMap<String, Saved>,
    changed: BTreeSet<String>,
    forgotten: BTreeSet<String>,
    /// Both take further lines. `None` where nothing is known of their ends: they begin anew.
    files: Option<[Arc<dyn File>; 2]>,
    whole_bytes: u64,
    changes_bytes: u64,
    least_changes_bytes: u64,
}

impl Checkpoints {
    /// Opens the files in a folder. The second value is `None` where there were none: the folder is new.
    ///
    /// # Errors
    /// When the folder can't be read. Damage is no error: what is sound counts.
    pub(crate) fn open(disk: Arc<dyn Disk>, dir: PathBuf) -> io::Result<(Self, Option<Vec<Saved>>)> {
        disk.create_dir_all(&dir)?;
        let mut lines = Vec::new();
        let mut is_new = true;
        for name in NAMES {
            let path = dir.join(name);
            if !disk.exists(&path)? {
                continue;
            }
            is_new = false;
            let bytes = weir_disk::read(disk.as_ref(), &path)?;
            let read: Vec<_> = bytes.split_inclusive(|byte| *byte == b'\n').map(line).collect();
            // A crash leaves a last line that is not whole; nothing depends on it.
            let last = read.iter().rposition(Option::is_some);
            if last.is_none_or(|last| read[..last].iter().any(Option::is_none)) {
                tracing::error!(path = %path.display(), "the checkpoint is damaged; what is sound of it and of the other one is used, and the rest is read again");
            }
            lines.extend(read.into_iter().flatten());
        }
        lines.sort_by_key(|line| line.revision);
        let mut checkpoints = Self {
            disk,
            dir,
            revision: lines.last().map_or(0, |line| line.revision),
            lives: BTreeMap::new(),
            changed: BTreeSet::new(),
            forgotten: BTreeSet::new(),
            files: None,
            whole_bytes: 0,
            changes_bytes: 0,
            least_changes_bytes: CHANGES_BYTES,
        };
        if is_new {
            return Ok((checkpoints, None));
        }
        if !lines.iter().any(|line| line.whole) {
            tracing::error!(
                "no whole checkpoint is left; files that are not known are read again from their beginning"
            );
        }
        for line in lines {
            if line.whole {
                checkpoints.lives.clear();
            }
            for incarnation in line.forgotten {
                checkpoints.lives.remove(&incarnation);
            }
            checkpoints.lives.extend(line.lives.into_iter().map(|life| (life.incarnation.clone(), life)));
        }
        if let Err(error) = checkpoints.begin() {
            tracing::warn!(%error, "the checkpoint can't be written yet; it is tried again");
        }
        let mut lives: Vec<Saved> = checkpoints.lives.values().cloned().collect();
        lives.sort_by(|a, b| (&a.path, &a.incarnation).cmp(&(&b.path, &b.incarnation)));
        Ok((checkpoints, Some(lives)))
    }

    /// Takes what is known of a life. It is durable with the next save.
    pub(crate) fn put(&mut self, life: Saved) {
        if self.lives.get(&life.incarnation) != Some(&life) {
            self.forgotten.remove(&life.incarnation);
            self.changed.insert(life.incarnation.clone());
            self.lives.insert(life.incarnation.clone(), life);
        }
    }

    /// Drops what is known of a life.
    pub(crate) fn forget(&mut self, incarnation: &str) {
        if self.lives.remove(incarnation).is_some() {
            self.changed.remove(incarnation);
            self.forgotten.insert(incarnation.to_owned());
        }
    }

    /// Makes the state durable, if it has changed.
    pub(crate) fn save(&mut self) -> io::Result<()> {
        if self.revision > 0 && self.changed.is_empty() && self.forgotten.is_empty() {
            return Ok(());
        }
        match self.files.take() {
            // They are put back only once it is known how they end.
            Some(files) => {
                self.add(&files)?;
                self.files = Some(files);
            }
            None => self.begin()?,
        }
        self.changed.clear();
        self.forgotten.clear();
        if self.changes_bytes > self.whole_bytes.max(self.least_changes_bytes)
            && let Err(error) = self.begin()
        {
            tracing::warn!(%error, "the checkpoint can't begin anew; it is tried again");
        }
        Ok(())
    }

    /// Adds what has changed.
    fn add(&mut self, files: &[Arc<dyn File>; 2]) -> io::Result<()> {
        let lives = self.changed.iter().filter_map(|incarnation| self.lives.get(incarnation)).collect();
        let forgotten = self.forgotten.iter().cloned().collect();
        self.revision += 1;
        let bytes = written(&Line { revision: self.revision, whole: false, lives, forgotten });
        let _step = tracing::debug_span!("checkpoint", bytes = bytes.len()).entered();
        for file in files {
            file.append(&bytes)?;
            file.sync()?;
        }
        self.changes_bytes += bytes.len() as u64;
        Ok(())
    }

    /// Begins both files with the whole state, one after the other.
    fn begin(&mut self) -> io::Result<()> {
        self.files = None;
        let lives = self.lives.values().collect();
        self.revision += 1;
        let bytes = written(&Line { revision: self.revision, whole: true, lives, forgotten: Vec::new() });
        let _step = tracing::debug_span!("checkpoint", bytes = bytes.len()).entered();
        let [one, other] = NAMES.map(|name| {
            let path = self.dir.join(name);
            write_atomic(self.disk.as_ref(), &path, &bytes)?;
            self.disk.open(&path)
        });
        self.files = Some([one?, other?]);
        (self.whole_bytes, self.changes_bytes) = (bytes.len() as u64, 0);
        Ok(())
    }
}

/// A line as the files have it.
fn written(line: &Line<&Saved>) -> Vec<u8> {
    let json = serde_json::to_vec(line).expect("plain data becomes JSON");
    let mut bytes = format!("{:016x} ", xxh3_64(&json)).into_bytes();
    bytes.extend_from_slice(&json);
    bytes.push(b'\n');
    bytes
}

/// What a line says; `None` where it is damaged.
fn line(bytes: &[u8]) -> Option<Line<Saved>> {
    let (sum, json) = bytes.strip_suffix(b"\n")?.split_at_checked(17)?;
    let sum = u64::from_str_radix(std::str::from_utf8(sum).ok()?.strip_suffix(' ')?, 16).ok()?;
    if sum != xxh3_64(json) {
        return None;
    }
    serde_json::from_slice(json).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_disk::sim::SimDisk;
    use weir_disk::{Dice, RealDisk};

    fn life(n: u64, acked: u64) -> Saved {
        Saved {
            path: format!("/var/log/{n}.log").into(),
            incarnation: format!("{n:032x}"),
            device: 1,
            inode: n,
            acked,
            head_at: 0,
            head_len: 3,
            head_hash: 4,
            read: 5,
            marker: 6,
            decisions: vec!["cut 9".into()],
            holes: Vec::new(),
        }
    }

    /// Changes some of a few lives.
    fn change(checkpoints: &mut Checkpoints, dice: &mut Dice, acked: u64) {
        for _ in 0..=dice.below(3) {
            match dice.below(5) {
                0 => checkpoints.forget(&life(dice.below(6), 0).incarnation),
                _ => checkpoints.put(life(dice.below(6), acked)),
            }
        }
    }

    #[test]
    fn after_a_crash_at_any_step_it_is_the_last_saved_or_the_one_under_way() {
        let (mut anew, mut under_way) = (0, 0);
        for seed in 0..40 {
            for step in 0..60 {
                let sim = SimDisk::new(seed);
                let mut dice = Dice::new(seed);
                let open = |sim: &SimDisk| Checkpoints::open(Arc::new(sim.clone()), "/agent".into());
                let (mut checkpoints, none) = open(&sim).unwrap();
                assert_eq!(none, None);
                checkpoints.least_changes_bytes = 700;
                checkpoints.put(life(1, 1));
                checkpoints.save().unwrap();
                sim.crash_at(sim.steps() + step);
                let mut last = checkpoints.lives.clone();
                let mut acked = 1;
                loop {
                    acked += 1;
                    change(&mut checkpoints, &mut dice, acked);
                    if checkpoints.save().is_err() {
                        break;
                    }
                    last = checkpoints.lives.clone();
                }
                anew += u64::from(sim.step_names().iter().filter(|name| name.contains("rename")).count() > 2);
                let (found, lives) = open(&sim.restart()).unwrap();
                assert_eq!(lives.expect("something was saved").len(), found.lives.len());
                assert!(
                    found.lives == last || found.lives == checkpoints.lives,
                    "seed {seed}, step {step}: {:#?}",
                    found.lives
                );
                under_way += u64::from(found.lives != last);
            }
        }
        assert!(anew > 100 && under_way > 100, "both happened: {anew}, {under_way}");
    }

    #[test]
    fn a_failed_write_is_made_good_by_the_next_one() {
        for seed in 0..20 {
            for step in 0..12 {
                let sim = SimDisk::new(seed);
                let mut dice = Dice::new(seed);
                let open = |sim: &SimDisk| Checkpoints::open(Arc::new(sim.clone()), "/agent".into()).unwrap();
                let (mut checkpoints, _) = open(&sim);
                checkpoints.least_changes_bytes = 300;
                checkpoints.put(life(1, 1));
                checkpoints.save().unwrap();
                sim.fail_at(sim.steps() + step, 28);
                for acked in 2..8 {
                    change(&mut checkpoints, &mut dice, acked);
                    if checkpoints.save().is_err() {
                        checkpoints.save().unwrap();
                    }
                }
                assert_eq!(open(&sim.restart()).0.lives, checkpoints.lives, "seed {seed}, step {step}");
            }
        }
    }

    /// What is acknowledged of each life.
    fn acked(folder: &std::path::Path) -> Option<Vec<u64>> {
        let (_, lives) = Checkpoints::open(Arc::new(RealDisk), folder.into()).unwrap();
        lives.map(|lives| lives.iter().map(|life| life.acked).collect())
    }

    #[test]
    fn a_damaged_line_costs_what_only_it_says() {
        type Damage = fn(&mut Vec<u8>);
        let cases: [(&str, Damage); 3] = [
            ("zeros", |line| line.fill(0)),
            ("half zeros", |line| {
                let half = line.len() / 2;
                line[half..].fill(0);
            }),
            ("a flipped bit", |line| line[30] ^= 1),
        ];
        for (name, damage) in cases {
            // The lines that are damaged, by file and number, and what is left.
            let all = [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)];
            for (lines, expect) in [
                (&[][..], &[5, 6][..]),
                (&all[..3], &[5, 6]),
                (&all[3..], &[5, 6]),
                (&[(0, 0), (1, 1)], &[5, 6]),
                (&[(0, 0), (1, 0)], &[5, 6]),
                (&[(0, 1), (1, 1)], &[1, 6]),
                (&[(0, 2), (1, 2)], &[5, 2]),
                (&all, &[]),
            ] {
                let folder = tempfile::tempdir().unwrap();
                let (mut checkpoints, _) =
                    Checkpoints::open(Arc::new(RealDisk), folder.path().into()).unwrap();
                for lives in [&[life(1, 1), life(2, 2)][..], &[life(1, 5)], &[life(2, 6)]] {
                    lives.iter().for_each(|life| checkpoints.put(life.clone()));
                    checkpoints.save().unwrap();
                }
                for (at, name) in NAMES.iter().enumerate() {
                    let path = folder.path().join(name);
                    let bytes = std::fs::read(&path).unwrap();
                    let mut of_file: Vec<Vec<u8>> =
                        bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
                    assert_eq!(of_file.len(), 3);
                    for (_, n) in lines.iter().filter(|(file, _)| *file == at) {
                        damage(&mut of_file[*n]);
                        // A line's end that is lost takes the next line with it.
                        of_file[*n].push(b'\n');
                    }
                    std::fs::write(path, of_file.concat()).unwrap();
                }
                assert_eq!(acked(folder.path()).as_deref(), Some(expect), "{name} in {lines:?}");
                assert_eq!(acked(folder.path()).as_deref(), Some(expect), "{name} in {lines:?}, once more");
            }
        }
    }
}
