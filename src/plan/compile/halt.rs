//! The run's stop: what ends it at once, and how many items it takes at most.

use std::num::NonZeroU32;

use super::Compiler;
use crate::diag::{Diagnostic, code};
use crate::plan::Halt;
use crate::spec::{self, RunStop};

/// Settled cases before a share of failures means anything: the first of a few may well fail by chance.
const AFTER: NonZeroU32 = NonZeroU32::new(20).expect("20 is not 0");

/// What became of a condition.
enum Read {
    /// It acts at once.
    Halt(Halt),
    /// It bounds the items.
    Items(u64),
}

impl Compiler<'_> {
    /// Returns what ends the run at once, and how many items it takes at most.
    pub(super) fn halt(&mut self) -> (Option<Halt>, Option<u64>) {
        let Some(stop) = &self.spec.stop else { return (None, None) };
        let branches: Vec<&RunStop> = stop.any.as_ref().map_or_else(|| vec![stop], |stops| stops.iter().collect());
        let mut halts = Vec::new();
        let mut items: Option<u64> = None;
        for branch in branches {
            match self.condition(branch) {
                Some(Read::Halt(halt)) => halts.push(halt),
                Some(Read::Items(n)) => items = Some(items.map_or(n, |least| least.min(n))),
                None => {}
            }
        }
        let halt = if halts.len() > 1 { Some(Halt::Any(halts)) } else { halts.pop() };
        (halt, items)
    }

    /// Returns the share of cases that may fail.
    pub(super) fn tolerated(&mut self) -> f64 {
        self.optional("`tolerate`", self.spec.tolerate.as_ref()).map_or(0.0, |share| share.0)
    }

    fn condition(&mut self, stop: &RunStop) -> Option<Read> {
        if let Some(budget) = &stop.budget {
            let tokens = self.optional("`tokens` of `budget`", budget.tokens.as_ref());
            let tokens = tokens.map(|tokens| Halt::Tokens(u64::from(tokens.0)));
            let time = self.optional("`time` of `budget`", budget.time.as_ref()).map(|time| Halt::Time(time.0));
            return match (tokens, time) {
                (Some(tokens), Some(time)) => Some(Read::Halt(Halt::Any(vec![tokens, time]))),
                (tokens, time) => tokens.or(time).map(Read::Halt),
            };
        }
        if let Some(errors) = &stop.errors {
            return self.errors(errors).map(Read::Halt);
        }
        if let Some(items) = &stop.items {
            let n = self.setting("`n` of `items`", items.n.as_ref()?)?;
            return Some(Read::Items(u64::from(n.value.0.get())));
        }
        let list = stop.any.as_ref().or(stop.all.as_ref())?;
        let read: Vec<Option<Read>> = list.iter().map(|inner| self.condition(inner)).collect();
        let read: Vec<Read> = read.into_iter().collect::<Option<_>>()?;
        let counts: Vec<u64> =
            read.iter().filter_map(|read| if let Read::Items(n) = read { Some(*n) } else { None }).collect();
        let halts: Vec<Halt> =
            read.into_iter().filter_map(|read| if let Read::Halt(halt) = read { Some(halt) } else { None }).collect();
        let is_any = stop.any.is_some();
        match (halts.is_empty(), counts.is_empty()) {
            (true, _) => (if is_any { counts.into_iter().min() } else { counts.into_iter().max() }).map(Read::Items),
            (false, true) => Some(Read::Halt(if is_any { Halt::Any(halts) } else { Halt::All(halts) })),
            (false, false) => {
                self.report.push(
                    Diagnostic::error(code::MIXED_STOP, "`items` stands beside a condition of another nature")
                        .at(&stop.span, "`budget` and `errors` act at once, `items` along the order of the input")
                        .help("put them beside each other under one `any` at the top of `stop`"),
                );
                None
            }
        }
    }

    fn errors(&mut self, errors: &spec::Errors) -> Option<Halt> {
        if let Some(count) = &errors.count {
            return self.setting("`count` of `errors`", count).map(|count| Halt::Failed(count.value.0));
        }
        let after = match &errors.after {
            None => AFTER,
            Some(after) => self.setting("`after` of `errors`", after)?.value.0,
        };
        let fraction = self.setting("`fraction` of `errors`", errors.fraction.as_ref()?)?.value.0;
        Some(Halt::FailedShare { fraction, after })
    }
}
