//! The data directory of an authority, and the operator beside it.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, ensure};
use tempfile::TempDir;
use tidegate::admin::{read_genesis, read_signing_key};
use tidegate::client::{Client, Clock, GenesisChain, OperatorClient, Timeouts};
use tidegate_proto::{Invite, Origin};

use super::Server;
use crate::binary;

/// An authority that was made by `tidegate-authority init`.
pub struct Installation {
    folder: TempDir,
    origin: Origin,
}

/// What a command said, and how it ended.
#[derive(Clone, Debug)]
pub struct Said {
    /// The exit code.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Installation {
    /// A network of its own. `settings` are sections that take the place of those of the same name in authority.toml.
    pub fn new(settings: &str) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let listen = SocketAddr::from((loopback()?, 7443));
        let origin = format!("https://{listen}").parse()?;
        let installation = Self { folder, origin };
        let dir = installation.dir();
        let made = run(Command::new(binary("tidegate-authority")?)
            .args(["init", "--name", "demo"])
            .arg("--dir")
            .arg(&dir)
            .args(["--listen", &listen.to_string()]))?;
        ensure!(made.code == Some(0), "init failed: {made:?}");
        installation.configure(settings)?;
        Ok(installation)
    }

    fn configure(&self, settings: &str) -> anyhow::Result<()> {
        let path = self.dir().join("authority.toml");
        let mut text = fs::read_to_string(&path)?;
        for section in settings
            .split_inclusive("\n\n")
            .map(str::trim)
            .filter(|section| !section.is_empty())
        {
            let (head, lines) = section.split_once('\n').unwrap_or((section, ""));
            ensure!(
                text.contains(head),
                "there is no section {head} in authority.toml"
            );
            text = text.replace(head, &format!("{head}\n{lines}"));
        }
        fs::write(path, text)?;
        Ok(())
    }

    /// The data directory.
    pub fn dir(&self) -> PathBuf {
        self.folder.path().join("authority")
    }

    /// A folder beside it, for whatever a test needs.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where the authority is found.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The file of the genesis.
    pub fn genesis(&self) -> PathBuf {
        self.dir().join("genesis/genesis-1.json")
    }

    /// The key of the first operator.
    pub fn operator_key(&self) -> PathBuf {
        self.dir().join("operator-first.key")
    }

    /// Starts the server, and waits until it serves.
    pub fn serve(&self) -> anyhow::Result<Server> {
        Server::start(self)
    }

    /// The chain of trust from the genesis on.
    pub fn chain(&self) -> anyhow::Result<GenesisChain> {
        Ok(GenesisChain::trusting(read_genesis(&self.genesis())?)?)
    }

    /// A client of the authority.
    pub fn client(&self) -> anyhow::Result<Client> {
        let clock = Arc::new(Clock::system());
        Ok(Client::new(
            self.chain()?.site()?,
            clock,
            Timeouts::default(),
        )?)
    }

    /// The first operator.
    pub fn operator(&self) -> anyhow::Result<OperatorClient> {
        let key = read_signing_key(&self.operator_key(), None)?;
        Ok(self.client()?.as_operator(Arc::new(key)))
    }

    /// Logs the first operator in by the command line.
    pub fn login(&self) -> anyhow::Result<()> {
        let said = self.admin_as("first", |command| {
            command.arg("login").arg(self.origin.as_str());
            command
                .arg("--genesis")
                .arg(self.genesis())
                .arg("--key")
                .arg(self.operator_key());
        })?;
        ensure!(said.code == Some(0), "login failed: {said:?}");
        Ok(())
    }

    /// Where the command line of `user` keeps its profiles.
    pub fn home(&self, user: &str) -> PathBuf {
        self.folder.path().join("home").join(user)
    }

    /// Runs `tidegate admin` as `user`, with what `arguments` adds.
    pub fn admin_as(
        &self,
        user: &str,
        arguments: impl FnOnce(&mut Command),
    ) -> anyhow::Result<Said> {
        let mut command = self.admin_command(user)?;
        arguments(&mut command);
        run(&mut command)
    }

    /// `tidegate admin` as `user`, to be started.
    pub fn admin_command(&self, user: &str) -> anyhow::Result<Command> {
        let mut command = Command::new(binary("tidegate")?);
        command.arg("admin").env("XDG_CONFIG_HOME", self.home(user));
        Ok(command)
    }

    /// Runs `tidegate admin` as the first operator, who has logged in. It has to end well.
    pub fn admin<A: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
    ) -> anyhow::Result<String> {
        let said = self.admin_as("first", |command| {
            command.args(arguments);
        })?;
        ensure!(
            said.code == Some(0),
            "it ended with {:?}: {}",
            said.code,
            said.err
        );
        Ok(said.out)
    }

    /// Makes an invite by the command line.
    pub fn invite(&self, arguments: &[&str]) -> anyhow::Result<Invite> {
        let text = self.admin(["invite", "new"].iter().chain(arguments))?;
        text.trim().parse().context("what was printed is no invite")
    }

    /// Puts a file beside the data directory, which only its owner can read.
    pub fn file(&self, name: &str, text: &str) -> anyhow::Result<PathBuf> {
        let path = self.folder.path().join(name);
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        file.write_all(text.as_bytes())?;
        Ok(path)
    }
}

/// Runs a command to its end.
pub(super) fn run(command: &mut Command) -> anyhow::Result<Said> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(Said {
        code: output.status.code(),
        out: text(&output.stdout),
        err: text(&output.stderr),
    })
}

/// One of 16 million addresses of this machine, so that no two tests meet.
fn loopback() -> anyhow::Result<Ipv4Addr> {
    let mut drawn = [0; 3];
    getrandom::fill(&mut drawn).map_err(|error| anyhow::anyhow!("{error}"))?;
    Ok(Ipv4Addr::new(127, drawn[0] | 1, drawn[1], drawn[2] | 1))
}
