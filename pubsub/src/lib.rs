//! MoQ Transport (draft-18).
