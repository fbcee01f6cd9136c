//! Every setting there is. A key that is not here does not exist: reading it does not compile, writing it is refused.

use super::model::{Default, Editor, Kind, Setting};

const PLAIN: Setting = Setting {
    key: "",
    kind: Kind::Bool,
    default: Default::Off,
    editor: Editor::Platform,
    flag: false,
    per_mode: false,
    narrows: false,
    description: "",
};

const FLAG: Setting = Setting { flag: true, per_mode: true, editor: Editor::Operator, ..PLAIN };

/// All of them, in the order lists show them.
pub static SETTINGS: [Setting; 13] = [
    Setting {
        key: "invitation.lifetime_days",
        kind: Kind::Int { min: 1, max: 30 },
        default: Default::Int(7),
        editor: Editor::Company,
        description: "Days for which the token of an invitation works.",
        ..PLAIN
    },
    Setting {
        key: "invitation.max_resends",
        kind: Kind::Int { min: 0, max: 20 },
        default: Default::Int(5),
        editor: Editor::Operator,
        description: "How often an invitation may be sent again.",
        ..PLAIN
    },
    Setting {
        key: "invitation.allowed_domains",
        kind: Kind::Domains { most: 100 },
        default: Default::Empty,
        editor: Editor::Company,
        description: "Domains whose addresses may be invited. Empty: all.",
        ..PLAIN
    },
    Setting {
        key: "session.idle_hours",
        kind: Kind::Int { min: 1, max: 12 },
        default: Default::Int(12),
        editor: Editor::Company,
        narrows: true,
        description: "Hours without use after which a session ends.",
        ..PLAIN
    },
    Setting {
        key: "session.absolute_days",
        kind: Kind::Int { min: 1, max: 14 },
        default: Default::Int(14),
        editor: Editor::Company,
        narrows: true,
        description: "Days after which a session ends, whatever happens.",
        ..PLAIN
    },
    Setting {
        key: "sign_in.codes_per_account",
        kind: Kind::Int { min: 1, max: 1_000 },
        default: Default::Int(12),
        description: "Sign-in codes one account may ask for in an hour.",
        ..PLAIN
    },
    Setting {
        key: "company.close_grace_days",
        kind: Kind::Int { min: 0, max: 90 },
        default: Default::Int(14),
        editor: Editor::Operator,
        description: "Days between the closing of a company and its end.",
        ..PLAIN
    },
    Setting {
        key: "api_key.max_lifetime_days",
        kind: Kind::Int { min: 0, max: 3_650 },
        default: Default::Int(0),
        editor: Editor::Company,
        description: "The most days an API key may be good for. 0: for ever.",
        ..PLAIN
    },
    Setting {
        key: "api_key.rotation_overlap_hours",
        kind: Kind::Int { min: 0, max: 168 },
        default: Default::Int(24),
        editor: Editor::Company,
        description: "Hours for which a replaced API key works on when its successor says nothing else.",
        ..PLAIN
    },
    Setting {
        key: "dashboard.theme",
        kind: Kind::Choice(&["system", "light", "dark"]),
        default: Default::Text("system"),
        editor: Editor::Company,
        description: "How the dashboard looks to who has chosen nothing.",
        ..PLAIN
    },
    Setting {
        key: "dashboard.notice",
        kind: Kind::Text { longest: 500 },
        default: Default::Text(""),
        editor: Editor::Operator,
        description: "A line the dashboard shows on every page. Empty: none.",
        ..PLAIN
    },
    Setting {
        key: "feature.experiments",
        description: "Experiments and the standing holdout are offered in the dashboard.",
        ..FLAG
    },
    Setting { key: "feature.win_back", description: "Win-back offers are offered in the dashboard.", ..FLAG },
];

/// The setting of this key, if there is one.
pub fn find(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|s| s.key == key)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn settings_are_sound() {
        let keys: BTreeSet<_> = SETTINGS.iter().map(|s| s.key).collect();
        assert_eq!(keys.len(), SETTINGS.len(), "each once");
        for s in &SETTINGS {
            let named = |c: char| c.is_ascii_lowercase() || c == '_' || c == '.';
            assert!(!s.key.is_empty() && s.key.chars().all(named), "{}", s.key);
            assert!(s.description.ends_with('.'), "{}", s.key);
            assert_eq!(s.check(&s.default.value()), Ok(()), "{}", s.key);
            assert!(!s.flag || s.kind == Kind::Bool, "{}", s.key);
            assert!(!s.narrows || matches!(s.kind, Kind::Int { .. }), "{}", s.key);
        }
    }
}
