//! How vectors are written, and compared with those that are kept.

use std::path::PathBuf;
use std::{env, fs};

use serde::{Serialize, Serializer};

/// JSON whose members keep their order.
pub(crate) enum Json {
    Number(u64),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(&'static str, Json)>),
}

pub(crate) fn number(value: u64) -> Json {
    Json::Number(value)
}

pub(crate) fn text(value: impl ToString) -> Json {
    Json::Text(value.to_string())
}

pub(crate) fn hex(bytes: impl AsRef<[u8]>) -> Json {
    Json::Text(
        bytes
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect(),
    )
}

pub(crate) fn list(values: impl IntoIterator<Item = Json>) -> Json {
    Json::List(values.into_iter().collect())
}

pub(crate) fn object(members: impl IntoIterator<Item = (&'static str, Json)>) -> Json {
    Json::Object(members.into_iter().collect())
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Number(value) => serializer.serialize_u64(*value),
            Self::Text(value) => serializer.serialize_str(value),
            Self::List(values) => serializer.collect_seq(values),
            Self::Object(members) => serializer.collect_map(members.iter().map(|(k, v)| (k, v))),
        }
    }
}

/// Compares `computed` with the vectors in `golden/NAME.json`, byte for byte. Writing them anew is a failure
/// too, so that nobody does so without noticing.
pub(crate) fn compare(name: &str, computed: &Json) {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{name}.json"));
    let computed = serde_json::to_string_pretty(computed).unwrap() + "\n";
    if env::var_os("TIDEGATE_WRITE_GOLDEN").is_some() {
        fs::write(&file, computed).unwrap();
        panic!(
            "wrote {}; look at the difference, and run again without TIDEGATE_WRITE_GOLDEN",
            file.display()
        );
    }
    let kept =
        fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    if kept == computed {
        return;
    }
    let mut lines = kept.lines().zip(computed.lines()).zip(1..);
    let at = lines.find(|((kept, computed), _)| kept != computed);
    let at = at.map_or("the lengths differ".into(), |((kept, computed), line)| {
        format!("line {line}\n    kept: {kept}\ncomputed: {computed}")
    });
    panic!(
        "a change here is a change of the protocol\n{}: {at}",
        file.display()
    );
}
