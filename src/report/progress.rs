//! How a run goes right now: rates over a sliding window, and when a line is due.

use std::collections::VecDeque;

use super::number::{counted, grouped, per, percent};
use super::{Tally, duration, rate};
use crate::base::{MicroUsd, Millis, Timestamp, TokenCount, clock_utc};
use crate::event::FailureKind;

/// Rates are taken over so much time: long enough to smooth a batch of slow calls, short enough to show a change.
const WINDOW: Millis = Millis::seconds(60);
/// At most one sample in so much time, so that a window holds few.
const SAMPLE: Millis = Millis(500);
/// No rate before so much time has passed: it would be noise.
const SOONEST: Millis = Millis::seconds(2);

/// Samples of a tally over the last minute.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    total: Option<u64>,
    in_flight: Option<u32>,
    samples: VecDeque<Sample>,
    /// Cases, tokens and microseconds of the latest window in which something moved while no backend held its calls.
    before_hold: Option<(u64, u64, u64)>,
    tokens: Option<u64>,
    cost: Option<MicroUsd>,
    time: Option<Millis>,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Timestamp,
    settled: u64,
    tokens: u64,
}

impl Progress {
    /// Takes notice of how many cases there will be.
    pub const fn expect(&mut self, total: Option<u64>) {
        self.total = total;
    }

    /// Takes notice of how many calls are in flight.
    pub const fn fly(&mut self, calls: u32) {
        self.in_flight = Some(calls);
    }

    /// Takes notice of what the run may spend.
    pub const fn afford(&mut self, tokens: Option<u64>, cost: Option<MicroUsd>, time: Option<Millis>) {
        self.tokens = tokens;
        self.cost = cost;
        self.time = time;
    }

    /// Returns how much of the budget is spent, of what is spent most.
    fn spent(&self, tally: &Tally) -> Option<String> {
        let count = |tokens: Option<TokenCount>| tokens.map_or(0, |TokenCount(count)| count);
        let input = count(tally.usage.input).saturating_add(count(tally.estimated.input));
        let tokens = self.tokens.and_then(|most| per(input.saturating_add(output_tokens(tally)), most, 1));
        let time = self.time.and_then(|Millis(most)| per(tally.active_us(), most.saturating_mul(1_000), 1));
        let cost = self.cost.and_then(|MicroUsd(most)| {
            let MicroUsd(spent) = tally.spent.cost(&tally.cells)?.micro_usd;
            per(spent, most, 1)
        });
        let most = tokens.into_iter().chain(cost).chain(time).max_by(f64::total_cmp)?;
        Some(format!("budget {}", percent(most)))
    }

    /// Takes a sample. Call it as often as you like; it keeps about two a second.
    pub fn sample(&mut self, tally: &Tally, now: Timestamp) {
        let sample = Sample { at: now, settled: tally.cases.settled(), tokens: output_tokens(tally) };
        if self.samples.back().is_some_and(|latest| now.since(latest.at) < SAMPLE) {
            return;
        }
        if tally.held_until(now).is_none() {
            self.before_hold = self.moved(tally, now).filter(|(cases, ..)| *cases > 0).or(self.before_hold);
        }
        self.samples.push_back(sample);
        while self.samples.len() > 2 && self.samples.front().is_some_and(|oldest| now.since(oldest.at) > WINDOW) {
            self.samples.pop_front();
        }
    }

    /// Writes where the run stands, in one line.
    #[must_use]
    pub fn line(&self, tally: &Tally, now: Timestamp) -> String {
        let mut parts = vec![self.done(tally)];
        if tally.paused {
            parts.push("paused".to_owned());
        }
        let held = tally.held_until(now);
        if let Some((backend, until)) = held {
            let left = duration(until.micros_since(now)).replace(".0 s", " s");
            parts.push(format!("{backend}: no call before {} (in {left})", clock_utc(until, now)));
        }
        let moved = self.moved(tally, now).map(|moved| match (held, self.before_hold) {
            // While calls are held nothing moves: what moved before is the pace.
            (Some(_), Some(before)) if moved.0 == 0 => before,
            _ => moved,
        });
        if let Some((cases, tokens, micros)) = moved {
            if held.is_none() {
                parts.extend(rate(cases, micros, 60_000_000).map(|speed| format!("{speed} items/min")));
            }
            if tokens > 0 && held.is_none() {
                parts.extend(rate(tokens, micros, 1_000_000).map(|speed| format!("{speed} tokens/s")));
            }
            parts.extend(self.spent(tally));
            let held = held.map_or(0, |(_, until)| until.micros_since(now));
            parts.extend(self.remaining(tally, cases, micros, held).map(|time| format!("ETA {time}")));
        }
        let in_flight = self.in_flight.map_or_else(|| tally.in_flight(), u64::from);
        if in_flight > 0 {
            parts.push(format!("{} in flight", grouped(in_flight)));
        }
        parts.join("  ")
    }

    /// Writes what went wrong so far, in one line; none when nothing did.
    #[must_use]
    pub fn trouble(tally: &Tally) -> Option<String> {
        let mut parts = Vec::new();
        if tally.cases.failed > 0 {
            let share = share(tally.cases.failed, tally.cases.settled());
            parts.push(format!("{} failed ({share})", counted(tally.cases.failed, "case")));
        }
        // Calls that a dead process had in flight are no trouble of this one: they are told of where it begins.
        let kinds = tally.failures.ranked();
        let kinds: Vec<_> = kinds.into_iter().filter(|(kind, _)| *kind != FailureKind::Interrupted).collect();
        if !kinds.is_empty() {
            let kinds: Vec<_> =
                kinds.iter().map(|(kind, count)| format!("{} {}", kind.word(), grouped(*count))).collect();
            parts.push(format!("without an answer: {}", kinds.join(", ")));
        }
        (!parts.is_empty()).then(|| parts.join("  "))
    }

    /// Returns how many cases there are, by the source when it has ended.
    #[must_use]
    pub fn total(&self, tally: &Tally) -> Option<u64> {
        tally.total.or(self.total)
    }

    fn done(&self, tally: &Tally) -> String {
        let settled = tally.cases.settled();
        match self.total(tally) {
            Some(total) => format!("{} of {}  {}", grouped(settled), grouped(total), share(settled, total)),
            None => format!("{} done", grouped(settled)),
        }
    }

    fn moved(&self, tally: &Tally, now: Timestamp) -> Option<(u64, u64, u64)> {
        let oldest = self.samples.front()?;
        let cases = tally.cases.settled().saturating_sub(oldest.settled);
        let tokens = output_tokens(tally).saturating_sub(oldest.tokens);
        (now.since(oldest.at) >= SOONEST).then(|| (cases, tokens, now.micros_since(oldest.at)))
    }

    fn remaining(&self, tally: &Tally, cases: u64, micros: u64, held: u64) -> Option<String> {
        let left = self.total(tally)?.saturating_sub(tally.cases.settled());
        if left == 0 || cases == 0 {
            return None;
        }
        let micros = u128::from(left) * u128::from(micros) / u128::from(cases);
        let micros = u64::try_from(micros).ok()?.saturating_add(held);
        // Tenths of a second would pretend to know.
        Some(duration(micros.div_ceil(1_000_000) * 1_000_000).replace(".0 s", " s"))
    }
}

fn output_tokens(tally: &Tally) -> u64 {
    let count = |tokens: Option<TokenCount>| tokens.map_or(0, |TokenCount(count)| count);
    count(tally.usage.output).saturating_add(count(tally.estimated.output))
}

fn share(part: u64, whole: u64) -> String {
    percent(per(part, whole, 1).unwrap_or(0.0))
}

/// Says when a line is due where lines cannot be rewritten: by cases done, not by time, so that two equal runs print
/// equally many.
#[derive(Clone, Copy, Debug, Default)]
pub struct Milestones {
    reached: u64,
}

impl Milestones {
    /// Returns true when a new step was reached: every 5 % of a known total, else 1, 2, 5, 10, 20, 50, … cases.
    pub fn is_due(&mut self, settled: u64, total: Option<u64>) -> bool {
        let step = match total {
            Some(total) => {
                let twentieth = total.div_ceil(20).max(1);
                if settled >= total { total } else { settled / twentieth * twentieth }
            }
            None => round_below(settled),
        };
        let due = step > self.reached;
        self.reached = self.reached.max(step);
        due
    }
}

fn round_below(count: u64) -> u64 {
    let Some(power) = count.checked_ilog10().map(|digits| 10u64.pow(digits)) else {
        return 0;
    };
    match count / power {
        0..=1 => power,
        2..=4 => 2 * power,
        _ => 5 * power,
    }
}
