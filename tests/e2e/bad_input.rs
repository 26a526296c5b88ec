//! What goes wrong is told in one sentence with its cause, and by the exit code of `moq --help`.

use std::io::{Read as _, Write as _};
use std::net::UdpSocket;
use std::process::Stdio;

use anyhow::{Context as _, Result};
use headwater_tests::media::{self, H264_AAC};
use headwater_tests::{Home, Spawn};

/// Failed in a way without a code of its own.
const FAILURE: i32 = 1;
/// The command line is wrong.
const USAGE: i32 = 2;
/// Cannot connect, or the server is not trusted.
const CONNECT: i32 = 3;
/// Refused, or not there.
const REFUSED: i32 = 4;
/// The input is unusable.
const INPUT: i32 = 5;

/// Runs to the end, which must be `code`, told by one line of `moq` with all of `parts` in it.
fn fails(spawn: Spawn, code: i32, parts: &[&str]) -> Result<()> {
    let (got, lines) = spawn.finish()?;
    let text = lines.join("\n");
    let told: Vec<&String> = lines.iter().filter(|line| line.starts_with("moq: ")).collect();
    assert_eq!((got, told.len()), (code, 1), "{text}");
    for part in parts {
        assert!(
            told.iter().any(|line| line.to_lowercase().contains(part)),
            "no \"{part}\" in: {text}"
        );
    }
    assert!(!text.contains("panicked"), "{text}");
    Ok(())
}

#[test]
fn a_port_in_use() -> Result<()> {
    let home = Home::new()?;
    let relay = home.relay().start()?;
    let other = Home::new()?;
    let address = relay.listen().to_string();
    fails(
        other.moq(["relay", "--admin", "off", "--listen", &address]),
        FAILURE,
        &["in use", &address],
    )
}

#[test]
fn a_state_directory_that_cannot_be_made() -> Result<()> {
    let home = Home::new()?;
    std::fs::write(home.file("file"), "")?;
    let args = [
        "relay",
        "--admin",
        "off",
        "--listen",
        "127.0.0.1:0",
        "--state-dir",
        "file/state",
    ];
    fails(home.moq(args), FAILURE, &["file/state", "--state-dir"])
}

#[test]
fn a_server_that_holds_another_key() -> Result<()> {
    let home = Home::new()?;
    let relay = home.relay().start()?;
    let wrong = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    for url in [relay.url("live/cam"), relay.web_url("live/cam")] {
        fails(
            home.moq(["subscribe", "--fingerprint", wrong, &url]),
            CONNECT,
            &["fingerprint"],
        )?;
    }
    Ok(())
}

#[test]
fn a_relay_of_another_machine_is_not_believed_unasked() -> Result<()> {
    let (home, other) = (Home::new()?, Home::new()?);
    let relay = home.relay().start()?;
    fails(
        other.moq(["subscribe", &relay.url("live/cam")]),
        CONNECT,
        &["--fingerprint"],
    )
}

#[test]
fn nobody_there() -> Result<()> {
    let home = Home::new()?;
    // A bound socket that never answers keeps the port from being anybody else's.
    let silent = UdpSocket::bind("127.0.0.1:0")?;
    let place = silent.local_addr()?.to_string();
    fails(
        home.moq(["publish", "--insecure", &format!("moqt://{place}/live/cam")]),
        CONNECT,
        &[&place],
    )
}

#[test]
fn a_name_that_no_machine_has() -> Result<()> {
    let home = Home::new()?;
    fails(
        home.moq(["list", "--insecure", "moqt://relay.invalid/live"]),
        CONNECT,
        &["relay.invalid"],
    )
}

#[test]
fn an_address_of_another_kind() -> Result<()> {
    let home = Home::new()?;
    fails(
        home.moq(["subscribe", "rtmp://localhost/live"]),
        USAGE,
        &["moqt://"],
    )
}

#[test]
fn a_broadcast_that_is_not_there() -> Result<()> {
    let home = Home::new()?;
    let relay = home.relay().start()?;
    fails(
        home.moq(["subscribe", "--no-wait", &relay.url("live/cam")]),
        REFUSED,
        &["live/cam"],
    )
}

#[test]
fn a_file_that_is_no_mp4_and_one_that_is_not_there() -> Result<()> {
    let home = Home::new()?;
    let relay = home.relay().start()?;
    std::fs::write(
        home.file("notes.txt"),
        "These are notes and no media at all.\n".repeat(50),
    )?;
    fails(
        home.moq(["publish", &relay.url("live/cam"), "notes.txt"]),
        INPUT,
        &["notes.txt", "mp4"],
    )?;
    fails(
        home.moq(["publish", &relay.url("live/cam"), "gone.mp4"]),
        INPUT,
        &["gone.mp4"],
    )
}

#[test]
fn a_pipe_that_ends_in_the_middle_delivers_what_was_whole() -> Result<()> {
    let home = Home::new()?;
    let relay = home.relay().start()?;
    let clip = home.file("clip.mp4");
    media::encode(&H264_AAC, 3, &clip)?;
    let url = relay.url("live/cam");
    let subscriber = home.moq(["subscribe", &url, "-o", "result.mp4"]).start()?;
    subscriber.line("wait")?;
    let (_camera, mut pipe) = media::live(&clip)?;
    let mut bytes = Vec::new();
    pipe.read_to_end(&mut bytes)?;
    bytes.truncate(bytes.len() * 2 / 3);
    let mut publisher = home.moq(["publish", &url, "-"]).stdin(Stdio::piped()).start()?;
    publisher
        .take_stdin()
        .context("a pipe was asked for")?
        .write_all(&bytes)?;
    assert_eq!(publisher.exit()?, INPUT, "{:?}", publisher.lines());
    publisher.line("moq: ")?;
    subscriber.exit()?;
    let (sent, got) = (media::packets(&clip)?, media::packets(&home.file("result.mp4"))?);
    // All came at once, so the subscriber may have begun with the newest group.
    let end = media::position(&sent.0, &got.0)? + got.0.len();
    assert!(
        end * 2 > sent.0.len(),
        "ends with frame {end} of {}",
        sent.0.len()
    );
    Ok(())
}

#[test]
fn a_full_disk() -> Result<()> {
    let home = Home::new()?;
    let relay = home.relay().start()?;
    let url = relay.url("room");
    let mut publisher = home.publish_lines("chat", &url, &[])?;
    publisher.process.line("publishing")?;
    publisher.say("hello")?;
    // The device takes a file's place and has never room.
    fails(
        home.subscribe_lines("chat", &url, &["-o", "/dev/full"]),
        FAILURE,
        &["/dev/full", "no space left"],
    )
}

#[test]
fn a_full_disk_under_media() -> Result<()> {
    let home = Home::new()?;
    let relay = home.relay().start()?;
    let clip = home.file("clip.mp4");
    media::encode(&H264_AAC, 3, &clip)?;
    let url = relay.url("live/cam");
    let publisher = home.moq(["publish", "--loop", &url, "clip.mp4"]).start()?;
    publisher.line("publishing")?;
    fails(
        home.moq(["subscribe", &url, "-o", "/dev/full"]),
        FAILURE,
        &["/dev/full", "no space left"],
    )?;
    assert!(publisher.is_running(), "{:?}", publisher.lines());
    Ok(())
}
