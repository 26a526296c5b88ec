//! Text that must not show up in logs.

use std::fmt;

/// A token. `Debug` hides it, and comparing takes the same time wherever the difference is.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Fewest characters of a token that is not guessed at once.
    pub const MIN_LEN: usize = 8;

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it is empty, which no validated configuration contains.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The token itself, to be sent or stored.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether `shown` is the token. The time taken tells its length, nothing else.
    pub fn matches(&self, shown: &[u8]) -> bool {
        let difference = self
            .0
            .bytes()
            .zip(shown)
            .fold(0, |seen, (ours, theirs)| seen | (ours ^ theirs));
        // The barrier keeps the compiler from leaving the loop early.
        self.0.len() == shown.len() && std::hint::black_box(difference) == 0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}
