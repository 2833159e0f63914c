//! Energy of overlapping requests, by the method `share-v1`.
//!
//! A device has one counter for all that it does. Between two changes of the counter, what an idle device would have used
//! is idle; the rest is shared among the requests in flight by the tokens that they are taken to have moved meanwhile: of
//! the answer one each, of the prompt `a` each. What nobody was in flight for is nobody's. So the parts of an interval add
//! up to what was counted. An allocation, not a measurement: two requests that share a batch cannot be told apart.
//!
//! Source: the project's telemetry reference, section 5.5.

use crate::base::Timestamp;

/// The method's name: it changes with the method.
pub const METHOD: &str = "share-v1";

/// What a token of a prompt costs over one of an answer, where the run itself does not tell.
pub const USUAL_PREFILL: f64 = 0.1;

/// Where nothing is streamed: the part of a request that is taken for reading its prompt.
const PREFILL_PART: f64 = 0.2;

/// The least share of the variance that a fit must explain to be believed.
const LEAST_FIT: f64 = 0.8;

/// The fewest intervals that a fit is made of.
const FEWEST: u32 = 20;

/// A request as the method sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Work {
    /// When it was sent.
    pub sent: Timestamp,
    /// When the first piece of its answer came, if it was streamed.
    pub first: Option<Timestamp>,
    /// When it was over.
    pub end: Timestamp,
    /// Tokens of its prompt, without those found in a cache.
    pub prompt: Option<u64>,
    /// Tokens of its answer.
    pub answer: Option<u64>,
}

/// What a counter did between two of its changes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// From when.
    pub from: Timestamp,
    /// Until when.
    pub to: Timestamp,
    /// By how many millijoules it went up.
    pub millijoules: f64,
}

/// The parts of an interval: they add up to it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shares {
    /// What the device uses when nothing is asked.
    pub idle: f64,
    /// What was used while nobody was in flight.
    pub unattributed: f64,
    /// The part of each request, in their order.
    pub each: Vec<f64>,
    /// By tokens; else by time alone, because none are known.
    pub by_tokens: bool,
}

impl Interval {
    /// Returns its length in seconds.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        seconds(self.to.micros_since(self.from))
    }
}

impl Work {
    /// Tells whether it was in flight in some of the time.
    #[must_use]
    pub fn overlaps(&self, from: Timestamp, to: Timestamp) -> bool {
        self.sent < to && self.end > from
    }

    /// Returns how long it was in flight within a time, in seconds.
    #[must_use]
    pub fn within(&self, from: Timestamp, to: Timestamp) -> f64 {
        seconds(self.end.min(to).micros_since(self.sent.max(from)))
    }

    /// When it is taken to have begun to answer.
    fn begins(&self) -> Timestamp {
        #[expect(clippy::cast_possible_truncation, reason = "a part of a length in microseconds")]
        let usual = (seconds(self.end.micros_since(self.sent)) * PREFILL_PART * 1e6) as i64;
        self.first.unwrap_or(Timestamp(self.sent.0.saturating_add(usual))).clamp(self.sent, self.end)
    }

    /// Returns the tokens of prompt and answer that it is taken to have moved within a time; none where none are known.
    fn moved(&self, from: Timestamp, to: Timestamp) -> Option<(f64, f64)> {
        if self.prompt.is_none() && self.answer.is_none() {
            return None;
        }
        let begins = self.begins();
        let prompt = spread(self.prompt, self.sent, begins, from, to);
        let answer = spread(self.answer, begins, self.end, from, to);
        Some((prompt, answer))
    }
}

/// Returns how much of what is spread evenly over one time falls into another.
#[expect(clippy::cast_precision_loss, reason = "tokens are fewer than 2^52")]
fn spread(amount: Option<u64>, begin: Timestamp, end: Timestamp, from: Timestamp, to: Timestamp) -> f64 {
    let amount = amount.unwrap_or(0) as f64;
    if begin >= end {
        return if begin > from && begin <= to { amount } else { 0.0 };
    }
    let common = seconds(end.min(to).micros_since(begin.max(from)));
    amount * common / seconds(end.micros_since(begin))
}

#[expect(clippy::cast_precision_loss, reason = "microseconds of a run are fewer than 2^52")]
const fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

/// Shares what an interval used among those in flight in it, which are all of `works`; each with its weight of a token of
/// a prompt.
///
/// `idle_watts` is what the device uses when nothing is asked; without it nothing counts as idle.
#[must_use]
pub fn share(interval: &Interval, idle_watts: Option<f64>, works: &[(&Work, f64)]) -> Shares {
    let idle = idle_watts.map_or(0.0, |watts| (watts * interval.seconds() * 1e3).clamp(0.0, interval.millijoules));
    let rest = interval.millijoules - idle;
    if works.is_empty() {
        return Shares { idle, unattributed: rest, ..Shares::default() };
    }
    let (weights, by_tokens) = weights(interval, works);
    let whole: f64 = weights.iter().sum();
    let each = weights.iter().map(|weight| rest * weight / whole).collect();
    Shares { idle, unattributed: 0.0, each, by_tokens }
}

/// Returns weights of which at least one is positive.
fn weights(interval: &Interval, works: &[(&Work, f64)]) -> (Vec<f64>, bool) {
    let (from, to) = (interval.from, interval.to);
    let weigh =
        |(work, prefill): &(&Work, f64)| work.moved(from, to).map(|(prompt, answer)| answer + prefill * prompt);
    let told: Vec<Option<f64>> = works.iter().map(weigh).collect();
    let (count, sum) = told.iter().flatten().fold((0.0, 0.0), |(count, sum), weight| (count + 1.0, sum + weight));
    if sum > 0.0 {
        // One whose tokens nobody told, a failed one mostly, is taken for one like the others.
        return (told.iter().map(|weight| weight.unwrap_or(sum / count)).collect(), true);
    }
    let times: Vec<f64> = works.iter().map(|(work, _)| work.within(from, to)).collect();
    if times.iter().sum::<f64>() > 0.0 { (times, false) } else { (vec![1.0; works.len()], false) }
}

/// Finds what a token of a prompt costs over one of an answer: least squares over the intervals in which only one model
/// was asked.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Fit {
    count: u32,
    prompt_prompt: f64,
    prompt_answer: f64,
    answer_answer: f64,
    prompt_energy: f64,
    answer_energy: f64,
    energy: f64,
    energy_energy: f64,
}

impl Fit {
    /// Takes an interval and all that were in flight in it.
    pub fn add(&mut self, interval: &Interval, idle_watts: Option<f64>, works: &[&Work]) {
        let moved: Option<Vec<(f64, f64)>> =
            works.iter().map(|work| work.moved(interval.from, interval.to)).collect();
        let Some(moved) = moved.filter(|moved| !moved.is_empty()) else { return };
        let (prompt, answer) = moved.iter().fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        let idle = idle_watts.map_or(0.0, |watts| watts * interval.seconds() * 1e3);
        let energy = (interval.millijoules - idle).max(0.0);
        self.count += 1;
        self.prompt_prompt += prompt * prompt;
        self.prompt_answer += prompt * answer;
        self.answer_answer += answer * answer;
        self.prompt_energy += prompt * energy;
        self.answer_energy += answer * energy;
        self.energy += energy;
        self.energy_energy += energy * energy;
    }

    /// Returns the weight, where it explains enough of what was seen.
    #[must_use]
    pub fn prefill(&self) -> Option<f64> {
        let determinant = self.prompt_prompt * self.answer_answer - self.prompt_answer * self.prompt_answer;
        let scale = self.prompt_prompt * self.answer_answer;
        if self.count < FEWEST || determinant <= scale * 1e-9 {
            return None;
        }
        let of_prompt =
            (self.prompt_energy * self.answer_answer - self.answer_energy * self.prompt_answer) / determinant;
        let of_answer =
            (self.answer_energy * self.prompt_prompt - self.prompt_energy * self.prompt_answer) / determinant;
        let around = self.energy_energy - self.energy * self.energy / f64::from(self.count);
        let explained = of_prompt * self.prompt_energy + of_answer * self.answer_energy;
        let left = (self.energy_energy - explained).max(0.0);
        let fits = around > 0.0 && 1.0 - left / around >= LEAST_FIT;
        (fits && of_prompt > 0.0 && of_answer > 0.0).then(|| of_prompt / of_answer)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn work(sent: i64, first: Option<i64>, end: i64, prompt: Option<u64>, answer: Option<u64>) -> Work {
        let at = |ms: i64| Timestamp(ms * 1_000);
        Work { sent: at(sent), first: first.map(at), end: at(end), prompt, answer }
    }

    fn interval(from: i64, to: i64, millijoules: f64) -> Interval {
        Interval { from: Timestamp(from * 1_000), to: Timestamp(to * 1_000), millijoules }
    }

    #[test]
    fn one_request_alone_has_all_but_what_is_idle() {
        let alone = work(0, Some(200), 1_200, Some(100), Some(50));
        let shares = share(&interval(300, 400, 7_000.0), Some(20.0), &[(&alone, 0.1)]);
        assert_eq!(shares, Shares { idle: 2_000.0, unattributed: 0.0, each: vec![5_000.0], by_tokens: true });
        let nobody = share(&interval(300, 400, 1_500.0), Some(20.0), &[]);
        assert_eq!(nobody, Shares { idle: 1_500.0, ..Shares::default() });
        let unknown = share(&interval(300, 400, 1_500.0), None, &[]);
        assert_eq!((unknown.idle, unknown.unattributed), (0.0, 1_500.0));
    }

    #[test]
    fn who_answers_more_tokens_has_more_and_a_prompt_counts_less() {
        let quick = work(0, Some(0), 1_000, Some(0), Some(300));
        let slow = work(0, Some(0), 1_000, Some(0), Some(100));
        let shares = share(&interval(0, 100, 4_000.0), None, &[(&quick, 0.1), (&slow, 0.1)]);
        assert!((shares.each[0] - 3_000.0).abs() < 1e-6, "{shares:?}");
        // 100 tokens of a prompt in 100 ms weigh as 10 of an answer.
        let reads = work(0, Some(100), 1_000, Some(100), Some(900));
        let says = work(0, Some(0), 100, Some(0), Some(10));
        let shares = share(&interval(0, 100, 4_000.0), None, &[(&reads, 0.1), (&says, 0.1)]);
        assert!((shares.each[0] - 2_000.0).abs() < 1e-6, "{shares:?}");
    }

    #[test]
    fn without_tokens_time_decides() {
        let whole = work(0, None, 1_000, None, None);
        let half = work(50, None, 1_000, None, None);
        let shares = share(&interval(0, 100, 3_000.0), None, &[(&whole, 0.1), (&half, 0.1)]);
        assert!(!shares.by_tokens);
        assert!((shares.each[0] - 2_000.0).abs() < 1e-6, "{shares:?}");
        // A failed one among those that were answered weighs as much as they do in the mean.
        let told = work(0, Some(0), 1_000, None, Some(10));
        let shares = share(&interval(0, 100, 3_000.0), None, &[(&told, 0.1), (&whole, 0.1)]);
        assert!(shares.by_tokens && (shares.each[0] - 1_500.0).abs() < 1e-6, "{shares:?}");
    }

    #[test]
    fn the_cost_of_a_prompt_is_found_where_the_run_tells_it() {
        let (mut fit, mut flat) = (Fit::default(), Fit::default());
        for number in 0..60_u32 {
            let (prompt, answer) = (u64::from(number % 7) * 40, 10 + u64::from(number % 5));
            let from = i64::from(number) * 100;
            // Both within the interval: 30 ms of reading, 70 of answering.
            let one = work(from, Some(from + 30), from + 100, Some(prompt), Some(answer));
            #[expect(clippy::cast_precision_loss, reason = "small")]
            let energy = 20.0 * (answer as f64 + 0.25 * prompt as f64);
            fit.add(&interval(from, from + 100, energy + 1_000.0), Some(10.0), &[&one]);
            flat.add(&interval(from, from + 100, if number % 2 == 0 { 9_000.0 } else { 10.0 }), None, &[&one]);
        }
        let found = fit.prefill().unwrap();
        assert!((found - 0.25).abs() < 1e-6, "{found}");
        assert_eq!(flat.prefill(), None, "what tokens do not explain is not explained by them");
        assert_eq!(Fit::default().prefill(), None);
    }

    fn any_work() -> impl Strategy<Value = Work> {
        let tokens = || prop::option::of(0..5_000_u64);
        (0..5_000_i64, 0..3_000_i64, prop::option::of(0..3_000_i64), tokens(), tokens()).prop_map(
            |(sent, length, first, prompt, answer)| {
                work(sent, first.map(|first| sent + first), sent + length, prompt, answer)
            },
        )
    }

    proptest! {
        #[test]
        fn the_parts_add_up_to_what_was_counted(
            works in prop::collection::vec(any_work(), 0..12),
            from in 0..6_000_i64,
            length in 1..9_000_i64,
            millijoules in 0..1_000_000_000_u64,
            idle in prop::option::of(0.0..800.0_f64),
            prefill in 0.0..5.0_f64,
        ) {
            #[expect(clippy::cast_precision_loss, reason = "small")]
            let interval = interval(from, from + length, millijoules as f64);
            let flying = works.iter().filter(|work| work.overlaps(interval.from, interval.to));
            let flying: Vec<(&Work, f64)> = flying.map(|work| (work, prefill)).collect();
            let shares = share(&interval, idle, &flying);
            let whole = shares.idle + shares.unattributed + shares.each.iter().sum::<f64>();
            prop_assert!((whole - interval.millijoules).abs() < 1.0, "{whole} of {}", interval.millijoules);
            prop_assert!(shares.each.iter().all(|part| *part >= 0.0 && part.is_finite()));
            prop_assert_eq!(shares.each.len(), flying.len());
        }
    }
}
