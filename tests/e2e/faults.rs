//! Relays that die, leave or change certificates, and subscribers that stop reading.

use std::io::{BufRead as _, BufReader};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use headwater_tests::media::{self, GROUP, H264_AAC};
use headwater_tests::{Home, Stdout};

const MIB: u64 = 1 << 20;

/// The unbroken runs of `whole` that `part` consists of, each as first item and length, if they are in order and apart.
fn runs(whole: &[String], part: &[String]) -> Result<Vec<(usize, usize)>> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    let mut next = 0;
    for hash in part {
        if whole.get(next) == Some(hash)
            && let Some((_first, length)) = runs.last_mut()
        {
            *length += 1;
        } else {
            let rest = whole.iter().skip(next).position(|other| other == hash);
            next += rest.with_context(|| format!("repeated, out of order or never sent, after {runs:?}"))?;
            runs.push((next, 1));
        }
        next += 1;
    }
    Ok(runs)
}

#[test]
fn a_killed_relay_that_comes_back_is_found_again_by_publisher_and_subscriber() -> Result<()> {
    let home = Home::new()?;
    let relay = home.relay().start()?;
    let clip = home.file("clip.mp4");
    media::encode(&H264_AAC, 30, &clip)?;
    let url = relay.url("live/cam");
    let subscriber = home.moq(["subscribe", &url, "-o", "result.mp4"]).start()?;
    subscriber.line("wait")?;
    let publisher = home.moq(["publish", "--json", &url, "clip.mp4"]).start()?;
    publisher.more_lines("\"groups\"", 3)?;
    let address = relay.crash()?;
    let relay = home.relay().listen(address).start()?;
    publisher.success()?;
    subscriber.success()?;
    drop(relay);
    let (sent, got) = (media::packets(&clip)?, media::packets(&home.file("result.mp4"))?);
    for (kind, sent, got) in [("video", &sent.0, &got.0), ("audio", &sent.1, &got.1)] {
        let runs = runs(sent, got).context(kind)?;
        let (first, length) = *runs.last().context("nothing arrived")?;
        ensure!(
            runs.first().is_some_and(|&(first, _)| first == 0),
            "{kind} does not begin at its beginning: {runs:?}"
        );
        ensure!(
            runs.len() <= 2,
            "{kind} has more holes than there were faults: {runs:?}"
        );
        ensure!(
            first + length == sent.len(),
            "{kind} does not come back: {runs:?} of {}",
            sent.len()
        );
        ensure!(
            kind != "video" || first % GROUP == 0,
            "resumed at frame {first}, which is no keyframe"
        );
    }
    Ok(())
}

#[test]
fn a_killed_publisher_that_comes_back_is_waited_for_and_carries_on_the_same_output() -> Result<()> {
    let home = Home::new()?;
    let relay = home.relay().start()?;
    let url = relay.url("room");
    let subscriber = home.subscribe_lines("log", &url, &[]).start()?;
    let mut sent = Vec::new();
    for life in 1..=2 {
        // Before the first life, and once the relay has found out that it is over.
        subscriber.more_lines("waiting for log", 1)?;
        let mut publisher = home.publish_lines("log", &url, &[])?;
        for number in 0..20 {
            let line = format!("life {life} line {number}.");
            publisher.say(&line)?;
            subscriber.line(&line)?;
            sent.push(line);
        }
        if life == 1 {
            publisher.process.kill()?;
        } else {
            publisher.end()?;
        }
    }
    subscriber.success()?;
    let lines = subscriber.lines();
    let got: Vec<&str> = lines.iter().filter_map(|line| line.strip_prefix("| ")).collect();
    assert_eq!(got, sent);
    drop(relay);
    Ok(())
}

#[test]
fn a_subscriber_that_stops_reading_costs_others_nothing_and_the_relay_little() -> Result<()> {
    const ROUND: u64 = 8 * MIB;
    const LINE: u64 = 16 * 1024;
    let filling = "x".repeat(LINE as usize);
    let home = Home::new()?;
    let bounds = ["cache.bytes=16MiB", "limits.lag_bytes=8MiB"];
    let relay = home
        .relay()
        .args(bounds.iter().flat_map(|setting| ["--set", setting]))
        .start()?;
    let url = relay.url("room");
    let mut publisher = home.publish_lines("log", &url, &["--json"])?;
    let subscribe = || {
        home.subscribe_lines("log", &url, &[])
            .stdout(Stdout::Pipe)
            .start()
    };
    let (mut reader, mut stalled) = (subscribe()?, subscribe()?);
    let mut read = BufReader::new(reader.take_stdout().context("a pipe was asked for")?);
    let mut unread = BufReader::new(stalled.take_stdout().context("a pipe was asked for")?);
    let mut line = String::new();
    publisher.say("begin")?;
    read.read_line(&mut line)?;
    unread.read_line(&mut line)?;
    assert_eq!(line, "begin\nbegin\n");
    let mut memory = Vec::new();
    for round in 0..10 {
        for batch in 0..ROUND / MIB {
            let text: Vec<String> = (0..MIB / LINE)
                .map(|number| format!("{round} {batch} {number} {filling}"))
                .collect();
            publisher.say(&text.join("\n"))?;
            for sent in &text {
                line.clear();
                read.read_line(&mut line)?;
                assert_eq!(line.trim_end(), sent, "after {memory:?}");
            }
        }
        memory.push(relay.process.memory()?);
        // A new group begins each second of the publisher's clock, which its progress follows.
        publisher.process.more_lines("\"groups\"", 1)?;
    }
    publisher.end()?;
    reader.success()?;
    let (early, late) = (memory.get(2).context("rounds")?, memory.last().context("rounds")?);
    assert!(
        late.saturating_sub(*early) < 4 * ROUND,
        "the relay grew: {memory:?}"
    );
    // It was cut off and waits for the track to come back; that is its own affair.
    assert!(stalled.is_running(), "{:?}", stalled.lines());
    Ok(())
}

#[test]
fn a_relay_that_is_told_to_stop_lets_its_sessions_leave_and_ends_well() -> Result<()> {
    let home = Home::new()?;
    let relay = home.relay().start()?;
    let url = relay.url("room");
    let mut publisher = home.publish_lines("chat", &url, &[])?;
    let subscriber = home.subscribe_lines("chat", &url, &[]).start()?;
    publisher.say("hello")?;
    subscriber.line("| hello")?;
    relay.process.signal("TERM")?;
    assert_eq!(relay.process.exit_within(Duration::from_secs(12))?, 0);
    assert!(
        publisher.process.is_running() && subscriber.is_running(),
        "both dial again until the relay is back"
    );
    // The next relay at that address gets both back.
    let relay = home.relay().listen(relay.listen()).start()?;
    publisher.say("again")?;
    subscriber.line("| again")?;
    publisher.end()?;
    subscriber.success()?;
    drop(relay);
    Ok(())
}

#[test]
fn a_second_signal_ends_a_relay_at_once() -> Result<()> {
    let home = Home::new()?;
    let relay = home
        .relay()
        .args(["--set", "drain=600s", "--set", "limits.idle_timeout=600s"])
        .start()?;
    let subscriber = home.moq(["subscribe", &relay.url("live/cam")]).start()?;
    subscriber.line("wait")?;
    // One that is frozen cannot leave when asked to.
    subscriber.signal("STOP")?;
    relay.process.signal("TERM")?;
    relay.process.line("draining")?;
    relay.process.signal("TERM")?;
    relay.process.exit_within(Duration::from_secs(5))?;
    Ok(())
}

fn write_certificate(home: &Home, name: &str) -> Result<()> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()])?;
    std::fs::write(home.file(&format!("{name}.pem")), made.cert.pem())?;
    std::fs::write(
        home.file(&format!("{name}.key")),
        made.signing_key.serialize_pem(),
    )?;
    Ok(())
}

fn put(home: &Home, name: &str) -> Result<()> {
    for end in ["key", "pem"] {
        std::fs::copy(home.file(&format!("{name}.{end}")), home.file("new"))?;
        std::fs::rename(home.file("new"), home.file(&format!("in-use.{end}")))?;
    }
    Ok(())
}

#[test]
fn certificate_files_are_replaced_under_living_sessions() -> Result<()> {
    let home = Home::new()?;
    for name in ["old", "next"] {
        write_certificate(&home, name)?;
    }
    put(&home, "old")?;
    let relay = home
        .relay()
        .args(["--cert", "in-use.pem", "--key", "in-use.key"])
        .start()?;
    let url = relay.url("room");
    let subscribe = |ca: &str| {
        home.subscribe_lines("chat", &url, &["--no-wait", "--ca", ca])
            .start()
    };
    let mut publisher = home.publish_lines("chat", &url, &["--ca", "old.pem"])?;
    publisher.process.line("publishing")?;
    let early = subscribe("old.pem")?;
    publisher.say("one")?;
    early.line("| one")?;
    put(&home, "next")?;
    relay.process.line("certificate files changed")?;
    let late = subscribe("next.pem")?;
    publisher.say("two")?;
    early.line("| two")?;
    publisher.say("three")?;
    early.line("| three")?;
    late.find("a line", |line| line.starts_with("| ").then_some(()))?;
    assert_eq!(
        subscribe("old.pem")?.exit()?,
        3,
        "the old certificate is no longer shown"
    );
    Ok(())
}
