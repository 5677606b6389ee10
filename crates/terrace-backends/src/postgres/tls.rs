//! TLS to the database, with the certificates the system trusts, or those in a file. Whether it is used, `sslmode` says.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use terrace_store::{Error, ErrorKind, Result};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::remote::certificates;

pub(super) fn connector(ca: Option<&Path>) -> Result<MakeRustlsConnect> {
    let mut roots = RootCertStore::empty();
    let trusted = match ca {
        None => rustls_native_certs::load_native_certs().certs,
        Some(path) => {
            let pem = certificates(super::NAME, path)?;
            CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok).collect()
        }
    };
    roots.add_parsable_certificates(trusted);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|source| Error::new(ErrorKind::Config, "open").with("store", super::NAME).caused_by(source))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}
