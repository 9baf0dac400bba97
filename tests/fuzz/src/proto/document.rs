//! Payloads: read as every kind of document, signed by who may sign it, and verified.

use std::fmt::Debug;
use std::sync::LazyLock;

use tidegate_proto::policy::Policy;
use tidegate_proto::{
    Authority, Certificate, Checkpoint, Command, Document, EpochGrant, Genesis, Keyring, Node,
    OperatorAndAuthority, PeerRecord, Receipt, RevocationList, Roster, Signed, SigningKey,
    TimeStatement, TrustChain,
};

use super::fixtures::{NOW, Network};
use super::promise::{check_json, check_refusal};

struct Keys {
    network: Network,
    authority: Keyring<Authority>,
    node: Keyring<Node>,
    command: Keyring<OperatorAndAuthority>,
}

static KEYS: LazyLock<Keys> = LazyLock::new(|| {
    let network = Network::new();
    let (authority, node) = (network.keyring(), network.node_keyring());
    let command = network.command_keyring();
    Keys {
        network,
        authority,
        node,
        command,
    }
});

/// The payload of any kind.
pub fn document(data: &[u8]) {
    let Keys {
        network,
        authority,
        node,
        command,
    } = &*KEYS;
    let signer = [&network.authority];
    check::<Certificate>(data, &signer, authority);
    check::<RevocationList>(data, &signer, authority);
    check::<Policy>(data, &signer, authority);
    check::<Roster>(data, &signer, authority);
    check::<EpochGrant>(data, &signer, authority);
    check::<TimeStatement>(data, &signer, authority);
    check::<Checkpoint>(data, &signer, authority);
    check::<Command>(data, &[&network.operator, &network.authority], command);
    check::<PeerRecord>(data, &[&network.identity], node);
    check::<Receipt>(data, &[&network.identity], node);
    check_genesis(data, &network.root);
}

/// Reads the payload and, if that is possible, has it signed and verified.
fn check<T>(payload: &[u8], signers: &[&SigningKey], keyring: &Keyring<T::Signer>)
where
    T: Document + Debug + PartialEq,
{
    let Some(signed) = signed::<T>(payload, signers) else {
        return;
    };
    match signed.verify(keyring, NOW) {
        Ok(verified) => assert_eq!(verified.digest(), signed.digest()),
        Err(error) => check_refusal(&error),
    }
}

/// A genesis is judged by the root key that it names itself, and then gives a keyring.
fn check_genesis(payload: &[u8], root: &SigningKey) {
    let Some(signed) = signed::<Genesis>(payload, &[root]) else {
        return;
    };
    match TrustChain::trusting(&signed) {
        Ok(chain) => assert!(chain.keyring().is_ok()),
        Err(error) => check_refusal(&error),
    }
}

/// The envelope of the document in `payload`; both forms of it read as itself.
fn signed<T: Document + Debug + PartialEq>(
    payload: &[u8],
    signers: &[&SigningKey],
) -> Option<Signed<T>> {
    let document = check_json::<T>(payload, T::KIND.largest_payload())?;
    match Signed::sign(&document, signers) {
        Ok(signed) => {
            assert_eq!(
                Signed::from_compact(&signed.to_compact()).as_ref(),
                Ok(&signed)
            );
            assert_eq!(Signed::from_json(&signed.to_json()).as_ref(), Ok(&signed));
            Some(signed)
        }
        Err(error) => {
            check_refusal(&error);
            None
        }
    }
}
