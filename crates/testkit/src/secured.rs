//! A broker that asks who is there: TLS with a certificate authority of its own, SASL, and rights.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::kafka::{Admin, Broker, Ports};
use crate::process::free_port;

/// Who may log in, by PLAIN and by SCRAM-SHA-512, and has no right until one is granted.
pub const USER: &str = "weir";
pub const PASSWORD: &str = "correct-horse";

/// A broker with one listener for clients who log in over TLS, and one for the operator, who may do anything.
#[derive(Debug)]
pub struct SecuredBroker {
    broker: Broker,
    port: u16,
    certificates: tempfile::TempDir,
}

impl SecuredBroker {
    /// Starts it.
    ///
    /// # Panics
    /// When Kafka was not fetched, openssl is missing, or the broker does not start.
    pub fn start() -> Self {
        let certificates = tempfile::tempdir().expect("a temporary folder");
        let dir = certificates.path();
        authority(dir, "ca");
        authority(dir, "stranger");
        certificate(dir, "ca", "broker");
        let read = |name: &str| std::fs::read_to_string(dir.join(name)).expect("just written");
        let keystore = dir.join("keystore.pem");
        std::fs::write(&keystore, read("broker.key") + &read("broker.pem")).expect("a folder can be written");
        let plain = format!(
            "org.apache.kafka.common.security.plain.PlainLoginModule required user_{USER}=\"{PASSWORD}\";"
        );
        let settings = [
            ("ssl.keystore.type", "PEM"),
            ("ssl.keystore.location", keystore.to_str().expect("a plain path")),
            ("sasl.enabled.mechanisms", "PLAIN,SCRAM-SHA-512"),
            ("listener.name.secured.plain.sasl.jaas.config", &plain),
            (
                "listener.name.secured.scram-sha-512.sasl.jaas.config",
                "org.apache.kafka.common.security.scram.ScramLoginModule required;",
            ),
            ("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer"),
            // Whoever comes by the listener that asks for no name.
            ("super.users", "User:ANONYMOUS"),
        ];
        let port = free_port();
        let ports = Ports::with_secured(port);
        let scram = format!("SCRAM-SHA-512=[name={USER},password={PASSWORD}]");
        let broker = Broker::node(0, &[ports], &settings, &["--add-scram", &scram]);
        Self { broker, port, certificates }
    }

    /// Where clients log in, as `host:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The authority that vouches for the broker.
    pub fn ca(&self) -> PathBuf {
        self.certificates.path().join("ca.pem")
    }

    /// An authority that has nothing to do with it.
    pub fn other_ca(&self) -> PathBuf {
        self.certificates.path().join("stranger.pem")
    }

    /// The operator.
    pub fn admin(&self) -> Admin {
        Admin::new(&self.broker.address())
    }

    /// Grants [`USER`] rights, such as `Write` on `--topic name`.
    ///
    /// # Panics
    /// When that is refused.
    pub fn grant(&self, rights: &[&str], on: &[&str]) {
        let user = format!("User:{USER}");
        let address = self.broker.address();
        let mut command = self.broker.java(&["org.apache.kafka.tools.AclCommand"]);
        command.args(["--bootstrap-server", &address, "--add", "--allow-principal", &user]).args(on);
        for right in rights {
            command.args(["--operation", right]);
        }
        run(command);
    }
}

/// Makes a certificate authority: `name.pem` and its key.
pub(crate) fn authority(dir: &Path, name: &str) {
    openssl(dir, name, &["-subj", &format!("/CN={name}")]);
}

/// Makes a certificate for loopback that an authority vouches for.
pub(crate) fn certificate(dir: &Path, authority: &str, name: &str) {
    let (ca, key) = (format!("{authority}.pem"), format!("{authority}.key"));
    let extensions =
        ["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"];
    let signed = ["-subj", "/CN=127.0.0.1", "-CA", &ca, "-CAkey", &key];
    openssl(dir, name, &[&signed[..], &extensions].concat());
}

fn openssl(dir: &Path, name: &str, arguments: &[&str]) {
    let mut command = Command::new("openssl");
    command.current_dir(dir).args(["req", "-x509", "-nodes", "-days", "2", "-newkey", "ec"]);
    command.args(["-pkeyopt", "ec_paramgen_curve:prime256v1"]);
    command.args(["-keyout", &format!("{name}.key"), "-out", &format!("{name}.pem")]).args(arguments);
    run(command);
}

fn run(mut command: Command) {
    let done = command.output().unwrap_or_else(|error| panic!("{command:?} can't be run: {error}"));
    assert!(
        done.status.success(),
        "{command:?} failed: {}{}",
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr)
    );
}
