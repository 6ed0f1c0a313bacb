//! TLS settings. The crypto provider is handed over explicitly: rustls would panic on the first `wss://`
//! if it had to guess one.

mod ca_file;

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};

use super::failure::ConnectError;

pub use ca_file::{CaFileError, CaFileProblem, ExtraRoots};

/// The system's root certificates; where there are none (a scratch image), Mozilla's, compiled in.
///
/// # Errors
/// [`ConnectError::TlsSetup`] if the provider refuses the protocol versions.
pub fn client_config() -> Result<Arc<ClientConfig>, ConnectError> {
    client_config_trusting(&ExtraRoots::default())
}

/// The same, with more roots.
///
/// # Errors
/// [`ConnectError::TlsSetup`] if the provider refuses the protocol versions.
pub fn client_config_trusting(extra: &ExtraRoots) -> Result<Arc<ClientConfig>, ConnectError> {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    let (usable, _ignored) = roots.add_parsable_certificates(native.certs);
    if usable == 0 {
        tracing::warn!(
            event = "no_system_roots",
            "no root certificates found on this system; using the built-in ones"
        );
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots.extend(extra.anchors());
    client_config_with(roots)
}

/// TLS settings that trust exactly these roots.
///
/// # Errors
/// [`ConnectError::TlsSetup`] if the provider refuses the protocol versions.
pub fn client_config_with(roots: RootCertStore) -> Result<Arc<ClientConfig>, ConnectError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| ConnectError::TlsSetup(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
