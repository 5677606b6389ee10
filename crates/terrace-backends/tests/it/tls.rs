//! TLS to every server: with the authority that signed its certificate it works, with another one, or without TLS where
//! the server wants it, it is refused in words and in time.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;
use terrace_store::{Error, ErrorKind, Store, StoreExt};

use crate::remote::key;

/// An authority, a certificate for the loopback that it signed, and an authority that did not.
pub(super) struct Authority {
    folder: TempDir,
}

impl Authority {
    pub(super) fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let write = |name: &str, text: String| std::fs::write(folder.path().join(name), text).unwrap();
        let authority = || {
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let key = KeyPair::generate().unwrap();
            (params.self_signed(&key).unwrap().pem(), Issuer::new(params, key))
        };
        let (ca, issuer) = authority();
        let key = KeyPair::generate().unwrap();
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let cert = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
        write("ca.pem", ca);
        write("stranger.pem", authority().0);
        write("cert.pem", cert.pem());
        write("key.pem", key.serialize_pem());
        let authority = Self { folder };
        authority.run("chmod", &["755", authority.folder.path().to_str().unwrap()]);
        authority.run("chmod", &["600", &authority.key()]);
        authority
    }

    fn run(&self, program: &str, arguments: &[&str]) -> bool {
        Command::new(program).args(arguments).status().is_ok_and(|status| status.success())
    }

    #[cfg(any(feature = "mysql", feature = "postgres"))]
    /// Gives the key to the user that a server runs as, if that is another one.
    pub(super) fn give_key_to(&self, user: &str) {
        self.run("chown", &[user, &self.key()]);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    #[cfg(any(feature = "mysql", feature = "redis"))]
    pub(super) fn ca(&self) -> String {
        self.text("ca.pem")
    }

    pub(super) fn cert(&self) -> String {
        self.text("cert.pem")
    }

    pub(super) fn key(&self) -> String {
        self.text("key.pem")
    }
}

/// Checks the stores that `open` opens in a server that speaks TLS only, with what to trust; `None`: without TLS.
pub(super) async fn is_checked(authority: &Authority, open: impl Fn(Option<&Path>) -> Arc<dyn Store>) {
    let store = open(Some(&authority.path("ca.pem")));
    let written = store.put_with(&key("a"), "1").await.unwrap();
    assert!(written.version().is_some());
    assert_eq!(store.get(&key("a")).await.unwrap().unwrap().value, "1");
    store.close().await.unwrap();
    let error = refused(open(Some(&authority.path("stranger.pem")))).await;
    assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
    assert!(error.to_string().contains("tls_ca") && !error.is_transient(), "{error:?}");
    let error = refused(open(None)).await;
    assert_ne!(error.kind(), ErrorKind::Unknown, "{error:?}");
}

async fn refused(store: Arc<dyn Store>) -> Error {
    let began = Instant::now();
    let error = store.put_with(&key("a"), "2").await.unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}: {error:?}", began.elapsed());
    println!("{}: {error}", store.name());
    error
}
