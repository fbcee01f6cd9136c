//! A company's single sign-on and its rules: which domains lead there, which group has which role, who is let in.

use kit::{FieldError, Role, Timestamp};
use serde::{Deserialize, Serialize};

use super::provider::{Connection, ConnectionState, DirectoryUser, Group, Organization};
use crate::user_profiles::Status;

/// A mail domain of a company.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Domain {
    pub domain: String,
    pub verified: bool,
}

/// A group, by name or id, and the role it stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleMapping {
    pub group: String,
    pub role: Role,
}

/// A company's single sign-on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    pub organization_id: Option<String>,
    pub connection: Option<Connection>,
    pub directory_id: Option<String>,
    pub domains: Vec<Domain>,
    pub role_mapping: Vec<RoleMapping>,
    pub sso_required: bool,
}

/// What a caller wants them to be.
#[derive(Clone, Debug, Default)]
pub struct Change {
    pub domains: Vec<String>,
    pub domains_verified: bool,
    pub role_mapping: Vec<RoleMapping>,
    pub sso_required: bool,
}

impl Settings {
    /// The role a person's groups stand for; of several the strongest. None when no group has one.
    pub fn role_of(&self, groups: &[Group]) -> Option<Role> {
        let named = |m: &&RoleMapping| groups.iter().any(|g| g.name == m.group || g.id == m.group);
        let roles: Vec<_> = self.role_mapping.iter().filter(named).map(|m| m.role).collect();
        roles.iter().copied().find(|r| *r == Role::RetAdmin).or_else(|| roles.first().copied())
    }

    /// Whether people can sign in with it now.
    pub fn is_ready(&self) -> bool {
        self.organization_id.is_some()
            && self.connection.as_ref().is_some_and(|c| c.state == ConnectionState::Active)
    }

    /// Whether the provider has proof that this address belongs to the company's domains.
    pub fn owns(&self, email: &str) -> bool {
        domain_of(email).is_some_and(|d| self.domains.iter().any(|own| own.verified && own.domain == d))
    }

    /// The wanted domains with what is known of each. An operator may vouch for new ones.
    pub fn domains_for(&self, change: &Change) -> Vec<(String, bool)> {
        let mut wanted: Vec<(String, bool)> = Vec::new();
        for name in change.domains.iter().map(|d| d.trim().to_ascii_lowercase()) {
            let known = self.domains.iter().any(|d| d.domain == name && d.verified);
            if !wanted.iter().any(|(w, _)| *w == name) {
                wanted.push((name, known || change.domains_verified));
            }
        }
        wanted
    }

    /// The settings with what the provider says of the organization.
    pub fn seen(&self, organization: &Organization) -> Self {
        let domains = organization.domains.iter();
        let domains = domains.map(|(d, v)| Domain { domain: d.to_ascii_lowercase(), verified: *v }).collect();
        Self { organization_id: Some(organization.id.clone()), domains, ..self.clone() }
    }
}

/// Everything that is wrong with a change.
pub fn wrong(change: &Change) -> Vec<FieldError> {
    let domains = change.domains.iter().enumerate().filter(|(_, d)| !is_domain(d.trim()));
    let mut wrong: Vec<_> = domains
        .map(|(i, d)| {
            FieldError::new(
                format!("domains[{i}]"),
                "domain",
                format!("{d} is no domain such as example.com"),
            )
        })
        .collect();
    for (i, m) in change.role_mapping.iter().enumerate() {
        if change.role_mapping[..i].iter().any(|other| other.group == m.group) {
            let field = format!("role_mapping[{i}].group");
            wrong.push(FieldError::new(field, "group.twice", "stands here twice"));
        }
    }
    wrong
}

/// The domain of an address, as it is compared.
pub fn domain_of(email: &str) -> Option<String> {
    let (_, domain) = email.trim().rsplit_once('@')?;
    Some(domain.to_ascii_lowercase()).filter(|d| !d.is_empty())
}

fn is_domain(text: &str) -> bool {
    let label = |l: &str| {
        !l.is_empty()
            && l.len() <= 63
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    text.contains('.') && text.len() <= 253 && text.split('.').all(label)
}

/// Whether a text is a path of our own: nothing a browser would take for another host, before or after decoding.
pub fn is_local_path(text: &str) -> bool {
    let ok = |t: &str| {
        let mut chars = t.chars();
        chars.next() == Some('/')
            && !matches!(chars.next(), Some('/' | '\\'))
            && !t.chars().any(|c| c.is_control() || c == '\\')
    };
    let decoded = percent_encoding::percent_decode_str(text).decode_utf8();
    ok(text) && text.is_ascii() && decoded.is_ok_and(|d| ok(&d))
}

/// A sign-in under way; the id is the hash of its state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Login {
    pub company: String,
    pub organization: String,
    /// The hash of what the browser's cookie holds.
    pub binding: String,
    pub return_to: String,
    pub used: bool,
    #[serde(with = "store::time")]
    pub expires_at: Timestamp,
}

/// Somebody the provider vouched for, bound to one of our people. Belongs to a company: the same person may come by
/// several companies' providers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The provider's id.
    pub external_id: String,
    pub user_id: String,
}

/// Somebody of a company's directory, as last read. Personal: the address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    pub external_id: String,
    pub directory_id: String,
    pub email_key: String,
    pub active: bool,
    pub groups: Vec<Group>,
    /// The provider's time of it: what is told of earlier is old.
    #[serde(with = "store::time")]
    pub changed_at: Timestamp,
}

impl From<&DirectoryUser> for Listed {
    fn from(u: &DirectoryUser) -> Self {
        Self {
            external_id: u.id.clone(),
            directory_id: u.directory.clone(),
            email_key: crate::user_profiles::email_key(&u.email),
            active: u.active,
            groups: u.groups.clone(),
            changed_at: kit::clock::millis(u.updated_at),
        }
    }
}

/// Why somebody is kept out who lost every mapped group.
pub const NO_GROUP: &str = "in no mapped group any more";

/// A person the provider has us keep out; let in again when it says so. Nobody else's suspension is lifted that way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    pub user_id: String,
    pub why: String,
}

/// Our session and the provider's it came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Twin {
    pub external_id: String,
    pub session_id: String,
    /// Neither has been ended because of the other.
    pub open: bool,
    #[serde(with = "store::time")]
    pub ends_at: Timestamp,
}

/// What a company's directory says of somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listing {
    pub active: bool,
    pub role: Option<Role>,
    /// There was a role before.
    pub lost: bool,
}

impl Listing {
    /// What is said now, beside what was said before.
    pub fn of(settings: &Settings, active: bool, groups: &[Group], before: Option<&Listed>) -> Self {
        let role = settings.role_of(groups);
        let lost = role.is_none() && before.is_some_and(|b| settings.role_of(&b.groups).is_some());
        Self { active, role, lost }
    }
}

/// What becomes of somebody at the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    LetIn,
    /// With another role than before.
    LetInAs(Role),
    /// After the provider had us keep them out.
    LetInAgain(Role),
    /// Somebody new.
    Welcome(Role),
    Refuse(&'static str),
}

/// Who is let in: the place in the company, whether it is the provider that keeps it shut, and what the directory says.
pub fn verdict(place: Option<(Status, Role)>, held: bool, listing: Option<Listing>) -> Verdict {
    if listing.is_some_and(|l| !l.active) {
        return Verdict::Refuse("deactivated in the directory");
    }
    if listing.is_some_and(|l| l.lost || (held && l.role.is_none())) {
        return Verdict::Refuse(NO_GROUP);
    }
    let mapped = listing.and_then(|l| l.role);
    match (place, mapped) {
        (None, Some(role)) => Verdict::Welcome(role),
        (None, None) => Verdict::Refuse("a stranger in no mapped group"),
        (Some((Status::Removed, _)), _) => Verdict::Refuse("removed from the company"),
        (Some((Status::Suspended, _)), _) if !held => Verdict::Refuse("suspended in the company"),
        (Some((Status::Suspended, role)), mapped) => Verdict::LetInAgain(mapped.unwrap_or(role)),
        (Some((Status::Active, role)), Some(mapped)) if mapped != role => Verdict::LetInAs(mapped),
        (Some((Status::Active, _)), _) => Verdict::LetIn,
    }
}

/// How far the list of events has been read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    pub after: Option<String>,
    #[serde(default, with = "store::time::option")]
    pub since: Option<Timestamp>,
    /// When a reading last came to its end, give or take a day.
    #[serde(default, with = "store::time::option")]
    pub read_at: Option<Timestamp>,
}

/// `received → processed | ignored | failed → dead`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Received,
    Processed,
    Ignored,
    Failed,
    Dead,
}

/// Something the provider told, kept until it is worked on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    pub external_id: String,
    pub name: String,
    pub state: State,
    pub attempts: u32,
    pub error: String,
    #[serde(with = "store::time")]
    pub occurred_at: Timestamp,
    #[serde(with = "store::time")]
    pub due_at: Timestamp,
    /// Personal; gone once it is worked on.
    pub data: String,
}

/// After how many failures an event is given up. With the growing waits this is about a day.
const PATIENCE: u32 = 14;

impl Event {
    pub fn done(&self, state: State) -> Self {
        Self { state, attempts: self.attempts + 1, error: String::new(), data: String::new(), ..self.clone() }
    }

    /// After a failure: tried again later, each time later, or given up.
    pub fn failed(&self, error: &str, passing: bool, now: Timestamp) -> Self {
        let attempts = self.attempts + 1;
        let dead = attempts >= PATIENCE || (!passing && attempts >= 3);
        let wait = jiff::SignedDuration::from_secs(2_i64.pow(attempts.min(13)));
        Self {
            state: if dead { State::Dead } else { State::Failed },
            attempts,
            error: error.chars().take(500).collect(),
            due_at: now.checked_add(wait).unwrap_or(now),
            ..self.clone()
        }
    }
}

/// The events we act on.
pub const EVENTS: [&str; 24] = [
    "user.updated",
    "user.deleted",
    "session.revoked",
    "organization.updated",
    "organization.deleted",
    "organization_domain.updated",
    "organization_domain.verified",
    "organization_domain.verification_failed",
    "organization_domain.deleted",
    "organization_membership.created",
    "organization_membership.updated",
    "organization_membership.deleted",
    "connection.activated",
    "connection.deactivated",
    "connection.deleted",
    "dsync.activated",
    "dsync.deleted",
    "dsync.user.created",
    "dsync.user.updated",
    "dsync.user.deleted",
    "dsync.group.updated",
    "dsync.group.deleted",
    "dsync.group.user_added",
    "dsync.group.user_removed",
];

/// Whether an event of this name is one we act on.
pub fn concerns_us(name: &str) -> bool {
    EVENTS.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(id: &str, name: &str) -> Group {
        Group { id: id.into(), name: name.into() }
    }

    fn settings() -> Settings {
        let mapping = |group: &str, role| RoleMapping { group: group.into(), role };
        let domain = |d: &str, verified| Domain { domain: d.into(), verified };
        Settings {
            domains: vec![domain("telco.example", true), domain("claimed.example", false)],
            role_mapping: vec![
                mapping("Experts", Role::RetExp),
                mapping("directory_group_1", Role::RetAdmin),
            ],
            ..Settings::default()
        }
    }

    #[test]
    fn the_strongest_of_a_persons_groups_counts() {
        let s = settings();
        assert_eq!(s.role_of(&[group("g", "Cooks")]), None);
        assert_eq!(s.role_of(&[group("g", "Experts")]), Some(Role::RetExp));
        let both = [group("g", "Experts"), group("directory_group_1", "Heads")];
        assert_eq!(s.role_of(&both), Some(Role::RetAdmin));
        assert_eq!(s.role_of(&[group("g", "experts")]), None, "names are taken as they are");
    }

    #[test]
    fn only_a_verified_domain_is_the_companys() {
        let s = settings();
        assert!(s.owns("Ada@Telco.Example"));
        for not in ["ada@claimed.example", "ada@sub.telco.example", "ada@telco.example.evil", "telco.example"]
        {
            assert!(!s.owns(not), "{not}");
        }
        let change =
            Change { domains: vec![" NEW.example".into(), "telco.example".into()], ..Change::default() };
        let expected = vec![("new.example".to_owned(), false), ("telco.example".to_owned(), true)];
        assert_eq!(s.domains_for(&change), expected, "what was proved stays so");
        let vouched = Change { domains_verified: true, ..change };
        assert!(s.domains_for(&vouched).iter().all(|(_, verified)| *verified));
    }

    #[test]
    fn a_change_names_what_is_wrong_with_it() {
        let change = Change {
            domains: vec![
                "telco.example".into(),
                "no domain".into(),
                "localhost".into(),
                "-a.example".into(),
            ],
            role_mapping: vec![settings().role_mapping[0].clone(); 2],
            ..Change::default()
        };
        let fields: Vec<_> = wrong(&change).into_iter().map(|f| f.field).collect();
        assert_eq!(fields, ["domains[1]", "domains[2]", "domains[3]", "role_mapping[1].group"]);
    }

    #[test]
    fn a_way_back_stays_in_our_own_house() {
        for good in ["/", "/offers", "/offers?state=draft&x=%2F", "/a%20b#c"] {
            assert!(is_local_path(good), "{good}");
        }
        for bad in [
            "",
            "offers",
            "//evil",
            "/\\evil",
            "/%5cevil",
            "%2f%2fevil",
            "/%2fevil",
            "%2foffers",
            "https://evil",
            "/a\r\nSet-Cookie: x",
            "/a%0d%0aSet-Cookie: x",
            "/\tevil",
            "/%09/evil",
            "/é",
        ] {
            assert!(!is_local_path(bad), "{bad}");
        }
    }

    #[test]
    fn who_is_let_in() {
        let active = |role| Some((Status::Active, role));
        let listed = |active, role| Some(Listing { active, role, lost: false });
        let (admin, expert) = (Role::RetAdmin, Role::RetExp);
        let refused = |v: Verdict| matches!(v, Verdict::Refuse(_));
        assert_eq!(verdict(None, false, listed(true, Some(expert))), Verdict::Welcome(expert));
        assert!(refused(verdict(None, false, listed(true, None))), "a stranger in no mapped group");
        assert!(refused(verdict(None, false, None)), "a stranger no directory knows");
        assert_eq!(verdict(active(admin), false, None), Verdict::LetIn, "who was invited needs no group");
        assert_eq!(verdict(active(admin), false, listed(true, Some(expert))), Verdict::LetInAs(expert));
        assert!(refused(verdict(active(admin), false, listed(false, Some(admin)))), "deactivated");
        let suspended = Some((Status::Suspended, expert));
        assert!(refused(verdict(suspended, false, listed(true, Some(expert)))), "an admin shut them out");
        assert_eq!(verdict(suspended, true, None), Verdict::LetInAgain(expert));
        assert_eq!(verdict(suspended, true, listed(true, Some(admin))), Verdict::LetInAgain(admin));
        assert!(refused(verdict(suspended, true, listed(true, None))), "in no group that would let them in");
        let lost = Some(Listing { active: true, role: None, lost: true });
        assert!(refused(verdict(active(expert), false, lost)), "the group that let them in is gone");
        assert!(refused(verdict(Some((Status::Removed, admin)), true, listed(true, Some(admin)))));
    }

    #[test]
    fn unknown_events_do_not_concern_us() {
        for ours in ["dsync.user.updated", "session.revoked", "connection.deactivated"] {
            assert!(concerns_us(ours), "{ours}");
        }
        for other in ["session.created", "authentication.password_failed", "a.name.of.tomorrow", ""] {
            assert!(!concerns_us(other), "{other}");
        }
    }
}
