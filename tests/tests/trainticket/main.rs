//! Real input: what went in is found again, exactly, whatever happens in between.

mod alone;
mod killed;
mod searches;

use std::fs;
use std::io::Write;
use std::path::Path;

use bytes::Bytes;
use flate2::write::GzEncoder;
use weir_model::Signal;
use weir_tests::client::Client;
use weir_tests::server::Server;
use weir_tests::trainticket::TrainTicket;
use weir_tests::verify;

/// Small limits, so that commits, rolls, merges and seals all happen many times.
fn config(data: &TrainTicket) -> String {
    format!(
        "agent:\n  host_metrics: 0s\n  sources:\n{}collector:\n  commit_every: 300ms\n  commit_bytes: 4MiB\nstore:\n  shard_records: 60000\n",
        data.source()
    )
}

fn start(dir: &Path, config: &str) -> Client {
    Client::new(Server::start(dir, config).unwrap())
}

async fn export_all(client: &Client, requests: &[Bytes]) {
    for request in requests {
        assert!(client.export(request).await, "the server takes it");
    }
}

/// The figures that are known of the set, so that the scan is right.
fn check_scan(data: &TrainTicket) {
    assert_eq!((data.lines.len(), data.spans.len()), (118_415, 225_250));
    assert_eq!(data.lines.iter().filter(|line| line.truncated).count(), 1_408);
    let traces: std::collections::HashSet<_> = data.spans.iter().map(|span| &span.trace).collect();
    assert_eq!(traces.len(), 3_152);
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let Some(data) = TrainTicket::load(folder.path()) else { return };
    check_scan(&data);
    let (logs, spans) = (data.lines.len() as u64, data.spans.len() as u64);
    let config = config(&data);
    let client = start(folder.path(), &config);
    export_all(&client, &data.requests(2_000, 1)).await;
    client.wait_for_totals(logs, spans).await;
    searches::all(&client, &data).await;
    let asked = verify::trees(&client, &data.spans, &data.lines, 1).await;
    assert_eq!(asked, data.lines.len(), "each line was reached from its span and asked for by its id");
    client.server.stop().unwrap();

    // Files renamed and compressed, spans grouped in another way, over a restart and rolls: all of it is recognised.
    for (n, entry) in fs::read_dir(&data.logs_dir).unwrap().enumerate() {
        let path = entry.unwrap().path();
        let rotated = path.with_extension("log.1");
        fs::rename(&path, &rotated).unwrap();
        if n % 2 == 0 {
            let mut gzip = GzEncoder::new(
                fs::File::create(path.with_extension("log.1.gz")).unwrap(),
                flate2::Compression::fast(),
            );
            gzip.write_all(&fs::read(&rotated).unwrap()).unwrap();
            gzip.finish().unwrap();
            fs::remove_file(rotated).unwrap();
        }
    }
    let client = start(folder.path(), &config);
    let again = data.requests(777, 5);
    let (before, after) = again.split_at(again.len() / 2);
    export_all(&client, before).await;
    // A page holds what was there when it was asked for, also while the rest arrives.
    let mut rest = after.iter();
    verify::paged(&client, "/api/v1/logs?q=severity%20%3D%20error", "logs", "id", 1_010, async || {
        export_all(&client, rest.by_ref().take(10).cloned().collect::<Vec<_>>().as_slice()).await;
    })
    .await;
    export_all(&client, rest.as_slice()).await;
    assert!(client.wait_for_received(Signal::Spans, spans).await, "the server runs");
    client.wait_for_totals(logs, spans).await;
    searches::groups(&client, &data).await;
    verify::trees(&client, &data.spans, &data.lines, 50).await;
    client.server.stop().unwrap();
}
