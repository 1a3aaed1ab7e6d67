//! Elasticsearch that speaks TLS and asks who is there: with the rights that the guide names the store works, and what is missing is told.

#[path = "store/config.rs"]
mod config;

use std::path::PathBuf;

use weir_model::Signal;
use weir_model::filter::Filter;
use weir_runtime::Secret;
use weir_store::conformance::sample;
use weir_store::{
    Agg, PutError, Reader, RecordQuery, Revision, State, StoreErrorKind, Table, TimeRange, Writer,
};
use weir_store_elastic::{Config, ElasticReader, ElasticStore, Family, Retention};
use weir_testkit::search::{Engine, PASSWORD, SearchServer};
use weir_transport::{Epoch, Lane, Position};

/// What `docs/guide/elasticsearch.md` asks for.
const RIGHTS: &str = "[create_index, read, write, delete_index, maintenance, monitor]";
/// Nanoseconds.
const DAY: u64 = 86_400_000_000_000;
const LANE: Lane = Lane { signal: Signal::Logs, partition: 0 };

fn role(cluster: &str, indices: &str) -> String {
    format!(r#"{{cluster: [{cluster}], indices: [{{names: ["weir-*"], privileges: {indices}}}]}}"#)
}

fn user(server: &SearchServer, name: &str, password: &str, ca: Option<PathBuf>) -> Config {
    Config {
        username: name.into(),
        password: Secret::new(password),
        ca_file: ca,
        ..config::config(&server.url(), "weir")
    }
}

/// Why a store does not open, and whether that may pass.
async fn refused(config: &Config) -> (bool, String) {
    let error = ElasticStore::open(config).await.err().expect("refused");
    (error.is_passing, error.message)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secured_engine() {
    for engine in Engine::all().iter().filter(|engine| !engine.is_opensearch()) {
        println!("{}", engine.name());
        let roles = [
            ("weir", role("monitor, manage_index_templates", RIGHTS)),
            // May not ask who is there.
            ("quiet", role("manage_index_templates", RIGHTS)),
            ("reader", role("monitor", "[read]")),
            ("glance", role("", "[read]")),
        ];
        let roles: Vec<_> = roles.iter().map(|(name, rights)| (*name, rights.as_str())).collect();
        let server = SearchServer::start_secured(engine, &roles);
        who_is_not_known_is_told(&server).await;
        for name in ["weir", "quiet"] {
            it_stores(user(&server, name, PASSWORD, Some(server.ca()))).await;
        }
        for name in ["reader", "glance"] {
            it_reads(user(&server, name, PASSWORD, Some(server.ca()))).await;
        }
    }
}

async fn who_is_not_known_is_told(server: &SearchServer) {
    for ca in [None, Some(server.other_ca())] {
        let (is_passing, message) = refused(&user(server, "weir", PASSWORD, ca)).await;
        assert!(is_passing && message.contains("certificate"), "{message}");
    }
    let (is_passing, message) = refused(&user(server, "weir", "wrong", Some(server.ca()))).await;
    assert!(!is_passing && message.contains("401"), "{message}");
    let (is_passing, message) = refused(&user(server, "reader", PASSWORD, Some(server.ca()))).await;
    assert!(!is_passing && message.contains("403") && message.contains("template"), "{message}");
}

/// Finds what [`it_stores`] has left, with no right but to read.
async fn it_reads(config: Config) {
    // Its password is asked for first.
    let wrong = Config { password: Secret::new("wrong"), ..config.clone() };
    let error = ElasticReader::open(&wrong).await.err().expect("refused");
    assert!(!error.is_passing && error.message.contains("401"), "{}", error.message);
    // Another's indices, and none that are there.
    let nothing = Config { prefix: "weir-nothing".into(), ..config.clone() };
    let message = match ElasticReader::open(&nothing).await {
        Ok(reader) => {
            let error = reader.snapshot().await.err().expect("nothing is there");
            assert_eq!(error.kind, StoreErrorKind::Retry);
            error.message
        }
        // Who may not ask who is there learns it from the indices.
        Err(error) => {
            assert!(error.is_passing);
            error.message
        }
    };
    assert!(message.contains("store.elastic.prefix"), "{message}");

    let reader = ElasticReader::open(&Config { prefix: "weir-weir".into(), ..config }).await;
    let reader = reader.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(reader.family(), Family::Elasticsearch);
    let query = RecordQuery { filter: Filter::All, range: TimeRange::ALL };
    let counted = reader.snapshot().await.unwrap().aggregate(Signal::Logs, &query, &Agg::Count).await;
    assert!(matches!(&counted, Ok(Table::Count(total)) if total.value == 1), "{counted:?}");
    assert_eq!(reader.get("colours").await.unwrap(), None);
    let put = reader.put_if("colours", Revision(0), b"red").await;
    assert!(matches!(put, Err(PutError::ReadOnly)), "{put:?}");
}

/// Writes, finds and deletes.
async fn it_stores(config: Config) {
    let prefix = format!("weir-{}", config.username);
    let store = ElasticStore::open(&Config { prefix: prefix.clone(), ..config }).await;
    let store = store.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(store.family(), Family::Elasticsearch);
    store.begin(LANE, Epoch(1)).await.unwrap();
    let batches = [(Position(0), sample::logs(0, 10)), (Position(1), sample::log_at(DAY + 5))];
    let report = store.write(LANE, Epoch(1), &batches).await.unwrap();
    assert_eq!((report.stored, report.duplicate, report.refused), (11, 0, 0));
    store.sync(Signal::Logs).await.unwrap();
    let query = RecordQuery { filter: Filter::All, range: TimeRange::ALL };
    let counted = store.snapshot().await.unwrap().aggregate(Signal::Logs, &query, &Agg::Count).await;
    assert!(matches!(&counted, Ok(Table::Count(total)) if total.value == 11), "{counted:?}");
    let deleted = store.retain(Retention { age: None, bytes: Some(1) }).await.unwrap();
    assert_eq!(deleted, [format!("{prefix}-logs-1970.01.01")]);
}
