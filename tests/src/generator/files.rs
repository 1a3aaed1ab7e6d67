//! Log files, and what becomes of them.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use flate2::write::GzEncoder;

/// How a service's file is rotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Rename,
    /// Renamed; the one before it is compressed.
    Compress,
    /// Copied, then cut in place.
    CopyTruncate,
    /// The same with a writer that keeps its position.
    Hole,
}

impl Fate {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Rename => "renamed",
            Self::Compress => "renamed, then compressed",
            Self::CopyTruncate => "copied and cut",
            Self::Hole => "copied and cut under a writer that leaves a hole",
        }
    }
}

/// A file that is written, with those it was rotated to beside it.
pub(super) struct LogFile {
    /// What the path says.
    pub(super) service: String,
    path: PathBuf,
    file: File,
    /// Position of a writer that does not append.
    position: Option<u64>,
    /// The rest of a line that is half written.
    rest: Vec<u8>,
    rotations: u32,
    renamed: Option<PathBuf>,
}

impl LogFile {
    pub(super) fn create(dir: &Path, name: &str, appends: bool) -> Self {
        let path = dir.join(format!("{name}.log"));
        let service = name.split('-').next().expect("a name").to_owned();
        Self {
            service,
            file: open(&path, appends),
            path,
            position: (!appends).then_some(0),
            rest: Vec::new(),
            rotations: 0,
            renamed: None,
        }
    }

    /// Writes a line, or its beginning up to `half`; the rest comes before whatever is written next.
    pub(super) fn line(&mut self, line: &[u8], half: Option<usize>) {
        self.finish();
        let (now, later) = line.split_at(half.unwrap_or(line.len()));
        self.write(now);
        self.rest = later.to_vec();
    }

    /// Writes the rest of a line that is half written.
    pub(super) fn finish(&mut self) {
        let rest = std::mem::take(&mut self.rest);
        self.write(&rest);
    }

    pub(super) fn write(&mut self, bytes: &[u8]) {
        match &mut self.position {
            None => self.file.write_all(bytes).expect("the disk has room"),
            Some(position) => {
                self.file.write_all_at(bytes, *position).expect("the disk has room");
                *position += bytes.len() as u64;
            }
        }
    }

    pub(super) fn rotate(&mut self, fate: Fate) {
        self.rotations += 1;
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{}", self.rotations));
        let rotated = PathBuf::from(name);
        match fate {
            Fate::Rename | Fate::Compress => {
                fs::rename(&self.path, &rotated).expect("it is there");
                // The writer notices later.
                self.finish();
                self.file = open(&self.path, true);
                if let Some(before) = self.renamed.replace(rotated)
                    && fate == Fate::Compress
                {
                    compress(&before);
                }
            }
            Fate::CopyTruncate | Fate::Hole => {
                self.finish();
                // Under another name first, so that what is found under the rotated one is whole.
                let copy = self.path.with_file_name(".copy");
                fs::copy(&self.path, &copy).expect("it is there");
                fs::rename(copy, rotated).expect("just made");
                self.file.set_len(0).expect("it is ours");
            }
        }
    }

    /// Removes it and makes it anew. Whether that gave the same inode.
    pub(super) fn recreate(&mut self) -> bool {
        let inode = |path: &Path| fs::metadata(path).expect("it is there").ino();
        let before = inode(&self.path);
        fs::remove_file(&self.path).expect("it is there");
        self.file = open(&self.path, true);
        inode(&self.path) == before
    }
}

fn open(path: &Path, appends: bool) -> File {
    let mut options = OpenOptions::new();
    options.create(true).append(appends).write(true).truncate(!appends);
    options.open(path).expect("the folder is there")
}

fn compress(path: &Path) {
    let mut name = path.as_os_str().to_owned();
    name.push(".gz");
    let mut gzip = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&fs::read(path).expect("it is there")).expect("memory");
    // Under another name first, as gzip's own temporary file would have.
    let fresh = path.with_file_name(".packing");
    fs::write(&fresh, gzip.finish().expect("memory")).expect("the disk has room");
    fs::rename(fresh, name).expect("just made");
    fs::remove_file(path).expect("it is there");
}
