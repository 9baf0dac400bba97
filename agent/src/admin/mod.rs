//! What `tidegate admin` is made of.

mod file;
mod profile;

pub use file::FileError;
pub use profile::{Credential, Profile, ProfileError, ProfileFile, Standing};
