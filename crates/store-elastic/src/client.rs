//! Requests to the nodes of a cluster: one after the other, the next one where one is away.
//!
//! A node that has stopped with its connections open answers nothing, and fails nothing for a minute. So all are asked something small again and again
//! (`look`), and one that gives no answer is the last to be sent anything.
//!
//! Plain `application/json` throughout: vendor media types name a major version, and others refuse them.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use elasticsearch::auth::Credentials;
use elasticsearch::cert::{Certificate, CertificateValidation};
use elasticsearch::http::Method;
use elasticsearch::http::headers::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use elasticsearch::http::transport::{SingleNodeConnectionPool, Transport, TransportBuilder};
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::future::join_all;
use parking_lot::Mutex;
use serde_json::Value;
use url::Url;
use weir_runtime::cause::innermost;

use crate::error::Error;
use crate::settings::Config;

/// Longest wait for an answer.
const ANSWER: Duration = Duration::from_secs(60);
/// The same for a look. Nodes under load answer what is that small within a second; a pause of one that collects garbage may take some.
const LOOK: Duration = Duration::from_secs(5);
/// What engines call it that there is no such index.
const NO_INDEX: &str = "index_not_found_exception";
/// Bytes of a message of an engine that are told.
const REASON_BYTES: usize = 256;

/// The nodes of a cluster.
#[derive(Debug)]
pub(crate) struct Client {
    nodes: Vec<Node>,
    next: AtomicUsize,
}

#[derive(Debug)]
struct Node {
    url: String,
    transport: Transport,
    heard: Mutex<Heard>,
}

/// What is known of whether a node answers.
#[derive(Debug, Default)]
struct Heard {
    /// When it gave its last answer.
    last: Option<Instant>,
    /// It gave none to the last look.
    silence: Option<Silence>,
}

/// That a node does not answer.
#[derive(Debug, Clone)]
pub(crate) struct Silence {
    /// When the first question was sent that has no answer.
    pub(crate) since: Instant,
    url: String,
    /// Where it is more than that.
    cause: Option<String>,
}

impl Silence {
    /// It in words, with how long it lasts.
    pub(crate) fn told(&self) -> String {
        let told = format!("{} has not answered for {} s", self.url, self.since.elapsed().as_secs());
        self.cause.iter().fold(told, |told, cause| told + ": " + cause)
    }
}

impl Node {
    async fn send(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
        within: Option<Duration>,
    ) -> Result<Answer, elasticsearch::Error> {
        let body = (!body.is_empty()).then_some(body);
        let response = self.transport.send(method, path, headers, None::<&()>, body, within).await?;
        let status = response.status_code().as_u16();
        let body = response.bytes().await?;
        *self.heard.lock() = Heard { last: Some(Instant::now()), silence: None };
        Ok(Answer { status, body })
    }

    /// Asks something small, and notes where there is no answer.
    async fn look(&self, path: &str) -> Result<Answer, String> {
        let begun = Instant::now();
        let asked = self.send(Method::Get, path, HeaderMap::new(), Bytes::new(), Some(LOOK)).await;
        let error = match asked {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let cause = (!error.is_timeout()).then(|| innermost(&error));
        let mut heard = self.heard.lock();
        // It may have answered what takes longer.
        if heard.last.is_none_or(|last| last < begun) {
            let since = heard.silence.as_ref().map_or(begun, |silence| silence.since);
            heard.silence = Some(Silence { since, url: self.url.clone(), cause: cause.clone() });
        }
        Err(cause.unwrap_or_else(|| format!("no answer within {LOOK:?}")))
    }

    fn is_silent(&self) -> bool {
        self.heard.lock().silence.is_some()
    }
}

/// What an engine answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.body)
            .map_err(|error| Error::Strange(format!("the search engine's answer can't be read: {error}")))
    }

    /// The answer where it is one of success.
    pub(crate) fn success(self) -> Result<Self, Error> {
        if (200..300).contains(&self.status) { Ok(self) } else { Err(self.refusal()) }
    }

    /// Why it was refused.
    pub(crate) fn refusal(&self) -> Error {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let (kind, reason) = cause(&body["error"]);
        match kind.as_str() {
            NO_INDEX => Error::Missing(reason),
            _ => Error::Refused { status: self.status, kind, reason },
        }
    }
}

/// Type and reason of an `error` object; a gateway between may answer anything.
pub(crate) fn cause(error: &Value) -> (String, String) {
    let kind = error["type"].as_str().unwrap_or("no reason given");
    let mut reason = error["reason"].as_str().or(error.as_str()).unwrap_or_default().to_owned();
    if let Some(below) = error["caused_by"]["reason"].as_str() {
        reason = format!("{reason}: {below}");
    }
    reason.truncate(reason.floor_char_boundary(REASON_BYTES));
    (kind.to_owned(), reason)
}

impl Client {
    pub(crate) fn new(config: &Config) -> Result<Self, Error> {
        let unusable = |what: String| Error::Config(what);
        let ca = match &config.ca_file {
            None => None,
            Some(path) => {
                let bad =
                    |error: String| unusable(format!("can't use the CA file {}: {error}", path.display()));
                let pem = std::fs::read(path).map_err(|error| bad(error.to_string()))?;
                let certificate = || Certificate::from_pem(&pem).map_err(|error| bad(error.to_string()));
                // Each node's transport takes one of its own.
                Some(config.urls.iter().map(|_| certificate()).collect::<Result<Vec<_>, _>>()?)
            }
        };
        let mut ca = ca.map(Vec::into_iter);
        let credentials = match (config.api_key.is_empty(), config.username.is_empty()) {
            (false, _) => Some(Credentials::EncodedApiKey(config.api_key.reveal().to_owned())),
            (true, false) => {
                Some(Credentials::Basic(config.username.clone(), config.password.reveal().to_owned()))
            }
            (true, true) => None,
        };
        let mut nodes = Vec::new();
        for url in &config.urls {
            let parsed =
                Url::parse(url).map_err(|error| unusable(format!("`{url}` is no address: {error}")))?;
            let mut builder = TransportBuilder::new(SingleNodeConnectionPool::new(parsed))
                .disable_proxy()
                .enable_meta_header(false)
                .timeout(ANSWER);
            if let Some(credentials) = &credentials {
                builder = builder.auth(credentials.clone());
            }
            if let Some(ca) = ca.as_mut().and_then(Iterator::next) {
                builder = builder.cert_validation(CertificateValidation::Full(ca));
            }
            let transport = builder.build().map_err(|error| unusable(format!("{url}: {error}")))?;
            nodes.push(Node { url: url.clone(), transport, heard: Mutex::default() });
        }
        if nodes.is_empty() {
            return Err(unusable("no address of a search engine is given".into()));
        }
        Ok(Self { nodes, next: AtomicUsize::new(0) })
    }

    /// Sends a request without a body.
    pub(crate) async fn ask(&self, method: Method, path: &str) -> Result<Answer, Error> {
        self.send(method, path, HeaderMap::new(), Bytes::new()).await
    }

    pub(crate) async fn json(&self, method: Method, path: &str, body: &Value) -> Result<Answer, Error> {
        self.send(method, path, HeaderMap::new(), Bytes::from(body.to_string())).await
    }

    /// Sends lines of JSON, compressed.
    pub(crate) async fn lines(&self, path: &str, body: &[u8]) -> Result<Answer, Error> {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        let packed = gzip.write_all(body).and_then(|()| gzip.finish()).expect("memory takes all");
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        self.send(Method::Post, path, headers, packed.into()).await
    }

    /// Any answer is one, also a refusal; a node that gives none is passed over.
    async fn send(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Answer, Error> {
        let (count, first) = (self.nodes.len(), self.next.fetch_add(1, Ordering::Relaxed));
        let mut nodes: Vec<&Node> = (first..).take(count).map(|n| &self.nodes[n % count]).collect();
        nodes.sort_by_key(|node| node.is_silent());
        let mut problems = Vec::new();
        for node in nodes {
            match node.send(method, path, headers.clone(), body.clone(), None).await {
                Ok(answer) => return Ok(answer),
                Err(error) => problems.push(format!("{}: {}", node.url, innermost(&error))),
            }
        }
        Err(Error::Away(problems.join("; ")))
    }

    /// Asks all nodes something small at the same time. The answer of the first that gives one.
    pub(crate) async fn look(&self, path: &str) -> Result<Answer, Error> {
        let asked = join_all(self.nodes.iter().map(|node| node.look(path))).await;
        let mut problems = Vec::new();
        for (node, answer) in self.nodes.iter().zip(asked) {
            match answer {
                Ok(answer) => return Ok(answer),
                Err(cause) => problems.push(format!("{}: {cause}", node.url)),
            }
        }
        Err(Error::Away(problems.join("; ")))
    }

    /// The nodes that gave no answer to the last look, and whether that is all of them.
    pub(crate) fn silences(&self) -> (Vec<Silence>, bool) {
        let silences: Vec<_> =
            self.nodes.iter().filter_map(|node| node.heard.lock().silence.clone()).collect();
        let are_all = silences.len() == self.nodes.len();
        (silences, are_all)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use weir_runtime::Secret;

    use super::*;

    /// The head of the request that a client sends, and what it says of an answer of 401.
    async fn asked(config: Config, away: &[String]) -> (String, Error) {
        let node = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", node.local_addr().unwrap());
        let urls = away.iter().cloned().chain([url]).collect();
        let client = Client::new(&Config { urls, ..config }).unwrap();
        let serve = async {
            let (mut stream, _) = node.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let answer = "HTTP/1.1 401 Unauthorized\r\ncontent-length: 50\r\n\r\n{\"error\":{\"type\":\"security\",\"reason\":\"who is it\"}}";
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8(head).unwrap()
        };
        let (head, answer) = tokio::join!(serve, client.ask(Method::Get, "/"));
        (head, answer.unwrap().success().expect_err("refused"))
    }

    #[tokio::test]
    async fn it_says_who_it_is() {
        let none = Config::default();
        let user = Config { username: "weir".into(), password: Secret::new("open"), ..none.clone() };
        let key = Config { api_key: Secret::new("a2V5"), ..none.clone() };
        for (config, expect) in [(none, None), (user, Some("Basic d2VpcjpvcGVu")), (key, Some("ApiKey a2V5"))]
        {
            let (head, error) = asked(config, &[]).await;
            let said = head.lines().find_map(|line| line.strip_prefix("authorization: "));
            assert_eq!(said, expect);
            assert!(!head.contains("compatible-with"), "{head}");
            assert_eq!(error.to_string(), "the search engine refuses with 401, security: who is it");
        }
    }

    #[tokio::test]
    async fn a_node_that_is_away_is_passed_over() {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let (head, _) = asked(Config::default(), &[format!("http://{free}")]).await;
        assert!(head.starts_with("GET / "), "{head}");
    }

    /// Whoever is asked next does not wait for one that takes connections and says nothing.
    #[tokio::test]
    async fn a_node_that_does_not_answer_is_the_last_to_be_asked() {
        let frozen = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let node = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let urls = [&frozen, &node].map(|of| format!("http://{}", of.local_addr().unwrap()));
        let client = Client::new(&Config { urls: urls.clone().into(), ..Config::default() }).unwrap();
        let serve = async {
            loop {
                let (mut stream, _) = node.accept().await.unwrap();
                tokio::spawn(async move {
                    while stream.read(&mut [0; 1024]).await.is_ok_and(|bytes| bytes > 0) {
                        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
                        stream.write_all(answer.as_bytes()).await.unwrap();
                    }
                });
            }
        };
        let asks = async {
            assert_eq!(client.look("/").await.unwrap().status, 200);
            let (silences, are_all) = client.silences();
            assert!(!are_all && silences.len() == 1, "{silences:?}");
            let told = silences[0].told();
            assert!(told.starts_with(&format!("{} has not answered for ", urls[0])), "{told}");
            for _ in 0..2 {
                client.ask(Method::Get, "/").await.unwrap();
            }
        };
        tokio::select! {
            () = serve => {}
            asked = tokio::time::timeout(ANSWER / 2, asks) => asked.expect("nobody waits for the other"),
        }
    }

    #[tokio::test]
    async fn it_says_which_nodes_are_away() {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let client =
            Client::new(&Config { urls: vec![format!("http://{free}")], ..Config::default() }).unwrap();
        let error = client.ask(Method::Get, "/").await.expect_err("nobody is there");
        assert!(matches!(&error, Error::Away(what) if what.contains(&free.to_string())), "{error}");
    }

    #[test]
    fn a_ca_file_that_is_none_is_told() {
        let config = Config {
            urls: vec!["https://search:9200".into()],
            ca_file: Some("/nowhere/ca.pem".into()),
            ..Config::default()
        };
        let error = Client::new(&config).expect_err("there is no such file");
        assert!(error.to_string().contains("/nowhere/ca.pem"), "{error}");
    }
}
