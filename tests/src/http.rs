//! A plain HTTP client.

use anyhow::Context;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

#[derive(Clone)]
pub struct Http(Client<HttpConnector, Full<Bytes>>);

impl Default for Http {
    fn default() -> Self {
        Self(Client::builder(TokioExecutor::new()).build_http())
    }
}

impl Http {
    pub async fn request(
        &self,
        method: Method,
        url: &str,
        content_type: &str,
        body: Bytes,
    ) -> anyhow::Result<(StatusCode, Bytes)> {
        let answer = self.call(method, url, content_type, body).await?;
        Ok((answer.status(), answer.into_body()))
    }

    /// The whole answer.
    ///
    /// # Errors
    /// When there is none.
    pub async fn call(
        &self,
        method: Method,
        url: &str,
        content_type: &str,
        body: Bytes,
    ) -> anyhow::Result<Response<Bytes>> {
        let request = Request::builder()
            .method(method)
            .uri(url)
            .header("content-type", content_type)
            .body(Full::new(body))?;
        let answer = self.0.request(request).await.with_context(|| format!("calling {url}"))?;
        let (parts, body) = answer.into_parts();
        Ok(Response::from_parts(parts, body.collect().await?.to_bytes()))
    }

    /// # Errors
    /// Also for any status but 200.
    pub async fn get(&self, url: &str) -> anyhow::Result<Bytes> {
        let (status, body) = self.request(Method::GET, url, "application/json", Bytes::new()).await?;
        anyhow::ensure!(
            status == StatusCode::OK,
            "{url} answered {status}: {}",
            String::from_utf8_lossy(&body)
        );
        Ok(body)
    }

    /// # Errors
    /// Also for any status but 200.
    pub async fn get_json(&self, url: &str) -> anyhow::Result<serde_json::Value> {
        Ok(serde_json::from_slice(&self.get(url).await?)?)
    }

    /// Sends spans to a receiver of OTLP. False when it is gone.
    ///
    /// # Panics
    /// When they are refused.
    pub async fn export_spans(&self, otlp: &str, body: &Bytes) -> bool {
        let url = format!("{otlp}/v1/traces");
        match self.request(Method::POST, &url, "application/x-protobuf", body.clone()).await {
            Ok((StatusCode::OK, _)) => true,
            Ok((status, body)) => panic!("refused with {status}: {}", String::from_utf8_lossy(&body)),
            Err(_) => false,
        }
    }
}
