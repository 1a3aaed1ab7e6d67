//! A disk in memory that forgets what was not synced.
//!
//! Each mutating call is one numbered step with a name such as `append spans/0.log`. [`SimDisk::crash_at`] makes the disk stop before
//! a step: that call and all later ones fail, as if the machine had lost power. [`SimDisk::restart`] gives the disk as it would be found
//! afterwards: for every file a random choice among what was written since its last sync (nothing, a cut-off part, blocks out of order),
//! for every folder the synced names and a random part of the unsynced changes, kept in order.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use super::{Disk, File, Lock};

/// Unsynced data may be lost block by block; bytes.
const BLOCK: usize = 512;

#[derive(Debug, Clone)]
struct Inode {
    now: Vec<u8>,
    synced: Vec<u8>,
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
    random: u64,
    inodes: BTreeMap<u64, Inode>,
    next_inode: u64,
    dirs: BTreeMap<PathBuf, Dir>,
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

    /// Lets one step fail with an errno such as `libc::ENOSPC`; nothing of it is done.
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
            inodes.insert(id, Inode { now: kept.clone(), synced: kept });
        }
        let mut dirs = BTreeMap::new();
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
        let seed = state.next_random();
        let mut next = State::new(seed, inodes, dirs);
        next.next_inode = state.next_inode;
        SimDisk { state: Arc::new(Mutex::new(next)) }
    }
}

impl State {
    fn new(seed: u64, inodes: BTreeMap<u64, Inode>, dirs: BTreeMap<PathBuf, Dir>) -> Self {
        Self {
            random: seed,
            inodes,
            next_inode: 0,
            dirs,
            locks: HashSet::new(),
            steps: Vec::new(),
            crash_at: None,
            fail_at: BTreeMap::new(),
        }
    }

    /// SplitMix64: small, seeded, and good enough to choose what is lost.
    fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next_random() % n
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
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        self.change("append", |inode| inode.now.extend_from_slice(bytes))
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
        self.change("truncate", |inode| inode.now.truncate(len as usize))
    }

    fn sync(&self) -> io::Result<()> {
        self.change("sync", |inode| inode.synced = inode.now.clone())
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
                state.inodes.insert(inode, Inode { now: Vec::new(), synced: Vec::new() });
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
        state.dirs.retain(|dir, _| !dir.starts_with(path));
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
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.step("sync_dir", path)?;
        let dir = state.dir(path)?;
        dir.synced = dir.now.clone();
        dir.changes.clear();
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
    fn a_failing_step_does_nothing() {
        let disk = SimDisk::new(1);
        let file = disk.open(Path::new("/log")).unwrap();
        disk.fail_at(disk.steps(), libc::ENOSPC);
        assert_eq!(file.append(b"x").unwrap_err().raw_os_error(), Some(libc::ENOSPC));
        assert_eq!(file.len().unwrap(), 0);
        file.append(b"x").unwrap();
        assert_eq!(file.len().unwrap(), 1);
    }
}
