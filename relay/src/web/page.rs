//! The page of a binary that was built without the web pages: what this is and how to use it.

use axum::http::uri::Authority;

/// The page's text, with `{{version}}`, `{{url}}` and `{{fingerprint}}`.
const TEMPLATE: &str = include_str!("page.html");

/// The page as seen by somebody who reached us as `host`.
pub(super) fn render(host: Option<&Authority>, version: &str, fingerprint: Option<&str>) -> String {
    let host = host
        .map(Authority::as_str)
        .filter(|text| is_plain(text))
        .unwrap_or("localhost:4443");
    TEMPLATE
        .replace("{{version}}", version)
        .replace("{{url}}", &format!("moqt://{host}"))
        .replace(
            "{{fingerprint}}",
            fingerprint.unwrap_or("(none: its certificate is signed by an authority)"),
        )
}

/// Whether the text needs no escaping in HTML, a shell or a URL. Host headers are whatever the other end writes.
fn is_plain(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_shows_commands_for_the_host_that_was_asked() {
        let host: Authority = "relay.example:4443".parse().unwrap();
        let page = render(Some(&host), "1.2.3", Some("abc"));
        assert!(
            page.contains("moq subscribe moqt://relay.example:4443/NAMESPACE"),
            "{page}"
        );
        assert!(
            page.contains("Headwater relay 1.2.3") && page.contains("<code>abc</code>"),
            "{page}"
        );
        assert!(!page.contains("{{"), "{page}");
    }

    #[test]
    fn a_host_with_markup_is_not_shown() {
        for text in ["a&b", "user@host", "a'b", "$(reboot)", "a;b"] {
            let Ok(host) = text.parse::<Authority>() else {
                continue;
            };
            assert!(
                render(Some(&host), "1", None).contains("moqt://localhost:4443/"),
                "{text}"
            );
        }
    }
}
