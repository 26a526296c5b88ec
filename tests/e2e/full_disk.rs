//! A disk that fills up while `moq` writes: a small file system in a mount namespace of its own.

use std::process::Command;

use anyhow::Result;
use headwater_tests::media::{self, H264_AAC};
use headwater_tests::{Home, Spawn, moq};

/// Exit code of `moq --help` for what has no code of its own.
const FAILURE: i32 = 1;
/// Arguments: size of the disk in KiB, then those of `moq`. What is on the disk `full` at the end is kept beside it.
const ON_SMALL_DISK: &str = r#"
    mount -t tmpfs -o size="$1"k none full && shift || exit 99
    "$0" "$@"
    code=$?
    cp -r full/. kept/
    exit $code
"#;

/// Whether a mount namespace can be had, which takes root.
fn can_mount() -> bool {
    let probe = Command::new("unshare")
        .args(["--mount", "mount", "-t", "tmpfs", "none", "/mnt"])
        .output();
    let can = probe.is_ok_and(|output| output.status.success());
    if !can {
        println!("skipped: no mount namespace here (it takes root and unshare)");
    }
    can
}

fn on_small_disk(home: &Home, kib: &str, args: &[&str]) -> Result<Spawn> {
    for directory in ["full", "kept"] {
        std::fs::create_dir(home.file(directory))?;
    }
    let script = ["--mount", "sh", "-c", ON_SMALL_DISK].map(std::ffi::OsString::from);
    let words = [moq().as_os_str().to_owned(), kib.into()];
    let args = args.iter().map(|arg| (*arg).into());
    Ok(Spawn::new("unshare", script.into_iter().chain(words).chain(args))
        .within(home.path())
        .env("HOME", home.path())
        .env("XDG_STATE_HOME", home.file("state")))
}

fn told(spawn: Spawn, parts: &[&str]) -> Result<()> {
    let (code, lines) = spawn.finish()?;
    let text = lines.join("\n");
    let told: Vec<&String> = lines.iter().filter(|line| line.starts_with("moq: ")).collect();
    assert_eq!((code, told.len()), (FAILURE, 1), "{text}");
    for part in parts {
        let found = told.iter().any(|line| line.to_lowercase().contains(part));
        assert!(found, "no \"{part}\" in: {text}");
    }
    Ok(())
}

#[test]
fn what_fitted_of_a_recording_plays() -> Result<()> {
    if !can_mount() {
        return Ok(());
    }
    let home = Home::new()?;
    let relay = home.relay().start()?;
    media::encode(&H264_AAC, 3, &home.file("clip.mp4"))?;
    let url = relay.url("live/cam");
    let publisher = home.moq(["publish", "--loop", &url, "clip.mp4"]).start()?;
    publisher.line("publishing")?;
    let subscriber = on_small_disk(&home, "400", &["subscribe", &url, "-o", "full/out.mp4"])?;
    told(subscriber, &["full/out.mp4", "no space left"])?;
    assert!(publisher.is_running(), "{:?}", publisher.lines());
    let kept = home.file("kept/out.mp4");
    assert!(std::fs::metadata(&kept)?.len() > 200 * 1024);
    media::check_timeline(&kept)
}

#[test]
fn a_relay_without_room_for_its_key_says_so() -> Result<()> {
    if !can_mount() {
        return Ok(());
    }
    let home = Home::new()?;
    let args = [
        "relay",
        "--admin",
        "off",
        "--listen",
        "127.0.0.1:0",
        "--state-dir",
        "full/state",
    ];
    // One page holds the directory itself and nothing in it.
    told(
        on_small_disk(&home, "4", &args)?,
        &["full/state", "no space left"],
    )
}
