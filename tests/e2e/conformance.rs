//! An independent client's conformance suite (`moq-test-client`, TAP 14) against our relay.

use anyhow::{Context as _, Result, bail, ensure};
use headwater_tests::{Home, Relay, Spawn, test_client};

/// How many cases the pinned version has.
const CASES: usize = 18;

fn all_cases_pass(relay: &Relay, url: &str) -> Result<()> {
    let client = test_client();
    ensure!(
        client.exists(),
        "{} is missing; make test installs it",
        client.display()
    );
    let (code, lines) = Spawn::new(&client, ["--relay", url, "--tls-disable-verify"]).finish()?;
    let results = |mark: &str| {
        lines
            .iter()
            .filter(|line| line.trim_start_matches("| ").starts_with(mark))
            .count()
    };
    let (passed, failed) = (results("ok "), results("not ok "));
    if (code, passed, failed) != (0, CASES, 0) {
        let relay = relay.process.lines().join("\n");
        bail!(
            "exit code {code}, {passed} passed, {failed} failed:\n{}\n\nrelay:\n{relay}",
            lines.join("\n")
        );
    }
    Ok(())
}

#[test]
fn every_case_passes_over_raw_quic() -> Result<()> {
    let home = Home::new()?;
    let relay = home.relay().start()?;
    all_cases_pass(&relay, &relay.url("")).context("moqt://")
}

#[test]
fn every_case_passes_over_webtransport() -> Result<()> {
    let home = Home::new()?;
    let relay = home.relay().start()?;
    all_cases_pass(&relay, &relay.web_url("")).context("https://")
}
