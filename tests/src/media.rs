//! Test media made by ffmpeg, and what of it arrived.
//!
//! Streams are compared packet by packet through `-f framehash`: the hash of each packet's bytes, without timestamps and
//! without side data, which ffmpeg's MP4 reader adds to files with edit lists only.

use std::ffi::OsStr;
use std::path::Path;
use std::process::ChildStdout;

use anyhow::{Context as _, Result, ensure};

use crate::process::{Process, Spawn, Stdout};

/// Frames per second of all test media.
pub const FRAME_RATE: usize = 30;
/// Frames per group of pictures: a keyframe every second.
pub const GROUP: usize = 30;

/// What to encode with.
#[derive(Debug)]
pub struct Codecs {
    /// For messages.
    pub name: &'static str,
    video: &'static [&'static str],
    audio: &'static [&'static str],
}

/// The pair that every player knows.
pub const H264_AAC: Codecs = Codecs {
    name: "H.264 + AAC",
    video: &[
        "-c:v",
        "libx264",
        "-preset",
        "veryfast",
        "-bf",
        "2",
        "-sc_threshold",
        "0",
        "-pix_fmt",
        "yuv420p",
    ],
    audio: &["-c:a", "aac"],
};
/// The pair of WebM, in MP4.
pub const VP9_OPUS: Codecs = Codecs {
    name: "VP9 + Opus",
    video: &[
        "-c:v",
        "libvpx-vp9",
        "-deadline",
        "realtime",
        "-cpu-used",
        "8",
        "-lag-in-frames",
        "0",
    ],
    audio: &["-c:a", "libopus"],
};
/// The newest pair.
pub const AV1_OPUS: Codecs = Codecs {
    name: "AV1 + Opus",
    video: &["-c:v", "libsvtav1", "-preset", "12", "-svtav1-params", "scd=0"],
    audio: &["-c:a", "libopus"],
};

/// Writes a progressive MP4 of so many seconds: a moving picture of a few hundred kbit/s, and a tone that changes.
///
/// # Errors
/// ffmpeg is missing or lacks an encoder.
pub fn encode(codecs: &Codecs, seconds: usize, file: &Path) -> Result<()> {
    encode_sized(codecs, "320x180", seconds, file)
}

/// The same with a picture of another size: `WIDTHxHEIGHT`.
///
/// # Errors
/// As [`encode`].
pub fn encode_sized(codecs: &Codecs, size: &str, seconds: usize, file: &Path) -> Result<()> {
    let picture = format!("testsrc2=size={size}:rate={FRAME_RATE}:duration={seconds}");
    let sound = format!("aevalsrc='sin(2*PI*t*(200+50*t))':sample_rate=48000:duration={seconds}");
    let group = GROUP.to_string();
    let spawn = ffmpeg(
        ["-f", "lavfi", "-i", &picture, "-f", "lavfi", "-i", &sound],
        codecs.video,
    )
    .chain(codecs.audio)
    .chain([
        "-g",
        &group,
        "-keyint_min",
        &group,
        "-b:v",
        "400k",
        "-threads",
        "2",
        "-shortest",
    ])
    .chain([file]);
    spawn.run().map(|_output| ()).with_context(|| codecs.name)
}

/// A live source: `file`, paced by its timestamps, as fragmented MP4 out of a pipe.
///
/// # Errors
/// ffmpeg is missing.
pub fn live(file: &Path) -> Result<(Process, ChildStdout)> {
    let flags = "+empty_moov+default_base_moof+frag_every_frame";
    let mut process = ffmpeg(["-re", "-i"], [file])
        .chain([
            "-map",
            "0",
            "-c",
            "copy",
            "-strict",
            "-2",
            "-f",
            "mp4",
            "-movflags",
            flags,
            "-",
        ])
        .spawn()
        .stdout(Stdout::Pipe)
        .start()?;
    let pipe = process.take_stdout().context("a pipe was asked for")?;
    Ok((process, pipe))
}

/// The hashes of one stream's packets or frames, in order.
pub type Hashes = Vec<String>;

/// Packet hashes of the first video and of the first audio stream.
///
/// # Errors
/// The file cannot be read by ffmpeg or lacks one of them.
pub fn packets(file: &Path) -> Result<(Hashes, Hashes)> {
    Ok((
        hashes(file, &["-map", "0:v:0", "-c", "copy"])?,
        hashes(file, &["-map", "0:a:0", "-c", "copy"])?,
    ))
}

/// Hashes of the decoded pictures of the first video stream.
///
/// # Errors
/// The file cannot be decoded without error.
pub fn pictures(file: &Path) -> Result<Hashes> {
    hashes(file, &["-map", "0:v:0", "-fps_mode", "passthrough"])
}

/// Checks that a file with one video and one audio stream can be decoded without error, and that the times of each stream only
/// grow.
///
/// # Errors
/// It tells where they do not, or what ffmpeg complains of.
pub fn check_timeline(file: &Path) -> Result<()> {
    ffmpeg(["-xerror", "-i"], [file])
        .chain(["-f", "null", "-"])
        .run()?;
    let text = ffmpeg(["-xerror", "-ignore_editlist", "1", "-i"], [file])
        .chain(["-map", "0", "-c", "copy", "-copyts", "-f", "framehash", "-"])
        .run()?;
    let mut last = [None::<i64>; 2];
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let mut fields = line.split(',').map(str::trim);
        let (Some(stream), Some(dts)) = (fields.next(), fields.next()) else {
            continue;
        };
        let dts: i64 = dts.parse().context("a decode time")?;
        let before = last
            .get_mut(stream.parse::<usize>().context("a stream")?)
            .context("two streams")?;
        ensure!(
            before.is_none_or(|before| before < dts),
            "stream {stream} goes from {before:?} to {dts}"
        );
        *before = Some(dts);
    }
    ensure!(last.iter().all(Option::is_some), "a stream is missing");
    Ok(())
}

fn hashes(file: &Path, how: &[&str]) -> Result<Hashes> {
    // Edit lists would make the decoder hide what was delivered before the first full picture.
    let text = ffmpeg(["-xerror", "-ignore_editlist", "1", "-i"], [file])
        .chain(how)
        .chain(["-f", "framehash", "-"])
        .run()?;
    // stream, dts, pts, duration, size, hash
    let hashes = text.lines().filter(|line| !line.starts_with('#')).map(|line| {
        line.split(',')
            .nth(5)
            .map(|hash| hash.trim().to_owned())
            .context("not a line of framehash")
    });
    hashes.collect()
}

/// Where in `whole` the run `part` lies.
///
/// # Errors
/// It is empty, or not one unbroken run of `whole`; the text tells where they part.
pub fn position(whole: &[String], part: &[String]) -> Result<usize> {
    let first = part.first().context("nothing arrived")?;
    let agreed = |start: usize| {
        whole
            .iter()
            .skip(start)
            .zip(part)
            .take_while(|(a, b)| a == b)
            .count()
    };
    let starts = (0..whole.len()).filter(|&start| whole.get(start) == Some(first));
    let (length, start) = starts
        .map(|start| (agreed(start), start))
        .max()
        .context("begins with what was never sent")?;
    ensure!(
        length == part.len(),
        "arrived: {} of {}, from {start} on; then item {length} is not what was sent, the source's item {:?}",
        part.len(),
        whole.len(),
        part.get(length)
            .map(|hash| whole.iter().position(|other| other == hash)),
    );
    Ok(start)
}

struct Arguments(Vec<std::ffi::OsString>);

fn ffmpeg<A: AsRef<OsStr>, B: AsRef<OsStr>>(
    first: impl IntoIterator<Item = A>,
    then: impl IntoIterator<Item = B>,
) -> Arguments {
    Arguments(crate::home::words([
        "-hide_banner",
        "-nostdin",
        "-loglevel",
        "error",
        "-y",
    ]))
    .chain(first)
    .chain(then)
}

impl Arguments {
    fn chain<A: AsRef<OsStr>>(mut self, more: impl IntoIterator<Item = A>) -> Self {
        self.0.extend(crate::home::words(more));
        self
    }

    fn spawn(self) -> Spawn {
        Spawn::new("ffmpeg", self.0)
    }

    fn run(self) -> Result<String> {
        self.spawn()
            .output()
            .context("ffmpeg is needed: make test installs it, or says how")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(text: &str) -> Hashes {
        text.chars().map(String::from).collect()
    }

    #[test]
    fn a_run_is_found_where_it_lies() {
        assert_eq!(position(&items("abcabd"), &items("abd")).unwrap(), 3);
        assert_eq!(position(&items("abcabd"), &items("abcabd")).unwrap(), 0);
    }

    #[test]
    fn gaps_repeats_and_strangers_are_no_run() {
        for part in ["", "acb", "abb", "x", "abdx", "ac"] {
            assert!(position(&items("abcabd"), &items(part)).is_err(), "{part}");
        }
    }
}
