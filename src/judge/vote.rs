//! Votes, each asked once or in both ways, into one judgement.

use std::collections::BTreeMap;

use crate::base::{ActorName, Digest};
use crate::event::{Judgement, Unscored, Verdict, Vote};

/// The option that stands for "neither", when a judge offers it.
pub const TIE: &str = "tie";

/// The answers of one vote.
#[derive(Clone, Debug)]
pub struct Asked {
    /// With labels and order as they are.
    pub straight: Verdict,
    /// With the labels exchanged or the order reversed; none when it was asked once.
    pub exchanged: Option<Verdict>,
    /// The first asking's words.
    pub reason: Digest,
    /// Who of a panel was asked; none when there is one judge.
    pub by: Option<ActorName>,
}

/// How many votes become one verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// What most votes say.
    Majority,
    /// The mean of scores; of rankings, the order of mean places.
    Mean,
    /// What all votes say.
    Unanimous,
}

impl Rule {
    /// Returns the word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Majority => "majority",
            Self::Mean => "mean",
            Self::Unanimous => "unanimous",
        }
    }
}

/// Combines votes: both ways of a vote must agree, then the rule decides among the votes.
///
/// Where choices disagree, or two lead together, the verdict is `tie` when that is an option and unscored otherwise.
/// Votes that cannot be read are no votes, but where all must agree each one that cannot be read forbids it; when none
/// can be read, the first one's reason stands.
#[must_use]
pub fn judgement(asked: &[Asked], rule: Rule, options: &[String]) -> Judgement {
    let tie = options.iter().find(|option| option.as_str() == TIE);
    let or_tie = |reason| tie.map_or(Verdict::Unscored(reason), |tie| Verdict::Choice(tie.clone()));
    let mut flipped = 0;
    let mut pairs = 0;
    let mut votes = Vec::with_capacity(asked.len());
    for one in asked {
        let verdict = match (&one.straight, &one.exchanged) {
            (verdict, None) => verdict.clone(),
            (Verdict::Unscored(reason), Some(_)) | (_, Some(Verdict::Unscored(reason))) => Verdict::Unscored(*reason),
            (straight, Some(exchanged)) => {
                pairs += 1;
                if straight == exchanged {
                    straight.clone()
                } else {
                    flipped += 1;
                    both_ways(straight, exchanged).unwrap_or_else(|| or_tie(Unscored::SwapDisagreed))
                }
            }
        };
        votes.push(Vote { verdict, reason: one.reason, by: one.by.clone() });
    }
    let verdict = combined(&votes, rule).unwrap_or_else(or_tie);
    Judgement { verdict, votes, flipped, pairs }
}

/// Returns what two different answers to the same vote come to, when that is not "neither".
fn both_ways(straight: &Verdict, exchanged: &Verdict) -> Option<Verdict> {
    match (straight, exchanged) {
        (Verdict::Ranking(one), Verdict::Ranking(other)) => by_mean_place(&[one, other]),
        _ => None,
    }
}

/// Returns the verdict of all votes, or why there is none that most of them share.
fn combined(votes: &[Vote], rule: Rule) -> Result<Verdict, Unscored> {
    let unread = votes.iter().find_map(|vote| match vote.verdict {
        Verdict::Unscored(reason) => Some(reason),
        _ => None,
    });
    let read: Vec<&Verdict> =
        votes.iter().map(|vote| &vote.verdict).filter(|verdict| !matches!(verdict, Verdict::Unscored(_))).collect();
    let Some(first) = read.first() else {
        return Ok(Verdict::Unscored(unread.unwrap_or(Unscored::Unreadable)));
    };
    match rule {
        Rule::Majority => leader(&read),
        Rule::Mean => Ok(mean(&read)),
        Rule::Unanimous => match unread {
            Some(reason) => Ok(Verdict::Unscored(reason)),
            None if read.iter().all(|verdict| verdict == first) => Ok((*first).clone()),
            None => Err(Unscored::NotUnanimous),
        },
    }
}

fn leader(read: &[&Verdict]) -> Result<Verdict, Unscored> {
    let mut counts: BTreeMap<String, (usize, &Verdict)> = BTreeMap::new();
    for verdict in read {
        // Debug text tells verdicts apart, numbers included: equal scores come from one scale and are the same bits.
        counts.entry(format!("{verdict:?}")).or_insert((0, verdict)).0 += 1;
    }
    let most = counts.values().map(|(count, _)| *count).max().unwrap_or(0);
    let mut leaders = counts.values().filter(|(count, _)| *count == most);
    match (leaders.next(), leaders.next()) {
        (Some((_, verdict)), None) => Ok((*verdict).clone()),
        _ => Err(Unscored::VotesTied),
    }
}

fn mean(read: &[&Verdict]) -> Verdict {
    let mut sum = 0.0;
    let mut scores = 0_u32;
    let mut rankings: Vec<&Vec<String>> = Vec::new();
    for verdict in read {
        match verdict {
            Verdict::Score(score) => {
                sum += score;
                scores += 1;
            }
            Verdict::Ranking(ranking) => rankings.push(ranking),
            Verdict::Choice(_) | Verdict::Json | Verdict::Unscored(_) => {}
        }
    }
    if scores > 0 {
        return Verdict::Score(sum / f64::from(scores));
    }
    by_mean_place(&rankings).unwrap_or(Verdict::Unscored(Unscored::VotesTied))
}

/// Orders by mean place (Borda's count); none when two have the same, for then no order is meant.
fn by_mean_place(rankings: &[&Vec<String>]) -> Option<Verdict> {
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    for ranking in rankings {
        for (place, entry) in ranking.iter().enumerate() {
            *places.entry(entry).or_default() += place;
        }
    }
    let mut order: Vec<(usize, &str)> = places.into_iter().map(|(entry, sum)| (sum, entry)).collect();
    order.sort_unstable();
    let is_tied = order.windows(2).any(|pair| pair[0].0 == pair[1].0);
    let entries = order.into_iter().map(|(_, entry)| entry.to_owned());
    (!is_tied).then(|| Verdict::Ranking(entries.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Verdict {
        match text {
            "?" => Verdict::Unscored(Unscored::Unreadable),
            ranking if ranking.contains('>') => Verdict::Ranking(ranking.split('>').map(str::to_owned).collect()),
            other => other.parse().map_or_else(|_| Verdict::Choice(other.to_owned()), Verdict::Score),
        }
    }

    fn vote(straight: &str, exchanged: Option<&str>) -> Asked {
        Asked { straight: read(straight), exchanged: exchanged.map(read), reason: Digest::of(b"r"), by: None }
    }

    fn check_by(rule: Rule, asked: &[Asked], options: &[&str], expected: &str) {
        let options: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
        let got = judgement(asked, rule, &options);
        let text = match &got.verdict {
            Verdict::Choice(option) => option.clone(),
            Verdict::Score(score) => score.to_string(),
            Verdict::Ranking(entries) => entries.join(">"),
            Verdict::Json => "json".to_owned(),
            Verdict::Unscored(reason) => format!("{reason:?}"),
        };
        assert_eq!(format!("{text} {}/{}", got.flipped, got.pairs), expected);
    }

    #[test]
    fn combines_votes() {
        let check = |asked: &[Asked], options: &[&str], expected| check_by(Rule::Majority, asked, options, expected);
        check(&[vote("pro", None)], &["pro", "con"], "pro 0/0");
        check(&[vote("pro", Some("pro"))], &["pro", "con"], "pro 0/1");
        check(&[vote("pro", Some("con"))], &["pro", "con", "tie"], "tie 1/1");
        check(&[vote("pro", Some("con"))], &["pro", "con"], "SwapDisagreed 1/1");
        check(&[vote("pro", None), vote("con", None)], &["pro", "con"], "VotesTied 0/0");
        check(&[vote("pro", None), vote("con", None), vote("con", None)], &["pro", "con"], "con 0/0");
        check(&[vote("?", None), vote("con", None)], &["pro", "con"], "con 0/0");
        check(&[vote("?", Some("con"))], &["pro", "con", "tie"], "Unreadable 0/0");
    }

    #[test]
    fn all_must_agree_where_the_rule_says_so() {
        let check = |asked: &[Asked], options: &[&str], expected| check_by(Rule::Unanimous, asked, options, expected);
        check(&[vote("pro", None), vote("pro", None)], &["pro", "con"], "pro 0/0");
        check(&[vote("pro", None), vote("con", None)], &["pro", "con"], "NotUnanimous 0/0");
        check(&[vote("pro", None), vote("con", None)], &["pro", "con", "tie"], "tie 0/0");
        check(&[vote("pro", None), vote("?", None)], &["pro", "con", "tie"], "Unreadable 0/0");
        check(&[vote("4", None), vote("4", None)], &[], "4 0/0");
    }

    #[test]
    fn scores_have_a_mean_and_a_mode() {
        let scores = [vote("2", None), vote("5", None), vote("5", None), vote("?", None)];
        check_by(Rule::Mean, &scores, &[], "4 0/0");
        check_by(Rule::Majority, &scores, &[], "5 0/0");
        check_by(Rule::Majority, &scores[..2], &[], "VotesTied 0/0");
        check_by(Rule::Mean, &[vote("?", None)], &[], "Unreadable 0/0");
    }

    #[test]
    fn rankings_are_joined_by_mean_place() {
        let rankings = [vote("a>b>c", None), vote("b>a>c", None), vote("a>c>b", None)];
        check_by(Rule::Mean, &rankings, &[], "a>b>c 0/0");
        check_by(Rule::Mean, &rankings[..2], &[], "VotesTied 0/0");
        check_by(Rule::Mean, &[vote("a>b>c", Some("a>c>b"))], &[], "SwapDisagreed 1/1");
        check_by(Rule::Mean, &[vote("a>b>c", Some("b>c>a"))], &[], "b>a>c 1/1");
    }
}
