//! Box headers and the walk over child boxes (ISO/IEC 14496-12, "Object-structured file organization").
//!
//! Containers are walked here and only leaf boxes are given to `mp4-atom`: its general decoder follows any known box
//! inside any other, so a hostile file could nest boxes until the stack ends, and one odd metadata box would
//! refuse a whole file.

use mp4_atom::FourCC;

/// The longest box header we read: 32-bit size, type, 64-bit size.
pub(super) const MAX_HEAD: usize = 16;

/// A box header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) kind: FourCC,
    /// Length of the header itself, 8 or 16.
    pub(super) len: usize,
    /// Length of the whole box with its header; `None` reaches to the end of the file.
    pub(super) size: Option<u64>,
}

/// A size smaller than the header that carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("box '{0}' has an impossible size")]
pub(super) struct BadSize(pub(super) FourCC);

impl Head {
    /// Reads the header at the start of `bytes`; `None` asks for more bytes (at most [`MAX_HEAD`]).
    pub(super) fn parse(bytes: &[u8]) -> Result<Option<Self>, BadSize> {
        let Some((size, rest)) = bytes.split_first_chunk::<4>() else {
            return Ok(None);
        };
        let Some((kind, rest)) = rest.split_first_chunk::<4>() else {
            return Ok(None);
        };
        let kind = FourCC::from(*kind);
        let (len, size) = match u32::from_be_bytes(*size) {
            0 => (8, None),
            1 => match rest.first_chunk::<8>() {
                Some(size) => (16, Some(u64::from_be_bytes(*size))),
                None => return Ok(None),
            },
            size => (8, Some(u64::from(size))),
        };
        if size.is_some_and(|size| size < len as u64) {
            return Err(BadSize(kind));
        }
        Ok(Some(Self { kind, len, size }))
    }
}

/// One child box.
#[derive(Debug, Clone, Copy)]
pub(super) struct Child<'a> {
    pub(super) kind: FourCC,
    /// Header and body.
    pub(super) whole: &'a [u8],
    pub(super) body: &'a [u8],
}

/// The boxes that fill `0`, one after the other. Fewer than 8 left-over bytes are padding, as QuickTime writes.
#[derive(Debug)]
pub(super) struct Children<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Children<'a> {
    type Item = Result<Child<'a>, BadSize>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.len() < 8 {
            return None;
        }
        let child = self.split();
        if child.is_err() {
            self.0 = &[];
        }
        Some(child)
    }
}

impl<'a> Children<'a> {
    fn split(&mut self) -> Result<Child<'a>, BadSize> {
        let unknown = BadSize(FourCC::new(b"????"));
        let head = Head::parse(self.0)?.ok_or(unknown)?;
        let size = head.size.map_or(Ok(self.0.len()), |size| {
            usize::try_from(size).map_err(|_range| BadSize(head.kind))
        })?;
        let (whole, rest) = self.0.split_at_checked(size).ok_or(BadSize(head.kind))?;
        let body = whole.get(head.len..).ok_or(BadSize(head.kind))?;
        self.0 = rest;
        Ok(Child {
            kind: head.kind,
            whole,
            body,
        })
    }
}
