//! The real nginx in front of upstreams of our own, on loopback ports.

use std::fs;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::client::LOOK_EVERY;
use crate::server::PATIENCE;

/// The format that the guide's page on traces recommends.
const FORMAT: &str = r#"log_format weir '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent" '
                    'msec=$msec rt=$request_time ua="$upstream_addr" ust="$upstream_status" uct="$upstream_connect_time" '
                    'uht="$upstream_header_time" urt="$upstream_response_time" rid=$http_x_request_id traceparent=$http_traceparent';"#;

/// Tries to find a port that stays free until nginx has it.
const PORT_TRIES: usize = 10;

/// A running nginx with two hops: `edge` gives each request an id and passes it to `gateway`, which passes it to the upstreams. Each hop writes a log of
/// its name. Dropping it ends it.
pub struct Nginx {
    child: Child,
    edge: SocketAddr,
    gateway: SocketAddr,
}

impl Nginx {
    /// Starts nginx in a folder of its own and waits until it answers; its logs are in `dir/logs`. The first upstream is asked first.
    pub async fn start(dir: &Path, upstreams: [SocketAddr; 2]) -> Self {
        fs::create_dir_all(dir.join("logs")).unwrap();
        for _ in 0..PORT_TRIES {
            let [edge, gateway] = free_ports();
            fs::write(dir.join("nginx.conf"), configuration(dir, edge, gateway, upstreams)).unwrap();
            let mut child = Command::new(binary())
                .arg("-p")
                .arg(dir)
                .arg("-c")
                .arg(dir.join("nginx.conf"))
                .args(["-e", "stderr"])
                .stdin(Stdio::null())
                .spawn()
                .expect("nginx starts");
            let begun = Instant::now();
            loop {
                if TcpStream::connect(edge).await.is_ok() && TcpStream::connect(gateway).await.is_ok() {
                    return Self { child, edge, gateway };
                }
                // Another program took the port.
                if child.try_wait().unwrap().is_some() {
                    break;
                }
                assert!(begun.elapsed() < PATIENCE, "nginx does not answer");
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
        panic!("nginx ended at each of {PORT_TRIES} starts; see above what it says");
    }

    /// Asks the edge; returns the status line.
    pub async fn get(&self, path: &str) -> String {
        get(self.edge, path, "").await
    }

    /// Asks the gateway, with a header.
    pub async fn get_gateway(&self, path: &str, header: &str) -> String {
        get(self.gateway, path, header).await
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // SAFETY: a signal to a process that we started and have not waited for; its workers end with it.
        unsafe { libc::kill(self.child.id() as i32, libc::SIGTERM) };
        let _ = self.child.wait();
    }
}

async fn get(address: SocketAddr, path: &str, header: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n{header}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.lines().next().unwrap_or_default().to_owned()
}

/// How long an upstream takes, so that a try of it can be told from the request that it is a part of.
const WORK: Duration = Duration::from_millis(20);

/// An upstream that answers everything with one status.
pub async fn upstream(status: u16) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = Vec::new();
                let mut buf = [0; 1024];
                while !request.windows(4).any(|end| end == b"\r\n\r\n") {
                    match stream.read(&mut buf).await {
                        Ok(n) if n > 0 => request.extend_from_slice(&buf[..n]),
                        _ => return,
                    }
                }
                tokio::time::sleep(WORK).await;
                let answer =
                    format!("HTTP/1.1 {status} X\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    address
}

/// An address at which nobody listens: what connects is refused.
pub fn refusing() -> SocketAddr {
    free_ports::<1>()[0]
}

fn free_ports<const N: usize>() -> [SocketAddr; N] {
    // All at once, so that they differ.
    let listeners = [(); N].map(|()| StdListener::bind("127.0.0.1:0").expect("a free port"));
    listeners.map(|listener| listener.local_addr().expect("it is bound"))
}

fn binary() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    folders
        .map(|folder| folder.join("nginx"))
        .find(|file| file.is_file())
        .expect("nginx is missing: run scripts/servers.sh")
}

fn configuration(dir: &Path, edge: SocketAddr, gateway: SocketAddr, upstreams: [SocketAddr; 2]) -> String {
    let dir = dir.display();
    // SAFETY: asks for a number.
    let user = if unsafe { libc::geteuid() } == 0 { "user root;" } else { "" };
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|of| format!("    {of}_temp_path {dir}/{of};\n"))
        .concat();
    let [first, second] = upstreams;
    format!(
        "{user}
daemon off;
worker_processes 1;
pid {dir}/nginx.pid;
error_log {dir}/error.log;
events {{}}
http {{
{temporary}    {FORMAT}
    {edge_format}
    upstream shop {{
        server {first} max_fails=0;
        server {second} backup;
    }}
    server {{
        listen {edge};
        access_log {dir}/logs/edge.log edge;
        location / {{
            proxy_set_header X-Request-ID $request_id;
            proxy_pass http://{gateway};
        }}
    }}
    server {{
        listen {gateway};
        access_log {dir}/logs/gateway.log weir;
        location / {{
            proxy_next_upstream error timeout http_502;
            proxy_pass http://shop;
        }}
    }}
}}
",
        // The one that makes the id has it in another variable.
        edge_format =
            FORMAT.replace("log_format weir", "log_format edge").replace("$http_x_request_id", "$request_id"),
    )
}
