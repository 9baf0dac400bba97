//! The resolver's sockets, on the overlay addresses.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::message::{LONGEST_QUERY, Query};
use super::zone::Zone;

/// Connections at a time; more have to wait.
const CONNECTIONS: usize = 32;
/// How long one connection may take altogether.
const PATIENCE: Duration = Duration::from_secs(3);
/// A pause after an error of a socket, so that it cannot eat the machine.
const PAUSE: Duration = Duration::from_millis(100);

/// A running resolver. Dropping it closes the sockets.
#[derive(Debug)]
pub struct Server {
    /// They end when this is dropped.
    _tasks: JoinSet<()>,
}

#[derive(Clone)]
struct Site {
    zone: watch::Receiver<Arc<Zone>>,
    slots: Arc<Semaphore>,
    answered: Arc<AtomicU64>,
}

impl Server {
    /// Listens on every address, on UDP and TCP, answers from the zone as it is at that moment, and counts answers.
    ///
    /// # Errors
    /// When an address or the port cannot be had.
    pub async fn start(
        addresses: &[SocketAddr],
        zone: watch::Receiver<Arc<Zone>>,
        answered: Arc<AtomicU64>,
    ) -> io::Result<Self> {
        let mut tasks = JoinSet::new();
        let site = Site {
            zone,
            slots: Arc::new(Semaphore::new(CONNECTIONS)),
            answered,
        };
        for address in addresses {
            let udp = UdpSocket::bind(address).await?;
            let tcp = TcpListener::bind(address).await?;
            tasks.spawn(serve_udp(udp, site.clone()));
            tasks.spawn(serve_tcp(tcp, site.clone()));
        }
        Ok(Self { _tasks: tasks })
    }
}

async fn serve_udp(socket: UdpSocket, site: Site) {
    // One byte more, so that a longer question is seen to be one.
    let mut buffer = [0; LONGEST_QUERY + 1];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        if let Some(reply) = site.reply(&buffer[..length]) {
            // Whoever asked asks again if this is lost.
            let _ = socket.send_to(&reply, from).await;
        }
    }
}

async fn serve_tcp(listener: TcpListener, site: Site) {
    loop {
        let Ok(slot) = Arc::clone(&site.slots).acquire_owned().await else {
            return;
        };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let site = site.clone();
        tokio::spawn(async move {
            let _slot = slot;
            // A client that is slow or rude loses its connection, nothing more.
            let _ = timeout(PATIENCE, converse(stream, &site)).await;
        });
    }
}

async fn converse(mut stream: TcpStream, site: &Site) -> io::Result<()> {
    let mut buffer = [0; LONGEST_QUERY];
    loop {
        let length = usize::from(stream.read_u16().await?);
        let Some(question) = buffer.get_mut(..length) else {
            return Ok(());
        };
        stream.read_exact(question).await?;
        let Some(reply) = site.reply(question) else {
            return Ok(());
        };
        stream.write_u16(reply.len() as u16).await?; // an answer is short
        stream.write_all(&reply).await?;
    }
}

impl Site {
    fn reply(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        if bytes.len() > LONGEST_QUERY {
            return None;
        }
        let query = Query::parse(bytes).ok()?;
        let answer = self.zone.borrow().answer(&query);
        self.answered.fetch_add(1, Ordering::Relaxed);
        Some(query.answered(&answer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::name::Name;

    #[tokio::test]
    async fn a_question_is_answered_on_both_transports() {
        let mut zone = Zone::new(Name::new("demo.internal").unwrap(), []);
        zone.add("db", ["100.64.0.5".parse().unwrap()]);
        let (_keep, zone) = watch::channel(Arc::new(zone));
        let port = std::net::UdpSocket::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let answered = Arc::new(AtomicU64::new(0));
        let _server = Server::start(&[port], zone, Arc::clone(&answered))
            .await
            .unwrap();
        let question = b"\x00\x07\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x02db\x04demo\x08internal\x00\x00\x01\x00\x01";

        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        udp.send_to(question, port).await.unwrap();
        let mut buffer = [0; 512];
        let (length, _) = udp.recv_from(&mut buffer).await.unwrap();
        assert!(buffer[..length].ends_with(&[100, 64, 0, 5]));

        let mut tcp = TcpStream::connect(port).await.unwrap();
        tcp.write_u16(question.len() as u16).await.unwrap();
        tcp.write_all(question).await.unwrap();
        let length = usize::from(tcp.read_u16().await.unwrap());
        tcp.read_exact(&mut buffer[..length]).await.unwrap();
        assert!(buffer[..length].ends_with(&[100, 64, 0, 5]));
        assert_eq!(answered.load(Ordering::Relaxed), 2);
    }
}
