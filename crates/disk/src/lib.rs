//! Durable files behind a seam, so that what must survive a crash is tested on a disk that loses what was not synced.
//!
//! [`RealDisk`] is the operating system's; [`sim::SimDisk`] is a model of it that numbers and names every step, can crash at any of them
//! or fail it, and after a crash keeps of each file and folder only what was synced, plus a random part of the rest.
//!
//! Rules that hold on both, and that callers must follow:
//! - Written bytes survive a crash only after [`File::sync`].
//! - A created, renamed or removed name survives only after [`Disk::sync_dir`] of its folder.
//! - After a failed [`File::append`] or [`File::sync`] nothing is known about the bytes since the last successful sync, and a later sync does
//!   not make them durable: the file is to be cut to what it was then, or given up, and the bytes are to be written again.
//!
//! All calls block; async code makes them on threads that may.

mod dice;
mod real;
mod replaced;
pub mod sim;

use std::fmt::Debug;
use std::io;
use std::path::Path;
use std::sync::Arc;

pub use dice::Dice;
pub use real::RealDisk;
pub use replaced::{Replaced, write_atomic};

/// The content of a file that is not written to any more.
pub type Mapped = Arc<dyn AsRef<[u8]> + Send + Sync>;

/// An open file. Dropping it closes it.
pub trait File: Debug + Send + Sync {
    /// Writes all bytes at the end.
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        self.append_parts(&[bytes])
    }
    /// Writes all parts at the end, one behind the other, as [`append`](Self::append) would write them as one piece.
    fn append_parts(&self, parts: &[&[u8]]) -> io::Result<()>;
    /// Fills the buffer from `offset` on; `UnexpectedEof` where the file ends before.
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()>;
    fn len(&self) -> io::Result<u64>;
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Cuts the file to `len` bytes.
    fn truncate(&self, len: u64) -> io::Result<()>;
    /// Makes the content durable, not the name.
    fn sync(&self) -> io::Result<()>;
    /// The whole content for reading in place; the file must not be written to or cut afterwards. It may be removed: the content stays.
    fn map(&self) -> io::Result<Mapped>;
}

/// Held as long as the folder is this process's alone.
pub trait Lock: Debug + Send + Sync {}

/// A file system.
pub trait Disk: Debug + Send + Sync {
    /// Opens for reading and appending, creating an empty file where there is none.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>>;
    /// Opens for reading; `NotFound` where there is none.
    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn File>>;
    /// Replaces an existing target in one step.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Removes a folder with all that is in it; a crash may leave a part, until [`sync_dir`](Self::sync_dir) of the folder above.
    fn remove_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Names in a folder, sorted.
    fn list(&self, path: &Path) -> io::Result<Vec<String>>;
    fn exists(&self, path: &Path) -> io::Result<bool>;
    /// Creates a folder and those above it, durably.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a folder durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Takes the folder for this process; `WouldBlock` where another has it.
    fn lock(&self, dir: &Path) -> io::Result<Box<dyn Lock>>;
}

/// Reads a whole file.
pub fn read(disk: &dyn Disk, path: &Path) -> io::Result<Vec<u8>> {
    let file = disk.open_read(path)?;
    let mut bytes = vec![0; file.len()? as usize];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::sim::SimDisk;
    use super::*;

    /// What both disks must do alike.
    fn behaves(disk: &dyn Disk, dir: &Path) {
        let dir = dir.join("a/b");
        disk.create_dir_all(&dir).unwrap();
        let path = dir.join("one");
        let file = disk.open(&path).unwrap();
        file.append(b"hello ").unwrap();
        file.append_parts(&[b"", b"wor", b"", b"ld"]).unwrap();
        file.append_parts(&[]).unwrap();
        file.truncate(8).unwrap();
        file.append(b"!").unwrap();
        assert_eq!(read(disk, &path).unwrap(), b"hello wo!");
        let mut buf = [0; 4];
        file.read_exact_at(&mut buf, 2).unwrap();
        assert_eq!(&buf, b"llo ");
        assert_eq!(file.read_exact_at(&mut buf, 7).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        write_atomic(disk, &dir.join("two"), b"x").unwrap();
        write_atomic(disk, &dir.join("two"), b"yy").unwrap();
        assert_eq!(disk.list(&dir).unwrap(), ["one", "two"]);
        let mapped = disk.open_read(&path).unwrap().map().unwrap();
        assert_eq!((*mapped).as_ref(), b"hello wo!");
        assert!((*disk.open(&dir.join("empty")).unwrap().map().unwrap()).as_ref().is_empty());
        disk.remove(&dir.join("empty")).unwrap();
        disk.rename(&path, &dir.join("two")).unwrap();
        assert_eq!(read(disk, &dir.join("two")).unwrap(), b"hello wo!");
        // The handle follows the file, not the name.
        file.append(b"?").unwrap();
        assert_eq!(read(disk, &dir.join("two")).unwrap(), b"hello wo!?");
        disk.remove(&dir.join("two")).unwrap();
        assert!(!disk.exists(&dir.join("two")).unwrap());
        assert_eq!(disk.open_read(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
        let lock = disk.lock(&dir).unwrap();
        assert_eq!(disk.lock(&dir).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(lock);
        disk.lock(&dir).unwrap();
        disk.remove_dir_all(&dir).unwrap();
        assert!(!disk.exists(&dir).unwrap());
    }

    #[test]
    fn the_real_and_the_simulated_disk_behave_alike() {
        let folder = tempfile::tempdir().unwrap();
        behaves(&RealDisk, folder.path());
        behaves(&SimDisk::new(1), Path::new("/"));
    }
}
