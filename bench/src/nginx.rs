//! Access lines of nginx, 416 bytes each with the newline: its combined format, and the same with the fields of a proxy behind it.

use std::io::{self, Write};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Bytes of a line, with its newline.
pub const LINE: usize = 416;

const METHODS: [&str; 4] = ["GET", "GET", "POST", "PUT"];
const PATHS: [&str; 6] = [
    "/api/v1/orders",
    "/api/v1/products/search",
    "/api/v1/basket/items",
    "/static/js/app.js",
    "/api/v1/customers/profile",
    "/api/v1/payments/authorise",
];
const STATUS: [u16; 6] = [200, 200, 200, 304, 404, 502];
const AGENT: &str =
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36";

/// Writes lines of the combined format, about `bytes` of them, the same for the same seed. They have twelve fields.
///
/// # Errors
/// When the target can't be written.
pub fn write_combined<W: Write>(out: &mut W, bytes: u64, seed: u64) -> io::Result<u64> {
    lines(out, bytes, seed, false, within_an_hour)
}

/// The same, all of one time, which is written as nginx does: `24/Nov/2026:10:00:00 +0000`.
///
/// # Errors
/// When the target can't be written.
pub fn write_combined_at<W: Write>(out: &mut W, bytes: u64, seed: u64, time: &str) -> io::Result<u64> {
    lines(out, bytes, seed, false, |_| time.to_owned())
}

/// One line of the same format that is known by a word in its path and a number behind it.
///
/// # Errors
/// When the target can't be written.
pub fn write_probe<W: Write>(out: &mut W, word: &str, number: usize, time: &str) -> io::Result<u64> {
    let mut line = format!(
        "10.0.0.1 - alice [{time}] \"GET /{word}/{number} HTTP/1.1\" 200 612 \"https://shop.example/\" \"{AGENT}\""
    );
    pad(&mut line);
    out.write_all(line.as_bytes())?;
    Ok(LINE as u64)
}

/// Writes lines that end with the times and the address of an upstream, the request's id and its trace context. They yield spans.
///
/// # Errors
/// When the target can't be written.
pub fn write_proxy<W: Write>(out: &mut W, bytes: u64, seed: u64) -> io::Result<u64> {
    lines(out, bytes, seed, true, within_an_hour)
}

/// A time for lines that may be of any.
fn within_an_hour(random: &mut StdRng) -> String {
    let (second, minute) = (random.random_range(0..60), random.random_range(0..60));
    format!("24/Nov/2026:10:{minute:02}:{second:02} +0000")
}

fn lines<W: Write>(
    out: &mut W,
    bytes: u64,
    seed: u64,
    proxy: bool,
    time: impl Fn(&mut StdRng) -> String,
) -> io::Result<u64> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut written = 0;
    let mut line = String::new();
    while written < bytes {
        line.clear();
        let pick = random.random_range(0..PATHS.len());
        let time = time(&mut random);
        line.push_str(&format!(
            "10.{}.{}.{} - alice [{time}] \"{} {}?id={} HTTP/1.1\" {} {} \"https://shop.example/{}\" \"{AGENT}\"",
            random.random_range(0..255),
            random.random_range(0..255),
            random.random_range(0..255),
            METHODS[pick % METHODS.len()],
            PATHS[pick],
            random.random_range(0..1_000_000),
            STATUS[random.random_range(0..STATUS.len())],
            random.random_range(100..90_000),
            pick,
        ));
        if proxy {
            line.push_str(&format!(
                " 0.{:03} 0.{:03} 10.0.0.{}:8080 {:032x} \"00-{:032x}-{:016x}-01\"",
                random.random_range(1..900),
                random.random_range(1..900),
                random.random_range(1..9),
                random.random::<u128>(),
                random.random::<u128>(),
                random.random::<u64>(),
            ));
        }
        pad(&mut line);
        out.write_all(line.as_bytes())?;
        written += LINE as u64;
    }
    Ok(written)
}

/// Lines that are of no format, of the same length.
///
/// # Errors
/// When the target can't be written.
pub fn write_plain<W: Write>(out: &mut W, bytes: u64, seed: u64) -> io::Result<u64> {
    const WORDS: [&str; 8] = ["took", "basket", "the", "into", "account", "while", "waiting", "for"];
    let mut random = StdRng::seed_from_u64(seed);
    let mut written = 0;
    let mut line = String::new();
    while written < bytes {
        line.clear();
        while line.len() < LINE - 12 {
            line.push_str(WORDS[random.random_range(0..WORDS.len())]);
            line.push(' ');
        }
        pad(&mut line);
        out.write_all(line.as_bytes())?;
        written += LINE as u64;
    }
    Ok(written)
}

/// Makes the line as long as every other: a longer agent string in an access line.
fn pad(line: &mut String) {
    let missing = (LINE - 1).checked_sub(line.len()).expect("the template is shorter than a line");
    match line.find("Safari") {
        Some(at) => line.insert_str(at, &"x".repeat(missing)),
        None => line.extend(std::iter::repeat_n('x', missing)),
    }
    line.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_one_length_and_a_seed_one_text() {
        for write in [write_combined::<Vec<u8>>, write_proxy, write_plain] {
            let (mut a, mut b) = (Vec::new(), Vec::new());
            write(&mut a, 100_000, 7).unwrap();
            write(&mut b, 100_000, 7).unwrap();
            assert_eq!(a, b);
            assert!(a.chunks(LINE).all(|line| line.iter().position(|&byte| byte == b'\n') == Some(LINE - 1)));
        }
        let mut probe = Vec::new();
        write_probe(&mut probe, "probe", 1_000, "24/Nov/2026:10:00:00 +0000").unwrap();
        assert_eq!(probe.len(), LINE);
    }
}
