//! Links to one Azure blob that work for a while and for one thing (service SAS). Our own signer, because the storage
//! crate's cannot force a download, forbid overwriting or insist on TLS.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The version whose order of fields we sign.
const VERSION: &str = "2025-11-05";

/// What a link says. Absent fields are empty; see "Create a service SAS".
#[derive(Clone, Debug, Default)]
pub struct Fields<'a> {
    /// `sp`: `r` reads, `c` creates without overwriting.
    pub permissions: &'a str,
    pub start: &'a str,
    pub expiry: &'a str,
    /// `/blob/<account>/<container>/<name>`, not percent-encoded.
    pub resource: &'a str,
    pub identifier: &'a str,
    pub ip: &'a str,
    /// `https`, or `https,http` for the emulator.
    pub protocol: &'a str,
    /// `sv`; empty means the one we sign by default.
    pub version: &'a str,
    /// `b` for a blob, `c` for a container.
    pub kind: &'a str,
    /// `rscd`: forces a download under a file name.
    pub disposition: &'a str,
    /// `rsct`: the content type answered.
    pub content_type: &'a str,
}

impl Fields<'_> {
    fn version(&self) -> &str {
        if self.version.is_empty() { VERSION } else { self.version }
    }

    /// The signature, in base64. `key` is the decoded account key.
    pub fn sign(&self, key: &[u8]) -> String {
        let Self {
            permissions,
            start,
            expiry,
            resource,
            identifier,
            ip,
            protocol,
            version: _,
            kind,
            disposition,
            content_type,
        } = self;
        // Between `sr` and `rscd` stand snapshot, encryption scope and cache control; before the content type,
        // encoding and language. We sign none of them.
        let lines = [
            permissions,
            start,
            expiry,
            resource,
            identifier,
            ip,
            protocol,
            self.version(),
            kind,
            "",
            "",
            "",
            disposition,
            "",
            "",
            content_type,
        ];
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        STANDARD.encode(hmac::sign(&key, lines.join("\n").as_bytes()).as_ref())
    }

    /// The query of the link, signature included.
    pub fn query(&self, key: &[u8]) -> String {
        let signature = self.sign(key);
        let pairs = [
            ("sp", self.permissions),
            ("st", self.start),
            ("se", self.expiry),
            ("si", self.identifier),
            ("sip", self.ip),
            ("spr", self.protocol),
            ("sv", self.version()),
            ("sr", self.kind),
            ("rscd", self.disposition),
            ("rsct", self.content_type),
            ("sig", &signature),
        ];
        let present = pairs.into_iter().filter(|(_, value)| !value.is_empty());
        url::form_urlencoded::Serializer::new(String::new()).extend_pairs(present).finish()
    }
}
