//! Provider secrets at rest: AES-256-GCM under a key of the installation, bound to the record they belong to. A sealed
//! secret names the key it was sealed with, so that keys can be rotated: the first key seals, every key opens.

use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kit::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

/// A secret as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// Which key opens it.
    pub key_id: String,
    /// Nonce and ciphertext with its tag, base64url.
    nonce: String,
    text: String,
    /// The start of the secret's SHA-256: all that is ever shown of it.
    pub fingerprint: String,
}

/// What can go wrong with a sealed secret; none of it says anything about its content.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    #[error("RETENTION_SECRETS_KEY must be 32 bytes in base64url, or several of them, comma-separated")]
    Key,
    #[error("a secret was sealed with key {0}, which is not among the configured ones")]
    UnknownKey(String),
    #[error("a sealed secret does not open")]
    Broken,
}

/// The keys of the installation.
#[derive(Clone)]
pub struct Vault {
    keys: Arc<Vec<(String, RandomizedNonceKey)>>,
}

impl Vault {
    /// Reads the keys; the first one seals.
    pub fn new(keys: &[SecretString]) -> Result<Self, VaultError> {
        let read = |key: &SecretString| {
            let raw = URL_SAFE_NO_PAD.decode(key.expose_secret().trim()).map_err(|_| VaultError::Key)?;
            let id = hex::encode(&digest::digest(&digest::SHA256, &raw).as_ref()[..6]);
            let key = RandomizedNonceKey::new(&AES_256_GCM, &raw).map_err(|_| VaultError::Key)?;
            Ok((id, key))
        };
        let keys = keys.iter().map(read).collect::<Result<Vec<_>, VaultError>>()?;
        if keys.is_empty() { Err(VaultError::Key) } else { Ok(Self { keys: Arc::new(keys) }) }
    }

    /// Seals a secret for one place (`com_…/live/stripe/secret`); it opens at no other.
    pub fn seal(&self, place: &str, secret: &SecretString) -> Result<Sealed, VaultError> {
        let (key_id, key) = self.keys.first().ok_or(VaultError::Key)?;
        let mut text = secret.expose_secret().as_bytes().to_vec();
        let nonce = key
            .seal_in_place_append_tag(Aad::from(place.as_bytes()), &mut text)
            .map_err(|_| VaultError::Broken)?;
        Ok(Sealed {
            key_id: key_id.clone(),
            nonce: URL_SAFE_NO_PAD.encode(nonce.as_ref()),
            text: URL_SAFE_NO_PAD.encode(&text),
            fingerprint: fingerprint(secret),
        })
    }

    /// The secret again.
    pub fn open(&self, place: &str, sealed: &Sealed) -> Result<SecretString, VaultError> {
        let (_, key) = self
            .keys
            .iter()
            .find(|(id, _)| *id == sealed.key_id)
            .ok_or_else(|| VaultError::UnknownKey(sealed.key_id.clone()))?;
        let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| VaultError::Broken);
        let nonce: [u8; NONCE_LEN] = bytes(&sealed.nonce)?.try_into().map_err(|_| VaultError::Broken)?;
        let mut text = bytes(&sealed.text)?;
        let plain = key
            .open_in_place(Nonce::from(&nonce), Aad::from(place.as_bytes()), &mut text)
            .map_err(|_| VaultError::Broken)?;
        String::from_utf8(plain.to_vec()).map(SecretString::from).map_err(|_| VaultError::Broken)
    }
}

fn fingerprint(secret: &SecretString) -> String {
    let hash = digest::digest(&digest::SHA256, secret.expose_secret().as_bytes());
    format!("sha256:{}", hex::encode(&hash.as_ref()[..6]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> SecretString {
        kit::caller::SigningKey::new_seed()
    }

    #[test]
    fn a_sealed_secret_opens_at_its_place_only() {
        let vault = Vault::new(&[key()]).unwrap();
        let sealed = vault.seal("com_1/live/stripe/secret", &"sk_live_1".into()).unwrap();
        let opened = vault.open("com_1/live/stripe/secret", &sealed).unwrap();
        assert_eq!(opened.expose_secret(), "sk_live_1");
        assert!(vault.open("com_2/live/stripe/secret", &sealed).is_err());
        assert!(!serde_json::to_string(&sealed).unwrap().contains("sk_live_1"));
    }

    #[test]
    fn keys_can_be_rotated() {
        let (old, new) = (key(), key());
        let sealed = Vault::new(std::slice::from_ref(&old)).unwrap().seal("here", &"s".into()).unwrap();
        let both = Vault::new(&[new.clone(), old]).unwrap();
        assert_eq!(both.open("here", &sealed).unwrap().expose_secret(), "s");
        assert!(matches!(Vault::new(&[new]).unwrap().open("here", &sealed), Err(VaultError::UnknownKey(_))));
        assert!(Vault::new(&["short".into()]).is_err() && Vault::new(&[]).is_err());
    }
}
