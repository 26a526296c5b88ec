//! The web pages, built by `web-demo` and carried in the binary: which file answers a path, and how long it may be kept.
//!
//! Everything of the pages lives under `/-/`, since all other paths are names of broadcasts. `web-demo/dist/NAME` is `/-/NAME`,
//! a page `NAME.html` is `/-/NAME` too. Files in `assets` have a hash of their content in their names and never change.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::body::Bytes;
use rust_embed::RustEmbed;

use super::ANY_ORIGIN;

/// The page of every broadcast, and of the list of them.
pub(super) const FRONT: &str = "index.html";
/// The element that other sites put into their pages.
const ELEMENT: &str = "headwater-watch.js";
/// Where files are whose names change with their content.
const ASSETS: &str = "assets/";
/// Asked for again each time, so that an upgraded relay shows its own pages.
const PAGE_AGE: HeaderValue = HeaderValue::from_static("no-cache");
/// Other sites' visitors come often, upgrades seldom.
const ELEMENT_AGE: HeaderValue = HeaderValue::from_static("public, max-age=300");
const ASSET_AGE: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// The files, in debug builds too: a binary stands alone.
#[derive(RustEmbed)]
#[folder = "../web-demo/dist"]
#[allow_missing = true]
struct Built;

/// Where files come from: by their path under `dist`.
pub(super) type Bundle = fn(&str) -> Option<Bytes>;

/// What this binary was built with; nothing if it was built without pages.
pub(super) fn built(path: &str) -> Option<Bytes> {
    Built::get(path).map(|file| match file.data {
        std::borrow::Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        std::borrow::Cow::Owned(bytes) => bytes.into(),
    })
}

/// The page at any path outside `/-/`; `None` without pages.
pub(super) fn front(bundle: Bundle) -> Option<Response> {
    bundle(FRONT).map(|content| respond(FRONT, content))
}

/// What is at `/-/path`.
pub(super) fn file(bundle: Bundle, path: &str) -> Response {
    let found = bundle(path).map(|content| respond(path, content));
    let page = || {
        let name = format!("{path}.html");
        bundle(&name).map(|content| respond(&name, content))
    };
    found
        .or_else(page)
        .unwrap_or_else(|| (StatusCode::NOT_FOUND, "nothing here\n").into_response())
}

fn respond(path: &str, content: Bytes) -> Response {
    let age = if path.starts_with(ASSETS) {
        ASSET_AGE
    } else if path == ELEMENT {
        ELEMENT_AGE
    } else {
        PAGE_AGE
    };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(content_type(path))),
        (header::CACHE_CONTROL, age),
    ];
    if path == ELEMENT || path.starts_with(ASSETS) {
        (headers, ANY_ORIGIN, content).into_response()
    } else {
        (headers, content).into_response()
    }
}

/// By the name's ending. Browsers are told not to guess, so each kind that is built must be listed.
fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, ending)| ending) {
        Some("html") => "text/html; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json" | "map") => "application/json",
        Some("webmanifest") => "application/manifest+json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        Some("wasm") => "application/wasm",
        Some("woff2") => "font/woff2",
        Some("mp4") => "video/mp4",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}
