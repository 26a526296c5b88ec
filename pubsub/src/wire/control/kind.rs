//! Message types (draft section "Control Messages").

/// SETUP
pub const SETUP: u64 = 0x2F00;
/// GOAWAY
pub const GOAWAY: u64 = 0x10;
/// SUBSCRIBE
pub const SUBSCRIBE: u64 = 0x03;
/// SUBSCRIBE_OK
pub const SUBSCRIBE_OK: u64 = 0x04;
/// REQUEST_UPDATE
pub const REQUEST_UPDATE: u64 = 0x02;
/// REQUEST_OK
pub const REQUEST_OK: u64 = 0x07;
/// REQUEST_ERROR
pub const REQUEST_ERROR: u64 = 0x05;
/// PUBLISH
pub const PUBLISH: u64 = 0x1D;
/// PUBLISH_DONE
pub const PUBLISH_DONE: u64 = 0x0B;
/// FETCH
pub const FETCH: u64 = 0x16;
/// FETCH_OK
pub const FETCH_OK: u64 = 0x18;
/// TRACK_STATUS
pub const TRACK_STATUS: u64 = 0x0D;
/// PUBLISH_NAMESPACE
pub const PUBLISH_NAMESPACE: u64 = 0x06;
/// SUBSCRIBE_NAMESPACE
pub const SUBSCRIBE_NAMESPACE: u64 = 0x50;
/// NAMESPACE
pub const NAMESPACE: u64 = 0x08;
/// NAMESPACE_DONE
pub const NAMESPACE_DONE: u64 = 0x0E;
/// SUBSCRIBE_TRACKS
pub const SUBSCRIBE_TRACKS: u64 = 0x51;
/// PUBLISH_BLOCKED
pub const PUBLISH_BLOCKED: u64 = 0x0F;
/// PUBLISH_OK, an alias of REQUEST_OK that is accepted and never sent.
pub const PUBLISH_OK: u64 = 0x1E;
/// UNSUBSCRIBE of drafts up to 16, which clients in the field still send on the SUBSCRIBE's own stream before they close it.
/// Not a message of this version: [`MessageReader`](super::MessageReader) refuses it; the session takes it as what it means.
pub const UNSUBSCRIBE: u64 = 0x0A;

/// Whether this version defines the type.
pub(super) const fn is_known(kind: u64) -> bool {
    matches!(
        kind,
        SETUP
            | GOAWAY
            | SUBSCRIBE
            | SUBSCRIBE_OK
            | REQUEST_UPDATE
            | REQUEST_OK
            | REQUEST_ERROR
            | PUBLISH
            | PUBLISH_DONE
            | FETCH
            | FETCH_OK
            | TRACK_STATUS
            | PUBLISH_NAMESPACE
            | SUBSCRIBE_NAMESPACE
            | NAMESPACE
            | NAMESPACE_DONE
            | SUBSCRIBE_TRACKS
            | PUBLISH_BLOCKED
            | PUBLISH_OK
    )
}
