//! Mails over SMTP: one pool of connections, always encrypted unless the server is on this machine.

use std::time::Duration;

use anyhow::Context as _;
use async_trait::async_trait;
use kit::{ExposeSecret, SecretString};
use lettre::transport::smtp::PoolConfig;
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};

use super::message::Envelope;
use super::send::{SendError, Sender};

const TIMEOUT: Duration = Duration::from_secs(20);

pub struct Smtp {
    transport: AsyncSmtpTransport<Tokio1Executor>,
}

impl Smtp {
    pub fn new(url: &SecretString) -> anyhow::Result<Self> {
        let url = url.expose_secret();
        anyhow::ensure!(
            url.starts_with("smtps://") || url.contains("tls=required") || is_here(url),
            "RETENTION_SMTP_URL must be smtps://… or carry ?tls=required; plain SMTP is for the own machine only"
        );
        // The cause could repeat the address with its password.
        let builder = AsyncSmtpTransport::<Tokio1Executor>::from_url(url)
            .map_err(|_| anyhow::anyhow!("RETENTION_SMTP_URL cannot be read"))?;
        let pool = PoolConfig::new().max_size(4).idle_timeout(Duration::from_secs(60));
        Ok(Self { transport: builder.timeout(Some(TIMEOUT)).pool_config(pool).build() })
    }
}

/// Whether a plain address names this machine.
fn is_here(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("smtp://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host_port = authority.rsplit('@').next().unwrap_or_default();
    let host = match host_port.strip_prefix('[') {
        Some(six) => six.split(']').next().unwrap_or_default(),
        None => host_port.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[async_trait]
impl Sender for Smtp {
    async fn send(&self, mail: &Envelope) -> Result<(), SendError> {
        let raw = mail.message.formatted();
        let sent = self.transport.send_raw(mail.message.envelope(), &raw).await;
        sent.map(|_| ()).map_err(|e| {
            // The server's words may repeat the recipient; its code says enough.
            let code = e.status().map(|c| c.to_string());
            if e.is_permanent() {
                SendError::Permanent(format!("refused: {}", code.unwrap_or_default()))
            } else if let Some(code) = code {
                SendError::Transient(format!("not now: {code}"))
            } else {
                SendError::Transient(String::from("the mail server does not answer"))
            }
        })
    }

    async fn ready(&self) -> anyhow::Result<()> {
        let open = self.transport.test_connection().await.context("the mail server does not answer")?;
        anyhow::ensure!(open, "the mail server refuses the connection");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn plain_smtp_is_for_the_own_machine_only() {
        kit::run::crypto();
        for good in [
            "smtp://127.0.0.1:1025",
            "smtp://localhost",
            "smtp://[::1]:25",
            "smtps://u:p@mail.example.com",
            "smtp://mail.example.com:587?tls=required",
        ] {
            assert!(Smtp::new(&good.into()).is_ok(), "{good}");
        }
        for bad in [
            "smtp://mail.example.com",
            "smtp://localhost@mail.example.com",
            "smtp://127.0.0.1.evil.example",
            "http://localhost",
        ] {
            let refused = Smtp::new(&bad.into());
            assert!(refused.is_err(), "{bad}");
        }
    }
}
