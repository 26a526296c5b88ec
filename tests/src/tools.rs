//! Where the programs under test and the independent ones are.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The `moq` binary: `HARNESS_MOQ`, else the one that cargo builds now in the profile of this test.
///
/// # Panics
/// It does not build.
#[must_use]
pub fn moq() -> &'static Path {
    static MOQ: OnceLock<PathBuf> = OnceLock::new();
    MOQ.get_or_init(|| match env::var_os("HARNESS_MOQ") {
        Some(path) => path.into(),
        None => build_moq(),
    })
}

/// The independent conformance suite: `HARNESS_TEST_CLIENT`, else what `make test` installed.
#[must_use]
pub fn test_client() -> PathBuf {
    env::var_os("HARNESS_TEST_CLIENT").map_or_else(
        || profile_dir().with_file_name("peers").join("bin/moq-test-client"),
        PathBuf::from,
    )
}

/// `target/debug` or `target/release`, seen from a test binary in its `deps` folder.
fn profile_dir() -> PathBuf {
    let test = env::current_exe().expect("a process knows its binary");
    test.ancestors()
        .nth(2)
        .expect("tests are built into target/PROFILE/deps")
        .to_owned()
}

fn build_moq() -> PathBuf {
    let directory = profile_dir();
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--locked", "--workspace", "--bin", "moq"]);
    cargo
        .arg("--target-dir")
        .arg(directory.parent().expect("a profile lies in the target folder"));
    if directory.ends_with("release") {
        cargo.arg("--release");
    }
    let status = cargo
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .status();
    assert!(status.is_ok_and(|status| status.success()), "moq does not build");
    directory.join("moq")
}
