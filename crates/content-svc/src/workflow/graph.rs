//! Checks of the graph: it ends on every path, goes in no circle, and lets the customer cancel from every step.

use std::collections::{HashMap, HashSet};

use super::model::{EndOutcome, NodeKind, WorkflowContent};
use crate::text::Findings;

/// Everything the graph's shape says against publishing.
pub fn check(content: &WorkflowContent) -> Findings {
    let mut found = Findings::default();
    let mut nodes = HashMap::new();
    for (at, node) in content.nodes.iter().enumerate() {
        if nodes.insert(node.id.as_str(), at).is_some() {
            let field = format!("nodes[{}]", node.id);
            found.error("duplicate_node", field, format!("two nodes have the id {}", node.id));
        }
    }
    if content.audience.as_ref().is_some_and(|a| a.asks_the_customer()) {
        let message = "whom a flow is for is known before the customer answers";
        found.error("audience_asks_the_customer", "audience", message);
    }
    if !nodes.contains_key(content.start.as_str()) {
        found.error("unknown_node", "start", format!("there is no node {}", content.start));
    }
    for node in &content.nodes {
        let field = format!("nodes[{}]", node.id);
        if !node.kind.is_supported() {
            let message = "action, split and wait nodes are not carried out yet";
            found.error("node_not_supported_yet", &field, message);
        }
        for (exit, to) in node.kind.exits() {
            if !nodes.contains_key(to) {
                let field = format!("{field}.{exit}");
                found.error("unknown_node", field, format!("there is no node {to}"));
            }
        }
    }
    if found.has("duplicate_node") || found.has("unknown_node") {
        // Paths mean nothing in a graph with loose ends.
        return found;
    }
    let graph = Graph { content, nodes };
    let Some(order) = graph.order(&mut found) else { return found };
    graph.ends(&order, &mut found);
    if content.trigger.is_about_leaving() {
        graph.ways_to_cancel(&order, &mut found);
    }
    graph.offer_screens(&order, &mut found);
    found
}

struct Graph<'a> {
    content: &'a WorkflowContent,
    nodes: HashMap<&'a str, usize>,
}

impl Graph<'_> {
    fn kind(&self, at: usize) -> &NodeKind {
        &self.content.nodes[at].kind
    }

    fn at(&self, id: &str) -> usize {
        self.nodes[id]
    }

    fn exits(&self, at: usize) -> impl Iterator<Item = usize> {
        self.kind(at).exits().into_iter().map(|(_, to)| self.at(to))
    }

    /// The nodes that can be reached, each after everything it leads to; none where there is a circle.
    fn order(&self, found: &mut Findings) -> Option<Vec<usize>> {
        let mut order = Vec::new();
        let mut done = HashSet::new();
        let mut open = HashSet::new();
        let start = self.at(&self.content.start);
        // A stack of our own: a chain of nodes must not be able to exhaust the thread's.
        let mut stack = vec![(start, self.exits(start).collect::<Vec<_>>())];
        open.insert(start);
        while let Some((node, rest)) = stack.last_mut() {
            let node = *node;
            let Some(next) = rest.pop() else {
                stack.pop();
                open.remove(&node);
                done.insert(node);
                order.push(node);
                continue;
            };
            if open.contains(&next) {
                let id = &self.content.nodes[node].id;
                let to = &self.content.nodes[next].id;
                let message = format!("the way from {id} to {to} leads back to where it came from");
                found.error("circle", format!("nodes[{id}]"), message);
                return None;
            }
            if !done.contains(&next) {
                open.insert(next);
                stack.push((next, self.exits(next).collect()));
            }
        }
        for (at, node) in self.content.nodes.iter().enumerate() {
            if !done.contains(&at) {
                let message = "no path leads here from the start";
                found.warning("unreachable", format!("nodes[{}]", node.id), message);
            }
        }
        Some(order)
    }

    /// Without circles and loose ends a path stops only at an end; a flow that has none is still wrong.
    fn ends(&self, order: &[usize], found: &mut Findings) {
        if !order.iter().any(|at| matches!(self.kind(*at), NodeKind::End { .. })) {
            found.error("no_end", "nodes", "no path reaches an end");
        }
    }

    /// From every node, a customer who declines everything reaches the cancellation within so many screens, whatever
    /// is known of them.
    fn ways_to_cancel(&self, order: &[usize], found: &mut Findings) {
        let most = self.content.limits.max_screens_to_cancel;
        let mut screens: HashMap<usize, Option<u32>> = HashMap::new();
        for at in order {
            let of = |id: &str| screens.get(&self.at(id)).copied().flatten();
            let here = match self.kind(*at) {
                NodeKind::End { outcome, .. } => (*outcome != EndOutcome::Kept).then_some(0),
                NodeKind::Step { next, .. } => of(next).map(|n| n + 1),
                NodeKind::Action { next, .. } | NodeKind::Wait { next, .. } => of(next),
                NodeKind::Offer { declined, none, .. } => worst([of(declined).map(|n| n + 1), of(none)]),
                NodeKind::Split { arms, otherwise, .. } => {
                    worst(arms.iter().map(|(_, to)| of(to)).chain([of(otherwise)]))
                }
                NodeKind::Condition { branches, otherwise } => {
                    // A branch over what we know of the customer is forced on them; one over an answer is theirs to
                    // avoid, so the best of these and "otherwise" counts.
                    let (theirs, forced): (Vec<_>, Vec<_>) =
                        branches.iter().partition(|b| b.when.asks_the_customer());
                    let best = theirs.iter().map(|b| of(&b.next)).chain([of(otherwise)]).flatten().min();
                    worst(forced.iter().map(|b| of(&b.next)).chain([best]))
                }
            };
            screens.insert(*at, here);
            if !matches!(self.kind(*at), NodeKind::Step { .. } | NodeKind::Offer { .. }) {
                continue;
            }
            let id = &self.content.nodes[*at].id;
            let field = format!("nodes[{id}]");
            match here {
                None => {
                    let message = format!("a customer who declines everything from {id} on cannot cancel");
                    found.error("no_way_to_cancel", field, message);
                }
                Some(n) if n > most => {
                    let message = format!("from {id} it takes {n} screens to cancel; {most} are allowed");
                    found.error("too_many_screens", field, message);
                }
                Some(_) => {}
            }
        }
    }

    /// How many offers one path can show; the engine withholds those beyond the limit.
    fn offer_screens(&self, order: &[usize], found: &mut Findings) {
        let mut offers: HashMap<usize, u32> = HashMap::new();
        for at in order {
            let behind = self.exits(*at).filter_map(|next| offers.get(&next).copied()).max().unwrap_or(0);
            offers.insert(*at, behind + u32::from(matches!(self.kind(*at), NodeKind::Offer { .. })));
        }
        let shown = offers.get(&self.at(&self.content.start)).copied().unwrap_or(0);
        let most = self.content.limits.max_offer_screens;
        if shown > most {
            let message = format!("a path holds {shown} offers; only {most} are shown in one session");
            found.warning("offers_beyond_limit", "limits.max_offer_screens", message);
        }
    }
}

/// The most screens of several ways; none when one of them leads nowhere.
fn worst(ways: impl IntoIterator<Item = Option<u32>>) -> Option<u32> {
    ways.into_iter().try_fold(0, |most, way| way.map(|n| n.max(most)))
}
