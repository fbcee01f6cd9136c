//! The settings by name, with the type they are read as. A test holds each against the registry.

/// A setting that is read as a whole number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IntKey(pub &'static str);

/// A setting that is read as a list of texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListKey(pub &'static str);

/// A switch, or a feature flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlagKey(pub &'static str);

pub const INVITATION_LIFETIME_DAYS: IntKey = IntKey("invitation.lifetime_days");
pub const INVITATION_MAX_RESENDS: IntKey = IntKey("invitation.max_resends");
pub const INVITATION_ALLOWED_DOMAINS: ListKey = ListKey("invitation.allowed_domains");
pub const SESSION_IDLE_HOURS: IntKey = IntKey("session.idle_hours");
pub const SESSION_ABSOLUTE_DAYS: IntKey = IntKey("session.absolute_days");
pub const SIGN_IN_CODES_PER_ACCOUNT: IntKey = IntKey("sign_in.codes_per_account");
pub const COMPANY_CLOSE_GRACE_DAYS: IntKey = IntKey("company.close_grace_days");
pub const API_KEY_MAX_LIFETIME_DAYS: IntKey = IntKey("api_key.max_lifetime_days");
pub const API_KEY_ROTATION_OVERLAP_HOURS: IntKey = IntKey("api_key.rotation_overlap_hours");
pub const FEATURE_EXPERIMENTS: FlagKey = FlagKey("feature.experiments");
pub const FEATURE_WIN_BACK: FlagKey = FlagKey("feature.win_back");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::global_config::{Kind, find};

    #[test]
    fn every_key_is_of_a_setting_of_its_type() {
        let ints = [
            INVITATION_LIFETIME_DAYS,
            INVITATION_MAX_RESENDS,
            SESSION_IDLE_HOURS,
            SESSION_ABSOLUTE_DAYS,
            SIGN_IN_CODES_PER_ACCOUNT,
            COMPANY_CLOSE_GRACE_DAYS,
            API_KEY_MAX_LIFETIME_DAYS,
            API_KEY_ROTATION_OVERLAP_HOURS,
        ];
        assert!(ints.iter().all(|k| find(k.0).is_some_and(|s| matches!(s.kind, Kind::Int { .. }))));
        let lists = [INVITATION_ALLOWED_DOMAINS];
        assert!(lists.iter().all(|k| find(k.0).is_some_and(|s| matches!(s.kind, Kind::Domains { .. }))));
        let flags = [FEATURE_EXPERIMENTS, FEATURE_WIN_BACK];
        assert!(flags.iter().all(|k| find(k.0).is_some_and(|s| s.flag && s.kind == Kind::Bool)));
    }
}
