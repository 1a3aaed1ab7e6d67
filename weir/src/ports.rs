//! Whether the addresses are free that a process will listen on.

use std::net::{SocketAddr, TcpListener};

/// Looks before anything is created or said, so that a start that must fail leaves nothing behind, and tells all at once. Whoever takes a
/// port between this and the real listening is told of by that.
///
/// # Errors
/// Names every address that can't be listened on, with the key that sets it.
pub(crate) fn are_free(wanted: &[(&str, SocketAddr)]) -> anyhow::Result<()> {
    // All at a time: two keys may name the same port.
    let tried: Vec<_> =
        wanted.iter().map(|(key, address)| (key, address, TcpListener::bind(address))).collect();
    let taken: Vec<String> = tried
        .iter()
        .filter_map(|(key, address, listener)| {
            listener.as_ref().err().map(|error| format!("{address} (`{key}`): {error}"))
        })
        .collect();
    anyhow::ensure!(
        taken.is_empty(),
        "can't listen on {}; is another weir running here? Stop it, or choose other addresses with these keys",
        taken.join(", ")
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_are_taken_are_named() {
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        let [one, two] = [(); 2].map(|()| TcpListener::bind(free).unwrap());
        let [one, two] = [&one, &two].map(|listener| listener.local_addr().unwrap());
        are_free(&[("a", free), ("b", free)]).unwrap();
        let error = are_free(&[("a.x", one), ("a.y", free), ("b.z", two)]).unwrap_err().to_string();
        assert!(error.contains(&format!("{one} (`a.x`)")), "{error}");
        assert!(error.contains(&format!("{two} (`b.z`)")), "{error}");
        assert!(!error.contains("a.y"), "{error}");
    }

    #[test]
    fn one_port_for_two_is_taken() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let error = are_free(&[("a", address), ("b", address)]).unwrap_err().to_string();
        assert!(error.contains("(`b`)") && !error.contains("(`a`)"), "{error}");
    }
}
