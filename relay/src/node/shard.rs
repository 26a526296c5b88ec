//! One thread's share of a node: an endpoint on the common port and the sessions it accepts.

use std::{net::UdpSocket, sync::Arc};

use headwater_pubsub::net::{EndpointError, EndpointSecret, QuicLimits};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::{listen, state::Shared};

/// What a shard needs to run.
pub(super) struct Shard {
    pub(super) shared: Arc<Shared>,
    pub(super) stop: CancellationToken,
    pub(super) tls: rustls::ServerConfig,
    pub(super) secret: EndpointSecret,
}

/// A shard on a thread of its own.
pub(super) struct Thread {
    ended: oneshot::Receiver<()>,
}

impl Thread {
    /// Wait for its end.
    pub(super) async fn join(self) {
        // The sender is dropped when the thread ends, however it ends.
        let _ended = self.ended.await.is_err();
    }
}

impl Shard {
    pub(super) fn endpoint(&self, socket: UdpSocket) -> Result<quinn::Endpoint, EndpointError> {
        let limits = quic_limits(&self.shared.config);
        headwater_pubsub::net::server(socket, self.tls.clone(), &limits, &self.secret)
    }

    /// Accept and serve sessions until told to stop.
    pub(super) async fn run(self, endpoint: quinn::Endpoint) {
        listen::run(self.shared, endpoint, self.stop).await;
    }

    /// Run on a thread of its own.
    pub(super) fn spawn(self, index: usize, socket: UdpSocket) -> Thread {
        let (alive, ended) = oneshot::channel();
        let spawned = std::thread::Builder::new()
            .name(format!("moq-{index}"))
            .spawn(move || {
                let _alive: oneshot::Sender<()> = alive;
                let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                    Ok(runtime) => runtime,
                    Err(error) => return error!(%error, "no runtime for a network thread"),
                };
                runtime.block_on(async {
                    match self.endpoint(socket) {
                        Ok(endpoint) => self.run(endpoint).await,
                        Err(error) => error!(%error, "no endpoint for a network thread"),
                    }
                });
            });
        if let Err(error) = spawned {
            warn!(%error, "running with fewer network threads");
        }
        Thread { ended }
    }
}

/// The transport's share of the configuration.
pub(super) fn quic_limits(config: &crate::config::Config) -> QuicLimits {
    let limits = &config.limits;
    QuicLimits {
        receive_window: u32::try_from(limits.receive_window).unwrap_or(u32::MAX),
        stream_receive_window: u32::try_from(limits.stream_receive_window).unwrap_or(u32::MAX),
        send_window: limits.send_window,
        datagram_send_bytes: usize::try_from(limits.datagram_bytes).unwrap_or(usize::MAX),
        max_uni_streams: limits.subscriber_uni_streams,
        max_bidi_streams: limits.requests,
        idle_timeout: limits.idle_timeout,
        keep_alive: Some(limits.keep_alive),
        handshake_timeout: limits.handshake_timeout,
    }
}
