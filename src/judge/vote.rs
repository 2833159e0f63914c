//! Votes, each asked once or in both ways, into one judgement.

use std::collections::BTreeMap;

use crate::base::Digest;
use crate::event::{Judgement, Unscored, Verdict, Vote};

/// The option that stands for "neither", when a judge offers it.
pub const TIE: &str = "tie";

/// The answers of one vote.
#[derive(Clone, Debug)]
pub struct Asked {
    /// With the labels as they are.
    pub straight: Verdict,
    /// With the labels exchanged; none when it was asked once.
    pub exchanged: Option<Verdict>,
    /// The first asking's words.
    pub reason: Digest,
}

/// Combines votes: both ways of a vote must agree, then the option with most votes wins.
///
/// Where they disagree, or two options lead together, the verdict is `tie` when that is an option and unscored
/// otherwise. Votes that cannot be read are no votes; when none can be read, the first one's reason stands.
#[must_use]
pub fn judgement(asked: &[Asked], options: &[String]) -> Judgement {
    let tie = options.iter().find(|option| option.as_str() == TIE);
    let or_tie = |reason| tie.map_or(Verdict::Unscored(reason), |tie| Verdict::Choice(tie.clone()));
    let mut flipped = 0;
    let mut pairs = 0;
    let mut votes = Vec::with_capacity(asked.len());
    for one in asked {
        let verdict = match (&one.straight, &one.exchanged) {
            (verdict, None) => verdict.clone(),
            (Verdict::Choice(straight), Some(Verdict::Choice(exchanged))) => {
                pairs += 1;
                if straight == exchanged {
                    one.straight.clone()
                } else {
                    flipped += 1;
                    or_tie(Unscored::SwapDisagreed)
                }
            }
            (Verdict::Unscored(reason), Some(_)) | (Verdict::Choice(_), Some(Verdict::Unscored(reason))) => {
                Verdict::Unscored(*reason)
            }
        };
        votes.push(Vote { verdict, reason: one.reason });
    }
    let verdict = leader(&votes).unwrap_or_else(or_tie);
    Judgement { verdict, votes, flipped, pairs }
}

fn leader(votes: &[Vote]) -> Result<Verdict, Unscored> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut unread = None;
    for vote in votes {
        match &vote.verdict {
            Verdict::Choice(option) => *counts.entry(option).or_default() += 1,
            Verdict::Unscored(reason) => unread = unread.or(Some(*reason)),
        }
    }
    let Some(most) = counts.values().max().copied() else {
        return Ok(Verdict::Unscored(unread.unwrap_or(Unscored::Unreadable)));
    };
    let mut leaders = counts.iter().filter(|&(_, &count)| count == most);
    match (leaders.next(), leaders.next()) {
        (Some((option, _)), None) => Ok(Verdict::Choice((*option).to_owned())),
        _ => Err(Unscored::VotesTied),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vote(straight: &str, exchanged: Option<&str>) -> Asked {
        let read = |text: &str| match text {
            "?" => Verdict::Unscored(Unscored::Unreadable),
            option => Verdict::Choice(option.to_owned()),
        };
        Asked { straight: read(straight), exchanged: exchanged.map(read), reason: Digest::of(b"r") }
    }

    fn check(asked: &[Asked], options: &[&str], expected: &str) {
        let options: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
        let got = judgement(asked, &options);
        let text = match &got.verdict {
            Verdict::Choice(option) => option.clone(),
            Verdict::Unscored(reason) => format!("{reason:?}"),
        };
        assert_eq!(format!("{text} {}/{}", got.flipped, got.pairs), expected);
    }

    #[test]
    fn combines_votes() {
        check(&[vote("pro", None)], &["pro", "con"], "pro 0/0");
        check(&[vote("pro", Some("pro"))], &["pro", "con"], "pro 0/1");
        check(&[vote("pro", Some("con"))], &["pro", "con", "tie"], "tie 1/1");
        check(&[vote("pro", Some("con"))], &["pro", "con"], "SwapDisagreed 1/1");
        check(&[vote("pro", None), vote("con", None)], &["pro", "con"], "VotesTied 0/0");
        check(&[vote("pro", None), vote("con", None), vote("con", None)], &["pro", "con"], "con 0/0");
        check(&[vote("?", None), vote("con", None)], &["pro", "con"], "con 0/0");
        check(&[vote("?", Some("con"))], &["pro", "con", "tie"], "Unreadable 0/0");
    }
}
