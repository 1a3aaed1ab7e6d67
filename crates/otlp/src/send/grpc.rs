//! OTLP over gRPC: one `Export` call a batch, with the codes of the OTLP specification, section "OTLP/gRPC".

use std::time::Duration;

use async_trait::async_trait;
use bytes::{Buf, BufMut, Bytes};
use http::uri::PathAndQuery;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use weir_model::Signal;
use weir_transport::{Batch, Position, SendError, SendErrorKind, Sender, envelope};

use super::{AddressError, RETRY, TIMEOUT, away, failed};

/// Sends one signal's batches by the `Export` call. The peer must answer only for what is durable there.
#[derive(Debug, Clone)]
pub struct GrpcSender {
    channel: Channel,
    path: PathAndQuery,
    url: String,
}

impl GrpcSender {
    /// Connects when the first batch is sent, and again whenever the connection was lost. Must be called within a runtime.
    ///
    /// # Errors
    /// When the URL is not one.
    pub fn new(url: &str, signal: Signal) -> Result<Self, AddressError> {
        let path = match signal {
            Signal::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
            Signal::Spans => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            Signal::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        };
        let error = |problem: String| AddressError { url: url.to_owned(), problem };
        if !url.starts_with("http://") {
            return Err(error("it does not begin with http://".into()));
        }
        let endpoint = Endpoint::from_shared(url.to_owned()).map_err(|problem| error(problem.to_string()))?;
        let channel = endpoint.timeout(TIMEOUT).connect_timeout(Duration::from_secs(5)).connect_lazy();
        Ok(Self { channel, path: PathAndQuery::from_static(path), url: url.to_owned() })
    }
}

#[async_trait]
impl Sender for GrpcSender {
    async fn send(&self, batch: Batch) -> Result<Position, SendError> {
        let mut client = tonic::client::Grpc::new(self.channel.clone());
        if let Err(error) = client.ready().await {
            return Err(away(format!("the collector at {} can't be reached: {error}", self.url), batch));
        }
        let request = Request::new(envelope::seal(&batch));
        let status = match client.unary(request, self.path.clone(), Raw).await {
            Ok(_) => return Ok(Position(0)),
            Err(status) => status,
        };
        let said = format!("the collector at {} answers {:?}: {}", self.url, status.code(), status.message());
        match status.code() {
            Code::InvalidArgument | Code::OutOfRange => Err(failed(SendErrorKind::Refused, said, batch)),
            Code::Unauthenticated | Code::PermissionDenied | Code::Unimplemented => {
                Err(failed(SendErrorKind::Fatal, said, batch))
            }
            _ => Err(failed(SendErrorKind::Retry { after: RETRY }, said, batch)),
        }
    }
}

/// Passes encoded requests through; the answer's content does not matter.
#[derive(Debug, Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = ();
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buf: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buf.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = ();
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<()>, Status> {
        buf.advance(buf.remaining());
        Ok(Some(()))
    }
}
