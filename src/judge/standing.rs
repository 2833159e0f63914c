//! One order over all cases: Borda's count of rankings, the share of wins of comparisons.

use std::cmp::Reverse;

use super::over_all::{CaseText, Seen, look, mean_of};
use super::vote::TIE;
use crate::event::{Method, Ranked, Standing, TaskSettled, Without};
use crate::stats::Moments;

/// Adds up rankings of the same names, or comparisons of two, in memory that does not grow with them.
///
/// Source: J.-C. de Borda, "Mémoire sur les élections au scrutin", Histoire de l'Académie Royale des Sciences (1781,
/// printed 1784): each ranking gives a name one point for every name below it. As all names stand in every ranking, the
/// order is that of mean ranks. Of comparisons of two a win is 1 and a tie ½, as in chess (and in A. H. Copeland, "A
/// reasonable social welfare function", University of Michigan, 1951).
#[derive(Clone, Debug)]
pub struct Standings {
    method: Method,
    names: Vec<String>,
    sums: Vec<Sum>,
    n: u64,
    without: Without,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    /// Points, doubled: so that a tie is a whole number, and equal points are equal.
    half_points: u64,
    first: u64,
    ranks: Moments,
}

impl Standings {
    /// Begins with nothing counted: of rankings of these names.
    #[must_use]
    pub fn of_rankings(names: Vec<String>) -> Self {
        Self::of(Method::Borda, names)
    }

    /// Begins with nothing counted: of comparisons of these two.
    #[must_use]
    pub fn of_pairs(names: Vec<String>) -> Self {
        Self::of(Method::Wins, names)
    }

    fn of(method: Method, names: Vec<String>) -> Self {
        let sums = vec![Sum::default(); names.len()];
        Self { method, names, sums, n: 0, without: Without::default() }
    }

    /// Counts one more task, in the order of admission.
    pub fn add(&mut self, task: &TaskSettled, text: CaseText<'_>) {
        let Self { method, names, sums, n, without } = self;
        let visit = &mut |seen: Seen<'_>| match (&*method, seen) {
            (Method::Borda, Seen::Order(order)) => {
                *n += 1;
                for (rank, below) in (1_u32..).zip((0..order.len() as u64).rev()).take(order.len()) {
                    let name = &order[rank as usize - 1];
                    let Some(sum) = names.iter().position(|one| one == name).map(|place| &mut sums[place]) else {
                        continue;
                    };
                    sum.half_points += 2 * below;
                    sum.first += u64::from(rank == 1);
                    sum.ranks.add(f64::from(rank));
                }
            }
            (Method::Wins, Seen::Name(winner)) => {
                *n += 1;
                let is_tie = !names.iter().any(|name| name == winner) && winner == TIE;
                for (name, sum) in names.iter().zip(sums.iter_mut()) {
                    let half_points = if is_tie { 1_u32 } else { 2 * u32::from(name == winner) };
                    sum.half_points += u64::from(half_points);
                    sum.first += u64::from(half_points == 2);
                    sum.ranks.add(f64::from(half_points) / 2.0);
                }
            }
            (Method::Borda | Method::Wins, _) => {}
        };
        look(task, text, without, visit);
    }

    /// Returns the order: most points first, equal ones in the order in which they are written.
    #[must_use]
    pub fn ranked(self) -> Ranked {
        let Self { method, names, sums, n, without } = self;
        let mut all: Vec<(String, Sum)> = names.into_iter().zip(sums).collect();
        all.sort_by_key(|(_, sum)| Reverse(sum.half_points));
        let points: Vec<u64> = all.iter().map(|(_, sum)| sum.half_points).collect();
        let standing = |(name, sum): (String, Sum)| {
            let before = points.iter().filter(|&&more| more > sum.half_points).count();
            Standing {
                place: u32::try_from(before + 1).unwrap_or(u32::MAX),
                name,
                points: halved(sum.half_points),
                first: sum.first,
                mean: sum.ranks.mean_95().map(mean_of),
            }
        };
        Ranked { method, n, rows: all.into_iter().map(standing).collect(), without }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a run has fewer than 2^52 points")]
const fn halved(half_points: u64) -> f64 {
    half_points as f64 / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{CaseNo, StepName};
    use crate::event::{Judgement, TaskOutput, TaskStatus, Unscored, Usage, Verdict};

    fn ranked(mut standings: Standings, verdicts: Vec<Verdict>) -> (Vec<(u32, String, f64, u64)>, Ranked) {
        for verdict in verdicts {
            let judgement = Judgement { verdict, votes: Vec::new(), flipped: 0, pairs: 0 };
            let task = TaskSettled {
                case: CaseNo(0),
                step: StepName::from("x"),
                status: TaskStatus::Ok,
                because: None,
                output: Some(TaskOutput::Judge(judgement)),
                failure: None,
                usage: Usage::default(),
                busy_ms: 0,
            };
            standings.add(&task, &|_| None);
        }
        let ranked = standings.ranked();
        (ranked.rows.iter().map(|row| (row.place, row.name.clone(), row.points, row.first)).collect(), ranked)
    }

    fn names(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn rankings_by_the_count_of_borda() {
        // Borda's own example, in which most have `a` first and more have it last: 21 voters. By hand: a has
        // 8 × 2, b 1 + 7 × 2 + 6 and c 7 + 7 + 6 × 2 points.
        let groups = [(1, "a b c"), (7, "a c b"), (7, "b c a"), (6, "c b a")];
        let verdicts = groups.iter().flat_map(|(count, order)| vec![Verdict::Ranking(names(order)); *count]);
        let (rows, ranked) = ranked(Standings::of_rankings(names("a b c")), verdicts.collect());
        let row = |place, name: &str, points, first| (place, name.to_owned(), points, first);
        assert_eq!(rows, [row(1, "c", 26.0, 6), row(2, "b", 21.0, 7), row(3, "a", 16.0, 8)]);
        assert_eq!(ranked.n, 21);
        // Mean rank: 3 − points / n.
        let mean = ranked.rows[0].mean.as_ref().expect("counted").mean;
        assert!((mean - (3.0 - 26.0 / 21.0)).abs() < 1e-12, "{mean}");
    }

    #[test]
    fn equal_points_share_a_place() {
        let verdicts = vec![
            Verdict::Ranking(names("b a c")),
            Verdict::Ranking(names("a b c")),
            Verdict::Unscored(Unscored::Unreadable),
        ];
        let (rows, ranked) = ranked(Standings::of_rankings(names("a b c")), verdicts);
        let places: Vec<_> = rows.iter().map(|(place, name, ..)| (*place, name.as_str())).collect();
        assert_eq!(places, [(1, "a"), (1, "b"), (3, "c")]);
        assert_eq!((ranked.n, ranked.without.unscored), (2, 1));
    }

    #[test]
    fn comparisons_by_the_share_of_wins() {
        let choice = |name: &str| Verdict::Choice(name.to_owned());
        let verdicts = vec![choice("two"), choice("tie"), choice("two"), choice("one")];
        let (rows, ranked) = ranked(Standings::of_pairs(names("one two")), verdicts);
        let row = |place, name: &str, points, first| (place, name.to_owned(), points, first);
        assert_eq!(rows, [row(1, "two", 2.5, 2), row(2, "one", 1.5, 1)]);
        assert_eq!(ranked.rows[0].mean.as_ref().map(|mean| mean.mean), Some(0.625));
        let empty = Standings::of_pairs(names("one two")).ranked();
        assert_eq!((empty.n, empty.rows.len(), &empty.rows[0].mean), (0, 2, &None));
    }
}
