//! What the public and the operator's HTTP sides share: a bounded accept loop and HTTP/1.1 with short patience.
//!
//! A stranger can hold at most a fixed number of connections, each for a bounded time, and make us read at most 8 kB of
//! headers. When the number is reached the loop stops accepting, so newcomers wait in the kernel's short queue.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use headwater_pubsub::net::plain;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Headers of one request, start line included. hyper's smallest buffer is as large.
const MAX_HEADER_BYTES: usize = 8 * 1024;
/// Header lines of one request; browsers send about 20.
const MAX_HEADERS: usize = 64;
/// How long one connection may live, whatever it does: answers are small.
const MAX_LIFETIME: Duration = Duration::from_secs(120);
/// How long answers under way may take once the node ends.
const LAST_ANSWERS: Duration = Duration::from_secs(1);
/// Pause after a failed accept: the usual cause, too many open files, does not pass at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Runs `handle` for each connection, at most `limit` at a time, until `cancel`; then waits a moment for the rest.
/// `full` is called each time the limit is reached.
///
/// Dropping the future closes every connection.
pub(crate) async fn accept_connections<F, C>(
    listener: TcpListener,
    limit: usize,
    cancel: CancellationToken,
    full: impl Fn(),
    handle: F,
) where
    F: Fn(TcpStream, SocketAddr) -> C,
    C: Future<Output = ()> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = cancel.cancelled() => break,
            Some(ended) = connections.join_next() => end(ended),
            accepted = listener.accept(), if connections.len() < limit => match accepted {
                Ok((stream, remote)) => {
                    connections.spawn(handle(stream, plain(remote)));
                    if connections.len() == limit {
                        full();
                    }
                }
                Err(error) if is_of_one_connection(&error) => tracing::debug!(%error, "a connection died early"),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept TCP connections");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    let rest = async {
        while let Some(ended) = connections.join_next().await {
            end(ended);
        }
    };
    if timeout(LAST_ANSWERS, rest).await.is_err() {
        tracing::debug!("closed HTTP connections in the middle of an answer");
    }
}

/// A panic in a connection is a fault of ours and must not pass in silence.
fn end(ended: Result<(), JoinError>) {
    match ended {
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        _ => {}
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

/// Answers the requests of one connection from `router`. Each request's headers must arrive within `patience`. After
/// `cancel` the answer under way is finished.
pub(crate) async fn serve_connection<S>(
    stream: S,
    router: Router,
    patience: Duration,
    cancel: CancellationToken,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(patience)
        .max_headers(MAX_HEADERS)
        .max_header_size(MAX_HEADER_BYTES)
        .max_buf_size(MAX_HEADER_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    let served = timeout(MAX_LIFETIME, async {
        tokio::select! {
            served = connection.as_mut() => served,
            () = cancel.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    });
    match served.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "HTTP connection ended"),
        Err(_) => tracing::debug!("HTTP connection lived too long"),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// Sends one request and reads until the other side closes.
    pub(crate) async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, request: &str) -> String {
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        String::from_utf8(answer).unwrap()
    }

    /// A GET that asks for the connection to be closed after the answer.
    pub(crate) fn get(path: &str, host: &str, more: &str) -> String {
        format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{more}\r\n")
    }

    /// Status code of an answer.
    pub(crate) fn status(answer: &str) -> &str {
        answer.split(' ').nth(1).unwrap_or("none")
    }

    async fn start(limit: usize, patience: Duration) -> (SocketAddr, CancellationToken, JoinSet<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let cancel = CancellationToken::new();
        let inner = cancel.clone();
        let router = Router::new().fallback(async || "hello");
        let mut tasks = JoinSet::new();
        tasks.spawn(accept_connections(
            listener,
            limit,
            cancel.clone(),
            || {},
            move |stream, _| serve_connection(stream, router.clone(), patience, inner.clone()),
        ));
        (address, cancel, tasks)
    }

    #[tokio::test]
    async fn headers_beyond_8_kb_are_refused() {
        let (address, _cancel, _tasks) = start(4, Duration::from_secs(5)).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        let answer = exchange(
            &mut stream,
            &get("/", "x", &format!("X: {}\r\n", "a".repeat(9000))),
        )
        .await;
        assert_eq!(status(&answer), "431", "{answer}");
    }

    #[tokio::test]
    async fn a_silent_client_is_cut_and_makes_room() {
        let (address, _cancel, _tasks) = start(1, Duration::from_millis(20)).await;
        let mut silent = TcpStream::connect(address).await.unwrap();
        silent.write_all(b"GET / HT").await.unwrap();
        let mut next = TcpStream::connect(address).await.unwrap();
        let answer = exchange(&mut next, &get("/", "x", "")).await;
        assert!(answer.ends_with("hello"), "{answer}");
    }

    #[tokio::test]
    async fn a_connection_that_asks_nothing_more_is_cut() {
        let (address, _cancel, _tasks) = start(1, Duration::from_millis(20)).await;
        let mut idle = TcpStream::connect(address).await.unwrap();
        let answer = exchange(&mut idle, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert!(answer.ends_with("hello"), "{answer}");
    }

    #[tokio::test]
    async fn cancelling_ends_the_loop_and_idle_connections() {
        let (address, cancel, mut tasks) = start(4, Duration::from_secs(5)).await;
        let mut idle = TcpStream::connect(address).await.unwrap();
        idle.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .unwrap();
        idle.read_exact(&mut [0; 8]).await.unwrap();
        cancel.cancel();
        tasks.join_next().await.unwrap().unwrap();
        assert!(TcpStream::connect(address).await.is_err());
    }
}
