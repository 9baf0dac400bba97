//! Answers that are too large to hold.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tidegate_proto::Origin;
use tokio::time::timeout;

use super::connection::Connection;
use super::request::Ask;
use super::{Client, ClientError, Identity};

/// An answer that comes piece by piece.
#[derive(Debug)]
pub struct Download {
    origin: Origin,
    body: Incoming,
    /// For each piece.
    patience: Duration,
    /// It lives as long as the download.
    _connection: Connection,
}

impl Download {
    pub(super) async fn open(
        client: &Client,
        identity: &Identity,
        target: &str,
    ) -> Result<Self, ClientError> {
        let (origin, response, connection) =
            client.open_stream(identity, &Ask::get(target)).await?;
        Ok(Self {
            origin,
            body: response.into_body(),
            patience: client.timeouts().answer,
            _connection: connection,
        })
    }

    /// The next piece; `None` at the end. One that was cut off is an error.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        loop {
            let frame = timeout(self.patience, self.body.frame()).await;
            let frame = frame.map_err(|_| self.broken("it does not go on".to_owned()))?;
            match frame {
                None => return Ok(None),
                Some(Err(error)) => return Err(self.broken(error.to_string())),
                Some(Ok(frame)) => {
                    if let Ok(piece) = frame.into_data() {
                        return Ok(Some(piece));
                    }
                }
            }
        }
    }

    fn broken(&self, reason: String) -> ClientError {
        ClientError::Unanswered {
            origin: self.origin.clone(),
            reason,
        }
    }
}
