//! TLS to the database, with the certificates the system trusts. Whether it is used, `sslmode` says.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use terrace_store::{Error, ErrorKind, Result};
use tokio_postgres_rustls::MakeRustlsConnect;

pub(super) fn connector() -> Result<MakeRustlsConnect> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|source| Error::new(ErrorKind::Config, "open").with("store", super::NAME).caused_by(source))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}
