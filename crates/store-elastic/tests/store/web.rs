//! What an operator does to an engine behind Weir's back: one request over one connection.

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

pub(crate) async fn put(url: &str, path: &str, body: &Value) {
    ask(url, "PUT", path, &body.to_string()).await;
}

pub(crate) async fn delete(url: &str, path: &str) {
    ask(url, "DELETE", path, "").await;
}

pub(crate) async fn post(url: &str, path: &str) {
    ask(url, "POST", path, "").await;
}

async fn ask(url: &str, method: &str, path: &str, body: &str) {
    let address = url.strip_prefix("http://").expect("an address on loopback");
    let mut stream = tokio::net::TcpStream::connect(address).await.expect("the engine listens");
    let request = format!(
        "{method} /{path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.expect("the engine reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("the engine answers");
    assert!(answer.starts_with("HTTP/1.1 200"), "{method} {path}: {answer}");
}
