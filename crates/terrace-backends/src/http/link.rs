//! Calls: a request, its answer in time and in bounds, and what it means.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use rustls::pki_types::ServerName;
use serde_json::Value;
use terrace_store::{Error, ErrorKind, Result};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::config::{HttpConfig, refused};
use super::pool::{Connection, Pool};
use super::{NAME, error, parse, tls};
use crate::remote::{InRuntime, runtime};
use crate::url::{decode, without_password};
use crate::wire;

/// Where a `terrace serve` listens unless it is told otherwise.
const PORT: u16 = 7380;
/// The longest document that says why something was not done.
const LONGEST_REFUSAL: usize = 64 << 10;
/// An answer takes entries until it is full, and the last one may be as long as a message.
const LONGEST_ANSWER: usize = wire::FULL + wire::LONGEST;
/// What is set aside for an answer before any of it has come, at most.
const TRUST: u64 = 64 << 10;

/// What a call does, for its errors.
#[derive(Clone, Copy)]
pub(super) struct Intent {
    pub(super) operation: &'static str,
    pub(super) writes: bool,
}

pub(super) const fn reads(operation: &'static str) -> Intent {
    Intent { operation, writes: false }
}

pub(super) const fn writes(operation: &'static str) -> Intent {
    Intent { operation, writes: true }
}

pub(super) struct Link {
    runtime: Handle,
    pool: Pool,
    host: HeaderValue,
    authorization: Option<HeaderValue>,
    /// The path of the store.
    store: String,
    timeout: Duration,
    calls: Semaphore,
}

/// What is sent.
struct Call<'a> {
    method: Method,
    path: &'a str,
    /// Its type and bytes.
    body: Option<(&'static str, Bytes)>,
}

impl Link {
    /// Prepares the connections. Nothing is sent yet.
    pub(super) fn open(config: &HttpConfig) -> Result<Self> {
        let runtime = runtime(NAME)?;
        let place = Place::parse(&config.url)?;
        let tls = match place.secure {
            false => None,
            true => {
                let name = ServerName::try_from(place.host.clone())
                    .map_err(|source| refused("the host's name is none").caused_by(source))?;
                Some((tls::connector(config.tls_ca.as_deref())?, name))
            }
        };
        let header = |text: &str| {
            HeaderValue::from_str(text)
                .map_err(|source| refused("the URL has odd characters").caused_by(source))
        };
        let mut authorization = place.authorization.as_deref().map(header).transpose()?;
        if let Some(authorization) = &mut authorization {
            authorization.set_sensitive(true);
        }
        Ok(Self {
            runtime,
            host: header(&place.authority)?,
            authorization,
            store: format!("/v1/stores/{}", config.prefix),
            timeout: config.timeout,
            calls: Semaphore::new(config.connections),
            pool: Pool::new(place.host, place.port, tls),
        })
    }

    /// Lets go of the connections that wait for a call.
    pub(super) fn close(&self) {
        self.pool.clear();
    }

    /// A message, and the one that answers it.
    pub(super) async fn exchange(&self, intent: Intent, path: &str, message: Vec<u8>) -> Result<Bytes> {
        let body = Some((wire::MEDIA, Bytes::from(message)));
        self.call(intent, Call { method: Method::POST, path, body }, wire::MEDIA).await
    }

    /// A question that its path says all of.
    pub(super) async fn ask(&self, intent: Intent, path: &str) -> Result<Value> {
        let call = Call { method: Method::GET, path, body: None };
        parse(intent.operation, &self.call(intent, call, "application/json").await?)
    }

    /// An order in JSON.
    pub(super) async fn tell(&self, intent: Intent, path: &str, order: &Value) -> Result<Value> {
        let body = Some(("application/json", Bytes::from(order.to_string())));
        let call = Call { method: Method::POST, path, body };
        let answer = self.call(intent, call, "application/json").await?;
        parse(intent.operation, &answer).map_err(|source| doubtful(intent, source))
    }

    async fn call(&self, intent: Intent, call: Call<'_>, expected: &str) -> Result<Bytes> {
        let sent = AtomicBool::new(false);
        let work = async {
            // It is never closed.
            let _turn = self.calls.acquire().await;
            let (response, connection) = self.send(intent, &call, &sent).await?;
            let answer = read(intent, response, expected).await?;
            self.pool.keep(connection);
            Ok(answer)
        };
        let limit = self.timeout;
        let work = async { tokio::time::timeout(limit, work).await };
        match InRuntime::new(&self.runtime, work).await {
            Ok(answer) => answer,
            Err(_) => Err(error::late(intent, sent.load(Ordering::Relaxed), limit)),
        }
    }

    /// Sends a request, over a connection that was used before where there is one. Again if not a byte of it left, or if
    /// it only reads: then the server had ended that connection meanwhile.
    async fn send(
        &self,
        intent: Intent,
        call: &Call<'_>,
        sent: &AtomicBool,
    ) -> Result<(Response<Incoming>, Connection)> {
        loop {
            let used = self.pool.used().await;
            let again = used.is_some();
            let mut connection = match used {
                Some(connection) => connection,
                None => self.pool.connect().await.map_err(|source| error::network(intent, false, source))?,
            };
            let request = self.request(intent, call)?;
            sent.store(true, Ordering::Relaxed);
            match connection.try_send_request(request).await {
                Ok(response) => return Ok((response, connection)),
                Err(mut failed) => {
                    let left = failed.take_message().is_none();
                    sent.store(left, Ordering::Relaxed);
                    if again && !(left && intent.writes) {
                        continue;
                    }
                    return Err(error::network(intent, left, failed.into_error()));
                }
            }
        }
    }

    fn request(&self, intent: Intent, call: &Call<'_>) -> Result<Request<Full<Bytes>>> {
        let mut request = Request::builder()
            .method(call.method.clone())
            .uri(format!("{}{}", self.store, call.path))
            .header(HOST, self.host.clone());
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        if let Some((kind, _)) = call.body {
            request = request.header(CONTENT_TYPE, kind);
        }
        let body = call.body.as_ref().map(|(_, body)| body.clone()).unwrap_or_default();
        request.body(Full::new(body)).map_err(|source| {
            let error = Error::new(ErrorKind::Invalid, intent.operation).with("store", NAME);
            error.because("it makes no request").caused_by(source)
        })
    }

    /// Opens a stream of events, on a connection of its own, which has to be kept as long as the stream.
    pub(super) async fn stream(&self, intent: Intent, path: &str) -> Result<(Incoming, Connection)> {
        let limit = self.timeout;
        let work = async {
            let call = Call { method: Method::GET, path, body: None };
            let mut connection =
                self.pool.connect().await.map_err(|source| error::network(intent, false, source))?;
            let response = connection
                .send_request(self.request(intent, &call)?)
                .await
                .map_err(|source| error::network(intent, true, source))?;
            if !is(&response, "text/event-stream") || response.status() != StatusCode::OK {
                // Its body says why; an answer of another kind is refused there.
                return Err(match read(intent, response, "none").await {
                    Err(error) => error,
                    Ok(_) => error::nonsense(intent.operation),
                });
            }
            Ok((response.into_body(), connection))
        };
        let work = async { tokio::time::timeout(limit, work).await };
        InRuntime::new(&self.runtime, work).await.unwrap_or_else(|_| Err(error::late(intent, true, limit)))
    }
}

/// Of a write that was answered with what is no answer it is not known what became of it.
fn doubtful(intent: Intent, source: Error) -> Error {
    if intent.writes { error::unknown(intent.operation).caused_by(source) } else { source }
}

fn is(response: &Response<Incoming>, media: &str) -> bool {
    let kind = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(media)
}

/// The body of an answer of this type, or why there is none.
async fn read(intent: Intent, response: Response<Incoming>, expected: &str) -> Result<Bytes> {
    let status = response.status();
    if status == StatusCode::OK && is(&response, expected) {
        return collect(intent, response.into_body(), LONGEST_ANSWER).await;
    }
    if status.is_success() {
        return Err(doubtful(intent, error::nonsense(intent.operation)));
    }
    let document = match is(&response, "application/problem+json") {
        false => None,
        true => {
            let body = collect(intent, response.into_body(), LONGEST_REFUSAL).await?;
            serde_json::from_slice::<Value>(&body).ok()
        }
    };
    Err(error::refused(intent, status, document.as_ref()))
}

async fn collect(intent: Intent, mut body: Incoming, limit: usize) -> Result<Bytes> {
    let announced = body.size_hint().lower();
    if announced > limit as u64 {
        return Err(error::endless(intent, limit));
    }
    let mut whole = Vec::with_capacity(announced.min(TRUST) as usize);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|source| error::network(intent, true, source))?;
        let Ok(data) = frame.into_data() else { continue };
        if whole.len() + data.len() > limit {
            return Err(error::endless(intent, limit));
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.into())
}

/// What a URL says of a server.
struct Place {
    secure: bool,
    host: String,
    port: u16,
    /// As in the header `Host`.
    authority: String,
    /// As in the header `Authorization`.
    authorization: Option<String>,
}

impl Place {
    fn parse(url: &str) -> Result<Self> {
        let wrong = || {
            let url = without_password(url);
            refused(&format!(
                "`{url}` does not say where a server is: http://[[user]:password@]host[:port], or https://"
            ))
        };
        let (scheme, rest) = url.split_once("://").ok_or_else(wrong)?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (user, authority) = match rest.rsplit_once('@') {
            Some((user, authority)) => (Some(user), authority),
            None => (None, rest),
        };
        if authority.is_empty() || authority.contains(['/', '#', ' ']) {
            return Err(wrong());
        }
        let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, port)) => (host, port.strip_prefix(':')),
            None => match authority.rsplit_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        let port = port.map(|port| port.parse().map_err(|_| wrong())).transpose()?.unwrap_or(PORT);
        if host.is_empty() {
            return Err(wrong());
        }
        Ok(Self {
            secure: scheme == "https",
            host: host.to_owned(),
            port,
            authority: authority.to_owned(),
            authorization: user.map(authorization).transpose()?,
        })
    }
}

/// `user:password` as Basic; a password alone as Bearer.
fn authorization(user: &str) -> Result<String> {
    let (user, password) = user.split_once(':').unwrap_or(("", user));
    let (user, password) = (decode(user)?, decode(password)?);
    Ok(match user.is_empty() {
        true => format!("Bearer {password}"),
        false => format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_where_the_server_is_and_who_asks() {
        for (url, host, port, authorization) in [
            ("http://h", "h", PORT, None),
            ("http://h:80/", "h", 80, None),
            ("https://[::1]:443", "::1", 443, None),
            ("http://:s%3Acret@h", "h", PORT, Some("Bearer s:cret")),
            ("http://default:secret@h", "h", PORT, Some("Basic ZGVmYXVsdDpzZWNyZXQ=")),
        ] {
            let place = Place::parse(url).unwrap();
            assert_eq!((place.host.as_str(), place.port), (host, port), "{url}");
            assert_eq!(place.authorization.as_deref(), authorization, "{url}");
        }
        for url in ["http:h", "http://", "http://h:port", "http://h/path", "http://:secret@"] {
            let error = Place::parse(url).err().unwrap();
            assert!(
                error.kind() == ErrorKind::Config && !error.to_string().contains("secret"),
                "{url}: {error}"
            );
        }
    }
}
