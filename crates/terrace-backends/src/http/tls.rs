//! TLS to the server: with the authorities the system trusts, or those of a file.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use terrace_store::{Error, Result};
use tokio_rustls::TlsConnector;

use super::config::refused;

pub(super) fn connector(ca: Option<&Path>) -> Result<TlsConnector> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|source| refused("TLS cannot be set up").caused_by(source))?
        .with_root_certificates(roots(ca)?)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

fn roots(ca: Option<&Path>) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let Some(path) = ca else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return Ok(roots);
    };
    let wrong = |why: &str| -> Error { refused(&format!("tls_ca: `{}` {why}", path.display())) };
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|source| wrong("cannot be read as PEM").caused_by(source))?;
    if certificates.is_empty() {
        return Err(wrong("has no certificate in it"));
    }
    for certificate in certificates {
        roots
            .add(certificate)
            .map_err(|source| wrong("has a certificate that is none of an authority").caused_by(source))?;
    }
    Ok(roots)
}
