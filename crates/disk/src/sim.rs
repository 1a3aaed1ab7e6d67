//! A disk in memory that forgets what was not synced.
//!
//! Each mutating call is one numbered step with a name such as `append spans/0.log`. [`SimDisk::crash_at`] makes the disk stop before
//! a step: that call and all later ones fail, as if the machine had lost power. [`SimDisk::restart`] gives the disk as it would be found
//! afterwards: for every file a random choice among what was written since its last sync (nothing, a cut-off part, blocks out of order),
//! for every folder the synced names and a random part of the unsynced changes, kept in order, and of a removed folder nothing or a part.
//! [`SimDisk::kill`] gives what the next process finds when only this one died: everything, but what was not synced may still be lost later.
//!
//! [`SimDisk::fail_at`] lets a step fail. A failed append has written a part. After a failed sync a later one that succeeds does not make
//! durable what the failed one should have: the system dropped those pages (as Linux does, <https://lwn.net/Articles/752063/>).

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use super::{Dice, Disk, File, Lock, Mapped};

/// Unsynced data may be lost block by block; bytes.
const BLOCK: usize = 512;

#[derive(Debug, Clone)]
struct Inode {
    now: Vec<u8>,
    synced: Vec<u8>,
    /// Bytes of a failed sync: they look written, and no later sync makes them durable.
    dropped: Option<Range<usize>>,
}

#[derive(Debug, Clone)]
enum Change {
    Put(String, u64),
    Remove(String),
}

#[derive(Debug, Clone, Default)]
struct Dir {
    now: BTreeMap<String, u64>,
    synced: BTreeMap<String, u64>,
    /// What was done since the last sync, in order.
    changes: Vec<Change>,
}

#[derive(Debug)]
struct State {
    dice: Dice,
    inodes: BTreeMap<u64, Inode>,
    next_inode: u64,
    dirs: BTreeMap<PathBuf, Dir>,
    /// Removed folders whose parent was not synced since.
    removed: BTreeMap<PathBuf, Dir>,
    locks: HashSet<PathBuf>,
    steps: Vec<String>,
    crash_at: Option<usize>,
    fail_at: BTreeMap<usize, i32>,
}

/// The simulated disk. Cloning shares it.
#[derive(Debug, Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

impl SimDisk {
    /// `seed` decides what a crash keeps.
    pub fn new(seed: u64) -> Self {
        let dirs = BTreeMap::from([(PathBuf::from("/"), Dir::default())]);
        Self { state: Arc::new(Mutex::new(State::new(seed, BTreeMap::new(), dirs))) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while locked")
    }

    /// Number of steps done so far.
    pub fn steps(&self) -> usize {
        self.state().steps.len()
    }

    /// Names of the steps done so far.
    pub fn step_names(&self) -> Vec<String> {
        self.state().steps.clone()
    }

    /// Loses power before the step with this number.
    pub fn crash_at(&self, step: usize) {
        self.state().crash_at = Some(step);
    }

    /// Lets one step fail with an errno such as `libc::ENOSPC`; only of an append a part may be done.
    pub fn fail_at(&self, step: usize, errno: i32) {
        self.state().fail_at.insert(step, errno);
    }

    pub fn crashed(&self) -> bool {
        let state = self.state();
        state.crash_at.is_some_and(|at| state.steps.len() >= at)
    }

    /// The disk as it is found after losing power now. The old one is dead from here on.
    pub fn restart(&self) -> SimDisk {
        let mut state = self.state();
        state.crash_at = Some(0);
        let mut inodes = BTreeMap::new();
        for (id, inode) in state.inodes.clone() {
            let kept = state.survivors(&inode);
            inodes.insert(id, Inode { now: kept.clone(), synced: kept, dropped: None });
        }
        let mut dirs = BTreeMap::new();
        for (path, mut dir) in state.removed.clone() {
            let gone = path
                .ancestors()
                .skip(1)
                .any(|above| !state.dirs.contains_key(above) && !dirs.contains_key(above));
            if gone || state.below(2) == 0 {
                continue;
            }
            dir.changes.clear();
            let names: Vec<_> = dir.synced.into_iter().filter(|_| state.below(2) == 0).collect();
            dir.synced = names.into_iter().collect();
            dirs.insert(path, Dir { now: dir.synced.clone(), ..dir });
        }
        for (path, dir) in state.dirs.clone() {
            let mut names = dir.synced;
            let kept = state.below(dir.changes.len() as u64 + 1) as usize;
            for change in dir.changes.into_iter().take(kept) {
                match change {
                    Change::Put(name, inode) => names.insert(name, inode),
                    Change::Remove(name) => names.remove(&name),
                };
            }
            dirs.insert(path, Dir { now: names.clone(), synced: names, changes: Vec::new() });
        }
        let seed = state.dice.roll();
        let mut next = State::new(seed, inodes, dirs);
        next.next_inode = state.next_inode;
        SimDisk { state: Arc::new(Mutex::new(next)) }
    }

    /// The disk as the next process finds it when this one is killed now and the machine goes on. The old one is dead from here on.
    pub fn kill(&self) -> SimDisk {
        let mut state = self.state();
        state.crash_at = Some(0);
        let seed = state.dice.roll();
        let mut next = State::new(seed, state.inodes.clone(), state.dirs.clone());
        next.next_inode = state.next_inode;
        next.removed = state.removed.clone();
        SimDisk { state: Arc::new(Mutex::new(next)) }
    }
}

impl State {
    fn new(seed: u64, inodes: BTreeMap<u64, Inode>, dirs: BTreeMap<PathBuf, Dir>) -> Self {
        Self {
            dice: Dice::new(seed),
            inodes,
            next_inode: 0,
            dirs,
            removed: BTreeMap::new(),
            locks: HashSet::new(),
            steps: Vec::new(),
            crash_at: None,
            fail_at: BTreeMap::new(),
        }
    }

    fn below(&mut self, n: u64) -> u64 {
        self.dice.below(n)
    }

    fn power(&self) -> io::Result<()> {
        match self.crash_at {
            Some(at) if self.steps.len() >= at => Err(io::Error::other("the simulated machine has no power")),
            _ => Ok(()),
        }
    }

    fn step(&mut self, what: &str, path: &Path) -> io::Result<()> {
        self.power()?;
        let number = self.steps.len();
        self.steps.push(format!("{what} {}", path.display()));
        match self.fail_at.get(&number) {
            Some(&errno) => Err(io::Error::from_raw_os_error(errno)),
            None => Ok(()),
        }
    }

    /// What a crash leaves of a file: its synced content, and of what came later all, nothing, a part, or some blocks with zeros between.
    fn survivors(&mut self, inode: &Inode) -> Vec<u8> {
        let mut kept = self.survivors_of_syncs(inode);
        if let Some(range) = &inode.dropped {
            let end = range.end.min(kept.len());
            kept[range.start.min(end)..end].fill(0);
        }
        kept
    }

    fn survivors_of_syncs(&mut self, inode: &Inode) -> Vec<u8> {
        let common = inode.now.iter().zip(&inode.synced).take_while(|(a, b)| a == b).count();
        let choice = self.below(4);
        if common < inode.synced.len() {
            // It was cut since: that a cut survives is as likely as not.
            return if choice < 2 { inode.synced.clone() } else { inode.now.clone() };
        }
        let fresh = inode.now.len() - common;
        match choice {
            0 => inode.synced.clone(),
            1 => inode.now.clone(),
            2 => inode.now[..common + self.below(fresh as u64 + 1) as usize].to_vec(),
            _ => {
                let mut kept = inode.now.clone();
                let mut at = common;
                while at < kept.len() {
                    let end = (at + BLOCK - at % BLOCK).min(kept.len());
                    if self.below(2) == 0 {
                        kept[at..end].fill(0);
                    }
                    at = end;
                }
                kept
            }
        }
    }

    fn dir(&mut self, path: &Path) -> io::Result<&mut Dir> {
        self.dirs.get_mut(path).ok_or_else(|| not_found(path))
    }

    fn inode_of(&self, path: &Path) -> Option<u64> {
        let (dir, name) = split(path).ok()?;
        self.dirs.get(dir)?.now.get(name).copied()
    }

    fn change(&mut self, dir: &Path, change: Change) -> io::Result<()> {
        let dir = self.dir(dir)?;
        match &change {
            Change::Put(name, inode) => dir.now.insert(name.clone(), *inode),
            Change::Remove(name) => dir.now.remove(name),
        };
        dir.changes.push(change);
        Ok(())
    }
}

fn not_found(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("{} is not there", path.display()))
}

fn split(path: &Path) -> io::Result<(&Path, &str)> {
    let dir = path.parent().ok_or_else(|| not_found(path))?;
    let name = path.file_name().and_then(|n| n.to_str()).ok_or_else(|| not_found(path))?;
    Ok((dir, name))
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    inode: u64,
    path: PathBuf,
}

impl SimFile {
    fn change(&self, what: &str, change: impl FnOnce(&mut Inode)) -> io::Result<()> {
        let mut state = self.disk.state();
        state.step(what, &self.path)?;
        change(state.inodes.get_mut(&self.inode).ok_or_else(|| not_found(&self.path))?);
        Ok(())
    }

    fn read<R>(&self, read: impl FnOnce(&[u8]) -> R) -> io::Result<R> {
        let state = self.disk.state();
        state.power()?;
        Ok(read(&state.inodes.get(&self.inode).ok_or_else(|| not_found(&self.path))?.now))
    }
}

impl File for SimFile {
    fn append_parts(&self, parts: &[&[u8]]) -> io::Result<()> {
        let bytes = parts.concat();
        let mut state = self.disk.state();
        let done = state.step("append", &self.path);
        let written = match &done {
            Ok(()) => bytes.len(),
            Err(_) if state.power().is_err() => return done,
            Err(_) => state.below(bytes.len() as u64 + 1) as usize,
        };
        let inode = state.inodes.get_mut(&self.inode).ok_or_else(|| not_found(&self.path))?;
        inode.now.extend_from_slice(&bytes[..written]);
        done
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.read(|now| {
            let part = usize::try_from(offset).ok().and_then(|at| now.get(at..at + buf.len()));
            part.map(|part| buf.copy_from_slice(part)).ok_or(io::ErrorKind::UnexpectedEof.into())
        })?
    }

    fn len(&self) -> io::Result<u64> {
        self.read(|now| now.len() as u64)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.change("truncate", |inode| {
            inode.now.truncate(len as usize);
            inode.dropped =
                inode.dropped.take().map(|r| r.start..r.end.min(len as usize)).filter(|r| !r.is_empty());
        })
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        let done = state.step("sync", &self.path);
        if done.is_err() && state.power().is_err() {
            return done;
        }
        let inode = state.inodes.get_mut(&self.inode).ok_or_else(|| not_found(&self.path))?;
        match done {
            Ok(()) => inode.synced = inode.now.clone(),
            Err(_) => {
                let common = inode.now.iter().zip(&inode.synced).take_while(|(a, b)| a == b).count();
                let start = inode.dropped.as_ref().map_or(common, |range| range.start.min(common));
                inode.dropped = Some(start..inode.now.len());
            }
        }
        done
    }

    fn map(&self) -> io::Result<Mapped> {
        self.read(|now| Arc::new(now.to_vec()) as Mapped)
    }
}

#[derive(Debug)]
struct SimLock {
    disk: SimDisk,
    dir: PathBuf,
}

impl Lock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.disk.state().locks.remove(&self.dir);
    }
}

impl Disk for SimDisk {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let mut state = self.state();
        state.power()?;
        let inode = match state.inode_of(path) {
            Some(inode) => inode,
            None => {
                let (dir, name) = split(path)?;
                state.dir(dir)?;
                state.step("create", path)?;
                state.next_inode += 1;
                let inode = state.next_inode;
                state.inodes.insert(inode, Inode { now: Vec::new(), synced: Vec::new(), dropped: None });
                state.change(dir, Change::Put(name.into(), inode))?;
                inode
            }
        };
        Ok(Arc::new(SimFile { disk: self.clone(), inode, path: path.into() }))
    }

    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let state = self.state();
        state.power()?;
        let inode = state.inode_of(path).ok_or_else(|| not_found(path))?;
        Ok(Arc::new(SimFile { disk: self.clone(), inode, path: path.into() }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        let inode = state.inode_of(from).ok_or_else(|| not_found(from))?;
        let (from_dir, from_name) = split(from)?;
        let (to_dir, to_name) = split(to)?;
        if from_dir != to_dir {
            return Err(io::Error::other("the simulated disk renames inside one folder only"));
        }
        state.step("rename", to)?;
        state.change(to_dir, Change::Put(to_name.into(), inode))?;
        // One step on a journalling file system: the old name goes with the new one's coming.
        let dir = state.dir(from_dir)?;
        dir.now.remove(from_name);
        if let Some(Change::Put(name, inode)) = dir.changes.pop() {
            dir.changes.push(Change::Remove(from_name.into()));
            let at = dir.changes.len() - 1;
            dir.changes.insert(at, Change::Put(name, inode));
        }
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.inode_of(path).ok_or_else(|| not_found(path))?;
        state.step("remove", path)?;
        let (dir, name) = split(path)?;
        state.change(dir, Change::Remove(name.into()))
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.dir(path)?;
        state.step("remove_dir_all", path)?;
        let (gone, kept): (BTreeMap<_, _>, BTreeMap<_, _>) =
            std::mem::take(&mut state.dirs).into_iter().partition(|(dir, _)| dir.starts_with(path));
        state.dirs = kept;
        state.removed.extend(gone);
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let mut state = self.state();
        state.power()?;
        let mut names: Vec<String> = state.dir(path)?.now.keys().cloned().collect();
        names.extend(
            state
                .dirs
                .keys()
                .filter(|d| d.parent() == Some(path))
                .filter_map(|d| Some(d.file_name()?.to_str()?.into())),
        );
        names.sort_unstable();
        Ok(names)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        let state = self.state();
        state.power()?;
        Ok(state.dirs.contains_key(path) || state.inode_of(path).is_some())
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        if state.dirs.contains_key(path) {
            return state.power();
        }
        state.step("create_dir", path)?;
        for dir in path.ancestors() {
            state.dirs.entry(dir.into()).or_default();
        }
        // Creating is durable here, and so is what made room for it.
        state.removed.retain(|dir, _| !dir.starts_with(path));
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.step("sync_dir", path)?;
        let dir = state.dir(path)?;
        dir.synced = dir.now.clone();
        dir.changes.clear();
        let children: Vec<PathBuf> =
            state.removed.keys().filter(|d| d.parent() == Some(path)).cloned().collect();
        state.removed.retain(|dir, _| !children.iter().any(|child| dir.starts_with(child)));
        Ok(())
    }

    fn lock(&self, dir: &Path) -> io::Result<Box<dyn Lock>> {
        let mut state = self.state();
        state.power()?;
        if !state.locks.insert(dir.into()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(SimLock { disk: self.clone(), dir: dir.into() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{read, write_atomic};

    #[test]
    fn what_was_synced_survives_and_what_was_not_may_be_lost() {
        let mut outcomes = HashSet::new();
        for seed in 0..100 {
            let disk = SimDisk::new(seed);
            let path = Path::new("/log");
            let file = disk.open(path).unwrap();
            file.append(b"kept").unwrap();
            file.sync().unwrap();
            disk.sync_dir(Path::new("/")).unwrap();
            file.append(b"open").unwrap();
            let found = read(&disk.restart(), path).unwrap();
            assert!(found.starts_with(b"kept"), "{found:?}");
            outcomes.insert(found);
        }
        assert!(outcomes.contains(b"kept".as_slice()));
        assert!(outcomes.contains(b"keptopen".as_slice()));
        assert!(outcomes.contains(b"kept\0\0\0\0".as_slice()));
        assert!(outcomes.len() > 4, "{outcomes:?}");
    }

    #[test]
    fn an_atomic_write_is_old_or_new_at_every_step() {
        let dir = Path::new("/");
        let path = dir.join("state");
        let mut seen = HashSet::new();
        for seed in 0..50 {
            for step in 0.. {
                let disk = SimDisk::new(seed);
                write_atomic(&disk, &path, b"old").unwrap();
                let before = disk.steps();
                disk.crash_at(before + step);
                let done = write_atomic(&disk, &path, b"new").is_ok();
                let found = read(&disk.restart(), &path).unwrap();
                assert!(found == b"old" || found == b"new", "{found:?}");
                if done {
                    assert_eq!(found, b"new");
                    break;
                }
                seen.insert(found);
            }
        }
        assert_eq!(seen.len(), 2);
    }

    #[test]
    fn a_failing_append_writes_a_part() {
        let mut parts = HashSet::new();
        for seed in 0..50 {
            let disk = SimDisk::new(seed);
            let file = disk.open(Path::new("/log")).unwrap();
            disk.fail_at(disk.steps(), libc::ENOSPC);
            assert_eq!(file.append(b"xyz").unwrap_err().raw_os_error(), Some(libc::ENOSPC));
            parts.insert(file.len().unwrap());
            file.truncate(0).unwrap();
            file.append(b"x").unwrap();
            assert_eq!(file.len().unwrap(), 1);
        }
        assert_eq!(parts, HashSet::from([0, 1, 2, 3]));
    }

    #[test]
    fn what_a_failed_sync_dropped_no_later_sync_brings_back() {
        for cut in [false, true] {
            let disk = SimDisk::new(1);
            let path = Path::new("/log");
            let file = disk.open(path).unwrap();
            disk.sync_dir(Path::new("/")).unwrap();
            file.append(b"kept").unwrap();
            file.sync().unwrap();
            file.append(b"gone").unwrap();
            disk.fail_at(disk.steps(), libc::EIO);
            file.sync().unwrap_err();
            if cut {
                file.truncate(4).unwrap();
                file.append(b"back").unwrap();
            }
            file.sync().unwrap();
            let expect: &[u8] = if cut { b"keptback" } else { b"kept\0\0\0\0" };
            assert_eq!(read(&disk.restart(), path).unwrap(), expect);
        }
    }

    #[test]
    fn a_removed_folder_may_come_back_in_part_until_its_parent_is_synced() {
        let mut found = HashSet::new();
        for seed in 0..50 {
            let disk = SimDisk::new(seed);
            let dir = Path::new("/shard");
            disk.create_dir_all(dir).unwrap();
            for name in ["a", "b"] {
                disk.open(&dir.join(name)).unwrap();
            }
            disk.sync_dir(dir).unwrap();
            disk.remove_dir_all(dir).unwrap();
            assert!(!disk.exists(dir).unwrap());
            let killed = disk.kill();
            let disk = killed.restart();
            found.insert(disk.exists(dir).unwrap().then(|| disk.list(dir).unwrap().len()));
            if disk.exists(dir).unwrap() {
                disk.remove_dir_all(dir).unwrap();
                disk.sync_dir(Path::new("/")).unwrap();
                assert!(!disk.restart().exists(dir).unwrap());
            }
        }
        assert_eq!(found, HashSet::from([None, Some(0), Some(1), Some(2)]));
    }
}
