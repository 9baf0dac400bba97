//! The real server: TLS, signals, and clients that behave badly.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::time::Duration;

use rustls::version::{TLS12, TLS13};
use serde_json::{Value, json};
use support::TestNode;
use support::server::{Installed, PATIENCE, read_until, until};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

#[tokio::test]
async fn it_speaks_tls_of_today_and_of_yesterday() {
    let installed = Installed::new();
    let _server = installed.serve().await;
    for version in [&TLS13, &TLS12] {
        let mut connection = installed.connect(&[version]).await;
        let negotiated = connection.get_ref().1.protocol_version();
        assert_eq!(negotiated, Some(version.version));
        let request = installed.request(None, "GET", "/healthz", "");
        connection.write_all(request.as_bytes()).await.unwrap();
        read_until(&mut connection, "\"ok\":true").await;
    }
    let ready = async || installed.ask(None, "GET", "/readyz", "").await;
    let begun = std::time::Instant::now();
    while ready().await.status != 200 {
        assert!(begun.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut plain = TcpStream::connect(("127.0.0.1", installed.port))
        .await
        .unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut bytes = Vec::new();
    let _ = plain.read_to_end(&mut bytes).await; // an alert, and then the end or a reset
    assert!(!bytes.starts_with(b"HTTP"));
    let failed = "tidegate_tls_handshakes_failed_total{why=\"not-tls\"}";
    assert!(installed.measured(failed).await >= 1.0);
}

#[tokio::test]
async fn it_stops_in_good_order() {
    let installed = Installed::new();
    let server = installed.serve().await;
    let node = TestNode::new(7);
    installed.admit(&node, "web-1").await;
    let mut stream = installed.connect(&[&TLS13]).await;
    let request = installed.request(Some(&node.identity), "GET", "/v1/stream", "");
    stream.write_all(request.as_bytes()).await.unwrap();
    read_until(&mut stream, "event: roster").await;
    server.signal("TERM");
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
    ended.unwrap().unwrap();
    assert!(rest.ends_with(b"0\r\n\r\n"), "the stream ends as a whole");
    assert_eq!(server.ended().await.code(), Some(0));
    let verified = installed.run(&["audit", "verify"]);
    assert!(verified.status.success(), "{verified:?}");
    let again = installed.serve().await;
    let log = installed.decide("GET", "/v1/audit", &Value::Null).await;
    assert!(log.text.contains("\"authority.stopped\""), "{}", log.text);
    let nodes = installed.decide("GET", "/v1/nodes", &Value::Null).await;
    assert_eq!(nodes.value()["nodes"][0]["name"], "web-1");
    again.signal("INT");
    assert_eq!(again.ended().await.code(), Some(0));
}

#[tokio::test]
async fn only_one_server_has_a_data_directory() {
    let installed = Installed::new();
    let _server = installed.serve().await;
    let second = installed.run(&["serve"]);
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8(second.stderr).unwrap();
    assert!(said.contains("a running server"), "{said}");
}

#[tokio::test]
async fn it_reads_its_settings_again_and_keeps_those_that_work() {
    let installed = Installed::new();
    let server = installed.serve().await;
    installed.configure("nonsense = 1\n");
    server.signal("HUP");
    server.logged("not reloaded").await;
    assert!(server.log().contains("nonsense"));
    assert_eq!(installed.ask(None, "GET", "/healthz", "").await.status, 200);
    installed.configure("[log]\nlevel = \"warn\"\n[rates]\nrequests_per_second = 1\nburst = 5\n");
    server.signal("HUP");
    server.logged("read again").await;
    let lines = server.log().lines().count();
    let mut last = 0;
    for _ in 0..20 {
        last = installed.ask(None, "GET", "/v1/genesis", "").await.status;
        if last == 429 {
            break;
        }
    }
    assert_eq!(last, 429);
    assert_eq!(server.log().lines().count(), lines, "{}", server.log());
}

#[tokio::test]
async fn a_new_certificate_is_used_without_a_restart() {
    let installed = Installed::new();
    let server = installed.serve().await;
    let served = async || {
        let connection = installed.connect(&[&TLS13]).await;
        connection.get_ref().1.peer_certificates().unwrap()[0].to_vec()
    };
    let before = served().await;
    let key = std::fs::read_to_string(installed.dir.join("tls.key")).unwrap();
    let pair = rcgen::KeyPair::from_pem(&key).unwrap();
    let params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let fresh = params.self_signed(&pair).unwrap();
    std::fs::write(installed.dir.join("tls.crt"), fresh.pem()).unwrap();
    server.signal("HUP");
    server.logged("read again").await;
    let after = served().await;
    assert_ne!(before, after);
    assert_eq!(after, fresh.der().to_vec());
    let other = rcgen::KeyPair::generate().unwrap();
    std::fs::write(installed.dir.join("tls.key"), other.serialize_pem()).unwrap();
    server.signal("HUP");
    server.logged("not reloaded").await;
    assert_eq!(served().await, after);
}

#[tokio::test]
async fn another_tls_key_is_on_record() {
    let installed = Installed::new();
    let server = installed.serve().await;
    let file = |name: &str| installed.dir.join(name);
    let spare = std::fs::read_to_string(file("tls-backup.key")).unwrap();
    let pair = rcgen::KeyPair::from_pem(&spare).unwrap();
    let params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let fresh = params.self_signed(&pair).unwrap();
    std::fs::copy(file("tls-backup.key"), file("tls.key")).unwrap();
    std::fs::write(file("tls.crt"), fresh.pem()).unwrap();
    server.signal("HUP");
    server.logged("read again").await;
    let log = installed.decide("GET", "/v1/audit", &Value::Null).await;
    let log = log.value();
    let of = |event: &str| {
        let records = log["records"].as_array().unwrap().iter();
        let mut found = records.filter(|one| one["record"]["event"] == event);
        let record = found.next().unwrap()["record"].clone();
        assert!(found.next().is_none(), "{event}");
        record
    };
    let (started, changed) = (of("authority.started"), of("tls.key-changed"));
    assert_eq!(changed["detail"]["before"], started["detail"]["tls-pin"]);
    assert_ne!(changed["object"], changed["detail"]["before"]);
}

#[tokio::test]
async fn who_connects_and_says_nothing_is_shown_the_door() {
    let installed = Installed::new();
    let _server = installed.serve().await;
    let mut silent = TcpStream::connect(("127.0.0.1", installed.port))
        .await
        .unwrap();
    let mut byte = [0];
    let ended = tokio::time::timeout(PATIENCE, silent.read(&mut byte)).await;
    assert!(matches!(ended.unwrap(), Ok(0) | Err(_)));
    let mut slow = installed.connect(&[&TLS13]).await;
    slow.write_all(b"GET /healthz HTTP/1.1\r\nHost: ")
        .await
        .unwrap();
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(2 * PATIENCE, slow.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "a head that never ends is given up");
    let failed = "tidegate_tls_handshakes_failed_total{why=\"too-slow\"}";
    assert!(installed.measured(failed).await >= 1.0);
}

#[tokio::test]
async fn one_source_cannot_have_all_connections() {
    let installed = Installed::new();
    installed.configure("[limits]\nconnections = 100\n");
    let _server = installed.serve().await;
    let mut held = Vec::new();
    for _ in 0..64 {
        held.push(
            TcpStream::connect(("127.0.0.1", installed.port))
                .await
                .unwrap(),
        );
    }
    let mut beyond = TcpStream::connect(("127.0.0.1", installed.port))
        .await
        .unwrap();
    let mut byte = [0];
    let ended = tokio::time::timeout(Duration::from_secs(5), beyond.read(&mut byte)).await;
    assert!(matches!(ended.unwrap(), Ok(0) | Err(_)));
    drop(held);
    let refused = "tidegate_connections_refused_total{why=\"too-many-from-source\"}";
    let begun = std::time::Instant::now();
    loop {
        // the places of those that went are free again as soon as the server has seen them go
        let connected = TcpStream::connect(("127.0.0.1", installed.port))
            .await
            .unwrap();
        let mut connected = connected;
        let quiet = tokio::time::timeout(Duration::from_millis(200), connected.read(&mut byte));
        if quiet.await.is_err() {
            break;
        }
        assert!(begun.elapsed() < PATIENCE);
    }
    assert!(installed.measured(refused).await >= 1.0);
}

/// A policy file of about this many bytes.
fn large_policy(operators: &str, bytes: usize, mark: usize) -> String {
    let mut file = format!("# {mark}\n{operators}\n");
    let mut rule = 0;
    while file.len() < bytes {
        file.push_str(&format!(
            "[[rules]]\nfrom = [\"tag:a{mark}-{rule}\"]\nto = [\"tag:b{rule}\"]\nprotocol = \"any\"\n"
        ));
        rule += 1;
    }
    file
}

#[tokio::test]
async fn who_does_not_read_its_stream_loses_it() {
    let installed = Installed::new();
    installed.configure("[rates]\nrequests_per_second = 1000\nburst = 10000\n");
    let _server = installed.serve().await;
    let node = TestNode::new(7);
    installed.admit(&node, "web-1").await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let address = ([127, 0, 0, 1], installed.port).into();
    let stream = socket.connect(address).await.unwrap();
    let mut stream = installed.secure(stream, &[&TLS13]).await;
    let request = installed.request(Some(&node.identity), "GET", "/v1/stream", "");
    stream.write_all(request.as_bytes()).await.unwrap();
    read_until(&mut stream, "event: roster").await;
    let open = "tidegate_streams{kind=\"node\"}";
    assert!((installed.measured(open).await - 1.0).abs() < 0.1);
    let policy = installed
        .decide("GET", "/v1/policy/file", &Value::Null)
        .await
        .value();
    let text = policy["file"].as_str().unwrap().to_owned();
    let operators = &text[text.find("[[operators]]").unwrap()..];
    let operators = operators.split("\n[[rules]]").next().unwrap();
    let begun = std::time::Instant::now();
    let mut mark = 0;
    while installed.measured(open).await > 0.5 {
        mark += 1;
        let file = large_policy(operators, 60_000, mark);
        let proposal = json!({ "file": file });
        installed.decide("PUT", "/v1/policy/file", &proposal).await;
        assert!(
            begun.elapsed() < 3 * PATIENCE,
            "after {mark} policies it still waits"
        );
    }
}

#[tokio::test]
async fn measurements_have_an_address_of_their_own_if_asked_for() {
    let installed = Installed::new();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    installed.configure(&format!("[metrics]\nlisten = \"{address}\"\n"));
    let _server = installed.serve().await;
    assert_eq!(installed.ask(None, "GET", "/metrics", "").await.status, 404);
    let mut plain = TcpStream::connect(address).await.unwrap();
    let request = "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    plain.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    plain.read_to_string(&mut text).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 200") && text.contains("tidegate_build_info"));
}

#[tokio::test]
async fn the_log_tells_of_requests_and_of_no_secret() {
    let installed = Installed::new();
    installed.configure("[log]\nlevel = \"trace\"\n");
    let server = installed.serve().await;
    let new = json!({ "name": "automation", "role": "viewer", "valid_for": 60_000 });
    let made = installed.decide("POST", "/v1/tokens", &new).await.value();
    let token = made["token"].as_str().unwrap();
    let new = json!({ "uses": 1, "valid_for": 60_000 });
    let made = installed.decide("POST", "/v1/invites", &new).await.value();
    let invite = made["invite"].as_str().unwrap();
    let mut connection = installed.connect(&[&TLS13]).await;
    let request = format!(
        "GET /v1/nodes HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n",
        installed.port
    );
    connection.write_all(request.as_bytes()).await.unwrap();
    read_until(&mut connection, "\"nodes\":[]").await;
    until("the line of the request", || {
        server.log().contains("\"/v1/nodes\"")
    })
    .await;
    let log = server.log();
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert!(line["level"].is_string() && line["timestamp"].is_string());
    }
    let secret = token.rsplit('-').next().unwrap();
    assert!(!log.contains(secret), "the token is in the log");
    assert!(!log.contains(&invite[30..]), "the invite is in the log");
    assert!(!log.contains("signature="), "a signature is in the log");
}
