//! `validateUserEmail`: what an address must be before anybody is invited under it.

use std::collections::HashSet;
use std::sync::LazyLock;

use super::model::{email_key, is_email};
use crate::error::{Error, Result};

/// Domains of throw-away mailboxes; see the head of the file for where they come from.
static DISPOSABLE: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    let lines = include_str!("../../data/disposable_domains.txt").lines();
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
});

/// The address as it is compared, if it is well-formed, no throw-away one and, where a company lists domains, of one of
/// these.
pub fn admitted(email: &str, domains: &[String]) -> Result<String> {
    let wrong = |code: &str, text: &str| Err(Error::field("email", code, text));
    if !is_email(email) {
        return wrong("email", "is no e-mail address");
    }
    let key = email_key(email);
    let domain = key.rsplit_once('@').map_or("", |(_, domain)| domain);
    if is_disposable(domain) {
        return wrong("email.disposable", "is a throw-away address; give a lasting one");
    }
    if !domains.is_empty() && !domains.iter().any(|d| d.eq_ignore_ascii_case(domain)) {
        return wrong("email.domain", "is of a domain the company does not invite from");
    }
    Ok(key)
}

/// The domain itself or one it belongs to.
fn is_disposable(domain: &str) -> bool {
    let parents = std::iter::successors(Some(domain), |d| d.split_once('.').map(|(_, parent)| parent));
    parents.into_iter().any(|d| DISPOSABLE.contains(d))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(email: &str, domains: &[&str]) -> String {
        let domains: Vec<_> = domains.iter().map(|d| (*d).to_owned()).collect();
        match admitted(email, &domains).unwrap_err() {
            Error::Wrong(fields) => fields[0].code.clone(),
            other => other.to_string(),
        }
    }

    #[test]
    fn an_address_is_normalised_and_throw_away_ones_are_refused() {
        assert_eq!(admitted(" Ada@Example.COM ", &[]).unwrap(), "ada@example.com");
        assert_eq!(code("ada", &[]), "email");
        assert_eq!(code("ada@mailinator.com", &[]), "email.disposable");
        assert_eq!(code("ada@sub.Mailinator.com", &[]), "email.disposable");
        assert!(DISPOSABLE.len() > 10_000);
    }

    #[test]
    fn a_company_may_list_its_domains() {
        assert!(admitted("ada@telco.example", &["Telco.example".into()]).is_ok());
        assert_eq!(code("ada@other.example", &["telco.example"]), "email.domain");
        assert_eq!(code("ada@evil-telco.example", &["telco.example"]), "email.domain");
    }
}
