//! Looking for files, and recognising those that were known before: under another name, copied, compressed, or with another one in their place.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::discover::Source;
use super::file::{Followed, Life};
use super::identity;
use super::run::Tailer;
use crate::checkpoint::Saved;
use crate::config::Start;
use crate::stats::GlobFiles;

/// Files and folders that can't be read and are named; further ones are counted, and stand in the log.
const NAMED: usize = 5;

impl Tailer {
    /// Looks for files that the globs name, and for what has become of those that are followed.
    pub(super) fn discover(&mut self) {
        let first = std::mem::take(&mut self.tail.fresh);
        let sources = std::mem::take(&mut self.tail.sources);
        self.due.look = false;
        let mut seen = HashSet::new();
        let mut folders = BTreeMap::new();
        let mut closed = Vec::new();
        self.met.clear();
        for (id, file) in &self.files {
            self.met.entry(file.path.clone()).or_default().push(*id);
        }
        let mut found: Vec<(&Source, PathBuf)> = Vec::new();
        let mut globs = Vec::new();
        for source in &sources {
            let paths = source.find(&mut folders, &mut closed);
            globs.extend(source.by_glob(&paths));
            found.extend(paths.into_iter().map(|path| (source, path)));
        }
        self.tell(globs);
        // A file that is still there comes first: a copy of it, or another one that begins alike, must not take its life.
        let saved: HashSet<_> = self.tail.saved.iter().map(|s| (s.device, s.inode)).collect();
        let key = |path: &Path| fs::metadata(path).ok().map(|metadata| identity::key(&metadata));
        let (own, other): (Vec<_>, Vec<_>) = match saved.is_empty() {
            true => (Vec::new(), found),
            false => {
                found.into_iter().partition(|(_, path)| key(path).is_some_and(|key| saved.contains(&key)))
            }
        };
        self.elsewhere =
            own.iter().filter_map(|(_, path)| key(path)).filter(|key| saved.contains(key)).collect();
        for (source, path) in own.into_iter().chain(other) {
            match self.meet(source, &path, first) {
                Ok(Some(id)) => _ = seen.insert(id),
                Ok(None) => {}
                // It was removed between the look into the folder and this one.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    closed.push((path, error));
                }
            }
        }
        self.tail.sources = sources;
        self.complain(closed);
        self.by_path.clear();
        for (id, file) in &mut self.files {
            file.gone = !seen.contains(id) && !still_there(file);
            if file.gone {
                self.going.insert(*id);
                continue;
            }
            if self.leaving.contains(id) {
                continue;
            }
            self.going.remove(id);
            for path in [Some(&file.path), file.target.as_ref()].into_iter().flatten() {
                self.by_path.insert(path.clone(), *id);
            }
            if let Some(folder) = file.target.as_deref().and_then(Path::parent)
                && let Ok(metadata) = fs::metadata(folder)
            {
                folders.insert(folder.to_owned(), identity::key(&metadata));
            }
        }
        if self.watch.set(&folders) {
            // Before the watch stood something may have happened that nothing told.
            self.due.look = true;
            self.due.sweep = Instant::now();
        }
        self.tail.stats.unwatched_folders.set(self.watch.unwatched() as i64);
        // What the folder held when it was new must be known before anything can be added to it.
        if first {
            self.save();
        }
    }

    /// Says which globs name no file, and when such a one begins to: a mistyped one would else never be seen.
    fn tell(&mut self, globs: Vec<GlobFiles>) {
        let before = self.tail.stats.globs();
        for (at, GlobFiles { glob, files }) in globs.iter().enumerate() {
            match (before.get(at).map(|glob| glob.files), files) {
                (None, 0) => tracing::info!(glob, "names no file yet; one that comes is followed"),
                (Some(0), 1..) => tracing::info!(glob, files, "names files now"),
                _ => {}
            }
        }
        self.tail.stats.set_globs(globs);
    }

    /// Says which files and folders can't be read, each once in the log.
    fn complain(&mut self, closed: Vec<(PathBuf, io::Error)>) {
        match &closed[..] {
            [] => self.tail.health.good("files"),
            all => {
                let named =
                    all.iter().take(NAMED).map(|(path, error)| format!("{}: {error}", path.display()));
                let named = named.collect::<Vec<_>>().join("; ");
                let what = match all.len() {
                    1 => format!("can't be read: {named}"),
                    n => format!("{n} files or folders can't be read: {named}"),
                };
                self.tail.health.bad("files", what);
            }
        }
        for (path, error) in &closed {
            self.tail.stats.errors.inc();
            if !self.closed.contains(path) {
                tracing::warn!(path = %path.display(), %error, "can't be read; it is tried again and again, and then read from its beginning");
            }
        }
        self.closed = closed.into_iter().map(|(path, _)| path).collect();
    }

    /// Begins to follow a file that is not followed yet.
    fn meet(&mut self, source: &Source, path: &Path, first: bool) -> io::Result<Option<u64>> {
        let metadata = fs::metadata(path)?;
        let key = identity::key(&metadata);
        self.elsewhere.remove(&key);
        if let Some(id) = self.known.get(&key) {
            if self.files.get_mut(id).is_some_and(|file| file.seen(path, &metadata)) {
                self.touched.insert(*id);
                self.turns.push(*id);
            }
            return Ok(Some(*id));
        }
        let file = File::open(path)?;
        if let Some(id) = self.replaced(path, &file)?
            && let Some(live) = self.files.get_mut(&id)
        {
            self.known.remove(&live.key);
            live.move_to(file, &metadata);
            tracing::debug!(path = %path.display(), incarnation = %live.incarnation, "the file was written anew and goes on");
            self.known.insert(key, id);
            self.touched.insert(id);
            self.turns.push(id);
            return Ok(Some(id));
        }
        let followed = match self.recognise(path, key, &file)? {
            Recognised::Another => return Ok(None),
            Recognised::Known { at, life } => {
                let saved = &self.tail.saved[at];
                let followed = Followed::open(source, path, &metadata, file, *life)?;
                // It may have been cut between the two looks into it.
                if !followed.continues(saved)? {
                    self.due.look = true;
                    return Ok(None);
                }
                self.tail.saved.remove(at);
                tracing::debug!(path = %path.display(), incarnation = %followed.incarnation, from = followed.acked, "a file that was known goes on");
                followed
            }
            Recognised::New => {
                let skips = first && source.start == Start::End && !identity::is_gzip(path);
                let life = Life::new(if skips { metadata.len() } else { 0 });
                self.unsaved = true;
                tracing::debug!(path = %path.display(), incarnation = %life.incarnation, from = life.from, "a new file");
                Followed::open(source, path, &metadata, file, life)?
            }
        };
        self.next_id += 1;
        self.known.insert(key, self.next_id);
        self.met.entry(path.to_owned()).or_default().push(self.next_id);
        self.files.insert(self.next_id, followed);
        self.turns.push(self.next_id);
        self.touched.insert(self.next_id);
        self.changed = true;
        Ok(Some(self.next_id))
    }

    /// The followed file whose name this one has taken, if it holds all that was read of it: an editor wrote it anew.
    fn replaced(&self, path: &Path, file: &File) -> io::Result<Option<u64>> {
        for id in self.met.get(path).into_iter().flatten().filter(|id| !self.leaving.contains(id)) {
            let Some(live) = self.files.get(id) else { continue };
            // A rotated file still has a name.
            if live.is_removed_and_read()? {
                let saved = live.saved();
                if saved.head_len > 0 && identity::is_same(&saved, file)? {
                    return Ok(Some(*id));
                }
            }
        }
        Ok(None)
    }

    fn recognise(&self, path: &Path, key: (u64, u64), file: &File) -> io::Result<Recognised> {
        let gzip = identity::is_gzip(path);
        let fits =
            |saved: &Saved| if gzip { identity::holds(saved, file) } else { identity::is_same(saved, file) };
        // A copy or compressed form of a file that is being followed: that one will be read to its end.
        let names = identity::names_before_rotation(path);
        let ids = names.iter().filter_map(|name| self.met.get(name)).flatten();
        for live in ids.filter_map(|id| self.files.get(id)) {
            let saved = live.saved();
            let copied = saved.head_len > 0
                && match gzip {
                    true => fits(&saved)?,
                    false => fits(&saved)? && !live.is_outgrown_by(file)? || live.is_copied_to(file)?,
                };
            if copied {
                tracing::debug!(path = %path.display(), incarnation = %live.incarnation, "a copy of a file that is followed");
                return Ok(Recognised::Another);
            }
        }
        let own = |saved: &Saved| (saved.device, saved.inode) == key;
        let saved = &self.tail.saved;
        // Without its inode it needs the name of a copy, unless it is compressed.
        let may_be = |saved: &Saved| {
            own(saved) || saved.head_len > 0 && (gzip || saved.path == path || names.contains(&saved.path))
        };
        let mut order: Vec<usize> = (0..saved.len()).filter(|at| may_be(&saved[*at])).collect();
        // Of lives that begin alike it is the one of which it holds most.
        order.sort_by_key(|at| (Reverse(saved[*at].read), !own(&saved[*at])));
        for at in order {
            let saved = &self.tail.saved[at];
            if !fits(saved)? {
                continue;
            }
            if self.elsewhere.contains(&(saved.device, saved.inode)) {
                tracing::debug!(path = %path.display(), incarnation = saved.incarnation, "a copy of a file that is known");
                return Ok(Recognised::Another);
            }
            if let Some(life) = Life::of(saved) {
                return Ok(Recognised::Known { at, life: Box::new(life) });
            }
        }
        Ok(Recognised::New)
    }
}

/// What a file that turned up is.
enum Recognised {
    New,
    /// A life that was known before, and where it stands among those that are saved.
    Known {
        at: usize,
        life: Box<Life>,
    },
    /// A copy of a file that is followed already.
    Another,
}

/// Whether the file's name still means this file.
fn still_there(file: &Followed) -> bool {
    fs::metadata(&file.path).is_ok_and(|metadata| identity::key(&metadata) == file.key)
}
