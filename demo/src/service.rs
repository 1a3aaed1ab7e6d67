//! One service: its server, its state, its faults. Invariant: every request ends exactly one server span.
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::Context;
use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::routing::put;
use http::Method;
use jiff::Zoned;
use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::call::{self, Http};
use crate::logs::{AppLog, Level, LogFile, now};
use crate::spans::{self, INTERNAL, SERVER, Span, Tracer};
use crate::{SERVICES, Settings};

const STOCK: i64 = 40;
const RESTOCK_EVERY: Duration = Duration::from_secs(5);
const SLOW: Duration = Duration::from_millis(800);
const LAST_SPANS: Duration = Duration::from_secs(1);
const STACK: &str = "java.lang.IllegalStateException: injected exception\n\tat c.w.shop.Controller.handle(Controller.java:42)\n\tat java.base/java.lang.Thread.run(Thread.java:1583)";

struct Service {
    name: &'static str,
    run_dir: PathBuf,
    http: Http,
    tracer: Tracer,
    log: AppLog,
    access: Option<LogFile>,
    fault: Mutex<Option<(String, Instant)>>,
    random: Mutex<StdRng>,
    /// Units left per item (inventory), or the number of orders in slot 0 (order).
    state: [AtomicI64; 8],
}

pub(crate) async fn run(name: &str, settings: &Settings, shutdown: CancellationToken) -> anyhow::Result<()> {
    let name = *SERVICES
        .iter()
        .find(|known| **known == name)
        .with_context(|| format!("there is no service {name}; the shop has {}", SERVICES.join(", ")))?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let (tracer, queue) = Tracer::new();
    let (dir, limit) = (&settings.log_dir, settings.rotate_bytes);
    let access = (name == "storefront")
        .then(|| LogFile::open(dir.join("storefront.access.log"), limit))
        .transpose()?;
    let service = Arc::new(Service {
        name,
        run_dir: settings.run_dir.clone(),
        http: call::client(),
        tracer: tracer.clone(),
        log: AppLog::open(name, dir, limit)?,
        access,
        fault: Mutex::default(),
        random: Mutex::new(StdRng::seed_from_u64(name.len() as u64)),
        state: std::array::from_fn(|_| AtomicI64::new(if name == "inventory" { STOCK } else { 0 })),
    });
    let export = spans::export(name, settings.otlp.clone(), call::client(), tracer, queue, shutdown.clone());
    let export = tokio::spawn(export);
    tokio::spawn(background(service.clone()));
    let port = listener.local_addr()?.port();
    std::fs::write(settings.run_dir.join(format!("{name}.port")), port.to_string())?;
    let app = Router::new()
        .route("/_control/fault/{kind}/{millis}", put(set_fault))
        .fallback(handle)
        .with_state(service);
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        ended = axum::serve(listener, app).into_future() => ended?,
        () = shutdown.cancelled() => {}
        _ = terminate.recv() => shutdown.cancel(),
        _ = interrupt.recv() => shutdown.cancel(),
    }
    // A collector that is gone must not hold up the end.
    let _ = tokio::time::timeout(LAST_SPANS, export).await;
    Ok(())
}

async fn set_fault(
    State(service): State<Arc<Service>>,
    Path((kind, millis)): Path<(String, u64)>,
) -> StatusCode {
    let until = Instant::now() + Duration::from_millis(millis).min(crate::FAULT_MAX);
    *lock(&service.fault) = (kind != "none").then_some((kind, until));
    StatusCode::NO_CONTENT
}

async fn handle(State(service): State<Arc<Service>>, request: Request) -> StatusCode {
    let began = Instant::now();
    let path = request.uri().path().to_owned();
    let method = request.method().clone();
    let parent =
        request.headers().get("traceparent").and_then(|value| value.to_str().ok()).filter(|v| !v.is_empty());
    let route = path.split('/').nth(1).unwrap_or_default().to_owned();
    let mut span = service.tracer.start(format!("{method} /{route}"), SERVER, parent);
    span.text("http.request.method", method.as_str());
    span.text("url.path", &*path);
    span.text("http.route", format!("/{route}"));
    let argument = path.rsplit('/').next().and_then(|text| text.parse().ok()).unwrap_or(0_usize);
    let status = match service.faulty(&mut span).await {
        Some(status) => status,
        None => service.work(&mut span, &route, argument).await,
    };
    span.int("http.response.status_code", i64::from(status));
    if status >= 500 {
        span.fail(format!("answered {status}"));
    }
    let level = if status >= 500 {
        Level::Error
    } else if status >= 400 {
        Level::Warn
    } else {
        Level::Info
    };
    service.log.line(level, &span.trace(), &span.id(), &format!("{method} {path} answered {status}"));
    service.access_line(&span, &format!("{method} {path} HTTP/1.1"), status, began);
    span.end();
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

impl Service {
    async fn faulty(&self, span: &mut Span) -> Option<u16> {
        let fault = lock(&self.fault).clone();
        let (kind, _) = fault.filter(|(_, until)| Instant::now() < *until)?;
        match kind.as_str() {
            "slow" => {
                tokio::time::sleep(SLOW).await;
                return None;
            }
            "exception" => {
                span.exception("java.lang.IllegalStateException", "injected exception", STACK);
                self.log.line(Level::Error, &span.trace(), &span.id(), &format!("request failed\n{STACK}"));
            }
            "crash" => {
                self.log.line(Level::Error, &span.trace(), &span.id(), "panic: injected crash");
                let report = std::panic::take_hook();
                std::panic::set_hook(Box::new(move |info| {
                    report(info);
                    std::process::exit(101);
                }));
                panic!("injected crash of {}", self.name);
            }
            _ => {}
        }
        Some(500)
    }

    async fn work(&self, span: &mut Span, route: &str, argument: usize) -> u16 {
        match (self.name, route) {
            ("storefront", "checkout") => {
                let (a, b) = tokio::join!(
                    self.call(span, "product", Method::GET, "/products/1".into()),
                    self.call(span, "product", Method::GET, "/products/2".into())
                );
                if a.max(b) >= 400 {
                    return a.max(b);
                }
                self.call(span, "order", Method::POST, format!("/orders/{argument}")).await
            }
            ("storefront", _) => {
                let calls = [1, 2, 3, 4, 5]
                    .map(|n| self.call(span, "product", Method::GET, format!("/products/{n}")));
                let [a, b, c, d, e] = calls;
                let (a, b, c, d, e) = tokio::join!(a, b, c, d, e);
                [a, b, c, d, e].into_iter().max().unwrap_or(200)
            }
            ("order", _) => self.order(span, argument).await,
            ("inventory", _) => {
                self.store(span, "UPDATE", "UPDATE stock SET units = units - 1 WHERE item = ?").await;
                let units = &self.state[argument % self.state.len()];
                let taken =
                    units.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| (n > 0).then_some(n - 1));
                if taken.is_ok() { 200 } else { 409 }
            }
            ("payment", _) => {
                self.store(span, "INSERT", "INSERT INTO payments (amount) VALUES (?)").await;
                if lock(&self.random).random_bool(0.02) { 402 } else { 200 }
            }
            _ => {
                self.store(span, "SELECT", "SELECT name, price FROM products WHERE id = ?").await;
                200
            }
        }
    }

    async fn order(&self, span: &Span, items: usize) -> u16 {
        self.store(span, "INSERT", "INSERT INTO orders (items) VALUES (?)").await;
        for _ in 0..items {
            let item = lock(&self.random).random_range(0..self.state.len());
            let status = self.call(span, "inventory", Method::POST, format!("/reserve/{item}")).await;
            if status >= 400 {
                return status;
            }
        }
        let mut paid = self.call(span, "payment", Method::POST, "/pay".into()).await;
        if paid >= 500 {
            self.log.line(Level::Warn, &span.trace(), &span.id(), "payment failed, trying once more");
            paid = self.call(span, "payment", Method::POST, "/pay".into()).await;
        }
        if paid < 400 {
            self.state[0].fetch_add(1, Ordering::Relaxed);
            let mail = span.child("send confirmation", INTERNAL);
            let pause = self.latency() * 10;
            tokio::spawn(async move {
                tokio::time::sleep(pause).await;
                mail.end();
            });
        }
        paid
    }

    async fn call(&self, span: &Span, service: &str, method: Method, path: String) -> u16 {
        call::call(&self.http, &self.run_dir, span, service, method, &path).await
    }

    async fn store(&self, parent: &Span, operation: &str, query: &str) {
        let mut span = parent.child(operation, spans::CLIENT);
        span.text("db.system.name", "postgresql");
        span.text("db.operation.name", operation);
        span.text("db.query.text", query);
        self.log.line(Level::Debug, &span.trace(), &span.id(), query);
        tokio::time::sleep(self.latency()).await;
        span.end();
    }

    fn latency(&self) -> Duration {
        Duration::from_micros(lock(&self.random).random_range(800..6_000))
    }

    fn access_line(&self, span: &Span, request: &str, status: u16, began: Instant) {
        let Some(access) = &self.access else { return };
        let line = access_line(&now(), request, status, began.elapsed(), &span.trace(), &span.traceparent());
        if let Err(error) = access.write(&line) {
            eprintln!("cannot write the access log: {error}; free some space or choose another --log-dir");
        }
    }
}

/// A line as nginx writes it in the format that the guide proposes. It writes a dash for the upstream of what it answers itself; the storefront is no proxy.
fn access_line(
    at: &Zoned,
    request: &str,
    status: u16,
    took: Duration,
    trace: &str,
    traceparent: &str,
) -> String {
    let (second, millis) = (at.strftime("%d/%b/%Y:%H:%M:%S +0000"), at.timestamp().as_millisecond());
    format!(
        "127.0.0.1 - - [{second}] \"{request}\" {status} 0 \"-\" \"shop/1.0\" msec={}.{:03} rt={:.3} ua=\"-\" ust=\"-\" uct=\"-\" \
         uht=\"-\" urt=\"-\" rid={trace} traceparent={traceparent}",
        millis / 1000,
        millis % 1000,
        took.as_secs_f64()
    )
}

/// Restocks the inventory, each time in a trace of its own, and tells of lost spans.
async fn background(service: Arc<Service>) {
    loop {
        tokio::time::sleep(RESTOCK_EVERY).await;
        let dropped = service.tracer.take_dropped();
        if dropped > 0 {
            service.log.line(Level::Warn, "", "", &format!("{dropped} spans dropped, is the agent running?"));
        }
        if service.name == "inventory" {
            let span = service.tracer.start("restock".into(), INTERNAL, None);
            service.store(&span, "UPDATE", "UPDATE stock SET units = 40").await;
            service.state.iter().for_each(|units| units.store(STOCK, Ordering::Relaxed));
            service.log.line(Level::Info, &span.trace(), &span.id(), "restocked");
            span.end();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_access_line_tells_milliseconds() {
        let at: Zoned = "2026-11-26T05:14:09.072+00:00[UTC]".parse().unwrap();
        let line =
            access_line(&at, "GET / HTTP/1.1", 200, Duration::from_micros(41_600), "7a", "00-7a-1b-01");
        assert_eq!(
            line,
            "127.0.0.1 - - [26/Nov/2026:05:14:09 +0000] \"GET / HTTP/1.1\" 200 0 \"-\" \"shop/1.0\" msec=1795670049.072 rt=0.042 \
             ua=\"-\" ust=\"-\" uct=\"-\" uht=\"-\" urt=\"-\" rid=7a traceparent=00-7a-1b-01"
        );
    }
}
