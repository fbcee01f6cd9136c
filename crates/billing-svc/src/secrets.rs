//! Provider secrets at rest, in envelopes: each secret is sealed by AES-256-GCM with a data key of its own, and the data
//! key by a master key of the installation; both are bound to the record they belong to. An envelope names its master
//! key, so that master keys can be changed: the first one seals, every one opens, and `billing-svc rotate-secrets`
//! (`connections/rotate.rs`) wraps the data keys anew without touching what they seal.

use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::digest;
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kit::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

/// A secret as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// Which master key opens it.
    pub key_id: String,
    /// Nonce and ciphertext with its tag, base64url.
    nonce: String,
    text: String,
    /// The key `text` is sealed with, itself sealed with the master key. Secrets of the first releases have none: there
    /// the master key seals the text.
    #[serde(default)]
    data_key: Option<Wrapped>,
    /// The start of the secret's SHA-256: all that is ever shown of it.
    pub fingerprint: String,
}

/// A data key under its master key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Wrapped {
    nonce: String,
    text: String,
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

    /// The id of the master key that seals.
    pub fn newest(&self) -> &str {
        self.keys.first().map_or("", |(id, _)| id)
    }

    /// Whether an envelope is to be wrapped anew: under another master key than the newest, or still without one.
    pub fn is_outdated(&self, sealed: &Sealed) -> bool {
        sealed.key_id != self.newest() || sealed.data_key.is_none()
    }

    /// Seals a secret for one place (`com_…/live/stripe/secret`); it opens at no other.
    pub fn seal(&self, place: &str, secret: &SecretString) -> Result<Sealed, VaultError> {
        let (key_id, master) = self.keys.first().ok_or(VaultError::Key)?;
        let mut data_key = [0_u8; 32];
        rand::fill(&mut data_key).map_err(|_| VaultError::Broken)?;
        let key = RandomizedNonceKey::new(&AES_256_GCM, &data_key).map_err(|_| VaultError::Broken)?;
        let (nonce, text) = lock(&key, place, secret.expose_secret().as_bytes())?;
        let data_key = Some(wrap(master, place, &data_key)?);
        Ok(Sealed { key_id: key_id.clone(), nonce, text, data_key, fingerprint: fingerprint(secret) })
    }

    /// The secret again.
    pub fn open(&self, place: &str, sealed: &Sealed) -> Result<SecretString, VaultError> {
        let master = self.master(&sealed.key_id)?;
        let plain = match &sealed.data_key {
            None => unlock(master, place, &sealed.nonce, &sealed.text)?,
            Some(wrapped) => {
                let data_key = unwrap(master, place, wrapped)?;
                let key = RandomizedNonceKey::new(&AES_256_GCM, &data_key).map_err(|_| VaultError::Broken)?;
                unlock(&key, place, &sealed.nonce, &sealed.text)?
            }
        };
        String::from_utf8(plain).map(SecretString::from).map_err(|_| VaultError::Broken)
    }

    /// The same secret under the newest master key.
    pub fn rewrap(&self, place: &str, sealed: &Sealed) -> Result<Sealed, VaultError> {
        let Some(wrapped) = &sealed.data_key else {
            return self.seal(place, &self.open(place, sealed)?);
        };
        let data_key = unwrap(self.master(&sealed.key_id)?, place, wrapped)?;
        let (key_id, newest) = self.keys.first().ok_or(VaultError::Key)?;
        let data_key = Some(wrap(newest, place, &data_key)?);
        Ok(Sealed { key_id: key_id.clone(), data_key, ..sealed.clone() })
    }

    fn master(&self, id: &str) -> Result<&RandomizedNonceKey, VaultError> {
        let found = self.keys.iter().find(|(known, _)| known == id);
        found.map(|(_, key)| key).ok_or_else(|| VaultError::UnknownKey(id.to_owned()))
    }
}

/// What a data key is bound to: never mistaken for a secret of the same place.
fn key_place(place: &str) -> String {
    format!("{place}#data-key")
}

fn wrap(master: &RandomizedNonceKey, place: &str, data_key: &[u8]) -> Result<Wrapped, VaultError> {
    let (nonce, text) = lock(master, &key_place(place), data_key)?;
    Ok(Wrapped { nonce, text })
}

fn unwrap(master: &RandomizedNonceKey, place: &str, wrapped: &Wrapped) -> Result<Vec<u8>, VaultError> {
    unlock(master, &key_place(place), &wrapped.nonce, &wrapped.text)
}

fn lock(key: &RandomizedNonceKey, place: &str, plain: &[u8]) -> Result<(String, String), VaultError> {
    let mut text = plain.to_vec();
    let nonce = key
        .seal_in_place_append_tag(Aad::from(place.as_bytes()), &mut text)
        .map_err(|_| VaultError::Broken)?;
    Ok((URL_SAFE_NO_PAD.encode(nonce.as_ref()), URL_SAFE_NO_PAD.encode(&text)))
}

fn unlock(key: &RandomizedNonceKey, place: &str, nonce: &str, text: &str) -> Result<Vec<u8>, VaultError> {
    let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| VaultError::Broken);
    let nonce: [u8; NONCE_LEN] = bytes(nonce)?.try_into().map_err(|_| VaultError::Broken)?;
    let mut text = bytes(text)?;
    let plain = key
        .open_in_place(Nonce::from(&nonce), Aad::from(place.as_bytes()), &mut text)
        .map_err(|_| VaultError::Broken)?;
    Ok(plain.to_vec())
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

    /// As the first releases sealed: with the master key itself.
    fn sealed_by_the_first_release(key: &SecretString, place: &str, secret: &SecretString) -> Sealed {
        let vault = Vault::new(std::slice::from_ref(key)).unwrap();
        let (key_id, master) = &vault.keys[0];
        let (nonce, text) = lock(master, place, secret.expose_secret().as_bytes()).unwrap();
        let old = serde_json::json!({
            "key_id": key_id, "nonce": nonce, "text": text, "fingerprint": fingerprint(secret),
        });
        serde_json::from_value(old).unwrap()
    }

    #[test]
    fn keys_can_be_rotated() {
        let (old, new) = (key(), key());
        let sealed = Vault::new(std::slice::from_ref(&old)).unwrap().seal("here", &"s".into()).unwrap();
        let both = Vault::new(&[new.clone(), old.clone()]).unwrap();
        assert_eq!(both.open("here", &sealed).unwrap().expose_secret(), "s");
        assert!(both.is_outdated(&sealed));
        let only_new = Vault::new(std::slice::from_ref(&new)).unwrap();
        assert!(
            matches!(only_new.open("here", &sealed), Err(VaultError::UnknownKey(id)) if id == sealed.key_id)
        );
        assert!(matches!(only_new.rewrap("here", &sealed), Err(VaultError::UnknownKey(_))));

        let again = both.rewrap("here", &sealed).unwrap();
        assert!(!both.is_outdated(&again));
        assert_eq!(
            (&again.text, &again.fingerprint),
            (&sealed.text, &sealed.fingerprint),
            "only the key moved"
        );
        assert_eq!(only_new.open("here", &again).unwrap().expose_secret(), "s");
        assert!(only_new.open("there", &again).is_err(), "still bound to its place");
        assert!(both.rewrap("there", &sealed).is_err(), "and not led elsewhere by a rotation");
        assert!(Vault::new(&["short".into()]).is_err() && Vault::new(&[]).is_err());
    }

    #[test]
    fn a_wrong_key_id_opens_nothing() {
        let (one, two) = (key(), key());
        let both = Vault::new(&[one, two.clone()]).unwrap();
        let sealed = both.seal("here", &"s".into()).unwrap();
        // The id of a key that is there, but is not the one.
        let other = Vault::new(&[two]).unwrap().newest().to_owned();
        let wrong = Sealed { key_id: other, ..sealed.clone() };
        assert!(matches!(both.open("here", &wrong), Err(VaultError::Broken)));
        assert!(matches!(both.rewrap("here", &wrong), Err(VaultError::Broken)));
        let none = Sealed { key_id: String::new(), ..sealed };
        assert!(matches!(both.open("here", &none), Err(VaultError::UnknownKey(_))));
    }

    #[test]
    fn secrets_of_the_first_releases_open_and_become_envelopes() {
        let (old, new) = (key(), key());
        let sealed = sealed_by_the_first_release(&old, "here", &"sk_live_1".into());
        let both = Vault::new(&[new.clone(), old.clone()]).unwrap();
        assert_eq!(both.open("here", &sealed).unwrap().expose_secret(), "sk_live_1");
        assert!(Vault::new(&[old]).unwrap().is_outdated(&sealed), "even under the newest key");
        let again = both.rewrap("here", &sealed).unwrap();
        assert_eq!(Vault::new(&[new]).unwrap().open("here", &again).unwrap().expose_secret(), "sk_live_1");
        assert_eq!(again.fingerprint, sealed.fingerprint);
    }
}
