//! An independent client's conformance suite (`moq-test-client`, TAP 14) against our relay, and against a mesh of two whose nodes its
//! connections reach in turns.

use std::sync::atomic::Ordering;

use anyhow::{Context as _, Result, bail, ensure};
use headwater_tests::mesh::{Members, Net, Node};
use headwater_tests::split::Splitter;
use headwater_tests::{Home, Spawn, test_client};

/// How many cases the pinned version has.
const CASES: usize = 18;

/// Cases whose objects are datagrams, which nobody sends again when they are lost.
const LOSSY: [&str; 2] = ["moq-test-datagram", "moq-test-datagram-eog"];
/// How often such a case may be run alone before it counts as failed.
const TRIES: usize = 5;

/// The client's exit code, and its lines.
fn run(url: &str, more: &[&str]) -> Result<(i32, Vec<String>)> {
    let client = test_client();
    ensure!(
        client.exists(),
        "{} is missing; make test installs it",
        client.display()
    );
    let args = ["--relay", url, "--tls-disable-verify"];
    Spawn::new(&client, args.iter().chain(more)).finish()
}

/// The names of the cases that went so.
fn cases<'a>(lines: &'a [String], mark: &str) -> Vec<&'a str> {
    let results = lines.iter().map(|line| line.trim_start_matches("| "));
    results
        .filter(|line| line.starts_with(mark))
        .filter_map(|line| Some(line.split_once(" - ")?.1.trim()))
        .collect()
}

/// Runs them all at `url`; one of `repeated` may need another try. `told` gives what the relays printed, should one fail.
fn all_cases_pass(url: &str, repeated: &[&str], told: impl Fn() -> String) -> Result<()> {
    let (_, lines) = run(url, &[])?;
    let passed = cases(&lines, "ok ");
    let mut failed = cases(&lines, "not ok ");
    ensure!(passed.len() + failed.len() == CASES, "{}", lines.join("\n"));
    for case in repeated {
        for _ in 0..TRIES {
            if failed.contains(case) && run(url, &["-t", case])?.0 == 0 {
                failed.retain(|it| it != case);
            }
        }
    }
    if !failed.is_empty() {
        bail!("{failed:?} failed:\n{}\n\nrelay:\n{}", lines.join("\n"), told());
    }
    Ok(())
}

fn one_relay(scheme: &str) -> Result<()> {
    let home = Home::new()?;
    let relay = home.relay().start()?;
    let url = format!("{scheme}://{}/", relay.listen());
    all_cases_pass(&url, &[], || relay.process.lines().join("\n")).context(url)
}

#[test]
fn every_case_passes_over_raw_quic() -> Result<()> {
    one_relay("moqt")
}

#[test]
fn every_case_passes_over_webtransport() -> Result<()> {
    one_relay("https")
}

/// Each connection of a case reaches the other node than the one before it.
fn two_nodes(scheme: &str) -> Result<()> {
    let net = Net::new()?;
    let mut members = Members::new()?;
    let first = Node::start(&mut members, &[])?;
    let second = Node::start(&mut members, &[first.address()])?;
    second.relay()?.process.line("neighbour")?;
    let splitter = net.wait(Splitter::bind(vec![first.address(), second.address()]))?;
    let url = format!("{scheme}://{}/", splitter.local_addr()?);
    let clients = splitter.clients();
    net.spawn(async move {
        // Its end shows as silence, which the cases notice.
        let _broken = splitter.run().await;
    });
    let told = || {
        [&first, &second]
            .iter()
            .filter_map(|node| Some(node.relay().ok()?.process.lines().join("\n")))
            .collect::<Vec<_>>()
            .join("\n\nthe other:\n")
    };
    all_cases_pass(&url, &LOSSY, told).context(url)?;
    // Some cases have one connection, most have two.
    let clients = clients.load(Ordering::Relaxed);
    ensure!(clients > CASES, "only {clients} connections");
    for node in [&first, &second] {
        ensure!(node.carried()? > 0.0, "nothing went through one of the nodes");
    }
    Ok(())
}

#[test]
fn every_case_passes_over_raw_quic_with_its_ends_at_two_nodes() -> Result<()> {
    two_nodes("moqt")
}

#[test]
fn every_case_passes_over_webtransport_with_its_ends_at_two_nodes() -> Result<()> {
    two_nodes("https")
}
