//! Pairs of resource and scope: each distinct one stands once in a shard, and records name it by number.
//!
//! On disk an append-only file of `u32 length | resource | u32 length | scope`, synced and cut like the bodies.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use weir_disk::File;
use weir_model::otlp::{Resource, Scope};

/// An encoded resource and scope.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Pair {
    pub(crate) resource: Bytes,
    pub(crate) scope: Bytes,
}

impl Pair {
    pub(crate) fn resource(&self) -> Resource<'_> {
        Resource::decode(&self.resource)
    }

    pub(crate) fn scope(&self) -> Scope<'_> {
        Scope::decode(&self.scope)
    }
}

/// The pairs of a shard that is written to.
#[derive(Debug)]
pub(crate) struct Pairs {
    file: Arc<dyn File>,
    pub(crate) len: u64,
    numbers: HashMap<Pair, u32>,
    pub(crate) list: Arc<Vec<Pair>>,
    unsynced: bool,
}

impl Pairs {
    pub(crate) fn open(file: Arc<dyn File>, len: u64) -> io::Result<Self> {
        if file.len()? != len {
            file.truncate(len)?;
            file.sync()?;
        }
        let list = Arc::new(read(file.as_ref(), len)?);
        let numbers = list.iter().cloned().zip(0..).collect();
        Ok(Self { file, len, numbers, list, unsynced: false })
    }

    /// The number of a pair, which is added where it is new.
    pub(crate) fn number(&mut self, resource: &[u8], scope: &[u8]) -> io::Result<u32> {
        let pair = Pair { resource: Bytes::copy_from_slice(resource), scope: Bytes::copy_from_slice(scope) };
        if let Some(number) = self.numbers.get(&pair) {
            return Ok(*number);
        }
        let mut entry = Vec::with_capacity(8 + resource.len() + scope.len());
        for part in [resource, scope] {
            entry.extend_from_slice(&(part.len() as u32).to_le_bytes());
            entry.extend_from_slice(part);
        }
        self.file.append(&entry)?;
        self.unsynced = true;
        self.len += entry.len() as u64;
        let number = self.list.len() as u32;
        Arc::make_mut(&mut self.list).push(pair.clone());
        self.numbers.insert(pair, number);
        Ok(number)
    }

    pub(crate) fn sync(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.unsynced) {
            self.file.sync()?;
        }
        Ok(())
    }

    /// Forgets what was added behind the given length.
    pub(crate) fn rollback(&mut self, len: u64) -> io::Result<()> {
        *self = Self::open(self.file.clone(), len)?;
        Ok(())
    }
}

/// The pairs in the first `len` bytes of a file, by their numbers.
pub(crate) fn read(file: &dyn File, len: u64) -> io::Result<Vec<Pair>> {
    let mut bytes = vec![0; len as usize];
    file.read_exact_at(&mut bytes, 0)?;
    let mut rest = Bytes::from(bytes);
    let part = |rest: &mut Bytes| -> io::Result<Bytes> {
        let damaged = || io::Error::new(io::ErrorKind::InvalidData, "the table of resources is damaged");
        let head = rest.get(..4).ok_or_else(damaged)?;
        let len = u32::from_le_bytes(head.try_into().expect("four bytes")) as usize;
        if rest.len() < 4 + len {
            return Err(damaged());
        }
        let part = rest.slice(4..4 + len);
        *rest = rest.slice(4 + len..);
        Ok(part)
    };
    let mut list = Vec::new();
    while !rest.is_empty() {
        list.push(Pair { resource: part(&mut rest)?, scope: part(&mut rest)? });
    }
    Ok(list)
}
