//! A TCP proxy that harms what passes through it, as told while it runs.
//!
//! It has a thread of its own, so that a test that blocks does not hold up what passes.

use std::io;
use std::net::{Ipv4Addr, TcpListener as StdListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::process::free_port;

/// Bytes that are taken from a sender before they are passed on.
const READ_BYTES: usize = 64 << 10;
/// Parts that a slow second is made of, so that what is slow flows.
const PARTS: u64 = 20;

/// What becomes of connections and of what they carry, each way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Everything passes.
    None,
    /// What is read waits so long before it is passed on.
    Latency(Duration),
    /// So many bytes a second pass on each connection.
    Slow(u64),
    /// All connections are reset, those that are there and those that come.
    Reset,
    /// Connections are taken, and what comes is swallowed. They are reset when it ends.
    Blackhole,
    /// So many bytes more pass on each connection, then it is closed, in the middle of whatever passes.
    Cut(u64),
    /// Nobody listens; connections that are there are reset.
    Refuse,
}

/// What the proxy is told.
#[derive(Debug, Clone, Copy)]
struct Order {
    fault: Fault,
    /// How many orders so far reset the connections that were there.
    resets: u64,
}

/// How the proxy ends a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Both ends have closed it.
    Closed,
    Cut,
    Reset,
}

/// A proxy on loopback in front of a port of loopback. Dropping it ends it, and what passes through it.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    orders: Option<watch::Sender<Order>>,
    broken: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
    /// Told when a fault is in force.
    set: std::sync::mpsc::Receiver<()>,
}

impl Proxy {
    /// Starts one that lets everything pass.
    ///
    /// # Panics
    /// When there is no thread or port for it.
    pub fn start(server: u16) -> Self {
        let port = free_port();
        let (orders, told) = watch::channel(Order { fault: Fault::None, resets: 0 });
        let (tell, set) = std::sync::mpsc::channel();
        let broken = Arc::new(AtomicU64::new(0));
        let door = Door { port, server, told, broken: broken.clone() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime of its own");
        let thread = std::thread::spawn(move || runtime.block_on(door.run(&tell)));
        set.recv().expect("it listens");
        Self { port, orders: Some(orders), broken, thread: Some(thread), set }
    }

    /// The port that stands for the server's.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Changes what it does; that is so when this returns.
    ///
    /// # Panics
    /// When it can't listen again.
    pub fn set(&self, fault: Fault) {
        let orders = self.orders.as_ref().expect("until it is dropped");
        orders.send_modify(|order| {
            // After a black hole something is missing in the middle.
            let resets = matches!(fault, Fault::Reset | Fault::Refuse) || order.fault == Fault::Blackhole;
            *order = Order { fault, resets: order.resets + u64::from(resets) };
        });
        self.set.recv().expect("it listens");
    }

    /// Connections so far that did not end by both ends closing them.
    pub fn broken(&self) -> u64 {
        self.broken.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.orders.take();
        if let Some(thread) = self.thread.take() {
            // A panic of it was told already.
            let _ = thread.join();
        }
    }
}

/// The side that runs in the thread.
struct Door {
    port: u16,
    server: u16,
    told: watch::Receiver<Order>,
    broken: Arc<AtomicU64>,
}

impl Door {
    async fn run(mut self, tell: &std::sync::mpsc::Sender<()>) {
        let mut connections = JoinSet::new();
        let mut listener = None;
        loop {
            let fault = self.told.borrow_and_update().fault;
            match fault {
                Fault::Refuse => listener = None,
                _ if listener.is_none() => listener = Some(listen(self.port).expect("the port is ours")),
                _ => {}
            }
            // Only a proxy that is being dropped does not listen.
            let _ = tell.send(());
            loop {
                let client = async {
                    match &listener {
                        Some(listener) => listener.accept().await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    biased;
                    changed = self.told.changed() => match changed {
                        Ok(()) => break,
                        Err(_) => return,
                    },
                    Some(_) = connections.join_next() => {}
                    Ok((client, _)) = client => {
                        let (server, told, broken) = (self.server, self.told.clone(), self.broken.clone());
                        connections.spawn(async move {
                            if connection(client, server, told).await != End::Closed {
                                broken.fetch_add(1, Ordering::Relaxed);
                            }
                        });
                    }
                }
            }
        }
    }
}

/// `SO_REUSEADDR`, so that the port can be had again with old connections on it.
fn listen(port: u16) -> io::Result<TcpListener> {
    // The standard library sets it.
    let listener = StdListener::bind((Ipv4Addr::LOCALHOST, port))?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// A connection from its beginning to its end.
async fn connection(mut client: TcpStream, server: u16, mut told: watch::Receiver<Order>) -> End {
    let Order { fault, resets } = *told.borrow_and_update();
    if fault == Fault::Reset {
        return reset([&client]);
    }
    let mut resetting = told.clone();
    // It fails only where the proxy is being dropped.
    let resetting = async move { drop(resetting.wait_for(|order| order.resets > resets).await) };
    if fault == Fault::Blackhole {
        tokio::select! {
            () = resetting => {}
            () = swallow(&mut client) => {}
        }
        return reset([&client]);
    }
    let Ok(mut server) = TcpStream::connect((Ipv4Addr::LOCALHOST, server)).await else {
        // As who called would have met it.
        return reset([&client]);
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let end = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let both = async {
            let there = carry(from_client, to_server, told.clone());
            let back = carry(from_server, to_client, told.clone());
            tokio::pin!(there, back);
            // What is cut ends at once, and an end that is closed leaves the other way open.
            tokio::select! {
                end = &mut there => if end == End::Closed { back.await } else { end },
                end = &mut back => if end == End::Closed { there.await } else { end },
            }
        };
        tokio::select! {
            end = both => end,
            () = resetting => End::Reset,
        }
    };
    if end == End::Reset {
        return reset([&client, &server]);
    }
    end
}

/// Has connections reset when they are dropped.
fn reset<const N: usize>(streams: [&TcpStream; N]) -> End {
    // One that is gone already can't be set.
    streams.iter().for_each(|stream| drop(stream.set_zero_linger()));
    End::Reset
}

/// Reads what comes and forgets it, and tells nobody of an end.
async fn swallow(client: &mut TcpStream) {
    let mut bytes = vec![0; READ_BYTES];
    while let Ok(1..) = client.read(&mut bytes).await {}
    std::future::pending().await
}

/// Passes on what comes one way.
async fn carry(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, mut told: watch::Receiver<Order>) -> End {
    let mut bytes = vec![0; READ_BYTES];
    let mut fault = told.borrow_and_update().fault;
    loop {
        let most = match fault {
            Fault::Slow(rate) => ((rate / PARTS) as usize).clamp(1, READ_BYTES),
            _ => READ_BYTES,
        };
        let read = tokio::select! {
            biased;
            changed = told.changed() => match changed {
                Ok(()) => {
                    fault = told.borrow_and_update().fault;
                    continue;
                }
                Err(_) => return End::Reset,
            },
            read = from.read(&mut bytes[..most]) => read,
        };
        let count = match read {
            Ok(0) => {
                let _ = to.shutdown().await;
                return End::Closed;
            }
            Ok(count) => count,
            Err(_) => return End::Reset,
        };
        let mut part = &bytes[..count];
        match &mut fault {
            Fault::Latency(wait) => tokio::time::sleep(*wait).await,
            Fault::Slow(rate) => {
                let wait = Duration::from_secs_f64(count as f64 / *rate as f64);
                tokio::time::sleep(wait).await;
            }
            Fault::Blackhole => continue,
            Fault::Cut(left) => {
                part = &part[..count.min(*left as usize)];
                *left -= part.len() as u64;
            }
            Fault::None | Fault::Reset | Fault::Refuse => {}
        }
        if to.write_all(part).await.is_err() {
            return End::Reset;
        }
        if fault == Fault::Cut(0) {
            let _ = to.shutdown().await;
            return End::Cut;
        }
    }
}
