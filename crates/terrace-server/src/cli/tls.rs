//! The client's side of TLS: it trusts the certificates in the file it was given, and nothing else.
//!
//! Decision: a certificate in that file is trusted as an authority, and also as the certificate of the server itself.
//! The second matters for those that `openssl req -x509` makes, which say of themselves that they are authorities:
//! the rules of the web forbid a server to use one, so the library refuses it even where exactly this certificate
//! was given as trusted, which curl and others accept. Accepted is the same certificate byte for byte, if its time is
//! not over, with a name that fits and a proof that the server holds its key.

use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, RootCertStore,
    SignatureScheme, StreamOwned,
};

use super::client::broken;
use crate::exit::{Exit, Failure};

/// How a certificate is made that this client, and any other, accepts.
const RECIPE: &str = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365 \
                      -keyout key.pem -out cert.pem -subj /CN=terrace -addext subjectAltName=";

/// Speaks TLS over this connection to a server of this name or address.
///
/// # Errors
/// `Usage` if the file holds no certificates, `Unreachable` if the server is not whom they vouch for.
pub(super) fn encrypt(
    mut stream: TcpStream,
    host: &str,
    trusted: &Path,
    timeout: u64,
) -> Result<StreamOwned<ClientConnection, TcpStream>, Failure> {
    let refused = |error: &dyn std::fmt::Display| {
        Failure::new(Exit::Usage, format!("--tls-ca {}: {error}", trusted.display()))
    };
    let given = certificates(trusted).map_err(|error| refused(&error))?;
    if given.is_empty() {
        return Err(refused(&"there is no certificate in it (PEM)"));
    }
    let name = ServerName::try_from(host.to_owned()).map_err(|error| refused(&error))?;
    let config = config(given).map_err(|error| refused(&error))?;
    let mut session = ClientConnection::new(Arc::new(config), name).map_err(|error| refused(&error))?;
    while session.is_handshaking() {
        session.complete_io(&mut stream).map_err(|error| explain(&error, host, timeout))?;
    }
    Ok(StreamOwned::new(session, stream))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, rustls::pki_types::pem::Error> {
    CertificateDer::pem_file_iter(file)?.collect()
}

fn config(given: Vec<CertificateDer<'static>>) -> Result<ClientConfig, String> {
    let said = |error: &dyn std::fmt::Display| error.to_string();
    let mut roots = RootCertStore::empty();
    for certificate in &given {
        roots.add(certificate.clone()).map_err(|error| said(&error))?;
    }
    let provider = Arc::new(ring::default_provider());
    let authorities =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build();
    let trust = Trust { authorities: authorities.map_err(|error| said(&error))?, given };
    let config = ClientConfig::builder_with_provider(Arc::<CryptoProvider>::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| said(&error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(trust))
        .with_no_client_auth();
    Ok(config)
}

/// Who is trusted.
#[derive(Debug)]
struct Trust {
    authorities: Arc<WebPkiServerVerifier>,
    given: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        stapled: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.authorities.verify_server_cert(own, others, name, stapled, now) {
            // The check of its time comes before this one.
            Err(error) if is_authority(&error) && self.given.iter().any(|given| given == own) => {
                verify_server_name(&ParsedCertificate::try_from(own)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authorities.verify_tls12_signature(message, own, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authorities.verify_tls13_signature(message, own, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.authorities.supported_verify_schemes()
    }
}

/// Whether a certificate was refused only for being that of an authority.
fn is_authority(error: &Error) -> bool {
    let Error::InvalidCertificate(CertificateError::Other(other)) = error else { return false };
    other.0.downcast_ref() == Some(&webpki::Error::CaUsedAsEndEntity)
}

/// An error of the handshake, in words that say what to do.
fn explain(error: &std::io::Error, host: &str, timeout: u64) -> Failure {
    let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
        return broken(error, timeout);
    };
    let kind = if host.parse::<std::net::IpAddr>().is_ok() { "IP" } else { "DNS" };
    if is_authority(tls) {
        let reason = "its certificate is an authority's, and not one of those that --tls-ca holds";
        return Failure::new(Exit::Unreachable, format!("no TLS with {host}: {reason}"));
    }
    let advice = match tls {
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => format!(
            "; ask for the server under a name of the certificate (--host), or make one for this name: \
             {RECIPE}{kind}:{host}"
        ),
        Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            "; give --tls-ca the server's own certificate, or that of the authority that signed it".into()
        }
        Error::InvalidMessage(_) => "; does the server speak TLS on this port?".into(),
        _ => String::new(),
    };
    Failure::new(Exit::Unreachable, format!("no TLS with {host}: {tls}{advice}"))
}
