//! Small files that are replaced whole.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Disk, read};

/// Replaces a file's content in one durable step: after a crash it is the old or the new one, whole.
///
/// # Errors
/// After an error either content may stand there; [`Replaced`] knows which.
pub fn write_atomic(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let staged = stage(disk, path, bytes)?;
    publish(disk, &staged, path)
}

/// The folder and the name of a file beside `path`.
fn beside(path: &Path) -> io::Result<PathBuf> {
    let mut name = OsString::from(path.file_name().ok_or_else(|| io::Error::other("a file needs a name"))?);
    name.push(".new");
    Ok(path.with_file_name(name))
}

/// Writes the new content beside the file. The file itself is untouched.
fn stage(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<PathBuf> {
    let staged = beside(path)?;
    if disk.exists(&staged)? {
        disk.remove(&staged)?;
    }
    let file = disk.open(&staged)?;
    file.append(bytes)?;
    file.sync()?;
    Ok(staged)
}

fn publish(disk: &dyn Disk, staged: &Path, path: &Path) -> io::Result<()> {
    disk.rename(staged, path)?;
    sync_folder(disk, path)
}

fn sync_folder(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    disk.sync_dir(path.parent().ok_or_else(|| io::Error::other("a file needs a folder"))?)
}

/// A small file of which one content is *in force*: the last one that was replaced without an error.
///
/// When a replacement fails after its rename, the disk may show the new content or, after a crash, the old one. What depends on the content must
/// not go on before [`settle`](Self::settle) has put the one in force back; `replace` does that first.
#[derive(Debug)]
pub struct Replaced {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    content: Option<Vec<u8>>,
    uncertain: bool,
}

impl Replaced {
    /// Reads the file, if it is there, and makes durable what is read: a process that died may have renamed it without syncing the folder.
    pub fn open(disk: Arc<dyn Disk>, path: PathBuf) -> io::Result<Self> {
        let file = Self::open_durable(disk, path)?;
        sync_folder(file.disk.as_ref(), &file.path)?;
        Ok(file)
    }

    /// Reads the file, if it is there, whose content is known to be durable. Nothing is written.
    pub fn open_durable(disk: Arc<dyn Disk>, path: PathBuf) -> io::Result<Self> {
        let content = match disk.exists(&path)? {
            true => Some(read(disk.as_ref(), &path)?),
            false => None,
        };
        Ok(Self { disk, path, content, uncertain: false })
    }

    /// The content in force; `None` where there is no file.
    pub fn content(&self) -> Option<&[u8]> {
        self.content.as_deref()
    }

    /// Replaces the content in one durable step. After an error the old one is in force.
    pub fn replace(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.settle()?;
        let staged = stage(self.disk.as_ref(), &self.path, bytes)?;
        self.uncertain = true;
        publish(self.disk.as_ref(), &staged, &self.path)?;
        self.uncertain = false;
        self.content = Some(bytes.to_vec());
        Ok(())
    }

    /// Puts the content in force back if a failed replacement left open which one stands there.
    pub fn settle(&mut self) -> io::Result<()> {
        if !self.uncertain {
            return Ok(());
        }
        match &self.content {
            Some(bytes) => write_atomic(self.disk.as_ref(), &self.path, bytes)?,
            None => {
                if self.disk.exists(&self.path)? {
                    self.disk.remove(&self.path)?;
                }
                sync_folder(self.disk.as_ref(), &self.path)?;
            }
        }
        self.uncertain = false;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::SimDisk;

    /// The content that a crash right now leaves.
    fn after_a_crash(sim: &SimDisk, path: &Path) -> Option<Vec<u8>> {
        let disk = sim.restart();
        disk.exists(path).unwrap().then(|| read(&disk, path).unwrap())
    }

    #[test]
    fn what_is_in_force_is_what_a_crash_leaves_after_any_failed_step() {
        let path = Path::new("/state");
        for old in [None, Some(b"old".to_vec())] {
            for seed in 0..20 {
                for step in 0.. {
                    let sim = SimDisk::new(seed);
                    let mut file = Replaced::open(Arc::new(sim.clone()), path.into()).unwrap();
                    old.iter().for_each(|old| file.replace(old).unwrap());
                    let before = sim.steps();
                    sim.fail_at(before + step, libc::EIO);
                    match file.replace(b"new") {
                        Ok(()) if sim.steps() <= before + step => break,
                        Ok(()) => panic!("a failed step went unnoticed: {:?}", sim.step_names()),
                        Err(_) => {
                            assert_eq!(file.content(), old.as_deref());
                            file.settle().unwrap();
                            assert_eq!(after_a_crash(&sim, path), old, "seed {seed}, step {step}");
                        }
                    }
                }
            }
        }
    }
}
