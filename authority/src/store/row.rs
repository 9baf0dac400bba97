//! Typed values out of rows. What does not fit its type is a corrupt database, never a panic.

use std::fmt::Display;
use std::str::FromStr;

use serde::de::DeserializeOwned;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;
use tidegate_proto::{Document, EpochNumber, Revision, Sequence, Serial, Signed, UnixTime};

use super::StoreError;

/// Reads the columns of one row by name.
pub(crate) struct Row(pub(crate) SqliteRow);

/// A number that is stored as a signed 64-bit integer.
pub(crate) trait Counted: Sized {
    fn from_stored(value: u64) -> Option<Self>;
    fn stored(&self) -> i64;
}

macro_rules! counted {
    ($($name:ident),*) => {$(
        impl Counted for $name {
            fn from_stored(value: u64) -> Option<Self> {
                Self::new(value)
            }
            fn stored(&self) -> i64 {
                self.value() as i64 // at most 2^53
            }
        }
    )*};
}
counted!(Sequence, Serial, EpochNumber, Revision);

impl Counted for UnixTime {
    fn from_stored(value: u64) -> Option<Self> {
        (value <= Self::MAX.as_millis()).then(|| Self::from_millis(value))
    }
    fn stored(&self) -> i64 {
        self.as_millis() as i64 // at most 2^53
    }
}

impl Row {
    fn raw<'r, T>(&'r self, column: &str) -> Result<T, StoreError>
    where
        T: sqlx::Decode<'r, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
    {
        Ok(self.0.try_get(column)?)
    }

    pub(crate) fn integer(&self, column: &str) -> Result<i64, StoreError> {
        self.raw(column)
    }

    pub(crate) fn optional_integer(&self, column: &str) -> Result<Option<i64>, StoreError> {
        self.raw(column)
    }

    pub(crate) fn bytes(&self, column: &str) -> Result<&[u8], StoreError> {
        self.raw(column)
    }

    pub(crate) fn array<const N: usize>(&self, column: &str) -> Result<[u8; N], StoreError> {
        self.bytes(column)?
            .try_into()
            .map_err(|_| corrupt(column, "has the wrong length"))
    }

    pub(crate) fn count<T: Counted>(&self, column: &str) -> Result<T, StoreError> {
        counted(column, self.integer(column)?)
    }

    pub(crate) fn optional_count<T: Counted>(&self, column: &str) -> Result<Option<T>, StoreError> {
        let value: Option<i64> = self.raw(column)?;
        value.map(|value| counted(column, value)).transpose()
    }

    pub(crate) fn small(&self, column: &str) -> Result<u32, StoreError> {
        self.integer(column)?
            .try_into()
            .map_err(|_| corrupt(column, "is out of range"))
    }

    pub(crate) fn optional_small(&self, column: &str) -> Result<Option<u32>, StoreError> {
        let value: Option<i64> = self.raw(column)?;
        let small =
            |value: i64| u32::try_from(value).map_err(|_| corrupt(column, "is out of range"));
        value.map(small).transpose()
    }

    pub(crate) fn optional_array<const N: usize>(
        &self,
        column: &str,
    ) -> Result<Option<[u8; N]>, StoreError> {
        let bytes: Option<&[u8]> = self.raw(column)?;
        bytes
            .map(|bytes| {
                bytes
                    .try_into()
                    .map_err(|_| corrupt(column, "has the wrong length"))
            })
            .transpose()
    }

    pub(crate) fn optional_bytes(&self, column: &str) -> Result<Option<&[u8]>, StoreError> {
        self.raw(column)
    }

    pub(crate) fn text(&self, column: &str) -> Result<&str, StoreError> {
        self.raw(column)
    }

    pub(crate) fn optional_text(&self, column: &str) -> Result<Option<&str>, StoreError> {
        self.raw(column)
    }

    pub(crate) fn parsed<T: FromStr<Err: Display>>(&self, column: &str) -> Result<T, StoreError> {
        self.text(column)?
            .parse()
            .map_err(|error| corrupt(column, error))
    }

    pub(crate) fn json<T: DeserializeOwned>(&self, column: &str) -> Result<T, StoreError> {
        serde_json::from_str(self.text(column)?).map_err(|error| corrupt(column, error))
    }

    /// A signed document in its compact form.
    pub(crate) fn signed<T: Document>(&self, column: &str) -> Result<Signed<T>, StoreError> {
        Signed::from_compact(self.bytes(column)?).map_err(|error| corrupt(column, error))
    }
}

fn counted<T: Counted>(column: &str, value: i64) -> Result<T, StoreError> {
    let value = u64::try_from(value).ok().and_then(T::from_stored);
    value.ok_or_else(|| corrupt(column, "is out of range"))
}

/// The error of a column that holds what was never written there.
pub(crate) fn corrupt(column: &str, why: impl Display) -> StoreError {
    StoreError::Corrupt(format!("{column} {why}"))
}
