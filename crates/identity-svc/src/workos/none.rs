//! No identity provider: people sign in with mailed codes.

use async_trait::async_trait;
use kit::Timestamp;

use super::provider::{
    Arrival, Connection, Departure, DirectoryUser, IdentityProvider, Intent, Organization, Page, Profile,
    ProviderError, Result, Told, Wanted,
};

/// What an installation without an identity provider has.
pub struct NoProvider;

#[async_trait]
impl IdentityProvider for NoProvider {
    fn name(&self) -> &'static str {
        "none"
    }

    fn keeps_users(&self) -> bool {
        false
    }

    fn departure(&self, _: &Departure<'_>) -> Result<String> {
        Err(ProviderError::None)
    }

    async fn arrival(&self, _: &Arrival<'_>) -> Result<Profile> {
        Err(ProviderError::None)
    }

    async fn ensure_organization(&self, _: &Wanted<'_>) -> Result<Organization> {
        Err(ProviderError::None)
    }

    async fn organization(&self, _: &str) -> Result<Organization> {
        Err(ProviderError::None)
    }

    async fn connection(&self, _: &str) -> Result<Option<Connection>> {
        Ok(None)
    }

    async fn directory(&self, _: &str) -> Result<Option<String>> {
        Ok(None)
    }

    async fn directory_user(&self, _: &str) -> Result<Option<DirectoryUser>> {
        Ok(None)
    }

    async fn directory_user_by_email(&self, _: &str, _: &str) -> Result<Option<DirectoryUser>> {
        Ok(None)
    }

    async fn is_member(&self, _: &str, _: &str) -> Result<bool> {
        Ok(false)
    }

    async fn portal_link(&self, _: &str, _: Intent, _: &str) -> Result<String> {
        Err(ProviderError::None)
    }

    async fn revoke_session(&self, _: &str) -> Result<()> {
        Ok(())
    }

    async fn events(&self, _: Option<&str>, _: Timestamp) -> Result<Page> {
        Ok(Page::default())
    }

    fn webhook(&self, _: &str, _: &[u8], _: Timestamp) -> Result<Told> {
        Err(ProviderError::None)
    }
}
