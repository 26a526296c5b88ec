//! Publishers that are killed and started again while a subscriber writes an MP4.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use headwater_tests::media::{self, GROUP, H264_AAC};
use headwater_tests::{Home, Process, Relay, Stdout};

/// Exit code of a broadcast that changes its format where the output cannot.
const INPUT: i32 = 5;

fn publish(home: &Home, url: &str, clip: &str) -> Result<Process> {
    home.moq(["publish", "--json", url, clip]).start()
}

/// Publishes a clip and kills the publisher within its third group or after it.
fn publish_and_kill(home: &Home, url: &str, clip: &str) -> Result<()> {
    let publisher = publish(home, url, clip)?;
    publisher.find("groups", |line| {
        let progress: serde_json::Value = serde_json::from_str(line.strip_prefix("| ")?).ok()?;
        (progress["groups"].as_u64()? >= 6).then_some(())
    })?;
    publisher.kill()
}

/// Frames of a second life that may be missing: the relay subscribes when it learns of it, and a player begins with a keyframe.
const LATE: usize = 2 * GROUP;

/// Where in `clip` the end of `result` begins, which must reach to the clip's end: frame and audio packet.
fn resumed_at(clip: &Path, result: &Path) -> Result<(usize, usize)> {
    media::check_timeline(result)?;
    let (sent, got) = (media::packets(clip)?, media::packets(result)?);
    let resumed = |sent: &[String], got: &[String]| {
        (0..sent.len())
            .find(|&start| got.ends_with(sent.get(start..).unwrap_or_default()))
            .context("does not end with the end of the clip")
    };
    let frame = resumed(&sent.0, &got.0).context("video")?;
    ensure!(
        frame % GROUP == 0,
        "resumed at frame {frame}, which is no keyframe"
    );
    ensure!(frame <= LATE, "resumed at frame {frame}");
    let audio = resumed(&sent.1, &got.1).context("audio")?;
    ensure!(audio * 2 < sent.1.len(), "resumed at audio packet {audio}");
    Ok((frame, audio))
}

struct Stage {
    home: Home,
    relay: Relay,
}

impl Stage {
    fn new() -> Result<Self> {
        let home = Home::new()?;
        let relay = home.relay().start()?;
        media::encode(&H264_AAC, 5, &home.file("clip.mp4"))?;
        media::encode_sized(&H264_AAC, "192x144", 5, &home.file("other.mp4"))?;
        Ok(Self { home, relay })
    }
}

#[test]
fn a_publisher_that_starts_over_is_continued_in_the_same_mp4() -> Result<()> {
    let Stage { home, relay } = Stage::new()?;
    let url = relay.url("live/cam");
    let subscriber = home.moq(["subscribe", &url, "-o", "result.mp4"]).start()?;
    subscriber.line("wait")?;
    publish_and_kill(&home, &url, "clip.mp4")?;
    publish(&home, &url, "clip.mp4")?.success()?;
    subscriber.success()?;
    let (clip, result) = (home.file("clip.mp4"), home.file("result.mp4"));
    let (frame, _) = resumed_at(&clip, &result)?;
    let (sent, got) = (media::packets(&clip)?.0.len(), media::packets(&result)?.0.len());
    assert!(
        got > sent - frame + GROUP,
        "the first life is there, too: {got} frames"
    );
    assert!(!home.file("result-2.mp4").exists());
    Ok(())
}

#[test]
fn a_publisher_that_comes_back_in_another_size_is_continued_in_a_second_mp4() -> Result<()> {
    let Stage { home, relay } = Stage::new()?;
    let url = relay.url("live/cam");
    let subscriber = home.moq(["subscribe", &url, "-o", "result.mp4"]).start()?;
    subscriber.line("wait")?;
    publish_and_kill(&home, &url, "clip.mp4")?;
    publish(&home, &url, "other.mp4")?.success()?;
    subscriber.line("going on in result-2.mp4")?;
    subscriber.success()?;
    media::check_timeline(&home.file("result.mp4"))?;
    let (sent, got) = (
        media::packets(&home.file("clip.mp4"))?,
        media::packets(&home.file("result.mp4"))?,
    );
    assert!(media::position(&sent.0, &got.0)? < 60);
    assert!(got.0.len() > 30, "{} frames of the first life", got.0.len());
    let (other, second) = (home.file("other.mp4"), home.file("result-2.mp4"));
    let (frame, audio) = resumed_at(&other, &second)?;
    let (sent, got) = (media::packets(&other)?, media::packets(&second)?);
    assert_eq!(got.0.len(), sent.0.len() - frame, "nothing of the first life");
    assert_eq!(got.1.len(), sent.1.len() - audio, "nothing of the first life");
    Ok(())
}

#[test]
fn on_stdout_another_size_ends_the_mp4_with_a_word() -> Result<()> {
    let Stage { home, relay } = Stage::new()?;
    let url = relay.url("live/cam");
    let mut subscriber = home.moq(["subscribe", &url]).stdout(Stdout::Pipe).start()?;
    let mut pipe = subscriber.take_stdout().context("a pipe was asked for")?;
    let mut file = std::fs::File::create(home.file("piped.mp4"))?;
    let copying = std::thread::spawn(move || std::io::copy(&mut pipe, &mut file));
    subscriber.line("wait")?;
    publish_and_kill(&home, &url, "clip.mp4")?;
    let again = publish(&home, &url, "other.mp4")?;
    assert_eq!(subscriber.exit()?, INPUT, "{:?}", subscriber.lines());
    let told = subscriber.line("moq: ")?;
    assert!(
        told.contains("changed its format") && told.contains("--output"),
        "{told}"
    );
    copying.join().expect("no panic")?;
    media::check_timeline(&home.file("piped.mp4"))?;
    assert!(media::packets(&home.file("piped.mp4"))?.0.len() > 30);
    again.success()
}
