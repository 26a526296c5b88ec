//! Relays that are let into a mesh by invite, and act as one relay from then on.

use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use headwater_certs::mesh::{Authority, Office, Rights, Terms};
use headwater_certs::{Fingerprint, NodeKey, StateDir};
use headwater_tests::{Home, Process, Relay, http};
use rcgen::PublicKeyData as _;

/// A setting is wrong.
const USAGE: i32 = 2;
/// Refused, or not there.
const REFUSED: i32 = 4;

/// The relay of a home that holds the authority of a new mesh.
fn founder(home: &Home) -> Result<Relay> {
    home.moq(["mesh", "create"]).output()?;
    home.relay().start()
}

/// An invite to the founder's mesh.
fn invite(home: &Home, founder: &Relay) -> Result<String> {
    let address = founder.listen().to_string();
    let line = home.moq(["mesh", "invite", "--address", &address]).output()?;
    Ok(line.trim().to_owned())
}

/// A relay that is let in.
fn join(home: &Home, invite: &str) -> Result<Relay> {
    home.relay().args(["--join", invite]).start()
}

/// How a relay ends that is not let in: its code and its only sentence.
fn refused(home: &Home, invite: &str) -> Result<(i32, String)> {
    let args = ["relay", "--admin", "off", "--listen", "127.0.0.1:0"];
    let (code, lines) = home.moq(args).env("HEADWATER_JOIN", invite).finish()?;
    let told: Vec<_> = lines.iter().filter(|line| line.starts_with("moq: ")).collect();
    anyhow::ensure!(told.len() == 1, "{lines:?}");
    Ok((code, told[0].clone()))
}

/// Whom a relay has counted as not let in.
fn refusals(relay: &Relay) -> Result<Vec<String>> {
    let page = http::get(relay.admin(), "/metrics")?;
    let lines = page.body.lines();
    Ok(lines
        .filter(|line| line.starts_with("moq_mesh_refusals_total"))
        .map(str::to_owned)
        .collect())
}

/// Publishes at one relay until a subscriber of another has read a line said after it came.
fn reads(at: &Home, from: &Relay, to: &Home, through: &Relay, room: &str) -> Result<Process> {
    let mut publisher = at.publish_lines("chat", &from.url(room), &[])?;
    let subscriber = to.subscribe_lines("chat", &through.url(room), &[]).start()?;
    publisher.say("hello")?;
    subscriber.line("| hello")?;
    publisher.say("bye")?;
    subscriber.line("| bye")?;
    publisher.end()?;
    subscriber.success()?;
    Ok(subscriber)
}

#[test]
fn a_relay_that_was_invited_carries_what_is_published_elsewhere_and_stays_a_member() -> Result<()> {
    let (here, there) = (Home::new()?, Home::new()?);
    let near = founder(&here)?;
    let line = invite(&here, &near)?;
    std::fs::write(there.file("invite"), format!("{line}\n"))?;
    let far = join(&there, "@invite")?;
    reads(&here, &near, &there, &far, "room/1")?;
    reads(&there, &far, &here, &near, "room/2")?;
    // The mesh outlives the process, the invite is not needed any more.
    std::fs::remove_file(there.file("invite"))?;
    far.process.signal("TERM")?;
    far.process.success()?;
    let far = there.relay().start()?;
    reads(&here, &near, &there, &far, "room/3")?;
    drop(far);
    let far = join(&there, "@invite")?;
    far.process.line("already")?;
    reads(&here, &near, &there, &far, "room/4")?;
    Ok(())
}

#[test]
fn named_peers_act_as_one_while_the_authority_is_away() -> Result<()> {
    let homes = [Home::new()?, Home::new()?, Home::new()?];
    let first = founder(&homes[0])?;
    let second = join(&homes[1], &invite(&homes[0], &first)?)?;
    let line = invite(&homes[0], &first)?;
    let peer = second.listen().to_string();
    let third = homes[2]
        .relay()
        .args(["--join", &line, "--peer", &peer, "--price", "5ms"])
        .start()?;
    first.crash()?;
    reads(&homes[1], &second, &homes[2], &third, "room/1")?;
    Ok(())
}

#[test]
fn an_invite_lets_one_node_in() -> Result<()> {
    let (here, there, elsewhere) = (Home::new()?, Home::new()?, Home::new()?);
    let near = founder(&here)?;
    let line = invite(&here, &near)?;
    let _far = join(&there, &line)?;
    let (code, told) = refused(&elsewhere, &line)?;
    assert_eq!(code, REFUSED, "{told}");
    assert!(told.contains("used by another node"), "{told}");
    assert_eq!(refusals(&near)?, ["moq_mesh_refusals_total{reason=\"used\"} 1"]);
    Ok(())
}

#[test]
fn an_invite_that_is_too_old_or_damaged_is_refused() -> Result<()> {
    let (here, there) = (Home::new()?, Home::new()?);
    let near = founder(&here)?;
    let dir = StateDir::existing(here.file("state/headwater")).context("the relay's state")?;
    let authority = Authority::load(&dir)?.context("an authority")?;
    let key = NodeKey::load(&dir)?.context("a key")?;
    let terms = Terms {
        office: Office {
            fingerprint: key.fingerprint(),
            addresses: vec![near.listen().to_string().parse()?],
        },
        valid: Duration::from_secs(60),
        rights: Rights::All,
    };
    let years_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let late = authority.invite(terms, years_ago)?.to_string();
    let (code, told) = refused(&there, &late)?;
    assert_eq!(code, REFUSED, "{told}");
    assert!(told.contains("has expired; ask for a new invite"), "{told}");
    assert_eq!(
        refusals(&near)?,
        ["moq_mesh_refusals_total{reason=\"expired\"} 1"]
    );
    let (code, told) = refused(&there, &late[..late.len() - 9])?;
    assert_eq!(code, USAGE, "{told}");
    assert!(told.contains("copy the whole line again"), "{told}");
    Ok(())
}

/// Certificate files of a public authority's kind: from an authority of its own, `ca.pem`; the fingerprint of their key.
fn certify(home: &Home) -> Result<Fingerprint> {
    let authority_key = rcgen::KeyPair::generate()?;
    let mut parameters = rcgen::CertificateParams::new(Vec::new())?;
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    std::fs::write(home.file("ca.pem"), parameters.self_signed(&authority_key)?.pem())?;
    let authority = rcgen::Issuer::new(parameters, authority_key);
    let key = rcgen::KeyPair::generate()?;
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let certificate = rcgen::CertificateParams::new(names)?.signed_by(&key, &authority)?;
    std::fs::write(home.file("cert.pem"), certificate.pem())?;
    std::fs::write(home.file("key.pem"), key.serialize_pem())?;
    Ok(Fingerprint::of_key(&key.subject_public_key_info().into()))
}

/// A relay of a home with certificate files.
fn certified(home: &Home, args: &[&str]) -> Result<Relay> {
    home.relay()
        .args(["--cert", "cert.pem", "--key", "key.pem"])
        .args(args)
        .start()
}

#[test]
fn relays_with_certificate_files_are_members_like_others() -> Result<()> {
    let homes = [Home::new()?, Home::new()?];
    let fingerprint = certify(&homes[0])?.to_string();
    certify(&homes[1])?;
    homes[0].moq(["mesh", "create"]).output()?;
    let near = certified(&homes[0], &[])?;
    let address = near.listen().to_string();
    let line = homes[0]
        .moq([
            "mesh",
            "invite",
            "--address",
            &address,
            "--fingerprint",
            &fingerprint,
        ])
        .output()?;
    let far = certified(&homes[1], &["--join", line.trim()])?;
    let reads = |from: &Relay, through: &Relay, [at, to]: [&Home; 2], room: &str| {
        let trust = ["--ca", "ca.pem"];
        let mut publisher = at.publish_lines("chat", &from.url(room), &trust)?;
        let subscriber = to.subscribe_lines("chat", &through.url(room), &trust).start()?;
        publisher.say("hello")?;
        subscriber.line("| hello")?;
        publisher.end()?;
        subscriber.success()
    };
    let [here, there] = &homes;
    reads(&near, &far, [here, there], "room/1")?;
    reads(&far, &near, [there, here], "room/2")?;
    // Neither needs anything but its state directory to find the other again.
    far.process.signal("TERM")?;
    far.process.success()?;
    let far = certified(there, &[])?;
    reads(&near, &far, [here, there], "room/3")
}
