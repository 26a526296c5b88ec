//! Has the crate built again when the web pages are: `rust-embed` sees which files there are only while it compiles.

use std::path::Path;

/// What the pages are built into.
const PAGES: &str = "../web-demo/dist";
/// Watched until there are any; a path that does not exist would have the crate built each time.
const SOURCES: &str = "../web-demo";

fn main() {
    let watched = [PAGES, SOURCES].into_iter().find(|path| Path::new(path).exists());
    println!("cargo::rerun-if-changed={}", watched.unwrap_or("build.rs"));
}
