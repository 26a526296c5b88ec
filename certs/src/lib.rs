//! Identities and certificates of a Headwater node.
