//! Whom the command believes, and why a server could not be reached, in words that say what to try.

use headwater_certs::{ClientTrust, StateDir};
use headwater_pubsub::net::DialError;
use quinn::{ConnectionError, TransportErrorCode};

use crate::args::ConnectArgs;
use crate::exit::{Exit, Failure};
use crate::target::Target;

/// What the flags say, else what fits the host: on this machine the local relay's key, elsewhere the system's authorities.
///
/// # Errors
/// The local relay's key is there and cannot be read.
pub fn choose(args: &ConnectArgs, target: &Target) -> Result<ClientTrust, Failure> {
    if args.insecure {
        tracing::warn!(
            "--insecure: any server is believed, so anybody on the way can read and change everything"
        );
        return Ok(ClientTrust::Insecure);
    }
    if !args.fingerprint.is_empty() {
        return Ok(ClientTrust::Pin(args.fingerprint.clone()));
    }
    if let Some(ca) = &args.ca {
        return Ok(ClientTrust::Ca(ca.clone()));
    }
    let state = match &args.state_dir {
        Some(path) => StateDir::existing(path),
        // Without a home there is no local relay to believe.
        None => StateDir::default_path().ok().and_then(StateDir::existing),
    };
    let host = target.url.host_str().unwrap_or_default();
    ClientTrust::for_host(host, state.as_ref()).map_err(|error| Failure::new(Exit::Connect, error))
}

/// A failed dial as a sentence.
#[must_use]
pub fn explain(error: &DialError, target: &Target) -> Failure {
    let place = target.place();
    let text = match error {
        DialError::Handshake(error) => handshake(error, &place, target),
        DialError::TimedOut(patience) => {
            no_answer(&place, target.port(), &format!("within {} s", patience.as_secs()))
        }
        DialError::Resolve { host, source } => {
            format!("cannot find the address of {host} ({source}); check the name and the network")
        }
        DialError::WebTransport(_) => format!(
            "{place} answers, but accepts no WebTransport session for MoQ there ({error}); check the port and the path"
        ),
        DialError::Version => {
            format!(
                "{place} speaks WebTransport, but no version of MoQ Transport in common (we speak draft-18)"
            )
        }
        other => format!("cannot connect to {place}: {other}"),
    };
    Failure::say(Exit::Connect, text)
}

fn no_answer(place: &str, port: u16, when: &str) -> String {
    format!(
        "no answer from {place} {when}; is the relay running there, and does UDP port {port} get through?"
    )
}

fn handshake(error: &ConnectionError, place: &str, target: &Target) -> String {
    match error {
        ConnectionError::TransportError(failed) => {
            tls(&failed.reason, place).unwrap_or_else(|| format!("cannot connect to {place}: {failed}"))
        }
        ConnectionError::TimedOut => no_answer(place, target.port(), "in time"),
        ConnectionError::ConnectionClosed(closed)
            if closed.error_code == TransportErrorCode::crypto(NO_PROTOCOL) =>
        {
            format!(
                "{place} answers, but does not speak {} there; check the port, or try the other scheme (moqt://, https://)",
                if target.url.scheme() == "moqt" {
                    "MoQ Transport draft-18 over raw QUIC"
                } else {
                    "HTTP/3"
                },
            )
        }
        ConnectionError::ConnectionClosed(closed) => format!("{place} refused the connection: {closed}"),
        ConnectionError::VersionMismatch => format!("{place} answers, but not in QUIC version 1"),
        other => format!("cannot connect to {place}: {other}"),
    }
}

/// The TLS alert no_application_protocol.
const NO_PROTOCOL: u8 = 120;

/// QUIC passes on the text of a certificate that was not believed, nothing else.
fn tls(reason: &str, place: &str) -> Option<String> {
    if let Some(mismatch) = reason
        .split_once("Other(OtherError(")
        .map(|(_, rest)| rest.trim_end_matches(')'))
    {
        return Some(format!("{place} is not believed: {mismatch} (--fingerprint)"));
    }
    let advice = "if it is your relay, pass the --fingerprint that it prints, or its authority with --ca";
    if reason.contains("UnknownIssuer") {
        return Some(format!(
            "the certificate of {place} is signed by nobody known here; {advice}"
        ));
    }
    if reason.contains("NotValidForName") {
        return Some(format!(
            "the certificate of {place} is for another name; dial it by that name, or {advice}"
        ));
    }
    reason
        .contains("invalid peer certificate")
        .then(|| format!("the certificate of {place} is not believed ({reason}); {advice}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_fingerprint_is_told_with_both_keys() {
        let reason = "invalid peer certificate: Other(OtherError(the server's key has the fingerprint aa, expected bb; it is \
                      another server, or it has a new key: ask its operator))";
        assert_eq!(
            tls(reason, "h:1").unwrap(),
            "h:1 is not believed: the server's key has the fingerprint aa, expected bb; it is another server, or it has \
             a new key: ask its operator (--fingerprint)"
        );
    }

    #[test]
    fn an_unknown_issuer_leads_to_the_fingerprint() {
        let text = tls("invalid peer certificate: UnknownIssuer", "h:1").unwrap();
        assert!(text.contains("--fingerprint") && text.contains("--ca"), "{text}");
        assert_eq!(tls("the cryptographic handshake failed: something", "h:1"), None);
    }

    #[test]
    fn silence_names_the_port() {
        let target = Target::parse("moqt://host:4444/x", None).unwrap();
        let failure = explain(&DialError::TimedOut(std::time::Duration::from_secs(5)), &target);
        assert_eq!(failure.exit(), Exit::Connect);
        let text = failure.to_string();
        assert!(
            text.contains("no answer from host:4444 within 5 s") && text.contains("UDP port 4444"),
            "{text}"
        );
    }

    #[test]
    fn flags_win_over_the_host_s_usual_trust() {
        let target = Target::parse("moqt://localhost:4443/x", None).unwrap();
        let none = ConnectArgs {
            state_dir: Some("/nonexistent/headwater".into()),
            ..ConnectArgs::default()
        };
        assert_eq!(choose(&none, &target).unwrap(), ClientTrust::System);
        let ca = ConnectArgs {
            ca: Some("x.pem".into()),
            ..none.clone()
        };
        assert_eq!(choose(&ca, &target).unwrap(), ClientTrust::Ca("x.pem".into()));
        let insecure = ConnectArgs {
            insecure: true,
            ..none
        };
        assert_eq!(choose(&insecure, &target).unwrap(), ClientTrust::Insecure);
    }

    #[test]
    fn the_local_relay_is_believed_on_this_machine_only() {
        let temp = tempfile::tempdir().unwrap();
        let dir = StateDir::create(temp.path()).unwrap();
        let key = headwater_certs::NodeKey::load_or_create(&dir).unwrap();
        let args = ConnectArgs {
            state_dir: Some(temp.path().into()),
            ..ConnectArgs::default()
        };
        let trust = |url| choose(&args, &Target::parse(url, None).unwrap()).unwrap();
        assert_eq!(
            trust("moqt://127.0.0.1:1/x"),
            ClientTrust::Pin(vec![key.fingerprint()])
        );
        assert_eq!(trust("moqt://example.com/x"), ClientTrust::System);
    }
}
