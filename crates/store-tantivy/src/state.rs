//! Small durable values: one file each, replaced whole.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use weir_disk::{Disk, write_atomic};
use weir_store::{PutError, Revision, State};

/// Values in a folder.
#[derive(Debug)]
pub(crate) struct Values {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    /// Held while a value is compared and replaced.
    writing: Mutex<()>,
}

/// A key becomes a file name letter by letter, so that no key can name another file, nor the folder.
fn file_name(key: &str) -> String {
    if key.is_empty() {
        return "_".into();
    }
    key.bytes()
        .map(|b| if b.is_ascii_alphanumeric() { (b as char).to_string() } else { format!("_{b:02x}") })
        .collect()
}

impl Values {
    pub(crate) fn open(disk: Arc<dyn Disk>, dir: PathBuf) -> std::io::Result<Self> {
        disk.create_dir_all(&dir)?;
        Ok(Self { disk, dir, writing: Mutex::default() })
    }

    fn read(&self, key: &str) -> Result<Option<(Revision, Vec<u8>)>, PutError> {
        let path = self.dir.join(file_name(key));
        let retry =
            |error: std::io::Error| PutError::Retry(format!("can't read {}: {error}", path.display()));
        if !self.disk.exists(&path).map_err(retry)? {
            return Ok(None);
        }
        let bytes = weir_disk::read(self.disk.as_ref(), &path).map_err(retry)?;
        let (revision, value) = bytes
            .split_first_chunk::<8>()
            .ok_or_else(|| PutError::Retry(format!("{} is too short", path.display())))?;
        Ok(Some((Revision(u64::from_le_bytes(*revision)), value.to_vec())))
    }
}

#[async_trait]
impl State for Values {
    async fn get(&self, key: &str) -> Result<Option<(Revision, Vec<u8>)>, PutError> {
        self.read(key)
    }

    async fn put_if(&self, key: &str, revision: Revision, value: &[u8]) -> Result<Revision, PutError> {
        let _writing = self.writing.lock();
        let now = self.read(key)?.map_or(Revision(0), |(now, _)| now);
        if now != revision {
            return Err(PutError::Conflict(now));
        }
        let next = Revision(now.0 + 1);
        let mut bytes = next.0.to_le_bytes().to_vec();
        bytes.extend_from_slice(value);
        let path = self.dir.join(file_name(key));
        write_atomic(self.disk.as_ref(), &path, &bytes)
            .map_err(|error| PutError::Retry(format!("can't write {}: {error}", path.display())))?;
        Ok(next)
    }
}
