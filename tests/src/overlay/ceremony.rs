//! The founding of a network whose genesis says how long things last.

use std::ffi::OsStr;
use std::path::Path;

use anyhow::{Context, Result};

use super::Timing;
use crate::{Host, binary};

/// Root, authority key, TLS key and genesis, each by its own command, and the authority that is made of them.
pub(super) fn found(host: &Host, folder: &Path, listen: &str, timing: &Timing) -> Result<()> {
    let file = |name: &str| folder.join(name);
    let run = |arguments: &[&OsStr]| -> Result<String> {
        let program = binary("tidegate-authority")?;
        Ok(host.command(program).args(arguments).run()?)
    };
    let word = OsStr::new;
    let [root, key, public, tls, genesis] =
        ["root.pem", "key.pem", "key.pub", "tls.pem", "genesis.json"].map(file);
    run(&[word("root"), word("new"), word("--out"), root.as_ref()])?;
    run(&[word("key"), word("new"), word("--out"), key.as_ref()])?;
    let made = run(&[word("tls"), word("new"), word("--out"), tls.as_ref()])?;
    let pin = made.lines().find_map(|line| line.strip_prefix("Pin: "));
    let url = format!("https://{listen}");
    let mut sign: Vec<&OsStr> = ["genesis", "new", "--name", "demo", "--ipv4"]
        .map(word)
        .into();
    sign.extend([word("10.211.0.0/16"), word("--root"), root.as_ref()]);
    sign.extend([word("--authority-key"), public.as_ref()]);
    sign.extend([word("--url"), word(&url), word("--tls-pin")]);
    sign.extend([word(pin.context("no pin was printed")?), word("--out")]);
    sign.push(genesis.as_ref());
    sign.extend(timing.arguments().map(word));
    run(&sign)?;
    let dir = file("authority");
    let mut init: Vec<&OsStr> = vec![word("init"), word("--dir"), dir.as_ref()];
    init.extend([word("--genesis"), genesis.as_ref()]);
    init.extend([word("--key"), key.as_ref()]);
    init.extend([word("--tls-key"), tls.as_ref()]);
    init.extend([word("--listen"), word(listen)]);
    run(&init).map(drop)
}
