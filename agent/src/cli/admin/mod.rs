//! `tidegate admin`: what operators do.

mod access;
mod audit;
mod desk;
mod epoch;
mod events;
mod login;
mod node;
mod policy;
mod recovery;
mod revocation;

use clap::{Args, Subcommand};

use super::Failure;
use desk::{Console, Desk};

/// Commands for operators.
#[derive(Args, Debug)]
pub(super) struct Admin {
    /// The network to speak to, by the name of its profile; otherwise the default one
    #[arg(long, global = true, value_name = "NAME")]
    profile: Option<String>,
    /// Print JSON, for programs
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Log in to a network, as an operator with a key or with an API token
    Login(login::Login),
    /// List the networks that you have logged in to
    Profiles,
    /// Make, list and revoke invites
    #[command(subcommand)]
    Invite(access::Invite),
    /// List nodes
    Nodes(node::Nodes),
    /// Show one node
    Show(node::Show),
    /// Let a waiting node in
    Approve(node::Approve),
    /// Turn a waiting node away
    Deny(node::Deny),
    /// Put a node out for good
    Revoke(revocation::Revoke),
    /// Put a node out for now
    Suspend(revocation::Suspend),
    /// Let a node that is out come back; one that was revoked needs new keys
    Reinstate(node::Reinstate),
    /// List revocations, or show who has confirmed one and who has not
    Revocations(revocation::Revocations),
    /// Show the epochs, or start a new one at once
    Epoch(epoch::Epoch),
    /// Read, check and change the policy
    #[command(subcommand)]
    Policy(policy::Policy),
    /// List, add and remove operators
    #[command(subcommand)]
    Operators(access::Operators),
    /// Make, list and revoke API tokens
    #[command(subcommand)]
    Tokens(access::Tokens),
    /// Read or export the audit log
    #[command(subcommand)]
    Audit(audit::Audit),
    /// Show or end the recovery of an authority that was restored from a backup
    #[command(subcommand)]
    Recovery(recovery::Recovery),
    /// Wait for the next change, or follow them all
    Events(events::Events),
}

impl Admin {
    pub(super) fn run(self) -> Result<(), Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.map_err(Failure::new)?.block_on(self.carry_out())
    }

    async fn carry_out(self) -> Result<(), Failure> {
        let console = Console::new(self.json);
        let profile = self.profile.as_deref();
        let command = match self.command {
            Command::Login(login) => return login.run(profile, &console).await,
            Command::Profiles => return login::profiles(&console),
            other => other,
        };
        let desk = Desk::open(profile, console).await?;
        match command {
            Command::Login(_) | Command::Profiles => Ok(()), // they need no desk
            Command::Invite(invite) => invite.run(&desk).await,
            Command::Nodes(nodes) => nodes.run(&desk).await,
            Command::Show(show) => show.run(&desk).await,
            Command::Approve(approve) => approve.run(&desk).await,
            Command::Deny(deny) => deny.run(&desk).await,
            Command::Revoke(revoke) => revoke.run(&desk).await,
            Command::Suspend(suspend) => suspend.run(&desk).await,
            Command::Reinstate(reinstate) => reinstate.run(&desk).await,
            Command::Revocations(revocations) => revocations.run(&desk).await,
            Command::Epoch(epoch) => epoch.run(&desk).await,
            Command::Policy(policy) => policy.run(&desk).await,
            Command::Operators(operators) => operators.run(&desk).await,
            Command::Tokens(tokens) => tokens.run(&desk).await,
            Command::Audit(audit) => audit.run(&desk).await,
            Command::Recovery(recovery) => recovery.run(&desk).await,
            Command::Events(events) => events.run(&desk).await,
        }
    }
}
