//! Invites, operators and tokens: who may come in, and who may decide.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Subcommand};
use tidegate::admin::{list, moment, or_dash, read_public_key, table};
use tidegate_proto::api::{
    InviteView, NewInvite, NewOperator, NewToken, Operation, OperatorView, TokenView,
};
use tidegate_proto::policy::OperatorRole;
use tidegate_proto::{
    BoundedSet, InviteId, OperatorId, OperatorName, PublicKey, Role, Span, Tag, TokenId,
};

use super::desk::Desk;
use crate::cli::Failure;

/// Commands for invites.
#[derive(Debug, Subcommand)]
pub(super) enum Invite {
    /// Make an invite; it is shown once
    New(InviteNew),
    /// List the invites that were made
    List,
    /// Take an invite back
    Revoke {
        /// The invite's id
        id: InviteId,
    },
}

/// An invite to make.
#[derive(Args, Debug)]
pub(super) struct InviteNew {
    /// What those who come with it are for; may be repeated
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<Role>,
    /// A mark for them; may be repeated
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<Tag>,
    /// How many nodes it admits
    #[arg(long, default_value_t = 1)]
    uses: u32,
    /// How long it counts
    #[arg(long, value_name = "TIME", default_value = "24h")]
    expires: Span,
}

impl Invite {
    pub(super) async fn run(self, desk: &Desk) -> Result<(), Failure> {
        match self {
            Self::New(new) => new.run(desk).await,
            Self::List => list_invites(desk).await,
            Self::Revoke { id } => {
                desk.operator.revoke_invite(id).await?;
                desk.console
                    .show(&id, || format!("{id} admits nobody any more.\n"))
            }
        }
    }
}

impl InviteNew {
    async fn run(self, desk: &Desk) -> Result<(), Failure> {
        let invite = NewInvite {
            roles: BoundedSet::new(self.roles).map_err(Failure::usage)?,
            tags: BoundedSet::new(self.tags).map_err(Failure::usage)?,
            uses: self.uses,
            valid_for: self.expires,
        };
        let made = desk.operator.new_invite(&invite).await?;
        desk.console.progress(&format!(
            "{} admits {} node(s) and ends {}. Whoever has it can join: tidegate join INVITE",
            made.view.id,
            made.view.uses_left,
            moment(made.view.expires_at, desk.now()),
        ));
        desk.console.end_progress();
        desk.console
            .show(&made, || format!("{}\n", made.invite.expose()))
    }
}

async fn list_invites(desk: &Desk) -> Result<(), Failure> {
    let invites = desk.operator.invites().await?;
    let now = desk.now();
    desk.console.show(&invites, || {
        let row = |invite: &InviteView| {
            let ends = match invite.revoked_at {
                Some(at) => format!("revoked {}", moment(at, now)),
                None if invite.uses_left == 0 => {
                    format!("used up {}", moment(invite.expires_at, now))
                }
                None if invite.expires_at <= now => {
                    format!("expired {}", moment(invite.expires_at, now))
                }
                None => moment(invite.expires_at, now),
            };
            let (id, uses) = (invite.id.to_string(), invite.uses_left.to_string());
            [
                id,
                list(invite.roles.iter()),
                list(invite.tags.iter()),
                uses,
                moment(invite.created_at, now),
                ends,
            ]
        };
        let header = ["id", "roles", "tags", "uses left", "made", "ends"];
        let shown = table(
            header,
            invites.invites.iter().map(row),
            "There are no invites.",
        );
        shown + older(invites.more)
    })
}

/// Commands for operators.
#[derive(Debug, Subcommand)]
pub(super) enum Operators {
    /// List who may decide
    List,
    /// Name somebody who may decide, in a new version of the policy
    Add {
        /// The name under which deeds are recorded
        name: OperatorName,
        /// The public key: a PEM file, or the key itself in base64
        #[arg(long, value_name = "FILE|KEY")]
        key: KeySource,
        /// What they may do: viewer, operator, admin or sovereign
        #[arg(long, value_parser = role)]
        role: OperatorRole,
    },
    /// End somebody's right to decide, in a new version of the policy
    Remove {
        /// The operator's name or id
        operator: String,
    },
}

fn role(text: &str) -> Result<OperatorRole, String> {
    let found = OperatorRole::ALL
        .into_iter()
        .find(|role| role.to_string() == text);
    found.ok_or_else(|| "a role is viewer, operator, admin or sovereign".to_owned())
}

/// A public key, or the file that holds it.
#[derive(Clone, Debug)]
pub(super) enum KeySource {
    Key(PublicKey),
    File(PathBuf),
}

impl FromStr for KeySource {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(text
            .parse()
            .map_or_else(|_| Self::File(text.into()), Self::Key))
    }
}

impl Operators {
    pub(super) async fn run(self, desk: &Desk) -> Result<(), Failure> {
        match self {
            Self::List => list_operators(desk).await,
            Self::Add { name, key, role } => {
                let key = match key {
                    KeySource::Key(key) => key,
                    KeySource::File(path) => read_public_key(&path).map_err(Failure::new)?,
                };
                let named = NewOperator { name, key, role };
                let operator = desk.operator.add_operator(&named).await?;
                desk.console.show(&operator, || {
                    format!(
                        "{} may decide as {} from now on.\n",
                        operator.name, operator.role
                    )
                })
            }
            Self::Remove { operator } => {
                let id = find_operator(desk, &operator).await?;
                desk.operator.remove_operator(id).await?;
                desk.console
                    .show(&id, || format!("{operator} may not decide any more.\n"))
            }
        }
    }
}

async fn find_operator(desk: &Desk, operator: &str) -> Result<OperatorId, Failure> {
    if let Ok(id) = operator.parse() {
        return Ok(id);
    }
    let known = desk.operator.operators().await?;
    let found = known
        .operators
        .iter()
        .find(|known| known.name.as_str() == operator);
    let unknown = || {
        Failure::new(format!(
            "there is no operator '{operator}'; 'tidegate admin operators list' lists them"
        ))
    };
    found.map(|found| found.id).ok_or_else(unknown)
}

async fn list_operators(desk: &Desk) -> Result<(), Failure> {
    let operators = desk.operator.operators().await?;
    desk.console.show(&operators, || {
        let row = |operator: &OperatorView| {
            let (name, role) = (operator.name.to_string(), operator.role.to_string());
            [
                name,
                role,
                operator.key.to_string(),
                operator.id.to_string(),
            ]
        };
        table(
            ["name", "role", "key", "id"],
            operators.operators.iter().map(row),
            "There are no operators.",
        )
    })
}

/// Commands for API tokens.
#[derive(Debug, Subcommand)]
pub(super) enum Tokens {
    /// Make an API token; it is shown once
    New(TokenNew),
    /// List the tokens that were made
    List,
    /// Take a token back
    Revoke {
        /// The token's id
        id: TokenId,
    },
}

/// A token to make.
#[derive(Args, Debug)]
pub(super) struct TokenNew {
    /// What it is for: the name under which its deeds are recorded
    name: OperatorName,
    /// What it may do: viewer, operator, admin or sovereign; at most what you may
    #[arg(long, value_parser = role)]
    role: OperatorRole,
    /// What of that it may, like nodes.view; all of it if not given; may be repeated
    #[arg(long = "only", value_name = "OPERATION")]
    operations: Vec<Operation>,
    /// How long it counts
    #[arg(long, value_name = "TIME", default_value = "90d")]
    expires: Span,
}

impl TokenNew {
    async fn run(self, desk: &Desk) -> Result<(), Failure> {
        let operations = BoundedSet::new(self.operations).map_err(Failure::usage)?;
        let token = NewToken {
            name: self.name,
            role: self.role,
            operations: (!operations.is_empty()).then_some(operations),
            valid_for: self.expires,
        };
        let made = desk.operator.new_token(&token).await?;
        let ends = moment(made.view.expires_at, desk.now());
        desk.console.progress(&format!(
            "{} ends {ends}. It is not shown again:",
            made.view.id
        ));
        desk.console.end_progress();
        desk.console
            .show(&made, || format!("{}\n", made.token.expose()))
    }
}

impl Tokens {
    pub(super) async fn run(self, desk: &Desk) -> Result<(), Failure> {
        match self {
            Self::New(new) => new.run(desk).await,
            Self::List => list_tokens(desk).await,
            Self::Revoke { id } => {
                desk.operator.revoke_token(id).await?;
                desk.console
                    .show(&id, || format!("{id} opens nothing any more.\n"))
            }
        }
    }
}

async fn list_tokens(desk: &Desk) -> Result<(), Failure> {
    let tokens = desk.operator.tokens().await?;
    let now = desk.now();
    desk.console.show(&tokens, || {
        let row = |token: &TokenView| {
            let ends = match token.revoked_at {
                Some(at) => format!("revoked {}", moment(at, now)),
                None => moment(token.expires_at, now),
            };
            let used = or_dash(token.used_at.map(|at| moment(at, now)));
            let (id, name) = (token.id.to_string(), token.name.to_string());
            [
                id,
                name,
                token.role.to_string(),
                token.made_by.to_string(),
                used,
                ends,
            ]
        };
        let header = ["id", "name", "role", "made by", "used", "ends"];
        let shown = table(
            header,
            tokens.tokens.iter().map(row),
            "There are no tokens.",
        );
        shown + older(tokens.more)
    })
}

/// What follows a list that has no room for all.
fn older(more: bool) -> &'static str {
    if more {
        "There are older ones, which are not listed.\n"
    } else {
        ""
    }
}
