//! The order of steps, and the cycles that leave none.

use std::collections::BTreeSet;

use petgraph::algo::tarjan_scc;
use petgraph::graphmap::DiGraphMap;

/// Who waits for whom, by positions.
#[derive(Debug, Default)]
pub(super) struct Waits {
    /// `graph.contains_edge(a, b)`: `b` waits for `a`.
    graph: DiGraphMap<usize, ()>,
}

impl Waits {
    /// Starts with so many steps, none of which waits.
    pub(super) fn of(steps: usize) -> Self {
        let mut graph = DiGraphMap::new();
        for step in 0..steps {
            graph.add_node(step);
        }
        Self { graph }
    }

    /// Makes `later` wait for `earlier`.
    pub(super) fn add(&mut self, later: usize, earlier: usize) {
        self.graph.add_edge(earlier, later, ());
    }

    /// Returns an order in which each step comes after all it waits for; ties in the order of positions.
    ///
    /// # Errors
    /// The cycles, one for each knot: `cycle[i]` waits for `cycle[i + 1]`, the last one for the first.
    pub(super) fn order(&self) -> Result<Vec<usize>, Vec<Vec<usize>>> {
        let mut open: Vec<usize> = self.graph.nodes().map(|step| self.count_before(step)).collect();
        let mut ready: BTreeSet<usize> = self.graph.nodes().filter(|step| open[*step] == 0).collect();
        let mut order = Vec::new();
        while let Some(step) = ready.pop_first() {
            order.push(step);
            for later in self.graph.neighbors(step) {
                open[later] -= 1;
                if open[later] == 0 {
                    ready.insert(later);
                }
            }
        }
        if order.len() == self.graph.node_count() { Ok(order) } else { Err(self.cycles()) }
    }

    fn count_before(&self, step: usize) -> usize {
        self.graph.neighbors_directed(step, petgraph::Direction::Incoming).count()
    }

    fn cycles(&self) -> Vec<Vec<usize>> {
        let knots = tarjan_scc(&self.graph).into_iter();
        let knots = knots.filter(|knot| knot.len() > 1 || self.graph.contains_edge(knot[0], knot[0]));
        let mut cycles: Vec<Vec<usize>> = knots.map(|knot| self.shortest(&knot.into_iter().collect())).collect();
        cycles.sort();
        cycles
    }

    /// Returns the shortest cycle through the first step of a knot: breadth first, against the arrows.
    fn shortest(&self, knot: &BTreeSet<usize>) -> Vec<usize> {
        let first = *knot.first().expect("a knot has a step");
        let mut paths = std::collections::VecDeque::from([vec![first]]);
        let mut seen = BTreeSet::from([first]);
        while let Some(path) = paths.pop_front() {
            let last = *path.last().expect("a path starts with one step");
            let mut earlier: Vec<usize> =
                self.graph.neighbors_directed(last, petgraph::Direction::Incoming).collect();
            earlier.sort_unstable();
            if earlier.contains(&first) {
                return path;
            }
            for step in earlier {
                if knot.contains(&step) && seen.insert(step) {
                    paths.push_back(path.iter().copied().chain([step]).collect());
                }
            }
        }
        vec![first]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn waits(steps: usize, edges: &[(usize, usize)]) -> Waits {
        let mut waits = Waits::of(steps);
        for (later, earlier) in edges {
            waits.add(*later, *earlier);
        }
        waits
    }

    #[test]
    fn orders_with_ties_as_in_the_file() {
        assert_eq!(waits(4, &[(0, 3), (1, 0)]).order(), Ok(vec![2, 3, 0, 1]));
        assert_eq!(waits(3, &[]).order(), Ok(vec![0, 1, 2]));
    }

    #[test]
    fn names_each_cycle_once() {
        let cycles = waits(6, &[(0, 1), (1, 2), (2, 0), (3, 3), (4, 0), (5, 4)]).order();
        assert_eq!(cycles, Err(vec![vec![0, 1, 2], vec![3]]));
    }

    proptest! {
        #[test]
        fn no_step_comes_before_what_it_waits_for(edges in prop::collection::vec((0_usize..12, 0_usize..12), 0..30)) {
            let graph = waits(12, &edges);
            match graph.order() {
                Ok(order) => for (later, earlier) in &edges {
                    let place = |step: &usize| order.iter().position(|other| other == step);
                    prop_assert!(place(later) > place(earlier));
                },
                Err(cycles) => for cycle in cycles {
                    for (position, step) in cycle.iter().enumerate() {
                        let next = cycle[(position + 1) % cycle.len()];
                        prop_assert!(edges.contains(&(*step, next)));
                    }
                },
            }
        }
    }
}
