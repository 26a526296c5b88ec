//! TLS settings of the servers of a node.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, ring};

use crate::Resolver;

/// The one TLS provider. Always handed over explicitly: a process-wide default would belong to whoever installs it first.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// TLS 1.3 for QUIC and for HTTPS: what `resolver` holds, no client certificates, `alpn` in order of preference.
/// Early data stays off: a replayed request must not reach a session.
///
/// # Panics
///
/// Never: the provider holds cipher suites of TLS 1.3.
pub fn server_config(resolver: Arc<Resolver>, alpn: &[&[u8]]) -> ServerConfig {
    #[expect(
        clippy::expect_used,
        reason = "ring's provider has TLS 1.3 cipher suites and key exchanges"
    )]
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("ring speaks TLS 1.3")
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    config
}
