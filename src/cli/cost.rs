//! What the calls of a plan cost: about, by the tokens of the run before; at most, by `max_tokens`.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::base::{ActorName, MicroUsd, Price};
use crate::plan::{Actor, BackendUrl, Plan};

/// What is known of the cost of calls that have not been made.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Cost {
    /// As many tokens as before: with the cheapest and with the dearest actor of each step.
    about: Option<(MicroUsd, MicroUsd)>,
    /// Prompts as before, and every answer as long as `max_tokens` lets it be.
    most: Option<MicroUsd>,
    /// The answers of `most` alone: known before the first run, too.
    most_out: Option<MicroUsd>,
    /// Actors that would be asked and have no price.
    without_price: BTreeSet<ActorName>,
    /// Whether any actor that would be asked has one.
    is_priced: bool,
}

impl Cost {
    /// Returns the cost of no call.
    pub(super) fn nothing() -> Self {
        let nothing = Some(MicroUsd(0));
        Self { about: nothing.zip(nothing), most: nothing, most_out: nothing, ..Self::default() }
    }

    /// Returns what calls of these actors cost in all.
    pub(super) fn of(plan: &Plan, actors: &[&Actor], most_out: Option<u64>, about: Option<(u64, u64)>) -> Self {
        let price = |actor: &&Actor| plan.price_of(actor);
        let unknown = actors.iter().filter(|actor| price(actor).is_none());
        let without_price = unknown.map(|actor| actor.name.clone()).collect();
        let prices: Option<Vec<Price>> = actors.iter().map(price).collect();
        let is_priced = actors.iter().any(|actor| actor.price.is_some());
        let bound = |take: fn(&Price) -> MicroUsd| {
            let rates = || prices.iter().flatten().map(take);
            rates().min().zip(rates().max())
        };
        let (Some(input), Some(output)) = (bound(|price| price.input), bound(|price| price.output)) else {
            return Self { without_price, is_priced, ..Self::default() };
        };
        let cheapest = Price { input: input.0, output: output.0, cached: None };
        let dearest = Price { input: input.1, output: output.1, cached: None };
        Self {
            about: about.map(|(input, output)| (cheapest.of(input, output, 0), dearest.of(input, output, 0))),
            most: about.zip(most_out).map(|((input, _), output)| dearest.of(input, output, 0)),
            most_out: most_out.map(|output| dearest.of(0, output, 0)),
            without_price,
            is_priced,
        }
    }

    /// Adds the cost of other calls; what is not known of them is not known of the sum.
    pub(super) fn add(&mut self, other: &Self) {
        let sum = |one: Option<MicroUsd>, other: Option<MicroUsd>| one.zip(other).map(|(one, other)| one.plus(other));
        self.about = self.about.zip(other.about).map(|(one, more)| (one.0.plus(more.0), one.1.plus(more.1)));
        self.most = sum(self.most, other.most);
        self.most_out = sum(self.most_out, other.most_out);
        self.without_price.extend(other.without_price.iter().cloned());
        self.is_priced |= other.is_priced;
    }

    /// Writes it for people; none when it costs nothing or nobody asks for money.
    pub(super) fn say(&self, plan: &Plan) -> Option<String> {
        if !self.is_priced {
            // Whoever has models on the own machine asks for no price.
            let is_away = plan.backends.iter().any(|backend| matches!(backend.url, BackendUrl::Url(_)));
            let unknown = "cost: no price known; `price` in an entry of `models` tells it";
            return (is_away && !self.without_price.is_empty()).then(|| unknown.to_owned());
        }
        if !self.without_price.is_empty() {
            let names: Vec<&str> = self.without_price.iter().map(ActorName::as_str).collect();
            return Some(format!("cost: not known; {} has no price in `models`", names.join(", ")));
        }
        let about = self.about.map(|(low, high)| {
            let (low, high) = (low.to_string(), high.to_string());
            if low == high { format!("about {high}") } else { format!("about {low} to {high}") }
        });
        Some(match (about, self.most, self.most_out) {
            (Some(about), Some(most), _) => {
                format!("cost: {about}; at most {most} if every answer is as long as it may")
            }
            (Some(about), None, _) => format!("cost: {about}; no bound, because an actor has no `max_tokens`"),
            (None, _, Some(most)) => {
                format!("cost: at most {most} for answers; what prompts cost is known after the first run")
            }
            (None, _, None) => "cost: known after the first run; `max_tokens` would bound it now".to_owned(),
        })
    }

    /// Writes it in a few words, for a table; none when nothing is known.
    pub(super) fn brief(&self) -> Option<String> {
        let is_known = self.is_priced && self.without_price.is_empty();
        let about = self.about.map(|(_, high)| format!("about {high}"));
        about.or_else(|| self.most_out.map(|most| format!("at most {most} for answers"))).filter(|_| is_known)
    }

    /// Writes it for programs.
    pub(super) fn to_json(&self) -> Value {
        json!({
            "about_usd": self.about.map(|(low, high)| json!({ "least": low.dollars(), "most": high.dollars() })),
            "most_usd": self.most.map(MicroUsd::dollars),
            "most_out_usd": self.most_out.map(MicroUsd::dollars),
            "without_price": self.without_price,
        })
    }
}
