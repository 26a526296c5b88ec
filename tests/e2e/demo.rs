//! The demo: a mesh of relays in one process that carries media, also while one of them falls silent.

use anyhow::{Context as _, Result};
use headwater_tests::Home;
use serde_json::{Value, json};

/// Runs the demo to its end, which must be a success; the reports of this type.
fn demo(args: &[&str], kind: &str) -> Result<Vec<Value>> {
    let home = Home::new()?;
    let always = ["demo", "--json", "--listen", "127.0.0.1:0"];
    let (code, lines) = home.moq(always.iter().chain(args)).finish()?;
    let told = lines.join("\n");
    assert_eq!(code, 0, "{told}");
    let reports = lines.iter().filter_map(|line| line.strip_prefix("| "));
    let reports: Vec<Value> = reports.map(serde_json::from_str).collect::<Result<_, _>>()?;
    Ok(reports
        .into_iter()
        .filter(|report| report["type"] == kind)
        .collect())
}

#[test]
fn one_relay_carries_media_without_loss() -> Result<()> {
    let summary = demo(&["--relays", "1", "--seconds", "4"], "summary")?;
    assert_eq!(summary.len(), 1);
    assert_eq!(
        (&summary[0]["lost"], &summary[0]["twice"]),
        (&json!(0), &json!(0))
    );
    Ok(())
}

#[test]
fn media_takes_the_short_way_through_three_relays() -> Result<()> {
    let seconds = demo(&["--relays", "3", "--seconds", "6"], "second")?;
    let last = seconds.last().context("six reports")?;
    assert_eq!(last["way"], json!([1, 2, 3]), "{seconds:?}");
    // Two links of 20 ms each.
    assert!(last["latency_p50_us"].as_u64() >= Some(40_000), "{last}");
    Ok(())
}

#[test]
fn a_silent_relay_costs_a_gap_and_no_object() -> Result<()> {
    let args = ["--relays", "5", "--kill", "--seconds", "12"];
    let summary = demo(&args, "summary")?;
    let summary = summary.first().context("a summary")?;
    let silenced = summary["silenced"].as_u64().context("a relay fell silent")?;
    assert!((2..=4).contains(&silenced), "{summary}");
    assert_eq!(
        (&summary["lost"], &summary["twice"]),
        (&json!(0), &json!(0)),
        "{summary}"
    );
    // Silence is noticed after 150 ms at the earliest, and everything goes on within seconds.
    let gap = summary["gap_us"].as_u64().context("a gap")?;
    assert!((50_000..3_000_000).contains(&gap), "{summary}");
    Ok(())
}

#[test]
fn what_cannot_be_shown_is_told_at_once() -> Result<()> {
    let home = Home::new()?;
    for (args, part) in [
        (&["demo", "--relays", "2", "--kill"][..], "3 relays"),
        (&["demo", "--kill", "--seconds", "5"], "--seconds 7"),
        (&["demo", "--delay", "2s"], "at most 1s"),
        (&["demo", "--delay", "long"], "--delay"),
    ] {
        let (code, lines) = home.moq(args).finish()?;
        assert_eq!(code, 2, "{lines:?}");
        assert!(lines.concat().contains(part), "{lines:?}");
    }
    Ok(())
}
