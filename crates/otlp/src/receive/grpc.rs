//! OTLP over gRPC: the three `Export` calls, with bodies passed on as they came.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use futures::future::BoxFuture;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Request, Response, Status};
use weir_model::Signal;

use super::http::code;
use super::{Intake, Protocol, REQUEST_BYTES, Refusal};

/// Listens for OTLP over gRPC.
pub struct GrpcReceiver {
    listener: TcpListener,
    intake: Intake,
}

impl GrpcReceiver {
    /// # Errors
    /// When the address can't be listened on.
    pub async fn bind(address: SocketAddr, intake: Intake) -> io::Result<Self> {
        Ok(Self { listener: TcpListener::bind(address).await?, intake })
    }

    /// # Errors
    /// Never in practice; the system is asked for the address.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until the token is cancelled, then finishes what is under way.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), tonic::transport::Error> {
        Server::builder()
            .add_service(Logs(self.intake.clone()))
            .add_service(Traces(self.intake.clone()))
            .add_service(Metrics(self.intake))
            .serve_with_incoming_shutdown(TcpIncoming::from(self.listener), shutdown.cancelled_owned())
            .await
    }
}

/// Passes bytes through: a request is checked and stored as it came, an answer is empty.
#[derive(Debug, Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = ();
    type Decode = Bytes;
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
    type Item = ();
    type Error = Status;

    fn encode(&mut self, (): (), _: &mut EncodeBuf<'_>) -> Result<(), Status> {
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buf.copy_to_bytes(buf.remaining())))
    }
}

struct Export {
    intake: Intake,
    signal: Signal,
}

impl UnaryService<Bytes> for Export {
    type Response = ();
    type Future = BoxFuture<'static, Result<Response<()>, Status>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let (intake, signal) = (self.intake.clone(), self.signal);
        Box::pin(async move {
            let taken = intake.take(Protocol::OtlpGrpc, signal, Ok(request.into_inner())).await;
            taken.map(Response::new).map_err(|refusal| Status::new(code(&refusal), refusal.to_string()))
        })
    }
}

macro_rules! service {
    ($name:ident, $signal:expr, $path:literal) => {
        #[derive(Clone)]
        struct $name(Intake);

        impl NamedService for $name {
            const NAME: &'static str = $path;
        }

        impl tower_service::Service<http::Request<Body>> for $name {
            type Response = http::Response<Body>;
            type Error = Infallible;
            type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

            fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
                Poll::Ready(Ok(()))
            }

            fn call(&mut self, request: http::Request<Body>) -> Self::Future {
                let intake = self.0.clone();
                let export = Export { intake: intake.clone(), signal: $signal };
                Box::pin(async move {
                    if !request.uri().path().ends_with("/Export") {
                        return Ok(Status::new(Code::Unimplemented, "only Export is served here").into_http());
                    }
                    let mut grpc = Grpc::new(Raw)
                        .accept_compressed(CompressionEncoding::Gzip)
                        .accept_compressed(CompressionEncoding::Zstd)
                        .max_decoding_message_size(REQUEST_BYTES);
                    let answer = grpc.unary(export, request).await;
                    // Tonic refuses what is too large before it comes to us.
                    let code = Status::from_header_map(answer.headers()).map(|status| status.code());
                    if let Some(Code::OutOfRange | Code::ResourceExhausted) = code {
                        intake.count_refusal(Protocol::OtlpGrpc, &Refusal::TooLarge);
                    }
                    Ok(answer)
                })
            }
        }
    };
}

service!(Logs, Signal::Logs, "opentelemetry.proto.collector.logs.v1.LogsService");
service!(Traces, Signal::Spans, "opentelemetry.proto.collector.trace.v1.TraceService");
service!(Metrics, Signal::Metrics, "opentelemetry.proto.collector.metrics.v1.MetricsService");
