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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    fn admit(config: &Config, address: &str, tokens: &[&'static str]) -> (Identity, Rights) {
        let trust = Trust {
            address: address.parse().expect("an address"),
        };
        let tokens: Vec<_> = tokens
            .iter()
            .map(|token| AuthToken {
                kind: 0,
                value: Bytes::from_static(token.as_bytes()),
            })
            .collect();
        trust.admit(config, &tokens)
    }

    fn with_token() -> Config {
        Config {
            publish_token: Some(Secret::from("the right one".to_owned())),
            ..Config::default()
        }
    }

    #[test]
    fn this_machine_publishes_and_others_subscribe() {
        let config = Config::default();
        for near in ["127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(admit(&config, near, &[]).1, Rights::Publish, "{near}");
        }
        for far in ["192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1", "0.0.0.0"] {
            assert_eq!(admit(&config, far, &[]).1, Rights::Subscribe, "{far}");
        }
    }

    #[test]
    fn everybody_publishes_on_a_public_node() {
        let config = Config {
            public: true,
            ..Config::default()
        };
        assert_eq!(admit(&config, "192.0.2.1", &[]).1, Rights::Publish);
    }

    #[test]
    fn only_the_right_token_lets_a_stranger_publish() {
        let config = with_token();
        let far = "192.0.2.1";
        assert_eq!(admit(&config, far, &["the right one"]).1, Rights::Publish);
        assert_eq!(
            admit(&config, far, &["wrong", "the right one"]).1,
            Rights::Publish
        );
        for wrong in [
            [].as_slice(),
            &[""],
            &["the wrong one"],
            &["the right on"],
            &["the right one "],
        ] {
            assert_eq!(admit(&config, far, wrong).1, Rights::Subscribe, "{wrong:?}");
        }
        assert_eq!(
            admit(&Config::default(), far, &["the right one"]).1,
            Rights::Subscribe,
            "a token for a node that has none"
        );
    }

    #[test]
    fn who_comes_back_is_the_same_and_others_are_not() {
        let config = with_token();
        let who = |address, tokens: &[&'static str]| admit(&config, address, tokens).0;
        assert_eq!(who("192.0.2.1", &[]), who("::ffff:192.0.2.1", &[]));
        assert_ne!(who("192.0.2.1", &[]), who("192.0.2.2", &[]));
        assert_eq!(
            who("127.0.0.1", &[]),
            who("::1", &[]),
            "this machine, however it is named"
        );
        let bearer = who("192.0.2.1", &["the right one"]);
        assert_eq!(
            bearer,
            who("192.0.2.2", &["the right one"]),
            "the token, from anywhere"
        );
        assert_ne!(bearer, who("192.0.2.1", &[]));
        assert_ne!(bearer, who("127.0.0.1", &[]));
    }
}
