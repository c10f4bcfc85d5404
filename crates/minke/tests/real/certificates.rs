//! Authorities of a test's own, and folders of certificates as Docker's users have them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use minke_testkit::{Cli, Host, Run, docker_cli, program};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};

/// The address that test engines serve TLS on; each is in a network of its own.
pub(crate) const ADDRESS: &str = "tcp://127.0.0.1:2376";

/// A certificate authority.
pub(crate) struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// A folder with `ca.pem` of `trusted`, and `cert.pem` and `key.pem` signed by this authority.
    pub(crate) fn folder(&self, folder: PathBuf, trusted: &Self, validity: Validity) -> PathBuf {
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("an address");
        params.distinguished_name.push(DnType::CommonName, "a leaf");
        if validity == Validity::Expired {
            params.not_before = date_time_ymd(2019, 1, 1);
            params.not_after = date_time_ymd(2020, 1, 1);
        }
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        fs::create_dir_all(&folder).expect("a folder");
        let write = |name: &str, text: &str| fs::write(folder.join(name), text).expect("a file");
        write("ca.pem", &trusted.pem);
        write("cert.pem", &certificate.pem());
        write("key.pem", &key.serialize_pem());
        folder
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Validity {
    Valid,
    Expired,
}

/// The flags of an engine that serves TLS with the certificates of a folder.
pub(crate) fn tls_flags(folder: &Path) -> Vec<String> {
    let file = |flag: &str, name: &str| format!("--{flag}={}", folder.join(name).display());
    vec![
        format!("--host={ADDRESS}"),
        "--tlsverify".to_owned(),
        file("tlscacert", "ca.pem"),
        file("tlscert", "cert.pem"),
        file("tlskey", "key.pem"),
    ]
}

/// One of the two command lines with nothing said about engines, in a host's network and with a configuration of its own.
pub(crate) fn bare(host: &Host, cli: Cli, args: &[&str]) -> Run {
    let program = match cli {
        Cli::Docker => docker_cli(),
        Cli::Minke => program("minke"),
    };
    let run = Run::new(program, args).env("DOCKER_CONFIG", host.path("client")).within(host.netns());
    ["DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"]
        .into_iter()
        .fold(run, Run::env_remove)
}

/// The same aimed at [`ADDRESS`] with a folder of certificates, as the variables of docker-machine have it.
pub(crate) fn over_tls(host: &Host, cli: Cli, certificates: &Path, args: &[&str]) -> Run {
    bare(host, cli, args)
        .env("DOCKER_HOST", ADDRESS)
        .env("DOCKER_TLS_VERIFY", "1")
        .env("DOCKER_CERT_PATH", certificates)
}
