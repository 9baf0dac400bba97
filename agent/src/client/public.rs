//! What the authority tells anybody.

use hyper::Method;
use tidegate_proto::api::TimeQuestion;
use tidegate_proto::{Envelope, Nonce, RevocationList, Signed, TimeStatement, UnixTime};

use super::request::{Ask, nonce};
use super::{Client, ClientError, Identity};

/// More bytes than health, metrics or the API's description have.
const LARGEST_TEXT: usize = 8 * 1024 * 1024;

impl Client {
    /// The revocation list in force.
    pub async fn revocation_list(&self) -> Result<Signed<RevocationList>, ClientError> {
        let ask = Ask::get("/v1/revocations/list");
        self.call(&Identity::Nobody, ask, Envelope::LARGEST_JSON)
            .await
    }

    /// Asks for the time and takes over the answer, once it is verified.
    pub async fn ask_time(&self) -> Result<UnixTime, ClientError> {
        self.time(nonce()?).await?;
        Ok(self.clock().now())
    }

    /// Asks for the time with this nonce. The answer is verified and taken over before it is returned.
    pub async fn time(&self, nonce: Nonce) -> Result<Signed<TimeStatement>, ClientError> {
        let ask = Ask::with(Method::POST, "/v1/time", &TimeQuestion { nonce })?;
        let answer = self.answer(&Identity::Nobody, &ask, 16 * 1024).await?;
        let time: Signed<TimeStatement> = answer.parse()?;
        self.accept_time(&answer.origin, &time, nonce)?;
        Ok(time)
    }

    /// Whether the authority runs.
    pub async fn health(&self) -> Result<(), ClientError> {
        self.text("/healthz").await.map(|_| ())
    }

    /// Whether the authority can serve.
    pub async fn readiness(&self) -> Result<(), ClientError> {
        self.text("/readyz").await.map(|_| ())
    }

    /// The authority's metrics, as Prometheus reads them.
    pub async fn metrics(&self) -> Result<String, ClientError> {
        self.text("/metrics").await
    }

    /// The description of the API, in OpenAPI's JSON.
    pub async fn openapi(&self) -> Result<String, ClientError> {
        self.text("/openapi.json").await
    }

    async fn text(&self, target: &str) -> Result<String, ClientError> {
        self.answer(&Identity::Nobody, &Ask::get(target), LARGEST_TEXT)
            .await?
            .text()
    }
}
