//! A host that means harm.

use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::wireguard::Endpoint;
use crate::{Host, LabError, Process};

const SCRIPT: &str = include_str!("stranger.py");
const PATIENCE: Duration = Duration::from_secs(20);

/// What a hostile host does to a WireGuard port, from the host that it was made for.
pub struct Stranger<'a>(pub &'a Host);

impl Stranger<'_> {
    /// Sends garbage as fast as it goes.
    pub fn garbage(&self, victim: &Endpoint) -> Result<Process, LabError> {
        self.start(&["garbage", &victim.socket().to_string()], "sending")
    }

    /// Sends handshake initiations from made-up addresses, at most `rate` a second (0: as fast as it goes).
    pub fn initiations(&self, victim: &Endpoint, rate: u32) -> Result<Process, LabError> {
        let key = STANDARD.decode(&victim.keys.public).unwrap_or_default();
        let key: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        self.start(
            &[
                "initiations",
                &victim.socket().to_string(),
                &key,
                &rate.to_string(),
            ],
            "sending",
        )
    }

    /// Records for some seconds what arrives here.
    pub fn record(&self, path: &Path, seconds: f64) -> Result<Process, LabError> {
        self.start(
            &["record", &path.to_string_lossy(), &seconds.to_string()],
            "recording",
        )
    }

    /// Sends a recording, from here or as if from `source`, and says how many datagrams it had.
    pub fn replay(
        &self,
        path: &Path,
        victim: &Endpoint,
        source: Option<&str>,
    ) -> Result<u64, LabError> {
        let mut words = vec!["-c".to_owned(), SCRIPT.to_owned(), "replay".to_owned()];
        words.extend([
            path.to_string_lossy().into_owned(),
            victim.socket().to_string(),
        ]);
        words.extend(source.map(str::to_owned));
        let text = self.0.run("python3", words)?;
        Ok(text
            .trim()
            .trim_start_matches("replayed ")
            .parse()
            .unwrap_or(0))
    }

    fn start(&self, words: &[&str], ready: &str) -> Result<Process, LabError> {
        let process = self
            .0
            .command("python3")
            .args(["-c", SCRIPT])
            .args(words)
            .spawn()?;
        process.wait_for_output(PATIENCE, ready)?;
        Ok(process)
    }
}
