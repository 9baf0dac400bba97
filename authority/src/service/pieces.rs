//! JSON that many are told: rendered once, in pieces that everybody who is told them shares.

use std::iter::Peekable;
use std::vec;

use bytes::Bytes;
use serde::Serialize;

use crate::store::StoreError;

/// What is sent at once. Pieces are joined up to that size, and larger ones are not copied.
const FRAME: usize = 32 * 1024;

/// JSON in pieces, in order.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Pieces(Vec<Bytes>);

impl Pieces {
    /// `value` in one piece.
    pub(super) fn of(value: &impl Serialize) -> Result<Self, StoreError> {
        Ok(Self(vec![rendered(value)?]))
    }

    /// An object in which `name` is `value`.
    pub(super) fn object(name: &str, value: Self) -> Self {
        let mut object = Self::from(format!("{{\"{name}\":"));
        object.append(value);
        object.push("}");
        object
    }

    /// Adds a piece.
    pub fn push(&mut self, piece: impl Into<Bytes>) {
        self.0.push(piece.into());
    }

    /// Adds the pieces of `other`.
    pub fn append(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Adds an array.
    pub(super) fn push_array(&mut self, elements: impl IntoIterator<Item = Element>) {
        self.push("[");
        let mut elements = elements.into_iter();
        self.0.extend(elements.next().map(|first| first.alone()));
        self.0.extend(elements.map(|element| element.0));
        self.push("]");
    }

    /// How many bytes there are.
    pub fn size(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }

    /// All of it in one.
    pub fn to_bytes(&self) -> Bytes {
        self.0.concat().into()
    }

    /// What is to be sent, one after the other. Each is made when it is asked for.
    pub fn frames(self) -> Frames {
        Frames(self.0.into_iter().peekable())
    }
}

impl<T: Into<Bytes>> From<T> for Pieces {
    fn from(piece: T) -> Self {
        Self(vec![piece.into()])
    }
}

/// A value of an array, behind the comma that parts it from the one before.
#[derive(Clone, Debug)]
pub(crate) struct Element(Bytes);

impl Element {
    pub(crate) fn of(value: &impl Serialize) -> Result<Self, StoreError> {
        Ok(Self([&b","[..], &rendered(value)?].concat().into()))
    }

    /// Without the comma.
    pub(crate) fn alone(&self) -> Bytes {
        self.0.slice(1..)
    }
}

fn rendered(value: &impl Serialize) -> Result<Bytes, StoreError> {
    let json = serde_json::to_vec(value).map_err(|error| StoreError::Failed(error.to_string()))?;
    Ok(json.into())
}

/// The frames of [`Pieces`].
pub struct Frames(Peekable<vec::IntoIter<Bytes>>);

impl Iterator for Frames {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let first = self.0.next()?;
        let fits = |have: usize, next: &Bytes| have + next.len() <= FRAME;
        if !self.0.peek().is_some_and(|next| fits(first.len(), next)) {
            return Some(first);
        }
        let mut frame = Vec::with_capacity(FRAME);
        frame.extend_from_slice(&first);
        while let Some(next) = self.0.next_if(|next| fits(frame.len(), next)) {
            frame.extend_from_slice(&next);
        }
        Some(frame.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elements(count: usize) -> Vec<Element> {
        (0..count).map(|n| Element::of(&n).unwrap()).collect()
    }

    #[test]
    fn an_array_is_what_it_would_be_in_one() {
        for count in [0, 1, 2, 20_000] {
            let mut pieces = Pieces::default();
            pieces.push_array(elements(count));
            let whole = Pieces::object("numbers", pieces);
            let numbers: Vec<usize> = (0..count).collect();
            let expected = serde_json::to_vec(&serde_json::json!({ "numbers": numbers })).unwrap();
            assert_eq!(whole.to_bytes(), expected);
            assert_eq!(whole.size(), expected.len());
            let frames: Vec<Bytes> = whole.frames().collect();
            assert!(frames.iter().all(|frame| frame.len() <= FRAME));
            assert!(frames.len() <= expected.len() / (FRAME / 2) + 1);
            assert_eq!(frames.concat(), expected);
        }
    }

    #[test]
    fn what_is_large_is_not_copied() {
        let large = Bytes::from(vec![b'x'; 2 * FRAME]);
        let mut pieces = Pieces::from("a");
        pieces.push(large.clone());
        pieces.push("b");
        let frames: Vec<Bytes> = pieces.frames().collect();
        assert_eq!(frames.len(), 3);
        assert_eq!(frames[1].as_ptr(), large.as_ptr());
    }
}
