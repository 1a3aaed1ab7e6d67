//! Each service's colour: one of twelve, assigned when the service is first seen, then never changed.
//!
//! A stable hash of the name says at which slot to begin. From there on, the first of the slots that fewest services have is taken, and one
//! that no caller or callee has goes before all others. What is assigned is kept in [`State`], so it survives restarts. A process that may not write
//! shows what others have assigned, and for the rest the slot of the hash.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use parking_lot::RwLock;
use weir_analysis::Trace;
use weir_store::{PutError, Revision, State};

/// Slots of the palette.
pub(crate) const SLOTS: u8 = 12;
const KEY: &str = "service-colors";
/// Services whose colours are kept; a later one has the colour of its hash alone.
const SERVICES_MAX: usize = 10_000;
/// Attempts to write while others write.
const ATTEMPTS: usize = 8;

/// Pairs of services of which one calls the other.
pub(crate) type Calls = BTreeSet<(String, String)>;

pub(crate) struct Colors {
    state: Arc<dyn State>,
    known: RwLock<HashMap<String, u8>>,
}

impl Colors {
    pub(crate) fn new(state: Arc<dyn State>) -> Self {
        Self { state, known: RwLock::default() }
    }

    /// Those of the names that have no colour yet as far as this process knows.
    pub(crate) fn unknown<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> Vec<&'n str> {
        let known = self.known.read();
        names.into_iter().filter(|name| !known.contains_key(*name)).collect()
    }

    /// The colours of services, in their order. What has none gets one.
    pub(crate) async fn of(&self, names: &[&str], calls: &Calls) -> Vec<u8> {
        let unknown = self.unknown(names.iter().copied());
        if !unknown.is_empty()
            && let Err(error) = self.assign(&unknown, calls).await
        {
            // A page without final colours is better than none; the next request tries again.
            tracing::warn!(%error, "service colours can't be stored");
        }
        let known = self.known.read();
        names.iter().map(|name| known.get(*name).copied().unwrap_or_else(|| slot(name))).collect()
    }

    async fn assign(&self, names: &[&str], calls: &Calls) -> Result<(), PutError> {
        let mut conflict = PutError::Conflict(Revision(0));
        for _ in 0..ATTEMPTS {
            let (revision, mut assigned) = match self.state.get(KEY).await? {
                None => (Revision(0), BTreeMap::new()),
                Some((revision, bytes)) => (revision, read(&bytes)?),
            };
            let before = assigned.len();
            for name in names {
                if !assigned.contains_key(*name) && assigned.len() < SERVICES_MAX {
                    assigned.insert((*name).to_owned(), choose(name, &assigned, calls));
                }
            }
            if assigned.len() > before {
                let bytes = serde_json::to_vec(&assigned).expect("a map of text and numbers");
                match self.state.put_if(KEY, revision, &bytes).await {
                    Ok(_) => {}
                    // Only what is stored is the same for everyone.
                    Err(PutError::ReadOnly) => assigned.retain(|name, _| !names.contains(&name.as_str())),
                    Err(PutError::Conflict(now)) => {
                        conflict = PutError::Conflict(now);
                        continue;
                    }
                    Err(error) => return Err(error),
                }
            }
            *self.known.write() = assigned.into_iter().collect();
            return Ok(());
        }
        Err(conflict)
    }
}

fn read(bytes: &[u8]) -> Result<BTreeMap<String, u8>, PutError> {
    let assigned: BTreeMap<String, u8> = serde_json::from_slice(bytes)
        .map_err(|error| PutError::Retry(format!("the stored service colours can't be read: {error}")))?;
    Ok(assigned.into_iter().map(|(name, color)| (name, color % SLOTS)).collect())
}

fn choose(name: &str, assigned: &BTreeMap<String, u8>, calls: &Calls) -> u8 {
    let mut beside = [false; SLOTS as usize];
    for (caller, callee) in calls {
        let other = if caller == name {
            callee
        } else if callee == name {
            caller
        } else {
            continue;
        };
        if let Some(color) = assigned.get(other) {
            beside[*color as usize] = true;
        }
    }
    let mut used = [0_usize; SLOTS as usize];
    assigned.values().for_each(|color| used[*color as usize] += 1);
    let first = slot(name);
    (0..SLOTS)
        .map(|step| (first + step) % SLOTS)
        .min_by_key(|color| (beside[*color as usize], used[*color as usize]))
        .expect("there are slots")
}

/// FNV-1a, 32 bit: the same in every version and on every machine.
fn slot(name: &str) -> u8 {
    let hash = name.bytes().fold(0x811c_9dc5_u32, |hash, b| (hash ^ u32::from(b)).wrapping_mul(0x0100_0193));
    (hash % u32::from(SLOTS)) as u8
}

/// Which services call which in a trace.
pub(crate) fn calls(trace: &Trace<'_>) -> Calls {
    let pairs: BTreeSet<(usize, usize)> = trace
        .rows
        .iter()
        .filter_map(|row| Some((trace.rows[row.parent?].service, row.service)))
        .filter(|(caller, callee)| caller != callee)
        .collect();
    pairs.into_iter().map(|(a, b)| (trace.services[a].to_owned(), trace.services[b].to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_differs_from_those_it_talks_to() {
        let names: Vec<String> = (0..40).map(|n| format!("service-{n}")).collect();
        let calls: Calls = (1..40).map(|n| (names[n / 2].clone(), names[n].clone())).collect();
        let mut assigned = BTreeMap::new();
        for name in &names {
            let color = choose(name, &assigned, &calls);
            assigned.insert(name.clone(), color);
        }
        for (caller, callee) in &calls {
            assert_ne!(assigned[caller], assigned[callee], "{caller} calls {callee}");
        }
    }

    #[test]
    fn a_dozen_services_have_a_dozen_colours() {
        let mut assigned = BTreeMap::new();
        for n in 0..SLOTS {
            let name = format!("service-{n}");
            let color = choose(&name, &assigned, &Calls::new());
            assigned.insert(name, color);
        }
        assert_eq!(assigned.values().collect::<BTreeSet<_>>().len(), SLOTS as usize);
    }

    #[test]
    fn the_least_used_when_all_are_taken_around_it() {
        let mut assigned: BTreeMap<String, u8> = (0..SLOTS).map(|n| (format!("n{n}"), n)).collect();
        assigned.extend((0..SLOTS).filter(|n| *n != 5).map(|n| (format!("m{n}"), n)));
        let calls = (0..SLOTS).map(|n| ("hub".to_owned(), format!("n{n}"))).collect();
        assert_eq!(choose("hub", &assigned, &calls), 5);
    }
}
