//! Making durable what was written: commit, roll, seal, retention.

use std::sync::Arc;

use parking_lot::MutexGuard;
use weir_model::Signal;
use weir_model::otlp::Span;
use weir_store::WriteError;
use weir_transport::{Lane, Position};

use super::manifest::{ShardMeta, shard_bytes, shard_dir};
use super::{Committed, Part, Shards, sealed_view};
use crate::error::Error;
use crate::identities;
use crate::ledger::{Ledger, LedgerMark};
use crate::sealed::{self, Sealed};
use crate::shard::{Commit, Shard, lane_of};

impl Part {
    /// Commits the tail as it is now. Returns the durable position of each lane.
    pub(crate) fn sync(self: &Arc<Self>) -> Result<Vec<(Lane, Position)>, WriteError> {
        let mut shards = self.shards.lock();
        self.commit(&mut shards).map_err(Error::on_write)?;
        self.roll_if_full(&mut shards).map_err(Error::on_write)?;
        self.start_sealing(&mut shards);
        self.retain(&mut shards).map_err(Error::on_write)?;
        let state = self.state.lock();
        let lanes = state.lanes.iter().filter(|(_, lane)| lane.known);
        Ok(lanes
            .map(|(partition, lane)| (lane_of(self.signal, *partition), Position(lane.durable)))
            .collect())
    }

    fn commit(&self, shards: &mut Shards) -> Result<(), Error> {
        // A roll that failed may have closed this shard on the disk; nothing may be added to it before that is taken back.
        shards.file.settle()?;
        self.show(shards)?;
        let (batches, lanes, fresh, mark, ledger_file) = {
            let mut state = self.state.lock();
            if state.tail.is_empty() {
                return Ok(());
            }
            let batches: Vec<_> = state.tail.iter().cloned().collect();
            let mut lanes: Vec<_> =
                state.lanes.iter().filter(|(_, l)| l.known).map(|(p, lane)| (*p, lane.next)).collect();
            lanes.sort_unstable();
            (batches, lanes, state.ledger.take_fresh(), state.ledger.mark, state.ledger.file())
        };
        let now = self.settings.clock.now();
        let mut durable = || -> Result<LedgerMark, Error> {
            let _step =
                tracing::debug_span!("commit", signal = %self.signal, batches = batches.len()).entered();
            let added = shards.open.index(&batches)?;
            let mark = Ledger::write(ledger_file.as_ref(), mark, &fresh)?;
            shards.open.commit(lanes.clone(), mark, added, now)?;
            Ok(mark)
        };
        match durable() {
            Ok(mark) => shards.unshown = Some(Committed { batches: batches.len(), lanes, mark }),
            Err(error) => {
                self.state.lock().ledger.restore_fresh(fresh);
                if let Err(error) = shards.open.rollback() {
                    tracing::warn!(%error, "taking back a failed commit failed; it is tried again before the next one");
                }
                return Err(error);
            }
        }
        self.show(shards)?;
        match shards.open.merge_some(self.settings.merge_segments).and_then(|()| shards.open.view()) {
            Ok(view) => self.state.lock().open = view,
            Err(error) => {
                tracing::warn!(%error, "merging segments failed; it is tried again after the next commit")
            }
        }
        Ok(())
    }

    /// Lets readers see a commit, and takes from the tail what it holds, in one step.
    fn show(&self, shards: &mut Shards) -> Result<(), Error> {
        if shards.unshown.is_none() {
            return Ok(());
        }
        shards.open.reload()?;
        let view = shards.open.view()?;
        let Some(Committed { batches, lanes, mark }) = shards.unshown.take() else { return Ok(()) };
        let mut state = self.state.lock();
        state.ledger.mark = mark;
        state.open = view;
        for batch in state.tail.drain(..batches).collect::<Vec<_>>() {
            state.tail_bytes -= batch.bytes();
        }
        for (partition, next) in lanes {
            state.lanes.entry(partition).or_default().durable = next;
        }
        Ok(())
    }

    /// Closes the open shard when it is full or old, and opens the next one.
    fn roll_if_full(&self, shards: &mut Shards) -> Result<(), Error> {
        let commit = shards.open.committed.clone().unwrap_or_default();
        let (first_arrival, last_arrival) = commit.arrivals.unwrap_or_default();
        let old = self.settings.clock.now() >= first_arrival + self.settings.shard_age.as_secs();
        let full = shards.open.rows() >= self.settings.shard_records
            || shards.open.bytes() >= self.settings.shard_bytes;
        if shards.open.rows() == 0 || !(full || old) {
            return Ok(());
        }
        let _step = tracing::debug_span!("close", signal = %self.signal, rows = shards.open.rows()).entered();
        let mut manifest = shards.manifest.clone();
        let last = manifest.shards.last_mut().expect("the open shard");
        last.last_arrival = last_arrival;
        last.bytes = shards.open.bytes();
        last.rows = shards.open.rows();
        last.times = commit.times;
        let (id, base) = (last.id + 1, last.base + last.rows);
        let dir = shard_dir(&self.dir, id);
        if self.disk.exists(&dir)? {
            self.disk.remove_dir_all(&dir)?;
        }
        let open = Shard::open(&self.disk, &dir, self.signal, base, self.caches.blocks.clone())?;
        manifest.shards.push(ShardMeta { id, base, ..ShardMeta::default() });
        manifest.start = Commit { bodies: 0, pairs: 0, times: None, arrivals: None, ..commit };
        let (closed, opened) = (shards.open.view()?.closed(last_arrival), open.view()?);
        // From here on nothing may fail: on the disk this shard is closed.
        manifest.write(&mut shards.file)?;
        let mut intake = self.intake.lock();
        let mut state = self.state.lock();
        if self.signal == Signal::Spans {
            let rows =
                state.tail.iter().flat_map(|batch| batch.rows.iter().map(move |row| batch.record(row)));
            intake.identities.roll(rows.filter_map(|record| identities::of(&Span::decode(record))));
        }
        intake.operations = Default::default();
        state.closed.push(closed);
        state.open = opened;
        drop((state, intake));
        shards.full.push_back((id - 1, std::mem::replace(&mut shards.open, open)));
        shards.manifest = manifest;
        Ok(())
    }

    /// Starts a thread that seals full shards, where there are some and none runs.
    pub(super) fn start_sealing(self: &Arc<Self>, shards: &mut Shards) {
        if shards.sealing || shards.full.is_empty() || *self.stop.borrow() {
            return;
        }
        let part = self.clone();
        let thread = std::thread::Builder::new().name(format!("seal-{}", self.signal));
        match thread.spawn(move || part.seal_full()) {
            Ok(handle) => {
                shards.sealing = true;
                *self.sealer.lock() = Some(handle);
            }
            Err(error) => {
                tracing::warn!(signal = %self.signal, %error, "can't start sealing; it is tried again after the next commit");
            }
        }
    }

    fn seal_full(&self) {
        let mut shards = self.shards.lock();
        while !*self.stop.borrow()
            && let Some((id, mut shard)) = shards.full.pop_front()
        {
            let _step = tracing::debug_span!("seal", signal = %self.signal, shard = id).entered();
            let sealed = MutexGuard::unlocked(&mut shards, || self.write_sealed(id, &mut shard));
            let named = sealed.and_then(|sealed| self.name_sealed(&mut shards, id, sealed));
            if let Err(error) = named {
                if !*self.stop.borrow() {
                    tracing::warn!(signal = %self.signal, shard = id, %error, "sealing a shard failed; it stays readable, and is sealed after the next commit");
                }
                shards.full.push_front((id, shard));
                break;
            }
        }
        shards.sealing = false;
        self.sealed.notify_all();
    }

    /// Writes and syncs what a sealed shard has. Says whether its bodies were joined.
    fn write_sealed(&self, id: u64, shard: &mut Shard) -> Result<bool, Error> {
        shard.merge_all(&self.stop)?;
        let (bodies, table) = shard.content();
        let dir = shard_dir(&self.dir, id);
        sealed::write(self.disk.as_ref(), &dir, self.signal, &bodies, &table)
    }

    /// Calls a shard sealed: in the manifest, then for readers.
    fn name_sealed(&self, shards: &mut Shards, id: u64, joined: bool) -> Result<(), Error> {
        let dir = shard_dir(&self.dir, id);
        let at = shards.manifest.shards.iter().position(|meta| meta.id == id);
        let at = at.ok_or_else(|| Error::damaged("the manifest lost a shard"))?;
        let mut manifest = shards.manifest.clone();
        let meta = &mut manifest.shards[at];
        (meta.sealed, meta.joined) = (true, joined);
        let old = dir.join(sealed::BODIES);
        let old_bytes = if joined { self.disk.open_read(&old)?.len()? } else { 0 };
        meta.bytes = shard_bytes(self.disk.as_ref(), &dir)? - old_bytes;
        let caches = self.caches.clone();
        let sealed = Sealed::new(self.disk.clone(), dir, self.signal, id, joined, caches);
        let view = sealed_view(meta, sealed);
        manifest.write(&mut shards.file)?;
        shards.manifest = manifest;
        self.state.lock().closed[at] = view;
        if joined && let Err(error) = self.disk.remove(&old) {
            tracing::warn!(path = %old.display(), %error, "can't remove bodies that were joined; they only take room");
        }
        Ok(())
    }

    /// Removes whole sealed shards that are too old or too many.
    fn retain(&self, shards: &mut Shards) -> Result<(), Error> {
        let now = self.settings.clock.now();
        let mut bytes: u64 = shards.manifest.shards.iter().map(|meta| meta.bytes).sum();
        let mut gone = 0;
        for meta in shards.manifest.shards.iter().take_while(|meta| meta.sealed) {
            let old = meta.last_arrival + self.settings.retain_age.as_secs() <= now;
            if !old && bytes <= self.settings.retain_bytes {
                break;
            }
            bytes -= meta.bytes;
            gone += 1;
        }
        if gone == 0 {
            return Ok(());
        }
        let mut manifest = shards.manifest.clone();
        let removed: Vec<_> = manifest.shards.drain(..gone).collect();
        manifest.write(&mut shards.file)?;
        shards.manifest = manifest;
        self.state.lock().closed.drain(..gone).for_each(|view| view.forget());
        for meta in removed {
            tracing::info!(signal = %self.signal, shard = meta.id, bytes = meta.bytes, "removed a shard that is past its retention");
            if let Err(error) = self.disk.remove_dir_all(&shard_dir(&self.dir, meta.id)) {
                tracing::warn!(%error, shard = meta.id, "removing a shard's folder failed; it is removed at the next start");
            }
        }
        Ok(())
    }
}
