//! The client against servers that misbehave.
#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use support::fixtures::{NOW, Network, genesis, set, signing};
use support::{Reply, Seen, Server, nowhere};
use tidegate::client::{
    Client, ClientError, Clock, GenesisChainError, NodeFilter, Site, Timeouts, join,
};
use tidegate_proto::api::{NewInvite, Nodes, Problem};
use tidegate_proto::{
    Invite, InviteToken, NetworkId, Nonce, Origin, RequestParts, RequestSignature, Signed, Span,
    TimeStatement, TlsPin, TlsTrust, UnixTime,
};

const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_secs(5),
    answer: Duration::from_secs(5),
    silence: Duration::from_millis(300),
};

fn site(urls: Vec<Origin>, pins: &[TlsPin]) -> Site {
    let network = Network::new();
    Site {
        network: network.genesis.network,
        urls,
        tls: TlsTrust::Pins(set(pins.iter().copied())),
        keyring: network.keyring(),
    }
}

fn client_of(urls: Vec<Origin>, pins: &[TlsPin]) -> Client {
    Client::new(site(urls, pins), Arc::new(Clock::of(|| NOW)), TIMEOUTS).unwrap()
}

fn no_nodes(_: &Seen) -> Reply {
    Reply::Json(200, serde_json::to_vec(&Nodes::default()).unwrap())
}

fn problem(code: &str, status: u16, time: Option<Signed<TimeStatement>>) -> Reply {
    let problem = Problem {
        code: code.parse().unwrap(),
        status,
        detail: "it was refused".parse().unwrap(),
        request: None,
        time,
    };
    Reply::Json(status, serde_json::to_vec(&problem).unwrap())
}

async fn list(client: &Client) -> Result<Nodes, ClientError> {
    let operator = client.as_operator(Arc::new(Network::new().operator));
    operator.nodes(NodeFilter::default()).await
}

#[tokio::test]
async fn only_a_server_with_a_pinned_key_is_spoken_to() {
    let server = Server::start(no_nodes).await;
    let spare = TlsPin::from_bytes([7; 32]);
    assert!(
        list(&client_of(vec![server.origin()], &[server.pin]))
            .await
            .is_ok()
    );
    assert!(
        list(&client_of(vec![server.origin()], &[spare, server.pin]))
            .await
            .is_ok()
    );
    let asked = server.seen().len();
    for pins in [&[spare][..], &[]] {
        let refused = list(&client_of(vec![server.origin()], pins)).await;
        assert!(
            matches!(refused, Err(ClientError::Untrusted { .. })),
            "{refused:?}"
        );
    }
    let mut unpinned = site(vec![server.origin()], &[]);
    unpinned.tls = TlsTrust::SystemRoots;
    let client = Client::new(unpinned, Arc::new(Clock::system()), TIMEOUTS).unwrap();
    let refused = list(&client).await;
    assert!(
        matches!(refused, Err(ClientError::Untrusted { .. })),
        "{refused:?}"
    );
    assert_eq!(server.seen().len(), asked, "a stranger was told something");
}

#[tokio::test]
async fn connections_are_kept_and_each_request_is_signed_for_its_place() {
    let server = Server::start(no_nodes).await;
    let client = client_of(vec![server.origin()], &[server.pin]);
    for _ in 0..3 {
        list(&client).await.unwrap();
    }
    assert_eq!((server.connections(), server.seen().len()), (1, 3));
    let (network, mut nonces) = (Network::new(), Vec::new());
    for seen in server.seen() {
        let signature: RequestSignature = seen.authorization.clone().unwrap().parse().unwrap();
        let origin = server.origin();
        assert_eq!(seen.host, origin.authority());
        let parts = RequestParts {
            network: network.genesis.network,
            origin: &origin,
            method: &seen.method,
            target: &seen.target,
            body: &seen.body,
        };
        assert_eq!(
            signature.verify(&parts, &network.operator.public_key(), NOW),
            Ok(())
        );
        nonces.push(signature.nonce);
    }
    nonces.sort();
    nonces.dedup();
    assert_eq!(nonces.len(), 3);
}

#[tokio::test]
async fn the_next_authority_is_asked_when_one_is_away_or_cannot_serve() {
    let busy = Server::start(|_| problem("stopping", 503, None)).await;
    let server = Server::start(no_nodes).await;
    let urls = vec![nowhere().await, busy.origin(), server.origin()];
    let client = client_of(urls, &[server.pin, busy.pin]);
    list(&client).await.unwrap();
    list(&client).await.unwrap();
    assert_eq!(
        (busy.seen().len(), server.seen().len()),
        (1, 2),
        "it stays with who answered"
    );
    let client = client_of(vec![nowhere().await], &[]);
    assert!(matches!(
        list(&client).await,
        Err(ClientError::Unreachable { .. })
    ));
    assert_eq!(list(&client_of(vec![], &[])).await, Err(ClientError::NoUrl));
}

#[tokio::test]
async fn what_may_have_been_done_is_not_asked_twice() {
    let deaf = Server::start(|_| Reply::Hangup).await;
    let server = Server::start(no_nodes).await;
    let client = client_of(
        vec![deaf.origin(), server.origin()],
        &[deaf.pin, server.pin],
    );
    let operator = client.as_operator(Arc::new(Network::new().operator));
    let invite = NewInvite {
        roles: set([]),
        tags: set([]),
        uses: 1,
        valid_for: Span::from_hours(1),
    };
    let lost = operator.new_invite(&invite).await;
    assert!(
        matches!(lost, Err(ClientError::Unanswered { .. })),
        "{lost:?}"
    );
    assert_eq!((deaf.seen().len(), server.seen().len()), (1, 0));
    operator.nodes(NodeFilter::default()).await.unwrap();
    assert_eq!(server.seen().len(), 1, "looking again changes nothing");
}

#[tokio::test]
async fn answers_are_bounded_and_read_strictly() {
    let answers: [(u16, Vec<u8>); 6] = [
        (200, br#"{"nodes":[],"extra":1}"#.to_vec()),
        (200, b"[]".to_vec()),
        (200, b"<html>".to_vec()),
        (502, b"<html>Bad Gateway".to_vec()),
        (404, br#"{"code":"x"}"#.to_vec()),
        (200, Vec::new()),
    ];
    for (status, body) in answers {
        let server = Server::start(move |_| Reply::Json(status, body.clone())).await;
        let answer = list(&client_of(vec![server.origin()], &[server.pin])).await;
        assert!(
            matches!(answer, Err(ClientError::Malformed { .. })),
            "{answer:?}"
        );
    }
    let server = Server::start(|_| Reply::Json(200, vec![b' '; 20 << 20])).await;
    let answer = list(&client_of(vec![server.origin()], &[server.pin])).await;
    assert!(
        matches!(answer, Err(ClientError::TooLarge { .. })),
        "{answer:?}"
    );
}

#[tokio::test]
async fn an_authority_that_never_answers_is_given_up() {
    let server = Server::start(|_| {
        std::thread::sleep(Duration::from_millis(100)); // longer than the client waits
        Reply::Hangup
    })
    .await;
    let hasty = Timeouts {
        answer: Duration::from_millis(50),
        ..TIMEOUTS
    };
    let site = site(vec![server.origin()], &[server.pin]);
    let client = Client::new(site, Arc::new(Clock::system()), hasty).unwrap();
    assert!(matches!(
        list(&client).await,
        Err(ClientError::Unanswered { .. })
    ));
}

/// A server whose clock is `NOW` plus an hour, and which says so with `sign`.
async fn ahead(
    sign: impl Fn(&Network, Nonce, UnixTime) -> Signed<TimeStatement> + Send + Sync + 'static,
) -> Server {
    let network = Network::new();
    let there = NOW + Span::from_hours(1);
    Server::start(move |seen| {
        let signature: RequestSignature = seen.authorization.clone().unwrap().parse().unwrap();
        if there.since(signature.time) > RequestSignature::MOST_SKEW {
            problem(
                "clock-skew",
                401,
                Some(sign(&network, signature.nonce, there)),
            )
        } else {
            no_nodes(seen)
        }
    })
    .await
}

fn statement(network: NetworkId, nonce: Nonce, at: UnixTime) -> TimeStatement {
    TimeStatement { network, nonce, at }
}

#[tokio::test]
async fn a_clock_that_is_off_is_corrected_once_and_the_request_made_again() {
    let server = ahead(|network, nonce, at| {
        let statement = statement(network.genesis.network, nonce, at);
        Signed::sign(&statement, &[&network.authority]).unwrap()
    })
    .await;
    let client = client_of(vec![server.origin()], &[server.pin]);
    list(&client).await.unwrap();
    assert_eq!(client.clock().now(), NOW + Span::from_hours(1));
    assert_eq!(server.seen().len(), 2);
    list(&client).await.unwrap();
    assert_eq!(server.seen().len(), 3, "from then on the first try counts");
}

#[tokio::test]
async fn a_time_that_is_not_the_authoritys_answer_to_this_request_moves_nothing() {
    let stale = ahead(|network, _, at| {
        let statement = statement(network.genesis.network, support::fixtures::nonce(1), at);
        Signed::sign(&statement, &[&network.authority]).unwrap()
    });
    let forged = ahead(|network, nonce, at| {
        Signed::sign(
            &statement(network.genesis.network, nonce, at),
            &[&signing(99)],
        )
        .unwrap()
    });
    let foreign = ahead(|network, nonce, at| {
        let other = NetworkId::from_bytes([99; 16]);
        Signed::sign(&statement(other, nonce, at), &[&network.authority]).unwrap()
    });
    for server in [stale.await, forged.await, foreign.await] {
        let client = client_of(vec![server.origin()], &[server.pin]);
        let refused = list(&client).await;
        assert!(
            matches!(refused, Err(ClientError::Time { .. })),
            "{refused:?}"
        );
        assert_eq!((client.clock().correction(), server.seen().len()), (0, 1));
    }
}

/// Refuses every time as skewed, with a time that is properly signed: a clock that cannot be helped ends the trying.
#[tokio::test]
async fn a_clock_is_not_corrected_for_ever() {
    let network = Network::new();
    let server = Server::start(move |seen| {
        let signature: RequestSignature = seen.authorization.clone().unwrap().parse().unwrap();
        let statement = statement(network.genesis.network, signature.nonce, NOW);
        let time = Signed::sign(&statement, &[&network.authority]).unwrap();
        problem("clock-skew", 401, Some(time))
    })
    .await;
    let refused = list(&client_of(vec![server.origin()], &[server.pin])).await;
    assert_eq!(refused.unwrap_err().code(), Some("clock-skew"));
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn an_invite_leads_through_the_chain_to_a_tls_key_that_it_never_knew() {
    let (root, authority) = (signing(1), signing(2));
    let first = genesis(&root, &[&authority], 1);
    let (sender, receiver) = std::sync::mpsc::channel::<Vec<Signed<_>>>();
    let chain = std::sync::OnceLock::new();
    let receiver = std::sync::Mutex::new(receiver);
    let server = Server::start(move |_| {
        let chain = chain.get_or_init(|| receiver.lock().unwrap().recv().unwrap());
        Reply::Json(200, serde_json::to_vec(chain).unwrap())
    })
    .await;
    let first = Signed::sign(&first, &[&root]).unwrap();
    let mut second = genesis(&root, &[&authority], 2);
    second.previous = Some(first.digest());
    second.tls = TlsTrust::Pins(set([server.pin]));
    let second = Signed::sign(&second, &[&root]).unwrap();
    sender.send(vec![first.clone(), second.clone()]).unwrap();
    let mut invite = Invite {
        url: server.origin(),
        tls: TlsTrust::Pins(set([TlsPin::from_bytes([1; 32])])),
        genesis: first.digest(),
        token: InviteToken::from_bytes([7; 16]),
    };
    let (chain, site) = join(&invite, TIMEOUTS).await.unwrap();
    assert_eq!(chain.trust().genesis().digest(), second.digest());
    assert_eq!(
        (site.urls.first(), &site.tls),
        (Some(&server.origin()), &TlsTrust::Pins(set([server.pin])))
    );
    invite.genesis = NOT_THERE;
    let refused = join(&invite, TIMEOUTS).await;
    assert!(
        matches!(refused, Err(GenesisChainError::NotContained { .. })),
        "{refused:?}"
    );
}

const NOT_THERE: tidegate_proto::GenesisHash = tidegate_proto::Digest::from_bytes([3; 32]);
