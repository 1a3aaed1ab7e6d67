//! Hearing of changes instead of asking for them, so that a quiet agent costs nothing however many files it follows.
//!
//! Folders are watched, not files: one watch tells of all files in it, also of those to come. What is heard is a hint to look and nothing more. The sweep
//! over all files stays behind it, for what no event tells: a folder beyond the limit of watches or on a network's file system, events that the
//! kernel dropped, a mapped file.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use notify::event::{EventKind, ModifyKind};
use notify::{Config, ErrorKind, RecommendedWatcher, RecursiveMode, Watcher};

/// Folders that are watched at the most; each costs the kernel about 1 KiB.
pub(super) const FOLDERS: usize = 8192;
/// Changed files that are remembered between two looks; beyond it all are looked at.
const PATHS: usize = 16_384;
/// After so long of events without a pause...
const BURST: Duration = Duration::from_millis(1);
/// ...the kernel gathers them for this time: it makes one of equal ones, and a file that is written without a pause is read anyway.
const GATHER: Duration = Duration::from_millis(5);

/// File systems on which others may write, of which inotify hears nothing (statfs(2)): NFS, SMB, SMB2, CIFS, FUSE, 9P, Ceph, AFS.
const REMOTE: [i64; 8] =
    [0x6969, 0x517b, 0xfe53_4d42, 0xff53_4d42, 0x6573_5546, 0x0102_1997, 0x00c3_6400, 0x5346_414f];

/// What was heard since the last look.
#[derive(Debug, Default)]
pub(super) struct News {
    /// Files that were written.
    pub(super) paths: HashSet<PathBuf>,
    /// Something was made, renamed or removed, or may be read by others.
    pub(super) names: bool,
    /// Not everything could be heard.
    pub(super) lost: bool,
    woken: bool,
}

impl News {
    fn is_some(&self) -> bool {
        self.woken || self.names || self.lost || !self.paths.is_empty()
    }
}

/// Where the thread that reads files waits for news.
#[derive(Debug, Default)]
pub(super) struct Wake {
    news: Mutex<News>,
    changed: Condvar,
}

impl Wake {
    fn news(&self) -> MutexGuard<'_, News> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, change: impl FnOnce(&mut News)) {
        change(&mut self.news());
        self.changed.notify_one();
    }

    /// Ends the wait.
    pub(super) fn wake(&self) {
        self.tell(|news| news.woken = true);
    }

    /// Waits for news, not longer than a time.
    pub(super) fn wait(&self, longest: Duration) {
        let waits = |news: &mut News| !news.is_some();
        drop(self.changed.wait_timeout_while(self.news(), longest, waits));
    }

    pub(super) fn take(&self) -> News {
        std::mem::take(&mut self.news())
    }

    fn hear(&self, event: notify::Result<notify::Event>) {
        let Ok(event) = event else { return self.tell(|news| news.lost = true) };
        if event.need_rescan() {
            return self.tell(|news| news.lost = true);
        }
        match event.kind {
            EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Any) => self.tell(|news| {
                news.paths.extend(event.paths);
                if news.paths.len() > PATHS {
                    news.paths.clear();
                    news.lost = true;
                }
            }),
            // A file that may be read from now on counts as new.
            EventKind::Create(_)
            | EventKind::Remove(_)
            | EventKind::Modify(ModifyKind::Name(_) | ModifyKind::Metadata(_)) => {
                self.tell(|news| news.names = true)
            }
            _ => {}
        }
    }
}

/// Device and inode of a folder.
pub(super) type Key = (u64, u64);

/// The watched folders.
pub(super) struct Watch {
    watcher: Option<RecommendedWatcher>,
    limit: usize,
    /// Folders by path. One that was removed and made again has another key and needs a new watch.
    folders: HashMap<PathBuf, Key>,
    unwatched: usize,
    complained: bool,
}

impl Watch {
    /// Tells `wake` what happens in folders, `limit` of them at the most.
    pub(super) fn new(wake: Arc<Wake>, limit: usize) -> Self {
        let mut since = Instant::now();
        let hear = move |event: notify::Result<notify::Event>| {
            wake.hear(event);
            if since.elapsed() >= BURST {
                std::thread::sleep(GATHER);
                since = Instant::now();
            }
        };
        let watcher = RecommendedWatcher::new(hear, Config::default());
        let watcher = watcher.inspect_err(|error| tracing::warn!(%error, "can't hear of changes; files are looked at again and again instead")).ok();
        Self { watcher, limit, folders: HashMap::new(), unwatched: 0, complained: false }
    }

    /// Watches these folders and no others. Returns whether there is a new one, in which something may have happened before.
    pub(super) fn set(&mut self, wanted: &BTreeMap<PathBuf, Key>) -> bool {
        let Some(watcher) = &mut self.watcher else {
            self.unwatched = wanted.len();
            return false;
        };
        self.folders.retain(|path, key| {
            let keep = wanted.get(path) == Some(key);
            if !keep {
                // It may be gone, and its watch with it.
                let _ = watcher.unwatch(path);
            }
            keep
        });
        let before = self.folders.len();
        let mut complaint = None;
        self.unwatched = 0;
        for (path, key) in wanted {
            if self.folders.contains_key(path) {
                continue;
            }
            let watched = if self.folders.len() >= self.limit {
                Err(format!("only {} folders are watched", self.limit))
            } else if is_remote(path) {
                Err("changes made elsewhere can't be heard on this file system".into())
            } else {
                watcher.watch(path, RecursiveMode::NonRecursive).map_err(|error| match error.kind {
                    ErrorKind::MaxFilesWatch => {
                        "the limit of watches is reached; raise fs.inotify.max_user_watches".into()
                    }
                    _ => error.to_string(),
                })
            };
            match watched {
                Ok(()) => {
                    self.folders.insert(path.clone(), *key);
                }
                Err(why) => {
                    self.unwatched += 1;
                    complaint.get_or_insert((path, why));
                }
            }
        }
        if let Some((path, why)) = complaint.filter(|_| !self.complained) {
            self.complained = true;
            tracing::warn!(folder = %path.display(), folders = self.unwatched, why, "can't hear of changes in some folders; their files are looked at again and again instead");
        }
        self.folders.len() > before
    }

    /// Folders of which nothing is heard.
    pub(super) fn unwatched(&self) -> usize {
        self.unwatched
    }
}

fn is_remote(path: &Path) -> bool {
    let Ok(path) = CString::new(path.as_os_str().as_bytes()) else { return true };
    // SAFETY: all zeros is a value of this plain struct, and the call writes nothing else.
    let (failed, told) = unsafe {
        let mut told: libc::statfs = std::mem::zeroed();
        (libc::statfs(path.as_ptr(), &mut told) != 0, told)
    };
    !failed && REMOTE.contains(&told.f_type)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions};
    use std::io::Write;
    use std::os::unix::fs::MetadataExt;

    use super::*;

    /// Generous: only reached when something is broken.
    const PATIENCE: Duration = Duration::from_secs(20);

    fn keys(paths: &[&Path]) -> BTreeMap<PathBuf, Key> {
        let key = |path: &Path| fs::metadata(path).map_or((0, 0), |found| (found.dev(), found.ino()));
        paths.iter().map(|path| (path.to_path_buf(), key(path))).collect()
    }

    /// Waits until the news satisfy, all that came meanwhile taken together.
    fn until(wake: &Wake, satisfied: impl Fn(&News) -> bool) {
        let begun = Instant::now();
        let mut all = News::default();
        while !satisfied(&all) {
            wake.wait(PATIENCE.saturating_sub(begun.elapsed()));
            let news = wake.take();
            all.paths.extend(news.paths);
            all.names |= news.names;
            all.lost |= news.lost;
            assert!(begun.elapsed() < PATIENCE, "{all:?}");
        }
    }

    #[test]
    fn writes_and_names_are_heard() {
        let folder = tempfile::tempdir().unwrap();
        let (root, file) = (folder.path(), folder.path().join("a.log"));
        let wake = Arc::new(Wake::default());
        let mut watch = Watch::new(wake.clone(), FOLDERS);
        assert!(watch.set(&keys(&[root])));
        assert!(!watch.set(&keys(&[root])));
        assert_eq!(watch.unwatched(), 0);
        fs::write(&file, "").unwrap();
        until(&wake, |news| news.names);
        OpenOptions::new().append(true).open(&file).unwrap().write_all(b"x").unwrap();
        until(&wake, |news| news.paths.contains(&file));
        fs::rename(&file, root.join("a.log.1")).unwrap();
        until(&wake, |news| news.names);
        wake.wake();
        wake.wait(PATIENCE);
    }

    #[test]
    fn a_folder_that_is_made_again_is_heard_again() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        let wake = Arc::new(Wake::default());
        let mut watch = Watch::new(wake.clone(), FOLDERS);
        fs::create_dir(&inner).unwrap();
        watch.set(&keys(&[folder.path(), &inner]));
        fs::remove_dir(&inner).unwrap();
        // Something else takes the inode.
        fs::create_dir(folder.path().join("other")).unwrap();
        fs::create_dir(&inner).unwrap();
        until(&wake, |news| news.names);
        assert!(watch.set(&keys(&[folder.path(), &inner])));
        let file = inner.join("a.log");
        fs::write(&file, "x").unwrap();
        until(&wake, |news| news.paths.contains(&file));
    }

    #[test]
    fn beyond_the_limit_folders_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        fs::create_dir(&inner).unwrap();
        let mut watch = Watch::new(Arc::default(), 1);
        assert!(watch.set(&keys(&[folder.path(), &inner])));
        assert_eq!(watch.unwatched(), 1);
        watch.set(&keys(&[folder.path()]));
        assert_eq!(watch.unwatched(), 0);
        watch.set(&keys(&[folder.path(), Path::new("/nowhere/at/all")]));
        assert_eq!(watch.unwatched(), 1);
    }
}
