//! The store in memory passes the battery it is the oracle of, also behind faults.

use std::sync::Arc;

use async_trait::async_trait;
use weir_store::conformance::{Engine, Store, run};
use weir_store::faulty::FaultyStore;
use weir_store::memory::MemoryStore;
use weir_transport::faulty::{Faults, Rates};

/// Stores in memory; nothing is lost when one is closed, because it is not.
struct Memory(Option<Rates>);

#[async_trait]
impl Engine for Memory {
    async fn create(&self) -> Arc<dyn Store> {
        match self.0 {
            None => Arc::new(MemoryStore::new()),
            Some(rates) => Arc::new(FaultyStore::new(MemoryStore::new(), Faults::new(rates, 7))),
        }
    }

    async fn reopen(&self, store: Arc<dyn Store>) -> Arc<dyn Store> {
        store
    }
}

#[tokio::test]
async fn the_store_in_memory_passes_the_battery() {
    run(&Memory(None)).await;
}

#[tokio::test]
async fn the_battery_passes_through_faults() {
    run(&Memory(Some(Rates::ALL))).await;
}
