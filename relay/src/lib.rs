//! A node of the Headwater overlay.
