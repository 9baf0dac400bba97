//! Who may do what: every role and every operation, each refusal, and races between a right and its end.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use support::operators::{Person, one_of_each, policy};
use support::{World, operator, revoke, set};
use tidegate_authority::Coded;
use tidegate_authority::service::{Actor, Approval, Caller, NewInvite, Operation, OperatorRef};
use tidegate_proto::api::{Door, NewToken};
use tidegate_proto::policy::OperatorRole;
use tidegate_proto::*;

fn code<T, E: Coded>(result: Result<T, E>) -> Result<(), &'static str> {
    result.map(drop).map_err(|error| error.code())
}

fn new_token(name: &str, role: OperatorRole, operations: &[Operation]) -> NewToken {
    NewToken {
        name: name.parse().unwrap(),
        role,
        operations: (!operations.is_empty()).then(|| set(operations.iter().copied())),
        valid_for: Span::from_hours(1),
    }
}

fn person(seed: u8) -> Person {
    Person::new(&format!("p{seed}"), OperatorRole::Viewer, seed)
}

/// What an operation is tried on; made anew for each attempt.
struct Stage {
    world: World,
    people: [Person; 4],
    attempts: u8,
}

impl Stage {
    async fn new() -> Self {
        let world = World::new().await;
        let people = one_of_each();
        world.govern(&people.each_ref()).await;
        Self {
            world,
            people,
            attempts: 0,
        }
    }

    fn person(&self, role: OperatorRole) -> &Person {
        self.people
            .iter()
            .find(|person| person.operator.role == role)
            .unwrap()
    }

    async fn waiting(&mut self) -> NodeId {
        let node = self.world.node();
        let name = format!("w-{}", self.world.seed);
        node.join(&self.world.authority, &name, None).await.unwrap();
        node.id()
    }

    async fn member(&mut self) -> NodeId {
        let name = format!("m-{}", self.world.seed);
        self.world.member(&name).await.id()
    }

    /// Has `caller` do it, on something fresh that it can be done to.
    async fn attempt(&mut self, operation: Operation, caller: Caller) -> Result<(), &'static str> {
        self.attempts += 1;
        let authority = self.world.authority.clone();
        let reason: Reason = "because".parse().unwrap();
        match operation {
            Operation::Approve => {
                let node = self.waiting().await;
                code(authority.approve(node, Approval::default(), caller).await)
            }
            Operation::Deny => {
                let node = self.waiting().await;
                code(authority.deny(node, reason, caller).await)
            }
            Operation::Revoke | Operation::Suspend => {
                let node = self.member().await;
                let kind = match operation {
                    Operation::Revoke => RevocationKind::Revoked,
                    _ => RevocationKind::Suspended,
                };
                code(authority.revoke(node, revoke(kind), caller).await)
            }
            Operation::Reinstate => {
                let node = self.member().await;
                let suspend = revoke(RevocationKind::Suspended);
                authority.revoke(node, suspend, operator()).await.unwrap();
                code(authority.reinstate(node, reason, caller).await)
            }
            Operation::MakeInvite => code(authority.new_invite(invite(), caller).await),
            Operation::RevokeInvite => {
                let made = authority.new_invite(invite(), operator()).await.unwrap();
                code(authority.revoke_invite(made.view.id, caller).await)
            }
            Operation::RotateEpoch => code(authority.rotate(caller).await),
            Operation::ChangePolicy => {
                let text = authority.policy_file().await.unwrap();
                code(authority.put_policy(text, None, caller).await)
            }
            Operation::MakeToken => {
                let new = new_token(&format!("t{}", self.attempts), OperatorRole::Viewer, &[]);
                code(authority.new_token(new, caller).await)
            }
            Operation::RevokeToken => {
                let new = new_token(&format!("t{}", self.attempts), OperatorRole::Viewer, &[]);
                let maker = self.person(OperatorRole::Sovereign).clone();
                let maker = maker.caller(&authority).await;
                let made = authority.new_token(new, maker).await.unwrap();
                code(authority.revoke_token(made.view.id, caller).await)
            }
            Operation::ChangeOperators => {
                let added = person(100 + self.attempts).operator;
                code(authority.add_operator(added, caller).await)
            }
            Operation::OverrideRecovery => {
                let over = code(authority.override_recovery(reason, caller).await);
                // There is none to override, which only somebody who may is told.
                over.or_else(|code| (code == "not-recovering").then_some(()).ok_or(code))
            }
            without_effect => code(authority.authorize(&caller, without_effect).await),
        }
    }
}

fn invite() -> NewInvite {
    NewInvite {
        roles: set([]),
        tags: set([]),
        uses: 1,
        valid_for: Span::from_hours(1),
    }
}

#[tokio::test]
async fn every_role_may_exactly_what_the_table_says() {
    let mut stage = Stage::new().await;
    for role in OperatorRole::ALL {
        for &operation in Operation::ALL {
            let caller = stage.person(role).clone();
            let caller = caller.caller(&stage.world.authority).await;
            let expected = match role >= operation.needs() {
                true => Ok(()),
                false => Err("forbidden"),
            };
            let result = stage.attempt(operation, caller).await;
            assert_eq!(result, expected, "{operation} as {role}");
        }
    }
}

#[tokio::test]
async fn a_token_may_what_its_role_may_but_for_what_needs_a_key() {
    let mut stage = Stage::new().await;
    for role in OperatorRole::ALL {
        let maker = stage.person(OperatorRole::Sovereign).clone();
        let maker = maker.caller(&stage.world.authority).await;
        let new = new_token(&role.to_string(), role, &[]);
        let made = stage.world.authority.new_token(new, maker).await.unwrap();
        for &operation in Operation::ALL {
            let authority = &stage.world.authority;
            let caller = authority
                .authenticate_token(&made.token, None)
                .await
                .unwrap();
            let expected = match operation.door() {
                Door::Signed => Err("signature-needed"),
                Door::Either if role >= operation.needs() => Ok(()),
                Door::Either => Err("forbidden"),
            };
            let result = stage.attempt(operation, caller).await;
            assert_eq!(result, expected, "{operation} by a token as {role}");
        }
    }
}

#[tokio::test]
async fn a_token_for_some_operations_does_no_others() {
    let mut stage = Stage::new().await;
    let scope = [Operation::ViewNodes, Operation::Revoke];
    let maker = stage.person(OperatorRole::Admin).clone();
    let maker = maker.caller(&stage.world.authority).await;
    let new = new_token("siem", OperatorRole::Admin, &scope);
    let made = stage.world.authority.new_token(new, maker).await.unwrap();
    for &operation in Operation::ALL {
        let authority = &stage.world.authority;
        let caller = authority
            .authenticate_token(&made.token, None)
            .await
            .unwrap();
        let result = stage.attempt(operation, caller).await;
        assert_eq!(result.is_ok(), scope.contains(&operation), "{operation}");
    }
}

#[tokio::test]
async fn neither_a_stranger_nor_a_node_may_anything_of_it() {
    let mut stage = Stage::new().await;
    let node = stage.world.member("node").await;
    for actor in [Actor::Stranger, Actor::Node(node.id())] {
        for &operation in Operation::ALL {
            let caller = Caller {
                actor: actor.clone(),
                nonce: None,
                origin: None,
            };
            let result = stage.attempt(operation, caller).await;
            assert_eq!(result, Err("forbidden"), "{operation} as {actor}");
        }
    }
}

#[tokio::test]
async fn an_operator_without_a_signature_is_nobody() {
    let mut stage = Stage::new().await;
    let sovereign = stage.person(OperatorRole::Sovereign).clone();
    let caller = Caller {
        nonce: None,
        ..sovereign.caller(&stage.world.authority).await
    };
    for &operation in Operation::ALL {
        let result = stage.attempt(operation, caller.clone()).await;
        assert_eq!(result, Err("signature-needed"), "{operation}");
    }
}

#[tokio::test]
async fn an_operator_who_is_removed_meanwhile_loses() {
    let mut stage = Stage::new().await;
    let [_, otto, _, sam] = stage.people.clone();
    let authority = stage.world.authority.clone();
    let late = otto.caller(&authority).await;
    let sovereign = sam.caller(&authority).await;
    let gone = OperatorRef::Name(otto.operator.name.clone());
    authority.remove_operator(gone, sovereign).await.unwrap();
    for operation in [Operation::Revoke, Operation::ViewNodes] {
        let result = stage.attempt(operation, late.clone()).await;
        assert_eq!(result, Err("not-an-operator"));
    }
    assert_eq!(
        code(otto.authenticate(&authority).await),
        Err("key-unknown")
    );
}

#[tokio::test]
async fn an_operator_who_is_demoted_meanwhile_loses() {
    let mut stage = Stage::new().await;
    let [_, otto, _, sam] = stage.people.clone();
    let authority = stage.world.authority.clone();
    let late = otto.caller(&authority).await;
    let lower = Person::new("otto@example.org", OperatorRole::Viewer, 62).operator;
    let sovereign = sam.caller(&authority).await;
    authority.add_operator(lower, sovereign).await.unwrap();
    let result = stage.attempt(Operation::Revoke, late.clone()).await;
    assert_eq!(result, Err("forbidden"));
    assert_eq!(stage.attempt(Operation::ViewNodes, late).await, Ok(()));
}

#[tokio::test]
async fn a_key_under_another_name_is_another_operator() {
    let mut stage = Stage::new().await;
    let [_, otto, _, sam] = stage.people.clone();
    let late = otto.caller(&stage.world.authority).await;
    let renamed = Person::new("oscar@example.org", OperatorRole::Operator, 62);
    stage.world.govern(&[&renamed, &sam]).await;
    let result = stage.attempt(Operation::Revoke, late).await;
    assert_eq!(result, Err("not-an-operator"));
}

#[tokio::test]
async fn the_last_sovereign_stays() {
    let stage = Stage::new().await;
    let [vera, otto, ada, sam] = stage.people.clone();
    let authority = &stage.world.authority;
    let last = || sam.caller(authority);
    let itself = OperatorRef::Id(sam.id());
    let removed = authority
        .remove_operator(itself.clone(), last().await)
        .await;
    assert_eq!(code(removed), Err("last-sovereign"));
    let lower = Person::new("sam@example.org", OperatorRole::Admin, 64);
    let demoted = authority
        .add_operator(lower.operator.clone(), last().await)
        .await;
    assert_eq!(code(demoted), Err("last-sovereign"));
    for people in [vec![&vera, &otto, &ada], vec![&ada, &lower], vec![]] {
        let put = authority
            .put_policy(policy(&people), None, last().await)
            .await;
        assert_eq!(code(put), Err("last-sovereign"));
    }
    // Not even whoever runs the program on the authority's machine.
    let put = authority
        .put_policy(policy(&[&ada]), None, operator())
        .await;
    assert_eq!(code(put), Err("last-sovereign"));

    let second = Person::new("sue@example.org", OperatorRole::Sovereign, 65);
    authority
        .add_operator(second.operator.clone(), last().await)
        .await
        .unwrap();
    authority
        .remove_operator(itself, last().await)
        .await
        .unwrap();
    let names: Vec<_> = authority.operators().await.unwrap();
    assert_eq!(names.len(), 4);
    assert_eq!(names.last(), Some(&second.operator));
}

#[tokio::test]
async fn only_a_sovereign_changes_operators_by_whatever_way() {
    let stage = Stage::new().await;
    let [vera, otto, ada, sam] = stage.people.clone();
    let authority = &stage.world.authority;
    let before = authority.policy_document().await.unwrap();
    let promoted = Person::new("ada@example.org", OperatorRole::Sovereign, 63);
    let mallory = Person::new("mallory", OperatorRole::Sovereign, 66);
    for people in [
        vec![&vera, &otto, &promoted, &sam],
        vec![&vera, &otto, &ada, &sam, &mallory],
        vec![&ada, &sam],
        vec![&vera, &otto, &ada, &mallory],
    ] {
        let admin = ada.caller(authority).await;
        let put = authority.put_policy(policy(&people), None, admin).await;
        assert_eq!(code(put), Err("needs-sovereign"));
    }
    assert_eq!(authority.policy_document().await.unwrap(), before);
    let sovereign = sam.caller(authority).await;
    let people = [&vera, &otto, &promoted, &sam];
    let put = authority.put_policy(policy(&people), None, sovereign).await;
    assert_eq!(code(put), Ok(()));
}

#[tokio::test]
async fn operators_have_names_and_keys_of_their_own() {
    let stage = Stage::new().await;
    let [_, _, _, sam] = stage.people.clone();
    let authority = &stage.world.authority;
    let same_name = Person::new("ada@example.org", OperatorRole::Viewer, 99).operator;
    let same_key = Person::new("anna@example.org", OperatorRole::Viewer, 63).operator;
    let signs = tidegate_proto::policy::Operator {
        key: stage.world.keys[0].public_key(),
        ..Person::new("robot", OperatorRole::Viewer, 98).operator
    };
    for operator in [same_name, same_key, signs] {
        let added = authority
            .add_operator(operator, sam.caller(authority).await)
            .await;
        assert_eq!(code(added), Err("policy-rule"));
    }
    let nobody = "nobody".parse().unwrap();
    let removed = authority
        .remove_operator(nobody, sam.caller(authority).await)
        .await;
    assert_eq!(code(removed), Err("no-such-operator"));
    assert_eq!(authority.operators().await.unwrap().len(), 4);
}

#[test]
fn the_readme_says_who_may_do_what() {
    let readme = include_str!("../../README.md");
    let (_, section) = readme.split_once("## Who may do what\n").unwrap();
    assert!(
        section.contains(&format!("\n\n{}\n", Operation::table())),
        "the README's table is not the code's:\n{}",
        Operation::table()
    );
}
