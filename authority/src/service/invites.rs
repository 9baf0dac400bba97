//! Invites.

use tidegate_proto::api::Invites;
use tidegate_proto::{Digest, Invite, InviteId, InviteToken, Span};

use super::audit::{Entry, Event};
use super::authority::rng;
use super::{Authority, Caller, InviteError, InviteView, MadeInvite, NewInvite, Operation};
use crate::store::{StoreError, Tx, invite};

/// The longest that an invite counts.
const LONGEST: Span = Span::from_hours(366 * 24);

impl Authority {
    /// Makes an invite.
    pub async fn new_invite(
        &self,
        new: NewInvite,
        caller: Caller,
    ) -> Result<MadeInvite, InviteError> {
        if new.uses == 0 || new.valid_for == Span::default() || new.valid_for > LONGEST {
            return Err(InviteError::Useless);
        }
        let trust = self.trust();
        let genesis = trust.chain.genesis();
        let url = genesis.urls.first().cloned().ok_or(InviteError::NoUrl)?;
        let token = InviteToken::generate(
            &mut rng().map_err(|error| StoreError::Failed(error.to_string()))?,
        );
        let invite = Invite {
            url,
            tls: genesis.tls.clone(),
            genesis: genesis.digest(),
            token,
        };
        let hash = invite.token.hash();
        let view = self
            .effect(async move |this, tx| this.keep_invite(tx, new, hash, &caller).await)
            .await?;
        Ok(MadeInvite { invite, view })
    }

    async fn keep_invite(
        &self,
        tx: &mut Tx,
        new: NewInvite,
        token: Digest,
        caller: &Caller,
    ) -> Result<InviteView, InviteError> {
        self.admit(tx, caller, Operation::MakeInvite).await?;
        let now = tx.now();
        if invite::open(tx.connection(), now).await? >= i64::from(self.0.limits.invites) {
            return Err(InviteError::TooMany);
        }
        let view = InviteView {
            id: id_of(token),
            roles: new.roles,
            tags: new.tags,
            uses_left: new.uses,
            created_at: now,
            expires_at: now + new.valid_for,
            revoked_at: None,
        };
        invite::keep(tx.connection(), &view, token).await?;
        let entry = Entry::new(Event::InviteMade, &caller.actor, view.id)
            .count("uses", view.uses_left)
            .list("roles", view.roles.iter())
            .list("tags", view.tags.iter())
            .time("expires_at", view.expires_at);
        self.record(tx, entry).await?;
        Ok(view)
    }

    /// The invites that were made, the newest first: as many as a list holds, and one more if there are more.
    pub async fn invites(&self) -> Result<Vec<InviteView>, StoreError> {
        let mut connection = self.0.store.read().await?;
        invite::newest(&mut connection, Invites::MOST + 1).await
    }

    /// Takes an invite back.
    pub async fn revoke_invite(&self, id: InviteId, caller: Caller) -> Result<(), InviteError> {
        self.effect(async move |this, tx| -> Result<(), InviteError> {
            this.admit(tx, &caller, Operation::RevokeInvite).await?;
            let now = tx.now();
            if !invite::revoke(tx.connection(), id, now).await? {
                return Err(InviteError::Unknown);
            }
            let entry = Entry::new(Event::InviteRevoked, &caller.actor, id);
            Ok(this.record(tx, entry).await?)
        })
        .await
    }
}

/// An id that follows from a token's hash and does not tell it.
fn id_of(token: Digest) -> InviteId {
    let mut id = [0; 8];
    id.copy_from_slice(&Digest::of(token.as_bytes()).as_bytes()[..8]);
    InviteId::from_bytes(id)
}
