use std::time::{Duration, UNIX_EPOCH};

use rustls::{ClientConnection, Connection, ServerConnection};

use super::*;
use crate::{Certificate, Resolver, Validity, issue, server_config};

fn certificate(key: &NodeKey) -> Certificate {
    // Long past: a pinned key does not care, an authority does.
    let validity = Validity::starting(
        UNIX_EPOCH + Duration::from_secs(1_600_000_000),
        Duration::from_secs(3600),
    );
    issue(key, &[], validity).unwrap()
}

/// A handshake in memory; the client's verdict.
fn handshake(
    trust: &ClientTrust,
    key: &NodeKey,
    served: &Certificate,
) -> Result<ClientConnection, rustls::Error> {
    handshake_with("relay.example", trust, key, served)
}

fn handshake_with(
    name: &'static str,
    trust: &ClientTrust,
    key: &NodeKey,
    served: &Certificate,
) -> Result<ClientConnection, rustls::Error> {
    let resolver = Resolver::new(key.certified(served).unwrap());
    let alpn: [&[u8]; 1] = [b"moqt-18"];
    let server = ServerConnection::new(Arc::new(server_config(resolver, &alpn))).unwrap();
    let name = ServerName::try_from(name).unwrap();
    let config = client_config(trust, &alpn).unwrap();
    let mut client = Connection::Client(ClientConnection::new(Arc::new(config), name).unwrap());
    let mut server = Connection::Server(server);
    while client.is_handshaking() || server.is_handshaking() {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut wire.as_slice()).unwrap();
        server.process_new_packets().unwrap();
        wire.clear();
        server.write_tls(&mut wire).unwrap();
        client.read_tls(&mut wire.as_slice()).unwrap();
        client.process_new_packets()?;
    }
    match client {
        Connection::Client(client) => Ok(client),
        Connection::Server(_) => unreachable!("made as a client above"),
    }
}

#[test]
fn the_pinned_key_is_accepted_under_any_name() {
    let key = NodeKey::generate().unwrap();
    let other = NodeKey::generate().unwrap();
    let trust = ClientTrust::Pin(vec![other.fingerprint(), key.fingerprint()]);
    let client = handshake(&trust, &key, &certificate(&key)).unwrap();
    assert_eq!(client.alpn_protocol(), Some(b"moqt-18".as_slice()));
}

#[test]
fn another_key_is_refused_with_both_fingerprints() {
    let (key, other) = (NodeKey::generate().unwrap(), NodeKey::generate().unwrap());
    let trust = ClientTrust::Pin(vec![other.fingerprint()]);
    let error = handshake(&trust, &key, &certificate(&key)).unwrap_err();
    let mismatch = PinMismatch::in_error(&error).unwrap();
    assert_eq!(
        (mismatch.presented, mismatch.certificate_hash_pinned),
        (key.fingerprint(), false)
    );
    let text = mismatch.to_string();
    assert!(
        text.contains(&key.fingerprint().to_hex()) && text.contains(&other.fingerprint().to_hex()),
        "{text}"
    );
}

#[test]
fn the_hash_of_the_certificate_in_place_of_the_key_is_explained() {
    let key = NodeKey::generate().unwrap();
    let served = certificate(&key);
    let trust = ClientTrust::Pin(vec![served.hash().to_hex().parse().unwrap()]);
    let error = handshake(&trust, &key, &served).unwrap_err().to_string();
    assert!(error.contains("hash of its certificate"), "{error}");
}

#[test]
fn a_signature_by_another_key_is_refused_even_without_a_pin() {
    let (key, impostor) = (NodeKey::generate().unwrap(), NodeKey::generate().unwrap());
    let verifier = KeyVerifier {
        accepted: Accepted::Anybody,
        provider: provider(),
    };
    let forged = impostor.certified(&certificate(&impostor)).unwrap();
    let scheme = SignatureScheme::ECDSA_NISTP256_SHA256;
    let signature = forged
        .key
        .choose_scheme(&[scheme])
        .unwrap()
        .sign(b"transcript")
        .unwrap();
    // The wire form of the structure: scheme, length, signature.
    let mut wire = vec![4, 3, 0, u8::try_from(signature.len()).unwrap()];
    wire.extend(signature);
    let mut reader = rustls::internal::msgs::codec::Reader::init(&wire);
    let signed = <DigitallySignedStruct as rustls::internal::msgs::codec::Codec>::read(&mut reader).unwrap();
    assert!(
        verifier
            .verify_tls13_signature(b"transcript", certificate(&impostor).der(), &signed)
            .is_ok()
    );
    assert!(
        verifier
            .verify_tls13_signature(b"transcript", certificate(&key).der(), &signed)
            .is_err()
    );
}

#[test]
fn insecure_takes_anybody_and_an_authority_does_not() {
    let key = NodeKey::generate().unwrap();
    let served = certificate(&key);
    handshake(&ClientTrust::Insecure, &key, &served).unwrap();

    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("ca.pem");
    std::fs::write(&file, served.to_pem()).unwrap();
    let error = handshake(&ClientTrust::Ca(file), &key, &served).unwrap_err();
    assert!(matches!(error, rustls::Error::InvalidCertificate(_)), "{error}");
}

#[test]
fn a_relays_own_certificate_can_stand_as_its_authority() {
    #[expect(
        clippy::disallowed_methods,
        reason = "rustls compares dates with the real clock"
    )]
    let now = std::time::SystemTime::now();
    let key = NodeKey::generate().unwrap();
    let served = issue(&key, &[], Validity::starting(now, Duration::from_secs(3600))).unwrap();
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("ca.pem");
    std::fs::write(&file, served.to_pem()).unwrap();
    let trust = ClientTrust::Ca(file);
    handshake_with("localhost", &trust, &key, &served).unwrap();
    let error = handshake_with("relay.example", &trust, &key, &served)
        .unwrap_err()
        .to_string();
    assert!(error.contains("relay.example"), "{error}");
}

#[test]
fn a_missing_or_empty_authority_file_is_named() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("ca.pem");
    let error = client_config(&ClientTrust::Ca(file.clone()), &[]).unwrap_err();
    assert!(
        matches!(error, TrustError::Ca { .. }) && error.to_string().contains("ca.pem"),
        "{error}"
    );
    std::fs::write(&file, "nothing").unwrap();
    assert!(matches!(
        client_config(&ClientTrust::Ca(file), &[]),
        Err(TrustError::EmptyCa { .. })
    ));
}

#[test]
fn the_local_key_is_believed_only_for_this_machine() {
    let temp = tempfile::tempdir().unwrap();
    let dir = StateDir::create(temp.path()).unwrap();
    assert_eq!(
        ClientTrust::for_host("localhost", Some(&dir)).unwrap(),
        ClientTrust::System
    );
    let key = NodeKey::load_or_create(&dir).unwrap();
    let pin = ClientTrust::Pin(vec![key.fingerprint()]);
    assert_eq!(ClientTrust::for_host("[::1]", Some(&dir)).unwrap(), pin);
    assert_eq!(
        ClientTrust::for_host("relay.example", Some(&dir)).unwrap(),
        ClientTrust::System
    );
    assert_eq!(
        ClientTrust::for_host("localhost", None).unwrap(),
        ClientTrust::System
    );
    for host in [
        "localhost",
        "LOCALHOST.",
        "a.localhost",
        "127.0.0.1",
        "127.9.9.9",
        "::1",
        "::ffff:127.0.0.1",
    ] {
        assert!(is_loopback_host(host), "{host}");
    }
    for host in [
        "notlocalhost",
        "localhost.example",
        "128.0.0.1",
        "",
        "[::1",
        "0.0.0.0",
    ] {
        assert!(!is_loopback_host(host), "{host}");
    }
}
