//! Which shards there are: one small file, replaced whole.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use weir_disk::{Disk, Replaced};

use crate::error::Error;
use crate::sealed::INDEX;
use crate::shard::Commit;

const MANIFEST: &str = "manifest.json";

/// A shard in the manifest.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
pub(super) struct ShardMeta {
    pub(super) id: u64,
    /// Number of its first record in the order of storing.
    pub(super) base: u64,
    /// When its last record arrived, seconds since the Unix epoch; 0 while it is open.
    pub(super) last_arrival: u64,
    /// What is known once it is full.
    pub(super) rows: u64,
    pub(super) times: Option<(u64, u64)>,
    /// Bytes of its files.
    pub(super) bytes: u64,
    /// Merged, with its table, filter and directory of blocks: nothing will be written to it any more.
    pub(super) sealed: bool,
    /// Its bodies stand in the file of joined blocks.
    pub(super) joined: bool,
}

/// The shards, the last of them open, and where they were left when it was opened.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
pub(super) struct Manifest {
    pub(super) shards: Vec<ShardMeta>,
    /// What the commit of a shard without one would say.
    pub(super) start: Commit,
}

impl Manifest {
    /// Reads the manifest of a folder, or makes the first one, and removes folders of shards that it does not name: half-made by a roll, or
    /// half-removed by retention.
    pub(super) fn open(disk: &Arc<dyn Disk>, dir: &Path) -> Result<(Self, Replaced), Error> {
        let mut file = Replaced::open(disk.clone(), dir.join(MANIFEST))?;
        let manifest: Self = match file.content() {
            Some(bytes) => serde_json::from_slice(bytes)
                .map_err(|error| Error::damaged_file(&dir.join(MANIFEST), error))?,
            None => {
                let first = ShardMeta { id: 1, ..ShardMeta::default() };
                let manifest = Self { shards: vec![first], start: Commit::default() };
                manifest.write(&mut file)?;
                manifest
            }
        };
        for name in disk.list(dir)? {
            let Some(id) = name.strip_prefix("shard-").and_then(|id| id.parse::<u64>().ok()) else {
                continue;
            };
            if !manifest.shards.iter().any(|meta| meta.id == id) {
                disk.remove_dir_all(&dir.join(name))?;
            }
        }
        Ok((manifest, file))
    }

    pub(super) fn write(&self, file: &mut Replaced) -> Result<(), Error> {
        let text = serde_json::to_vec_pretty(self).map_err(Error::damaged)?;
        Ok(file.replace(&text)?)
    }
}

pub(super) fn shard_dir(dir: &Path, id: u64) -> PathBuf {
    dir.join(format!("shard-{id}"))
}

/// Bytes of the files in a shard's folder and in that of its index.
pub(super) fn shard_bytes(disk: &dyn Disk, dir: &Path) -> Result<u64, Error> {
    let mut sum = 0;
    for folder in [dir.to_path_buf(), dir.join(INDEX)] {
        for name in disk.list(&folder)? {
            if name != INDEX {
                sum += disk.open_read(&folder.join(name))?.len()?;
            }
        }
    }
    Ok(sum)
}
