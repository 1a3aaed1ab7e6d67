//! The embedded web app: files by their path, and its page for every other path, since the app routes by itself.

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use rust_embed::{EmbeddedFile, RustEmbed};

use crate::error::ApiError;

/// Built by Vite, which puts a hash of the content into the names under `assets/`.
#[derive(RustEmbed)]
#[folder = "$WEIR_WEB_DIST"]
struct Dist;

const PAGE: &str = "index.html";
const FOREVER: &str = "public, max-age=31536000, immutable";
/// May be kept, but must be asked for again each time.
const REVALIDATE: &str = "no-cache";

pub(crate) async fn serve(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let path = uri.path().trim_start_matches('/');
    if path.starts_with("api/") || path == "api" {
        return ApiError::not_found(format!(
            "there is no `{}`; /api/openapi.json lists what there is",
            uri.path()
        ))
        .into_response();
    }
    if method != Method::GET && method != Method::HEAD {
        return only_get().await.into_response();
    }
    if let Some(file) = Dist::get(path) {
        return answer(path, file, &headers);
    }
    // A file that is missing must not look like a page to a script loader.
    if path.starts_with("assets/") {
        return ApiError::not_found(format!("there is no file `{path}`; reload the page")).into_response();
    }
    match Dist::get(PAGE) {
        Some(page) => answer(PAGE, page, &headers),
        None => ApiError::broken("the web app was not built into this binary").into_response(),
    }
}

/// Nothing here is changed by a request.
pub(crate) async fn only_get() -> ApiError {
    ApiError::not_allowed("this server only answers GET and HEAD")
}

fn answer(path: &str, file: EmbeddedFile, headers: &HeaderMap) -> Response {
    let hash = file.metadata.sha256_hash();
    let tag = format!("\"{}\"", hash[..12].iter().map(|b| format!("{b:02x}")).collect::<String>());
    let caching = if path.starts_with("assets/") { FOREVER } else { REVALIDATE };
    let known = headers.get_all(header::IF_NONE_MATCH).iter().any(|value| {
        value
            .to_str()
            .is_ok_and(|value| value.split(',').any(|known| known.trim().trim_start_matches("W/") == tag))
    });
    let mut response =
        if known { StatusCode::NOT_MODIFIED.into_response() } else { file.data.into_response() };
    let out = response.headers_mut();
    out.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type(path)));
    out.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
    out.insert(header::ETAG, tag.parse().expect("hexadecimal digits in quotes"));
    response
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json" | "map" | "webmanifest") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        Some("woff2") => "font/woff2",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}
