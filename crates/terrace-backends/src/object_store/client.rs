//! Who asks a bucket: TLS with the certificates that the system trusts, and no request sent twice, so that of a write it
//! is always known whether it may have been applied.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3, AmazonS3Builder, S3ConditionalPut};
use object_store::client::{HttpClient, HttpConnector};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ClientOptions, ObjectStore, RetryConfig};
use terrace_store::{Error, ErrorKind, Result};

use super::NAME;
use super::config::{Bucket, ObjectStoreConfig, Place, refused};
use crate::url::Url;

/// A bucket, and the connections to it.
pub(super) struct S3 {
    pub(super) client: AmazonS3,
    /// For what the client has no words for.
    pub(super) http: reqwest::Client,
}

impl S3 {
    pub(super) fn open(bucket: &Bucket, timeout: Duration) -> Result<Self> {
        Self::with(bucket, timeout, 0)
    }

    fn with(bucket: &Bucket, timeout: Duration, max_retries: usize) -> Result<Self> {
        let http = connections(timeout)?;
        let plain = bucket.endpoint.as_deref().is_some_and(|endpoint| endpoint.starts_with("http://"));
        let retry = RetryConfig { max_retries, retry_timeout: timeout, ..RetryConfig::default() };
        let mut builder = AmazonS3Builder::from_env()
            .with_bucket_name(&bucket.name)
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            .with_retry(retry)
            .with_http_connector(Connections(http.clone()));
        if plain {
            builder = builder.with_allow_http(true);
        }
        if bucket.virtual_hosted_style {
            builder = builder.with_virtual_hosted_style_request(true);
        }
        if let Some(endpoint) = &bucket.endpoint {
            builder = builder.with_endpoint(endpoint.trim_end_matches('/'));
        }
        if let Some(region) = &bucket.region {
            builder = builder.with_region(region);
        }
        if let Some((key, secret)) = &bucket.access_key {
            builder = builder.with_access_key_id(key).with_secret_access_key(secret);
        }
        Ok(Self { client: builder.build().map_err(wrong)?, http })
    }
}

/// What the crate `object_store` offers for a bucket itself, with the same TLS as the stores here: to be cached, or used as
/// it is. A request is tried twice more where that is safe.
///
/// # Errors
/// `Config` for a bucket that makes no sense.
pub fn client(bucket: &Bucket, timeout: Duration) -> Result<Arc<dyn ObjectStore>> {
    Ok(Arc::new(S3::with(bucket, timeout, 2)?.client))
}

/// What a URL of a store names, as the crate `object_store` offers it itself, and the folder in it: for what is to lie there
/// as it is, such as backups. `s3:` and `object+file:`, with the options of the stores.
///
/// # Errors
/// `Config` for another scheme, a wrong option, or a folder that cannot be made.
pub fn objects(url: &str) -> Result<(Arc<dyn ObjectStore>, Path)> {
    let url = Url::parse(url)?;
    if !["s3", "object+file"].contains(&url.scheme()) {
        return Err(refused("objects that stay are named by `s3:` or `object+file:`"));
    }
    let config = ObjectStoreConfig::from_url(url)?;
    config.check()?;
    let objects: Arc<dyn ObjectStore> = match &config.place {
        Place::S3(bucket) => client(bucket, config.timeout)?,
        Place::File(path) => {
            std::fs::create_dir_all(path).map_err(wrong)?;
            Arc::new(LocalFileSystem::new_with_prefix(path).map_err(wrong)?.with_fsync(true))
        }
        Place::Memory => Arc::new(InMemory::new()),
    };
    Ok((objects, Path::from(config.prefix)))
}

fn wrong(source: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Config, "open").with("store", NAME).caused_by(source)
}

fn connections(timeout: Duration) -> Result<reqwest::Client> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(wrong)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .connect_timeout(timeout)
        .timeout(timeout)
        // One that was idle for long may have been cut by something on the way.
        .pool_idle_timeout(Duration::from_secs(30))
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never());
    client.build().map_err(wrong)
}

/// The same connections for all that the client asks.
#[derive(Debug)]
struct Connections(reqwest::Client);

impl HttpConnector for Connections {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.0.clone()))
    }
}
