//! What `tidegate admin` is made of: the networks that an operator knows, the keys, and tables.

mod file;
mod key;
mod profile;
mod table;

pub use file::FileError;
pub use key::{KeyFileError, read_genesis, read_public_key, read_signing_key, read_text};
pub use profile::{Credential, Profile, ProfileError, ProfileFile, Standing};
pub use table::{facts, length, list, moment, or_dash, table};
