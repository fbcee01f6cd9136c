//! Chargebee's forms: lists of objects go by columns, the index last (`discounts[id][0]=a`).

/// Names and values as they were sent.
#[derive(Clone, Debug, Default)]
pub struct Params(Vec<(String, String)>);

impl Params {
    pub fn new(pairs: Vec<(String, String)>) -> Self {
        Self(pairs)
    }

    pub fn pairs(&self) -> &[(String, String)] {
        &self.0
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    pub fn number(&self, name: &str) -> Option<i64> {
        self.text(name).and_then(|t| t.parse().ok())
    }

    pub fn is_true(&self, name: &str) -> bool {
        self.text(name) == Some("true")
    }

    /// `name[0]`, `name[1]`, … in order of the index.
    pub fn list(&self, name: &str) -> Vec<&str> {
        (0..).map_while(|n| self.text(&format!("{name}[{n}]"))).collect()
    }

    /// One field of the nth object of a list.
    pub fn cell(&self, list: &str, field: &str, n: usize) -> Option<&str> {
        self.text(&format!("{list}[{field}][{n}]"))
    }

    /// The first name that is none of these: itself, or up to its first bracket.
    pub fn unknown(&self, known: &[&str]) -> Option<&str> {
        let base = |name: &str| name.split('[').next().unwrap_or_default().to_owned();
        self.0
            .iter()
            .map(|(n, _)| n.as_str())
            .find(|n| !known.contains(n) && !known.contains(&base(n).as_str()))
    }
}
