//! The file of an operator's profiles.
#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "../../authority/proto/tests/fixtures/mod.rs"]
mod fixtures;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tidegate::admin::{Credential, FileError, Profile, ProfileError, ProfileFile, Standing};

fn profile(token: &str) -> Profile {
    Profile {
        urls: vec!["https://a.example:7443".parse().unwrap()],
        genesis: vec![fixtures::Network::new().signed_genesis()],
        credential: Credential::Token(token.parse().unwrap()),
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn what_was_put_is_there_again_and_only_its_owner_can_read_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config/tidegate/admin.toml");
    let mut file = ProfileFile::open(&path).unwrap();
    assert_eq!(file.choose(None), Err(ProfileError::None));
    file.put("demo", profile("secret-1"), Standing::Default)
        .unwrap();
    let by_key = Profile {
        credential: Credential::Key {
            path: "/home/jane/operator.pem".into(),
            passphrase: None,
        },
        ..profile("unused")
    };
    file.put("other", by_key.clone(), Standing::Unchanged)
        .unwrap();
    let read = ProfileFile::open(&path).unwrap();
    assert_eq!(read.names().collect::<Vec<_>>(), ["demo", "other"]);
    assert_eq!(read.choose(None).unwrap(), ("demo", &profile("secret-1")));
    assert_eq!(read.choose(Some("other")).unwrap().1, &by_key);
    assert_eq!(
        read.choose(Some("third")),
        Err(ProfileError::Unknown("third".into()))
    );
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    assert!(
        !format!("{read:?}").contains("secret-1"),
        "a token was printed"
    );
}

#[test]
fn several_profiles_without_a_default_are_not_guessed_between() {
    let folder = tempfile::tempdir().unwrap();
    let mut file = ProfileFile::open(&folder.path().join("admin.toml")).unwrap();
    file.put("a", profile("x"), Standing::Unchanged).unwrap();
    assert_eq!(
        file.choose(None).unwrap().0,
        "a",
        "the only one needs no mark"
    );
    file.put("b", profile("x"), Standing::Unchanged).unwrap();
    assert_eq!(file.choose(None), Err(ProfileError::Ambiguous));
    let odd = file.put("a.b", profile("x"), Standing::Unchanged);
    assert_eq!(odd, Err(ProfileError::Name("a.b".into())));
}

#[test]
fn a_file_that_others_can_read_or_that_does_not_read_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin.toml");
    let mut file = ProfileFile::open(&path).unwrap();
    file.put("demo", profile("hush"), Standing::Default)
        .unwrap();
    for open in [0o644, 0o640, 0o620] {
        fs::set_permissions(&path, Permissions::from_mode(open)).unwrap();
        let refused = ProfileFile::open(&path).unwrap_err();
        assert!(
            matches!(refused, ProfileError::File(FileError::OpenToOthers { mode, .. }) if mode == open),
            "{refused}"
        );
    }
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    let sound = fs::read_to_string(&path).unwrap();
    let both = sound.replace("token =", "key = \"/k\"\ntoken =");
    let unknown = sound.replace("token =", "tokens =");
    for bad in [
        both,
        unknown,
        "[profiles".to_owned(),
        sound.replace("payloadType", "payload"),
    ] {
        fs::write(&path, bad).unwrap();
        let refused = ProfileFile::open(&path).unwrap_err();
        assert!(matches!(refused, ProfileError::Syntax { .. }), "{refused}");
        assert!(!refused.to_string().contains("hush"), "{refused}");
    }
}
