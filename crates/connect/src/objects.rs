//! The object store: media, uploads, exports. A folder locally, Azure Blob Storage in a deployment, memory in tests;
//! callers do not see which.

use std::ops::Range;
use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::stream::{BoxStream, Stream, StreamExt, TryStreamExt};
use jiff::Timestamp;
use kit::config::Files;
use kit::{ExposeSecret, SecretString};
use object_store::azure::MicrosoftAzureBuilder;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt, WriteMultipart};
use url::Url;

use crate::sas;

/// The name of an object: letters, digits, `.`, `_`, `-` and `/`, such as `com_1/media/med_2.png`. What a customer
/// called the file stands in our database, never here.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ObjectKey(String);

impl ObjectKey {
    /// Reads a key; a step upwards, an empty step or another character makes it none.
    pub fn parse(text: &str) -> Option<Self> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        let step = |s: &str| !s.is_empty() && s != "." && s != ".." && s.bytes().all(plain);
        (text.len() <= 512 && text.split('/').all(step)).then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What is known of an object without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectInfo {
    pub key: String,
    pub size: u64,
    pub modified_at: Timestamp,
    pub etag: Option<String>,
}

/// An object being read.
pub struct Object {
    pub info: ObjectInfo,
    pub body: BoxStream<'static, Result<Bytes, ObjectError>>,
}

/// Where Azure keeps our objects.
#[derive(Clone, Debug)]
pub struct Azure {
    pub account: String,
    pub container: String,
    /// The account key, base64.
    pub key: SecretString,
    /// Another endpoint than Azure's own, such as the emulator's `http://127.0.0.1:10000/devstoreaccount1`.
    pub endpoint: Option<String>,
}

/// Why an object was not stored or read.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    #[error("there is no such object")]
    NotFound,
    #[error("the object is larger than may be stored")]
    TooLarge,
    #[error("the object store does not answer")]
    Unavailable(#[source] anyhow::Error),
}

impl From<object_store::Error> for ObjectError {
    fn from(error: object_store::Error) -> Self {
        match error {
            object_store::Error::NotFound { .. } => Self::NotFound,
            other => Self::Unavailable(other.into()),
        }
    }
}

/// The store. Clones share it.
#[derive(Clone)]
pub struct Objects {
    store: Arc<dyn ObjectStore>,
    links: Option<Arc<Links>>,
}

/// What is needed to make links.
struct Links {
    base: Url,
    account: String,
    container: String,
    key: Vec<u8>,
}

impl Objects {
    /// Where the settings say: in Azure where they name an account, else in a folder.
    pub fn at(files: &Files) -> Result<Self, ObjectError> {
        let Files { objects_dir, azure_account, azure_container, azure_key, azure_endpoint } = files;
        match (azure_account, azure_container, azure_key) {
            (Some(account), Some(container), Some(key)) => Self::azure(&Azure {
                account: account.clone(),
                container: container.clone(),
                key: key.clone(),
                endpoint: azure_endpoint.clone(),
            }),
            // clap sees to it that it is all of the three or none.
            _ => Self::folder(objects_dir),
        }
    }

    /// Keeps objects as files below `root`, which is made if it is not there.
    pub fn folder(root: &FilePath) -> Result<Self, ObjectError> {
        std::fs::create_dir_all(root).map_err(|e| ObjectError::Unavailable(e.into()))?;
        let store = LocalFileSystem::new_with_prefix(root)?.with_automatic_cleanup(true);
        Ok(Self { store: Arc::new(store), links: None })
    }

    /// Keeps objects in memory, until dropped.
    pub fn memory() -> Self {
        Self { store: Arc::new(InMemory::new()), links: None }
    }

    /// Keeps objects in a container of Azure Blob Storage, which must be there.
    pub fn azure(azure: &Azure) -> Result<Self, ObjectError> {
        let Azure { account, container, key, endpoint } = azure;
        let own = format!("https://{account}.blob.core.windows.net");
        let base = endpoint.as_deref().unwrap_or(&own).trim_end_matches('/');
        let store = MicrosoftAzureBuilder::new()
            .with_account(account)
            .with_container_name(container)
            .with_access_key(key.expose_secret())
            .with_endpoint(base.to_owned())
            .with_allow_http(base.starts_with("http://"))
            .build()?;
        let decoded = STANDARD.decode(key.expose_secret()).map_err(|e| ObjectError::Unavailable(e.into()))?;
        let base =
            Url::parse(&format!("{base}/{container}/")).map_err(|e| ObjectError::Unavailable(e.into()))?;
        let links = Links { base, account: account.clone(), container: container.clone(), key: decoded };
        Ok(Self { store: Arc::new(store), links: Some(Arc::new(links)) })
    }

    /// Stores an object, replacing one of that name. Nobody sees half of it.
    pub async fn put(&self, key: &ObjectKey, body: Bytes) -> Result<(), ObjectError> {
        self.store.put(&path(key), body.into()).await?;
        Ok(())
    }

    /// Stores what a stream brings, and says how many bytes that was. One that brings more than `largest`, or fails,
    /// leaves nothing behind.
    pub async fn put_stream<E>(
        &self,
        key: &ObjectKey,
        mut body: impl Stream<Item = Result<Bytes, E>> + Unpin + Send,
        largest: u64,
    ) -> Result<u64, ObjectError>
    where
        E: Into<anyhow::Error>,
    {
        let mut upload = WriteMultipart::new(self.store.put_multipart(&path(key)).await?);
        let mut size = 0_u64;
        loop {
            let refused = match body.next().await {
                None => break,
                Some(Err(e)) => ObjectError::Unavailable(e.into()),
                Some(Ok(chunk)) => {
                    size += chunk.len() as u64;
                    if size <= largest {
                        // Bounds memory: at most a few parts wait to be sent.
                        upload.wait_for_capacity(4).await?;
                        upload.put(chunk);
                        continue;
                    }
                    ObjectError::TooLarge
                }
            };
            upload.abort().await?;
            return Err(refused);
        }
        upload.finish().await?;
        Ok(size)
    }

    /// Opens an object for reading.
    pub async fn get(&self, key: &ObjectKey) -> Result<Object, ObjectError> {
        let found = self.store.get(&path(key)).await?;
        let info = info(&found.meta);
        Ok(Object { info, body: found.into_stream().map_err(ObjectError::from).boxed() })
    }

    /// Reads a whole object of at most `largest` bytes.
    pub async fn bytes(&self, key: &ObjectKey, largest: u64) -> Result<Bytes, ObjectError> {
        let found = self.store.get(&path(key)).await?;
        if found.meta.size > largest {
            return Err(ObjectError::TooLarge);
        }
        Ok(found.bytes().await?)
    }

    /// Reads some bytes of an object.
    pub async fn range(&self, key: &ObjectKey, range: Range<u64>) -> Result<Bytes, ObjectError> {
        Ok(self.store.get_range(&path(key), range).await?)
    }

    /// Opens some bytes of an object for reading; they must be there.
    pub async fn open(&self, key: &ObjectKey, range: Range<u64>) -> Result<Object, ObjectError> {
        let options = GetOptions { range: Some(GetRange::Bounded(range)), ..GetOptions::default() };
        let found = self.store.get_opts(&path(key), options).await?;
        let info = info(&found.meta);
        Ok(Object { info, body: found.into_stream().map_err(ObjectError::from).boxed() })
    }

    /// Looks at an object without reading it.
    pub async fn head(&self, key: &ObjectKey) -> Result<ObjectInfo, ObjectError> {
        Ok(info(&self.store.head(&path(key)).await?))
    }

    /// All objects below a prefix that ends at a `/`.
    pub fn list(&self, prefix: &ObjectKey) -> BoxStream<'static, Result<ObjectInfo, ObjectError>> {
        self.store.list(Some(&path(prefix))).map(|meta| Ok(info(&meta?))).boxed()
    }

    /// Deletes an object. One that is not there is no error.
    pub async fn delete(&self, key: &ObjectKey) -> Result<(), ObjectError> {
        match self.store.delete(&path(key)).await {
            Err(object_store::Error::NotFound { .. }) => Ok(()),
            other => Ok(other?),
        }
    }

    /// A link to download an object under `file_name` until `lifetime` is over. None where the store gives no links:
    /// then the service reads the object and passes it on.
    pub fn link(
        &self,
        key: &ObjectKey,
        file_name: &str,
        now: Timestamp,
        lifetime: Duration,
    ) -> Option<String> {
        let links = self.links.as_ref()?;
        let mut url = links.base.join(key.as_str()).ok()?;
        let expiry = now.checked_add(lifetime).ok()?.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let safe: String =
            file_name.chars().filter(|c| !c.is_control() && !matches!(c, '"' | '\\')).collect();
        let fields = sas::Fields {
            permissions: "r",
            expiry: &expiry,
            resource: &format!("/blob/{}/{}/{}", links.account, links.container, key.as_str()),
            protocol: if url.scheme() == "https" { "https" } else { "https,http" },
            kind: "b",
            // A customer's file must never open as a page of ours.
            disposition: &format!("attachment; filename=\"{safe}\""),
            content_type: "application/octet-stream",
            ..sas::Fields::default()
        };
        url.set_query(Some(&fields.query(&links.key)));
        Some(url.into())
    }
}

fn path(key: &ObjectKey) -> Path {
    Path::from(key.as_str())
}

fn info(meta: &object_store::ObjectMeta) -> ObjectInfo {
    let modified = meta.last_modified;
    let modified_at = Timestamp::from_millisecond(modified.timestamp_millis()).unwrap_or_default();
    ObjectInfo { key: meta.location.to_string(), size: meta.size, modified_at, etag: meta.e_tag.clone() }
}
