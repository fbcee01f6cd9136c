//! The paths of `google.api.http`: `/v1/offers/{id}/pause`, `/v1/locks/{key=**}`.

/// A piece between two slashes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Literal(String),
    /// One segment, bound to a field.
    Variable(String),
    /// The rest of the path, bound to a field; last only.
    Rest(String),
}

/// A path with variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    segments: Vec<Segment>,
}

impl Template {
    /// Reads a template, or says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let path = text.strip_prefix('/').ok_or_else(|| format!("{text}: a path begins with a slash"))?;
        let mut segments = Vec::new();
        for piece in path.split('/') {
            segments.push(match piece.strip_prefix('{').and_then(|p| p.strip_suffix('}')) {
                None if piece.is_empty() || piece.contains(['{', '}', '*', ':']) => {
                    return Err(format!("{text}: `{piece}` is no segment"));
                }
                None => Segment::Literal(piece.to_owned()),
                Some(variable) => match variable.split_once('=') {
                    None => Segment::Variable(variable.to_owned()),
                    Some((name, "*")) => Segment::Variable(name.to_owned()),
                    Some((name, "**")) => Segment::Rest(name.to_owned()),
                    Some(_) => return Err(format!("{text}: `{variable}` is more than we read")),
                },
            });
        }
        let rest = segments.iter().position(|s| matches!(s, Segment::Rest(_)));
        if rest.is_some_and(|at| at + 1 != segments.len()) {
            return Err(format!("{text}: `**` stands last"));
        }
        Ok(Self { segments })
    }

    /// The fields the path binds.
    pub fn variables(&self) -> Vec<&str> {
        let names = self.segments.iter().filter_map(|s| match s {
            Segment::Literal(_) => None,
            Segment::Variable(name) | Segment::Rest(name) => Some(name.as_str()),
        });
        names.collect()
    }

    /// As axum's router reads it. Variables are named by position, as two names at one place make it panic.
    pub fn route(&self) -> String {
        let pieces = self.segments.iter().enumerate().map(|(at, s)| match s {
            Segment::Literal(text) => text.clone(),
            Segment::Variable(_) => format!("{{p{at}}}"),
            Segment::Rest(_) => format!("{{*p{at}}}"),
        });
        pieces.fold(String::new(), |path, piece| path + "/" + &piece)
    }

    /// As the API description has it, with the first spelling of each place winning there.
    pub fn description(&self) -> String {
        let pieces = self.segments.iter().map(|s| match s {
            Segment::Literal(text) => text.clone(),
            Segment::Variable(name) | Segment::Rest(name) => format!("{{{name}}}"),
        });
        pieces.fold(String::new(), |path, piece| path + "/" + &piece)
    }

    /// The variables' values in a raw path that the router matched, decoded; none when an escape is no UTF-8.
    pub fn values(&self, path: &str) -> Option<Vec<(&str, String)>> {
        let mut pieces = path.trim_start_matches('/').split('/');
        let mut found = Vec::new();
        for segment in &self.segments {
            match segment {
                Segment::Literal(_) => {
                    pieces.next()?;
                }
                Segment::Variable(name) => found.push((name.as_str(), decode(pieces.next()?)?)),
                Segment::Rest(name) => {
                    let rest: Vec<_> = pieces.by_ref().collect();
                    found.push((name.as_str(), decode(&rest.join("/"))?));
                }
            }
        }
        Some(found)
    }
}

fn decode(text: &str) -> Option<String> {
    percent_encoding::percent_decode_str(text).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_routes_and_binds() {
        let t = Template::parse("/v1/offers/{id}/pause").unwrap();
        assert_eq!((t.route().as_str(), t.variables()), ("/v1/offers/{p2}/pause", vec!["id"]));
        assert_eq!(t.values("/v1/offers/off%20_1/pause").unwrap(), [("id", "off _1".to_owned())]);
        let rest = Template::parse("/v1/locks/{key=**}").unwrap();
        assert_eq!(
            rest.values("/v1/locks/subscription:sub_1/x").unwrap(),
            [("key", "subscription:sub_1/x".to_owned())]
        );
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for bad in ["v1/x", "/v1//x", "/v1/{a=**}/b", "/v1/{a=b/*}", "/v1/x:verb", "/v1/{a"] {
            assert!(Template::parse(bad).is_err(), "{bad}");
        }
    }
}
