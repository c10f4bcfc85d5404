//! The certificate of the server.

use std::{path::PathBuf, sync::Arc};

use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{self, ServerConfig, crypto::ring},
};

use crate::TlsFiles;

/// The certificate or its key can't be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is missing, or is no PEM.
    #[error("read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: pem::Error,
    },
    /// The two don't fit together.
    #[error("use the certificate {path} with its key")]
    Use {
        /// The certificate's file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: rustls::Error,
    },
}

/// What accepts TLS connections with this certificate. Only HTTP/1.1 is offered: nothing here gains by the
/// other.
pub(crate) fn acceptor(files: &TlsFiles) -> Result<TlsAcceptor, TlsError> {
    let read = |path: &PathBuf| {
        let path = path.clone();
        move |source| TlsError::Read { path, source }
    };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect)
        .map_err(read(&files.certificate))?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(read(&files.key))?;
    let used = |source| TlsError::Use { path: files.certificate.clone(), source };
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(used)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(used)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
