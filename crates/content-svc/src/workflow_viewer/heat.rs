//! How customers went through a workflow: how many saw each page, left there, and went along each edge.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use crate::flow_session::Trodden;
use crate::workflow::WorkflowContent;

/// How many came to a page, and how many went no further.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passage {
    pub visits: u64,
    /// Closed the flow here, or idled here, without deciding.
    pub left: u64,
}

/// The traffic of one version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heat {
    pub sessions: u64,
    /// By node; nodes that show nothing count what passed through them.
    pub nodes: BTreeMap<String, Passage>,
    /// By node and exit.
    edges: BTreeMap<(String, String), u64>,
}

impl Heat {
    /// Spreads what is known, page after page, over the graph. Between two pages a customer is counted along the
    /// shortest way, as nothing but pages is kept of a visit; "cancel now" leads to the last page the same way.
    pub fn over(content: &WorkflowContent, trodden: &[Trodden]) -> Self {
        let mut heat = Self::default();
        for step in trodden {
            let Trodden { from, to, left, count } = step;
            let passage = heat.nodes.entry(to.clone()).or_default();
            passage.visits += count;
            passage.left += if *left { *count } else { 0 };
            let way = match from {
                None => {
                    heat.sessions += count;
                    way(content, &content.start, to, true)
                }
                Some(from) => way(content, from, to, false),
            };
            for (node, exit) in way {
                if *from != Some(node.clone()) {
                    heat.nodes.entry(node.clone()).or_default().visits += count;
                }
                *heat.edges.entry((node, exit)).or_default() += count;
            }
        }
        heat
    }

    /// How many went along an edge.
    pub fn along(&self, node: &str, exit: &str) -> u64 {
        self.edges.get(&(node.to_owned(), exit.to_owned())).copied().unwrap_or_default()
    }
}

/// The exits of the shortest way between two nodes over nodes that show nothing, or nothing where there is none. At the
/// start the first node itself may be one of these.
fn way(content: &WorkflowContent, from: &str, to: &str, entering: bool) -> Vec<(String, String)> {
    if entering && from == to {
        return Vec::new();
    }
    let mut came: HashMap<&str, (&str, String)> = HashMap::new();
    let mut seen: HashSet<&str> = HashSet::from([from]);
    let mut waiting = VecDeque::from([from]);
    while let Some(at) = waiting.pop_front() {
        let Some(node) = content.node(at) else { continue };
        // Another page on the way would have been noted.
        if node.kind.template_id().is_some() && (at != from || entering) {
            continue;
        }
        for (exit, next) in node.kind.exits() {
            let Some(next) = content.node(next) else { continue };
            if next.id == to {
                let mut back = vec![(at.to_owned(), exit)];
                let mut here = at;
                while let Some((before, exit)) = came.get(here) {
                    back.push(((*before).to_owned(), exit.clone()));
                    here = before;
                }
                back.reverse();
                return back;
            }
            if seen.insert(&next.id) {
                came.insert(&next.id, (&node.id, exit));
                waiting.push_back(&next.id);
            }
        }
    }
    Vec::new()
}
