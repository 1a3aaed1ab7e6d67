//! tantivy's files on [`Disk`], so that the index obeys the same rules of durability as everything beside it, and is tested on a disk that forgets.
//!
//! It differs from tantivy's own directory of mapped files in four things:
//! - `meta.json` is [`Replaced`]: durable with its name when a commit returns, and the old one is in force after a failed commit.
//! - `.managed.json`, tantivy's list of its files, lives in memory. At start it is the folder's content, so nothing is ever left over, and
//!   a new file costs no replacement of that list.
//! - Locks are held in memory: the data folder's own lock keeps other processes away.
//! - Files that the current `meta.json` does not name can be removed while older searchers still read them ([`DiskDirectory::sweep`]).
//!
//! Reading maps files, and shares the mapping among all who read one.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io::{self, BufWriter, Write};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use parking_lot::{Condvar, Mutex};
use stable_deref_trait::StableDeref;
use tantivy::directory::error::{DeleteError, LockError, OpenReadError, OpenWriteError};
use tantivy::directory::{
    AntiCallToken, Directory, DirectoryLock, FileHandle, Lock, OwnedBytes, TerminatingWrite, WatchCallback,
    WatchHandle, WritePtr,
};
use weir_disk::{Disk, File, Mapped, Replaced, write_atomic};

/// Names by which tantivy knows the file that makes a commit, and the list of its files.
const META: &str = "meta.json";
const MANAGED: &str = ".managed.json";

type WeakMapped = Weak<dyn AsRef<[u8]> + Send + Sync>;

/// A tantivy index's folder. Cloning shares it.
#[derive(Clone)]
pub(crate) struct DiskDirectory(Arc<Inner>);

struct Inner {
    disk: Arc<dyn Disk>,
    root: PathBuf,
    meta: Mutex<Replaced>,
    managed: Mutex<Vec<u8>>,
    maps: Mutex<HashMap<PathBuf, WeakMapped>>,
    locks: Locks,
}

#[derive(Default)]
struct Locks {
    held: Mutex<HashSet<PathBuf>>,
    freed: Condvar,
}

impl DiskDirectory {
    /// Opens a folder that exists.
    pub(crate) fn open(disk: Arc<dyn Disk>, root: &Path) -> io::Result<Self> {
        let meta = Replaced::open(disk.clone(), root.join(META))?;
        Self::with_meta(disk, root, meta)
    }

    /// Opens a folder to which nothing is written any more: reading it is no step that could fail or be lost.
    pub(crate) fn open_sealed(disk: Arc<dyn Disk>, root: &Path) -> io::Result<Self> {
        let meta = Replaced::open_durable(disk.clone(), root.join(META))?;
        Self::with_meta(disk, root, meta)
    }

    fn with_meta(disk: Arc<dyn Disk>, root: &Path, meta: Replaced) -> io::Result<Self> {
        let managed = serde_json::to_vec(&disk.list(root)?)?;
        Ok(Self(Arc::new(Inner {
            disk,
            root: root.into(),
            meta: Mutex::new(meta),
            managed: Mutex::new(managed),
            maps: Mutex::default(),
            locks: Locks::default(),
        })))
    }

    /// Puts the commit in force back on the disk if a failed one left open which stands there. Until then nothing that either names may be
    /// cut or removed.
    pub(crate) fn settle(&self) -> io::Result<()> {
        self.0.meta.lock().settle()
    }

    /// Removes every file but the commit and those that it names. Nothing may be writing to the index.
    pub(crate) fn sweep(&self, living: &HashSet<PathBuf>) -> io::Result<()> {
        for name in self.0.disk.list(&self.0.root)? {
            if name == META || living.contains(Path::new(&name)) {
                continue;
            }
            match self.0.disk.remove(&self.0.root.join(name)) {
                // A merge that was given up still removes what it has written.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                removed => removed?,
            }
        }
        Ok(())
    }

    fn path(&self, path: &Path) -> PathBuf {
        self.0.root.join(path)
    }

    fn map(&self, path: &Path) -> io::Result<Mapped> {
        let mut maps = self.0.maps.lock();
        if let Some(mapped) = maps.get(path).and_then(Weak::upgrade) {
            return Ok(mapped);
        }
        let mapped = self.0.disk.open_read(&self.path(path))?.map()?;
        maps.retain(|_, mapped| mapped.strong_count() > 0);
        maps.insert(path.into(), Arc::downgrade(&mapped));
        Ok(mapped)
    }
}

impl fmt::Debug for DiskDirectory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DiskDirectory({})", self.0.root.display())
    }
}

fn cant_read(error: io::Error, path: &Path) -> OpenReadError {
    match error.kind() {
        io::ErrorKind::NotFound => OpenReadError::FileDoesNotExist(path.into()),
        _ => OpenReadError::wrap_io_error(error, path.into()),
    }
}

/// Bytes of a mapped file, as tantivy shares them.
struct Bytes(Mapped);

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        (*self.0).as_ref()
    }
}

// SAFETY: a mapped file's content is not written to any more, so its bytes stay where they are as long as the mapping lives.
unsafe impl StableDeref for Bytes {}

/// Writes one of tantivy's files; the content is durable when it is ended, the name after `sync_directory`.
struct Writer(Arc<dyn File>);

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.append(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl TerminatingWrite for Writer {
    fn terminate_ref(&mut self, _: AntiCallToken) -> io::Result<()> {
        self.0.sync()
    }
}

/// Frees a lock when it is dropped.
struct Guard {
    directory: DiskDirectory,
    path: PathBuf,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let locks = &self.directory.0.locks;
        locks.held.lock().remove(&self.path);
        locks.freed.notify_all();
    }
}

impl Directory for DiskDirectory {
    fn get_file_handle(&self, path: &Path) -> Result<Arc<dyn FileHandle>, OpenReadError> {
        let mapped = self.map(path).map_err(|error| cant_read(error, path))?;
        Ok(Arc::new(OwnedBytes::new(Bytes(mapped))))
    }

    fn delete(&self, path: &Path) -> Result<(), DeleteError> {
        self.0.disk.remove(&self.path(path)).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => DeleteError::FileDoesNotExist(path.into()),
            _ => DeleteError::IoError { io_error: Arc::new(error), filepath: path.into() },
        })
    }

    fn exists(&self, path: &Path) -> Result<bool, OpenReadError> {
        if path == Path::new(META) {
            return Ok(self.0.meta.lock().content().is_some());
        }
        self.0.disk.exists(&self.path(path)).map_err(|error| cant_read(error, path))
    }

    fn open_write(&self, path: &Path) -> Result<WritePtr, OpenWriteError> {
        let failed = |error| OpenWriteError::wrap_io_error(error, path.into());
        let full = self.path(path);
        if self.0.disk.exists(&full).map_err(failed)? {
            return Err(OpenWriteError::FileAlreadyExists(path.into()));
        }
        let file = self.0.disk.open(&full).map_err(failed)?;
        Ok(BufWriter::new(Box::new(Writer(file))))
    }

    fn atomic_read(&self, path: &Path) -> Result<Vec<u8>, OpenReadError> {
        match path.to_str() {
            Some(META) => {
                let content = self.0.meta.lock().content().map(<[u8]>::to_vec);
                content.ok_or_else(|| OpenReadError::FileDoesNotExist(path.into()))
            }
            Some(MANAGED) => Ok(self.0.managed.lock().clone()),
            _ => weir_disk::read(self.0.disk.as_ref(), &self.path(path))
                .map_err(|error| cant_read(error, path)),
        }
    }

    fn atomic_write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        match path.to_str() {
            Some(META) => self.0.meta.lock().replace(bytes),
            Some(MANAGED) => {
                *self.0.managed.lock() = bytes.to_vec();
                Ok(())
            }
            _ => write_atomic(self.0.disk.as_ref(), &self.path(path), bytes),
        }
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.0.disk.sync_dir(&self.0.root)
    }

    fn acquire_lock(&self, lock: &Lock) -> Result<DirectoryLock, LockError> {
        let locks = &self.0.locks;
        let mut held = locks.held.lock();
        while !held.insert(lock.filepath.clone()) {
            if !lock.is_blocking {
                return Err(LockError::LockBusy);
            }
            locks.freed.wait(&mut held);
        }
        let guard = Guard { directory: self.clone(), path: lock.filepath.clone() };
        Ok(DirectoryLock::from(Box::new(guard)))
    }

    /// Readers are reloaded by hand after each commit; nobody watches.
    fn watch(&self, _callback: WatchCallback) -> tantivy::Result<WatchHandle> {
        Ok(WatchHandle::empty())
    }
}
