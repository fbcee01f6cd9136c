//! Secrets: sealed ones (AES-256-GCM under a key of the installation, bound to their place), hashed ones, fresh ones.

use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::{digest, hmac, rand};
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
}

/// What can go wrong with a secret; none of it says anything about its content.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    #[error("RETENTION_SECRETS_KEY must be 32 bytes in base64url, or several of them, comma-separated")]
    Key,
    #[error("a secret was sealed with key {0}, which is not among the configured ones")]
    UnknownKey(String),
    #[error("a sealed secret does not open")]
    Broken,
    #[error("the system has no randomness")]
    Random,
}

/// The keys of the installation.
#[derive(Clone)]
pub struct Vault {
    keys: Arc<Vec<(String, RandomizedNonceKey)>>,
    mac: hmac::Key,
}

impl Vault {
    /// Reads the keys; the first one seals.
    pub fn new(keys: &[SecretString]) -> Result<Self, VaultError> {
        let raws = keys
            .iter()
            .map(|k| URL_SAFE_NO_PAD.decode(k.expose_secret().trim()).map_err(|_| VaultError::Key))
            .collect::<Result<Vec<_>, _>>()?;
        let first = raws.first().ok_or(VaultError::Key)?;
        let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, first), b"identity/mac");
        let mac = hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref());
        let read = |raw: &Vec<u8>| {
            let id = hex::encode(&digest::digest(&digest::SHA256, raw).as_ref()[..6]);
            let key = RandomizedNonceKey::new(&AES_256_GCM, raw).map_err(|_| VaultError::Key)?;
            Ok((id, key))
        };
        let keys = raws.iter().map(read).collect::<Result<Vec<_>, VaultError>>()?;
        Ok(Self { keys: Arc::new(keys), mac })
    }

    /// Seals a secret for one place; it opens at no other.
    pub fn seal(&self, place: &str, secret: &SecretString) -> Result<Sealed, VaultError> {
        let (key_id, key) = self.keys.first().ok_or(VaultError::Key)?;
        let (nonce, text) = seal(key, place, secret.expose_secret())?;
        Ok(Sealed { key_id: key_id.clone(), nonce, text })
    }

    /// The secret again.
    pub fn open(&self, place: &str, sealed: &Sealed) -> Result<SecretString, VaultError> {
        let (_, key) = self
            .keys
            .iter()
            .find(|(id, _)| *id == sealed.key_id)
            .ok_or_else(|| VaultError::UnknownKey(sealed.key_id.clone()))?;
        open(key, place, &sealed.nonce, &sealed.text)
    }

    /// A keyed hash: of what is too short, or too well known, for a plain one.
    pub fn mac(&self, text: &str) -> String {
        hex::encode(hmac::sign(&self.mac, text.as_bytes()).as_ref())
    }
}

/// Seals a token so that only the holder of another one can read it: the successor of a refresh token.
pub fn seal_under(token: &str, secret: &str) -> Result<Sealed, VaultError> {
    let (nonce, text) = seal(&key_of(token)?, "successor", secret)?;
    Ok(Sealed { key_id: String::from("predecessor"), nonce, text })
}

/// Reads what was sealed under a token.
pub fn open_under(token: &str, sealed: &Sealed) -> Result<SecretString, VaultError> {
    open(&key_of(token)?, "successor", &sealed.nonce, &sealed.text)
}

fn key_of(token: &str) -> Result<RandomizedNonceKey, VaultError> {
    // Another hash than the stored one: who can read the database cannot open it.
    let key = digest::digest(&digest::SHA256, format!("successor of {token}").as_bytes());
    RandomizedNonceKey::new(&AES_256_GCM, key.as_ref()).map_err(|_| VaultError::Key)
}

fn seal(key: &RandomizedNonceKey, place: &str, secret: &str) -> Result<(String, String), VaultError> {
    let mut text = secret.as_bytes().to_vec();
    let nonce = key
        .seal_in_place_append_tag(Aad::from(place.as_bytes()), &mut text)
        .map_err(|_| VaultError::Broken)?;
    Ok((URL_SAFE_NO_PAD.encode(nonce.as_ref()), URL_SAFE_NO_PAD.encode(&text)))
}

fn open(key: &RandomizedNonceKey, place: &str, nonce: &str, text: &str) -> Result<SecretString, VaultError> {
    let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| VaultError::Broken);
    let nonce: [u8; NONCE_LEN] = bytes(nonce)?.try_into().map_err(|_| VaultError::Broken)?;
    let mut text = bytes(text)?;
    let plain = key
        .open_in_place(Nonce::from(&nonce), Aad::from(place.as_bytes()), &mut text)
        .map_err(|_| VaultError::Broken)?;
    String::from_utf8(plain.to_vec()).map(SecretString::from).map_err(|_| VaultError::Broken)
}

/// A fresh token: the prefix and 256 random bits.
pub fn token(prefix: &str) -> Result<String, VaultError> {
    let mut bytes = [0_u8; 32];
    rand::fill(&mut bytes).map_err(|_| VaultError::Random)?;
    Ok(format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bytes)))
}

/// Six random digits, each number as likely as any other.
pub fn digits() -> Result<String, VaultError> {
    // The largest multiple of a million below 2³²: what is above it would favour small numbers.
    const FAIR: u32 = u32::MAX - u32::MAX % 1_000_000;
    loop {
        let mut bytes = [0_u8; 4];
        rand::fill(&mut bytes).map_err(|_| VaultError::Random)?;
        let number = u32::from_le_bytes(bytes);
        if number < FAIR {
            return Ok(format!("{:06}", number % 1_000_000));
        }
    }
}

/// SHA-256 of a token with 256 random bits, as it is stored and looked up.
pub fn hash(token: &str) -> String {
    hex::encode(digest::digest(&digest::SHA256, token.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_secret_opens_at_its_place_only() {
        let vault = Vault::new(&[kit::caller::SigningKey::new_seed()]).unwrap();
        let sealed = vault.seal("here", &"seed".into()).unwrap();
        assert_eq!(vault.open("here", &sealed).unwrap().expose_secret(), "seed");
        assert!(vault.open("there", &sealed).is_err());
        assert!(Vault::new(&["short".into()]).is_err() && Vault::new(&[]).is_err());
    }

    #[test]
    fn a_successor_opens_for_its_predecessor_only() {
        let (old, new) = (token("rrt_").unwrap(), token("rrt_").unwrap());
        let sealed = seal_under(&old, &new).unwrap();
        assert_eq!(open_under(&old, &sealed).unwrap().expose_secret(), new);
        assert!(open_under(&new, &sealed).is_err());
        assert_ne!(hash(&old), hash(&new));
    }

    #[test]
    fn a_code_has_six_digits() {
        for _ in 0..100 {
            let code = digits().unwrap();
            assert!(code.len() == 6 && code.bytes().all(|b| b.is_ascii_digit()));
        }
    }
}
