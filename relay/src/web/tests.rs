use std::time::{SystemTime, UNIX_EPOCH};

use headwater_certs::{ClientTrust, NodeKey, Resolver, Validity, client_config, issue, server_config};
use hyper::body::Bytes;
use tokio::io::AsyncWriteExt as _;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use super::*;
use crate::http::tests::{exchange, get, status};

struct Running {
    address: SocketAddr,
    fingerprint: Fingerprint,
    hashes: Arc<PublishedHashes>,
    alternates: Arc<Alternates>,
    cancel: CancellationToken,
    tasks: JoinSet<()>,
}

fn moment() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_790_000_000)
}

/// A relay without pages.
async fn start() -> Running {
    start_with(None, |_| None).await
}

/// A relay with a file of each kind.
async fn start_with_pages() -> Running {
    let bundle: Bundle = |path| match path {
        "index.html" => Some(Bytes::from_static(b"<title>front</title>")),
        "overlay.html" => Some(Bytes::from_static(b"<title>overlay</title>")),
        "headwater-watch.js" | "assets/index-1a2b.js" => Some(Bytes::from_static(b"export {};")),
        "icon.svg" => Some(Bytes::from_static(b"<svg/>")),
        _ => None,
    };
    start_with(None, bundle).await
}

async fn start_with(overlay: Option<Arc<dyn Inspect>>, bundle: Bundle) -> Running {
    let key = NodeKey::generate().unwrap();
    let certificate = issue(&key, &[], Validity::starting(moment(), Duration::from_secs(3600))).unwrap();
    let next = issue(&key, &[], Validity::starting(moment(), Duration::from_secs(7200))).unwrap();
    let resolver = Resolver::new(key.certified(&certificate).unwrap());
    let hashes = Arc::new(PublishedHashes::new(vec![certificate.hash(), next.hash()]));
    let alternates = Arc::new(Alternates::default());
    let state = WebState {
        tls: Arc::new(server_config(resolver.clone(), ALPN)),
        certificate: resolver,
        hashes: Arc::clone(&hashes),
        alternates: Arc::clone(&alternates),
        fingerprint: Some(key.fingerprint()),
        overlay,
        metrics: Arc::new(Metrics::new("1.2.3")),
        connections: 8,
        patience: Duration::from_secs(5),
    };
    let listener = bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let cancel = CancellationToken::new();
    let mut tasks = JoinSet::new();
    tasks.spawn(serve_bundle(listener, state, bundle, cancel.clone()));
    Running {
        address,
        fingerprint: key.fingerprint(),
        hashes,
        alternates,
        cancel,
        tasks,
    }
}

impl Running {
    async fn plain(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        exchange(&mut stream, request).await
    }

    async fn tls(&self, pin: Fingerprint, request: &str) -> io::Result<String> {
        let config = client_config(&ClientTrust::Pin(vec![pin]), ALPN).unwrap();
        let stream = TcpStream::connect(self.address).await?;
        let mut stream = TlsConnector::from(Arc::new(config))
            .connect("any.example".try_into().unwrap(), stream)
            .await?;
        Ok(exchange(&mut stream, request).await)
    }
}

#[tokio::test]
async fn a_binary_without_pages_says_so_on_its_page() {
    let mut running = start().await;
    for path in ["/", "/any/where?x=1", "/-/publish"] {
        let answer = running.plain(&get(path, "localhost:4443", "")).await;
        assert_eq!(status(&answer), "200", "{answer}");
        assert!(
            answer.contains("moq subscribe moqt://localhost:4443/"),
            "{answer}"
        );
        assert!(answer.contains(&running.fingerprint.to_hex()), "{answer}");
        assert!(answer.contains("built without the web pages"), "{answer}");
        assert!(answer.contains("cache-control: no-store"), "{answer}");
        assert!(!answer.contains("access-control"), "{answer}");
    }
    for path in ["/api/v1/sessions", "/-/assets/index-1a2b.js"] {
        let answer = running.plain(&get(path, "localhost", "")).await;
        assert_eq!(status(&answer), "404", "{path}: {answer}");
    }
    let post = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    assert_eq!(status(&running.plain(post).await), "405");
    running.cancel.cancel();
    running.tasks.join_next().await.unwrap().unwrap();
}

#[tokio::test]
async fn pages_and_their_files_are_served_at_their_places() {
    let running = start_with_pages().await;
    let (page, script) = ("text/html; charset=utf-8", "text/javascript; charset=utf-8");
    for (path, content_type, age, body) in [
        ("/", page, "no-cache", "<title>front</title>"),
        ("/live/cam?x=1", page, "no-cache", "<title>front</title>"),
        ("/-/overlay", page, "no-cache", "<title>overlay</title>"),
        ("/-/icon.svg", "image/svg+xml", "no-cache", "<svg/>"),
        (
            "/-/headwater-watch.js",
            script,
            "public, max-age=300",
            "export {};",
        ),
        (
            "/-/assets/index-1a2b.js",
            script,
            "public, max-age=31536000, immutable",
            "export {};",
        ),
    ] {
        let answer = running.plain(&get(path, "localhost", "")).await;
        assert_eq!(status(&answer), "200", "{path}: {answer}");
        for header in [
            format!("content-type: {content_type}\r\n"),
            format!("cache-control: {age}\r\n"),
        ] {
            assert!(answer.contains(&header), "{path}: {header}: {answer}");
        }
        assert!(answer.ends_with(&format!("\r\n\r\n{body}")), "{path}: {answer}");
        let shared = answer.contains("access-control-allow-origin: *");
        assert_eq!(shared, content_type == script, "{path}: {answer}");
    }
    for path in ["/-/", "/-/nothing", "/-/assets/old.js", "/-/../certs", "/-"] {
        let answer = running.plain(&get(path, "localhost", "")).await;
        let expected = if path.len() > 3 { "404" } else { "200" };
        assert_eq!(status(&answer), expected, "{path}: {answer}");
    }
}

#[tokio::test]
async fn every_answer_says_what_a_page_may_do() {
    let (bare, full) = (start().await, start_with_pages().await);
    for (running, path) in [
        (&bare, "/"),
        (&full, "/"),
        (&full, "/-/assets/index-1a2b.js"),
        (&full, "/-/nothing"),
        (&full, "/certificate.sha256"),
    ] {
        let answer = running.plain(&get(path, "localhost", "")).await;
        for header in [
            "content-security-policy: default-src 'none'; script-src 'self'; ",
            "connect-src 'self' https: 'unsafe-webtransport-hashes'; ",
            "frame-ancestors 'none'\r\n",
            "x-content-type-options: nosniff\r\n",
            "referrer-policy: no-referrer\r\n",
        ] {
            assert!(answer.contains(header), "{path}: {header}: {answer}");
        }
        assert_eq!(answer.matches("cache-control:").count(), 1, "{path}: {answer}");
    }
}

#[test]
fn the_policy_leaves_no_door_open() {
    for open in ["unsafe-inline", "unsafe-eval", "*", "http:", "  "] {
        assert!(!POLICY.contains(open), "{open}: {POLICY}");
    }
}

#[tokio::test]
async fn the_redacted_view_of_the_mesh_is_told_only_if_it_is_public() {
    let closed = start().await;
    let node = Arc::new(crate::admin::tests::Node::ready());
    let open = start_with(Some(node), |_| None).await;
    let request = get("/api/v1/overlay", "localhost", "");
    assert_eq!(status(&closed.plain(&request).await), "404");
    let answer = open.plain(&request).await;
    assert!(
        status(&answer) == "200" && answer.contains("\"nodes\":["),
        "{answer}"
    );
    for path in ["neighbours", "routes", "trace?namespace=live/cam"] {
        let answer = open
            .plain(&get(&format!("/api/v1/{path}"), "localhost", ""))
            .await;
        assert_eq!(status(&answer), "404", "{path}: {answer}");
    }
}

#[tokio::test]
async fn https_is_served_on_the_same_port_with_the_nodes_key() {
    let running = start().await;
    let request = get("/certificate.sha256", "any.example", "");
    let answer = running.tls(running.fingerprint, &request).await.unwrap();
    assert_eq!(status(&answer), "200", "{answer}");
    let stranger = NodeKey::generate().unwrap().fingerprint();
    let error = running.tls(stranger, &request).await.unwrap_err().to_string();
    assert!(
        error.contains(&stranger.to_hex()) && error.contains(&running.fingerprint.to_hex()),
        "{error}"
    );
}

#[tokio::test]
async fn the_hashes_follow_the_certificates() {
    let running = start().await;
    let lines = running.hashes.lines();
    let (current, next) = lines.split_once('\n').unwrap();
    let answer = running
        .plain(&get(
            "/certificate.sha256",
            "localhost",
            "Origin: http://elsewhere\r\n",
        ))
        .await;
    // Exactly the digits: the client decodes the whole body.
    assert!(answer.ends_with(&format!("\r\n\r\n{current}")), "{answer}");
    assert!(answer.contains("access-control-allow-origin: *"), "{answer}");
    let answer = running.plain(&get("/certificates.sha256", "localhost", "")).await;
    assert!(
        answer.ends_with(&format!("\r\n\r\n{current}\n{next}")),
        "{answer}"
    );

    running.hashes.replace(vec![next.trim().parse().unwrap()]);
    let answer = running.plain(&get("/certificate.sha256", "localhost", "")).await;
    assert!(answer.ends_with(next.trim()), "{answer}");
    running.hashes.replace(Vec::new());
    assert_eq!(
        status(&running.plain(&get("/certificate.sha256", "localhost", "")).await),
        "404"
    );
}

#[tokio::test]
async fn the_times_of_the_certificate_are_told_to_pages_of_any_origin() {
    let running = start().await;
    let request = get("/api/v1/certificate", "localhost", "Origin: http://elsewhere\r\n");
    let answer = running.plain(&request).await;
    let hash = running.hashes.current().unwrap();
    let told = format!("{{\"sha256\":\"{hash}\",\"not_before\":1790000000,\"not_after\":1790003600}}");
    assert!(answer.ends_with(&told), "{answer}");
    for header in ["content-type: application/json", "access-control-allow-origin: *"] {
        assert!(answer.contains(header), "{header}: {answer}");
    }
}

#[tokio::test]
async fn other_nodes_are_told_to_pages_of_any_origin_as_they_are_now() {
    let running = start().await;
    let request = get("/api/v1/alternates", "localhost", "Origin: http://elsewhere\r\n");
    let answer = running.plain(&request).await;
    assert!(answer.ends_with("\r\n\r\n[]"), "{answer}");
    let hash = "ab".repeat(32);
    let other = Alternate::parse(&format!("https://b.example:4443/#sha256={hash}")).unwrap();
    running.alternates.replace(vec![other]);
    let answer = running.plain(&request).await;
    let told = format!("[{{\"url\":\"https://b.example:4443/\",\"sha256\":\"{hash}\"}}]");
    assert!(answer.ends_with(&told), "{answer}");
    for header in ["content-type: application/json", "access-control-allow-origin: *"] {
        assert!(answer.contains(header), "{header}: {answer}");
    }
}

#[tokio::test]
async fn a_broken_handshake_ends_only_itself() {
    let running = start().await;
    let mut broken = TcpStream::connect(running.address).await.unwrap();
    broken
        .write_all(&[TLS_HANDSHAKE, 3, 1, 0, 4, 99, 0, 0, 0])
        .await
        .unwrap();
    let mut answer = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut broken, &mut answer)
        .await
        .unwrap();
    assert_eq!(status(&running.plain(&get("/", "localhost", "")).await), "200");
}

#[tokio::test]
async fn a_second_relay_on_the_port_fails() {
    let running = start().await;
    assert!(
        matches!(bind(running.address).await, Err(BindError::InUse(address)) if address == running.address)
    );
}

#[test]
fn the_door_depends_on_the_first_byte_and_the_remote() {
    let local: SocketAddr = "127.0.0.1:9".parse().unwrap();
    let mapped: SocketAddr = "[::ffff:127.0.0.1]:9".parse().unwrap();
    let elsewhere: SocketAddr = "192.0.2.1:9".parse().unwrap();
    for remote in [local, mapped, elsewhere] {
        assert_eq!(Door::of(0x16, remote), Door::Tls);
    }
    assert_eq!(Door::of(b'G', local), Door::Pages);
    assert_eq!(Door::of(b'G', mapped), Door::Pages);
    assert_eq!(Door::of(b'G', elsewhere), Door::Redirect);
    assert_eq!(Door::of(0, elsewhere), Door::Redirect);
}

#[test]
fn plain_http_from_elsewhere_is_sent_to_https() {
    let location = |host: &str, uri: &str| {
        let value = secure_location(&host.parse().unwrap(), &uri.parse().unwrap());
        value.map(|value| value.to_str().unwrap().to_owned())
    };
    assert_eq!(
        location("relay.example:4443", "/a/b?c=d").unwrap(),
        "https://relay.example:4443/a/b?c=d"
    );
    assert_eq!(
        location("[2001:db8::1]:4443", "/").unwrap(),
        "https://[2001:db8::1]:4443/"
    );
    assert_eq!(
        location("relay.example", "http://other.example/x").unwrap(),
        "https://relay.example/x"
    );
    assert_eq!(location("relay.example", "*").unwrap(), "https://relay.example/");
    assert_eq!(location("user@evil.example", "/"), None);
}
