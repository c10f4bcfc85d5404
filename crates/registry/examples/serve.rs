//! A registry from the command line, for a look by hand and for tests that kill it: `serve ROOT ADDRESS`. It
//! prints the address that it listens on, and serves until it is killed. `HTPASSWD`, `TLS_CERT`, `TLS_KEY`
//! and `SPARSE` are read from the environment, and `RESERVE`, the bytes of the disk to leave free.

use std::{env, io::Write as _, path::PathBuf};

use minke_registry::{Registry, RegistryConfig, TlsFiles};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = env::args().skip(1);
    let (Some(root), Some(address)) = (args.next(), args.next()) else {
        return Err("usage: serve ROOT ADDRESS".into());
    };
    let path = |name: &str| env::var_os(name).map(PathBuf::from);
    let mut config = RegistryConfig::new(root);
    config.htpasswd = path("HTPASSWD");
    if let Some(reserve) = env::var("RESERVE").ok().and_then(|text| text.parse().ok()) {
        config.limits.reserve = reserve;
    }
    config.complete = path("SPARSE").is_none();
    if let (Some(certificate), Some(key)) = (path("TLS_CERT"), path("TLS_KEY")) {
        config.tls = Some(TlsFiles { certificate, key });
    }
    let registry = Registry::open(config)?;
    let listener = TcpListener::bind(address).await?;
    println!("{}", listener.local_addr()?);
    std::io::stdout().flush()?;
    registry.serve(vec![listener], std::future::pending()).await?;
    Ok(())
}
