//! Who may ask, for how long, and how many at a time.
//!
//! A page of another site may make a browser send requests here, and by DNS rebinding read the answers. So requests must name a host
//! that is ours, and come from a page of such a host.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::app::App;
use crate::config::Config;
use crate::error::ApiError;

/// What pages may load and do. Styles are set from scripts by the editor and the charts.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
     font-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HEADERS: [(HeaderName, &str); 4] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "same-origin"),
    (header::X_FRAME_OPTIONS, "DENY"),
];

/// By which an answer shows that it is Weir's: its version.
pub(crate) const VERSION_HEADER: HeaderName = HeaderName::from_static("weir-version");

/// Adds the headers that keep a browser safe to every answer, and the version.
pub(crate) async fn headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    response.headers_mut().insert(VERSION_HEADER, HeaderValue::from_static(env!("CARGO_PKG_VERSION")));
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Names under which this server may be addressed.
#[derive(Debug)]
pub(crate) struct Hosts {
    allowed: Vec<String>,
    /// Listening beyond the loopback with no names configured.
    any: bool,
}

impl Hosts {
    pub(crate) fn new(config: &Config) -> Self {
        let allowed: Vec<String> =
            config.allowed_hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
        Self { any: !config.listen.ip().is_loopback() && allowed.is_empty(), allowed }
    }

    fn allows(&self, authority: &str) -> bool {
        let host = host_of(authority).to_ascii_lowercase();
        let loopback =
            || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
        self.any || host == "localhost" || self.allowed.contains(&host) || loopback()
    }

    fn check(&self, headers: &HeaderMap, uri: &http::Uri) -> Result<(), ApiError> {
        let text = |name| headers.get(name).map(|value: &HeaderValue| value.to_str().unwrap_or(""));
        // HTTP/2 names the host in the request's target.
        let host = uri.authority().map(|authority| authority.as_str()).or(text(header::HOST)).unwrap_or("");
        if !self.allows(host) {
            return Err(ApiError::forbidden(format!(
                "this server is not known as `{host}`; if it should be, add that name to `allowed_hosts` in its configuration"
            )));
        }
        let Some(origin) = text(header::ORIGIN) else { return Ok(()) };
        let from = origin.split_once("://").map_or("", |(_, authority)| authority);
        let ours =
            if self.any { host_of(from).eq_ignore_ascii_case(host_of(host)) } else { self.allows(from) };
        if ours {
            return Ok(());
        }
        Err(ApiError::forbidden(format!("pages of `{origin}` may not read from this server")))
    }
}

/// An authority without its port.
fn host_of(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => authority,
    }
}

/// Refuses requests that name a foreign host or come from a foreign page.
pub(crate) async fn hosts(State(hosts): State<Arc<Hosts>>, request: Request, next: Next) -> Response {
    match hosts.check(request.headers(), request.uri()) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

/// Bounds how many queries run, and each one's time, waiting included. Where whoever has the data is known not to answer none waits for that.
pub(crate) async fn limits(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let answer = async {
        let _turn = app.turns.acquire().await.expect("never closed");
        next.run(request).await
    };
    tokio::select! {
        biased;
        response = answer => response,
        away = app.away() => ApiError::away(away).into_response(),
        () = tokio::time::sleep(app.query_timeout) => ApiError::busy(format!(
            "the query took longer than {:?}: narrow its time range or its filter",
            app.query_timeout
        ))
        .into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(config: &Config, host: &str, origin: Option<&str>) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        Hosts::new(config).check(&headers, &http::Uri::from_static("/")).is_ok()
    }

    #[test]
    fn on_the_loopback_only_its_names() {
        let config = Config { allowed_hosts: vec!["Weir.example".into()], ..Config::default() };
        for (host, origin, expect) in [
            ("127.0.0.1:7070", None, true),
            ("localhost:7070", Some("http://localhost:7070"), true),
            ("[::1]:7070", None, true),
            ("weir.example", Some("https://weir.example"), true),
            ("evil.example", None, false),
            ("", None, false),
            ("127.0.0.1.evil.example:7070", None, false),
            ("localhost:7070", Some("http://evil.example"), false),
            ("localhost:7070", Some("null"), false),
        ] {
            assert_eq!(allowed(&config, host, origin), expect, "{host} {origin:?}");
        }
    }

    #[test]
    fn beyond_the_loopback_any_name_but_no_foreign_page() {
        let config = Config { listen: "0.0.0.0:7070".parse().unwrap(), ..Config::default() };
        assert!(allowed(&config, "weir.internal:7070", None));
        assert!(allowed(&config, "weir.internal:7070", Some("http://weir.internal:7070")));
        assert!(!allowed(&config, "weir.internal:7070", Some("http://evil.example")));
    }
}
