//! The knobs of a hub.

use std::time::Duration;

/// Waiting times and bounds of a [`Hub`](super::Hub). All bounds are per session unless said otherwise; beyond one a request is
/// refused with EXCESSIVE_LOAD and [`retry`](Self::retry).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubConfig {
    /// How long an upstream subscription and its cache outlive the last subscriber or fetch. 2 s: a viewer who changes
    /// channel and back, or reloads a page, finds the track warm.
    pub linger: Duration,
    /// Whether a track that a publisher offered by PUBLISH is told FORWARD=0 while nobody listens. Off: publishers in the field
    /// refuse the REQUEST_UPDATE that would start them again, and the track is lost; on saves such a publisher's uplink.
    pub pause_publications: bool,
    /// How long a publisher may take to answer a request; then it counts as TIMEOUT. 10 s: what a browser's user bears.
    pub answer: Duration,
    /// Longest wait for a publisher that a SUBSCRIBE can ask for with RENDEZVOUS_TIMEOUT. 5 min: a broadcast about to
    /// begin; longer waits ask again.
    pub rendezvous: Duration,
    /// In a mesh, how long a SUBSCRIBE to what nobody publishes waits for news of other nodes. 500 ms: an announcement is at every
    /// node sooner, and who hears of a track by other means may be faster.
    pub hearsay: Duration,
    /// Whether the node is in a mesh, where what is published here is announced. Off.
    pub announces: bool,
    /// How long a track of the mesh that lost its last source is kept for neighbours. 2 s: they repair themselves sooner.
    pub cut: Duration,
    /// The same for clients, who cannot. 10 s.
    pub abandoned: Duration,
    /// Time that a FETCH without FILL_TIMEOUT waits for publishers. 5 s.
    pub fill: Duration,
    /// Most time that a FETCH can ask for with FILL_TIMEOUT. 30 s.
    pub fill_max: Duration,
    /// For how long a publisher that refused a track is not asked for it again. 1 s; it doubles while subscribers wait for the
    /// track and the publisher keeps refusing, up to [`refusal_max`](Self::refusal_max).
    pub refusal: Duration,
    /// Upper end of that doubling. 8 s.
    pub refusal_max: Duration,
    /// How often in a row a publisher may send one subscription elsewhere (GOAWAY on its stream) until it counts as gone, how
    /// often it is asked again while it takes the new subscription for a duplicate of the old one, and how often in a row a
    /// subscriber may send our PUBLISH elsewhere until it is offered the track no more. 5.
    pub moves: u32,
    /// After how long without one the counting begins anew. 10 s.
    pub steady: Duration,
    /// First pause before it is asked again in the second case; it doubles. 50 ms: a round trip on most paths.
    pub again: Duration,
    /// What a refusal with EXCESSIVE_LOAD gives as the time to retry. 1 s.
    pub retry: Duration,
    /// Most namespaces published. 1024.
    pub namespaces: usize,
    /// Most tracks published by PUBLISH. 4096.
    pub publications: usize,
    /// Most subscriptions, waiting or served. 1024.
    pub subscriptions: usize,
    /// Most subscriptions that wait for a publisher to appear. 64: each costs the publishers of its namespace a question now
    /// and then.
    pub rendezvous_waiting: usize,
    /// Most fetches at once. 128.
    pub fetches: usize,
    /// Most TRACK_STATUS at once. 64.
    pub track_statuses: usize,
    /// Most namespace subscriptions, of both kinds together. 64.
    pub namespace_subscriptions: usize,
    /// Most namespaces or tracks that a new namespace subscription may match; above, NAMESPACE_TOO_LARGE. 4096.
    pub matches: usize,
    /// Most upstream FETCHes on behalf of one downstream FETCH; holes beyond are reported as unknown. 256.
    pub fills_per_fetch: usize,
    /// How often a publisher whose result broke off is asked again for the rest. 2: a stream that was reset by chance; beyond, it
    /// is not chance.
    pub fill_again: usize,
    /// Most updates of a request that wait for it to be answered. 16.
    pub held_updates: usize,
    /// Most refusals remembered, in the whole hub; the oldest are forgotten. 4096, at most 4 KiB each.
    pub refusals: usize,
}

impl Default for HubConfig {
    fn default() -> Self {
        Self {
            linger: Duration::from_secs(2),
            pause_publications: false,
            answer: Duration::from_secs(10),
            rendezvous: Duration::from_secs(300),
            hearsay: Duration::from_millis(500),
            announces: false,
            cut: Duration::from_secs(2),
            abandoned: Duration::from_secs(10),
            fill: Duration::from_secs(5),
            fill_max: Duration::from_secs(30),
            refusal: Duration::from_secs(1),
            refusal_max: Duration::from_secs(8),
            moves: 5,
            steady: Duration::from_secs(10),
            again: Duration::from_millis(50),
            retry: Duration::from_secs(1),
            namespaces: 1024,
            publications: 4096,
            subscriptions: 1024,
            rendezvous_waiting: 64,
            fetches: 128,
            track_statuses: 64,
            namespace_subscriptions: 64,
            matches: 4096,
            fills_per_fetch: 256,
            fill_again: 2,
            held_updates: 16,
            refusals: 4096,
        }
    }
}
