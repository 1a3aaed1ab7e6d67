//! Each fault of the proxy is what it says, as either end sees it.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use weir_testkit::proxy::{Fault, Proxy};

/// A moment that is long beside what passes undisturbed on loopback.
const MOMENT: Duration = Duration::from_millis(200);

/// Sends back what comes on every connection.
fn echo() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let mut bytes = [0; 4096];
                while let Ok(count @ 1..) = stream.read(&mut bytes) {
                    if stream.write_all(&bytes[..count]).is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}

struct Line(TcpStream);

impl Line {
    fn to(proxy: &Proxy) -> Self {
        Self(TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).unwrap())
    }

    /// Sends bytes and waits until they are back.
    fn round(&mut self, count: usize) -> std::io::Result<()> {
        self.0.write_all(&vec![7; count])?;
        let mut back = vec![0; count];
        self.0.read_exact(&mut back)?;
        assert!(back.iter().all(|byte| *byte == 7));
        Ok(())
    }

    fn kind(&mut self, count: usize) -> ErrorKind {
        self.round(count).unwrap_err().kind()
    }
}

#[test]
fn everything_passes_where_nothing_is_set() {
    let proxy = Proxy::start(echo());
    let (mut one, mut two) = (Line::to(&proxy), Line::to(&proxy));
    one.round(1).unwrap();
    two.round(3_000_000).unwrap();
    one.round(100).unwrap();
    // An end that is closed is passed on, after what was sent before it.
    one.0.write_all(b"last words").unwrap();
    one.0.shutdown(std::net::Shutdown::Write).unwrap();
    let mut rest = String::new();
    one.0.read_to_string(&mut rest).unwrap();
    assert_eq!((rest.as_str(), proxy.broken()), ("last words", 0));
}

#[test]
fn a_server_that_is_away_is_a_reset_and_comes_back() {
    let free = weir_testkit::free_port();
    let proxy = Proxy::start(free);
    assert!(matches!(Line::to(&proxy).kind(5), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, free)).unwrap();
    let _line = Line::to(&proxy);
    listener.accept().unwrap();
}

#[test]
fn latency_holds_back_and_keeps_what_comes() {
    let proxy = Proxy::start(echo());
    let mut line = Line::to(&proxy);
    line.round(1).unwrap();
    proxy.set(Fault::Latency(MOMENT));
    let begun = Instant::now();
    line.round(10).unwrap();
    assert!(begun.elapsed() >= 2 * MOMENT, "each way");
    proxy.set(Fault::None);
    line.round(10).unwrap();
}

#[test]
fn what_is_slow_flows_at_its_rate() {
    let proxy = Proxy::start(echo());
    let mut line = Line::to(&proxy);
    proxy.set(Fault::Slow(20_000));
    let begun = Instant::now();
    line.round(6_000).unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(290), "{:?}", begun.elapsed());
    proxy.set(Fault::None);
    line.round(1_000_000).unwrap();
}

#[test]
fn a_reset_is_one_for_old_and_new_connections() {
    let proxy = Proxy::start(echo());
    let mut old = Line::to(&proxy);
    old.round(5).unwrap();
    proxy.set(Fault::Reset);
    assert_eq!(old.0.read(&mut [0; 9]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    let mut new = Line::to(&proxy);
    assert_eq!(new.0.read(&mut [0; 9]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    proxy.set(Fault::None);
    assert!(proxy.broken() >= 1);
    Line::to(&proxy).round(5).unwrap();
}

#[test]
fn a_black_hole_takes_everything_and_answers_nothing() {
    let proxy = Proxy::start(echo());
    let mut old = Line::to(&proxy);
    old.round(5).unwrap();
    proxy.set(Fault::Blackhole);
    let mut new = Line::to(&proxy);
    for line in [&mut old, &mut new] {
        line.0.set_read_timeout(Some(MOMENT)).unwrap();
        assert_eq!(line.kind(100_000), ErrorKind::WouldBlock);
        line.0.set_read_timeout(None).unwrap();
    }
    // What was swallowed is missing in the middle, so there is no going on.
    proxy.set(Fault::None);
    for line in [&mut old, &mut new] {
        assert_eq!(line.0.read(&mut [0; 9]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    }
    Line::to(&proxy).round(5).unwrap();
}

#[test]
fn a_cut_comes_after_so_many_bytes() {
    let proxy = Proxy::start(echo());
    let mut line = Line::to(&proxy);
    line.round(500).unwrap();
    proxy.set(Fault::Cut(70));
    // The way there and the way back are counted each for itself.
    line.round(40).unwrap();
    line.0.write_all(&[7; 40]).unwrap();
    let mut rest = Vec::new();
    let end = line.0.read_to_end(&mut rest);
    assert!(rest.len() <= 30, "{} bytes and {end:?}", rest.len());
    proxy.set(Fault::None);
    assert_eq!(proxy.broken(), 1);
    Line::to(&proxy).round(500).unwrap();
}

#[test]
fn the_server_sees_the_bytes_before_a_cut_and_no_more() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let proxy = Proxy::start(listener.local_addr().unwrap().port());
    proxy.set(Fault::Cut(70));
    let mut line = Line::to(&proxy);
    line.0.write_all(&[7; 100]).unwrap();
    let mut seen = Vec::new();
    listener.accept().unwrap().0.read_to_end(&mut seen).unwrap();
    assert_eq!(seen, [7; 70]);
}

#[test]
fn where_nobody_listens_connections_are_refused() {
    let proxy = Proxy::start(echo());
    let mut old = Line::to(&proxy);
    old.round(5).unwrap();
    proxy.set(Fault::Refuse);
    assert_eq!(old.0.read(&mut [0; 9]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    let error = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    proxy.set(Fault::None);
    Line::to(&proxy).round(5).unwrap();
}
