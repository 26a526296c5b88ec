//! Who may publish, and as whom.

use std::net::IpAddr;

use bytes::Bytes;
use headwater_pubsub::session::AuthToken;

use crate::{
    config::Config,
    hub::{Identity, Rights},
};

/// What is known of a peer before it says anything.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trust {
    pub(crate) address: IpAddr,
}

impl Trust {
    /// The identity and rights of a session, from its address and the tokens it showed.
    ///
    /// A publisher that comes back after a crash must find its namespaces open to it while its old session still waits
    /// to time out, so the identity is the token, or else the address, never the session.
    pub(crate) fn admit(self, config: &Config, tokens: &[AuthToken]) -> (Identity, Rights) {
        let address = self.address.to_canonical();
        if shows_token(config, tokens) {
            return (Identity(Bytes::from_static(b"token")), Rights::Publish);
        }
        let rights = if config.public || address.is_loopback() {
            Rights::Publish
        } else {
            Rights::Subscribe
        };
        let identity = if address.is_loopback() {
            "loopback".to_owned()
        } else {
            address.to_string()
        };
        (Identity(identity.into_bytes().into()), rights)
    }
}

/// Whether one of the tokens is the node's publish token.
pub(crate) fn shows_token(config: &Config, tokens: &[AuthToken]) -> bool {
    let Some(expected) = &config.publish_token else {
        return false;
    };
    tokens.iter().any(|token| expected.matches(&token.value))
}
