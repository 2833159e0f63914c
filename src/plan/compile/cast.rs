//! Backends, models, actors.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::Compiler;
use super::scope::Role;
use crate::base::{ActorName, BackendName, Price};
use crate::diag::{Diagnostic, Span, closest, code};
use crate::plan::{Actor, ActorIdx, BackendIdx, BackendPlan, BackendUrl, Concurrency, ModelChoice, Sampling, Secret};
use crate::prompt::Reasoning;
use crate::spec::{self, BaseUrl, Entry, FromScalar, Literal, Slots, Spanned, Table, Word};

/// Those who take part.
pub(super) struct Cast {
    pub(super) backends: Vec<BackendPlan>,
    pub(super) actors: Vec<Actor>,
}

/// The model of an actor, with what its entry of `models` says of it.
struct Chosen {
    backend: BackendIdx,
    model: ModelChoice,
    price: Option<Price>,
    reasoning: Option<Reasoning>,
    extra: Map<String, Value>,
}

impl Chosen {
    /// A model of which the file has no more than the name.
    fn of(backend: BackendIdx, model: ModelChoice) -> Self {
        Self { backend, model, price: None, reasoning: None, extra: Map::new() }
    }
}

impl Cast {
    /// Returns the place of an actor that a step uses.
    pub(super) fn find(&self, name: &str) -> Option<ActorIdx> {
        self.actors.iter().position(|actor| actor.name.as_str() == name).map(ActorIdx)
    }
}

impl<'a> Compiler<'a> {
    /// Returns the names of the actors that a step uses.
    pub(super) fn used_actors(&self) -> BTreeSet<&'a str> {
        let steps = self.spec.steps.iter().flat_map(|table| &table.entries).filter_map(|entry| entry.value.as_ref());
        let mut used = BTreeSet::new();
        for step in steps {
            let chat = step.chat.iter().filter_map(|chat| chat.actor.as_ref());
            let over_all = step.aggregate.iter().filter_map(|aggregate| aggregate.actor.as_ref());
            let judges = step.judge.iter();
            let judge = judges.flat_map(|judge| judge.actor.iter().chain(judge.panel.iter().flatten()));
            let dialogue = step.dialogue.iter().filter_map(|dialogue| dialogue.actors.as_ref()).flatten();
            let mut asked = Vec::new();
            let stop = step.dialogue.as_ref().and_then(|dialogue| dialogue.stop.as_ref());
            stop.into_iter().for_each(|stop| stop.judges(&mut asked));
            used.extend(asked.iter().filter_map(|judge| Some(judge.actor.as_ref()?.value.as_str())));
            used.extend(chat.chain(over_all).chain(judge).chain(dialogue).map(|name| name.value.as_str()));
        }
        used
    }

    /// Resolves every actor; keeps those that a step uses, and their backends. None when something is missing.
    pub(super) fn cast(&mut self) -> Option<Cast> {
        let spec = self.spec;
        let (backends, troubles): (Vec<BackendPlan>, Vec<Vec<Diagnostic>>) = self.all_backends().into_iter().unzip();
        let used = self.used_actors();
        let mut actors: Vec<Actor> = Vec::new();
        let mut whole = true;
        for entry in spec.actors.iter().flat_map(|table| &table.entries) {
            let name = &entry.name.value;
            let actor = entry.value.as_ref().and_then(|actor| self.actor(name, actor, &backends));
            if !used.contains(name.as_str()) {
                continue;
            }
            match actor {
                Some(actor) => actors.push(actor),
                None => whole = false,
            }
        }
        // A backend that nobody uses may lack its key.
        for (position, trouble) in troubles.into_iter().enumerate() {
            if actors.iter().any(|actor| actor.backend == BackendIdx(position)) {
                self.report.extend(trouble);
            }
        }
        if !whole {
            return None;
        }
        Some(only_used(backends, actors))
    }

    fn all_backends(&mut self) -> Vec<(BackendPlan, Vec<Diagnostic>)> {
        let spec = self.spec;
        let replaced = self.replaced_url();
        let general = spec.limits.as_ref().and_then(|limits| limits.concurrency.as_ref());
        let general = self.optional("`concurrency`", general).map_or(Concurrency::Auto, concurrency);
        let concurrency = self.overrides.concurrency.map_or(general, Concurrency::Fixed);
        let entries: Vec<&Entry<spec::Backend>> = spec.backends.iter().flat_map(|table| &table.entries).collect();
        if entries.is_empty() {
            let url = replaced.unwrap_or(BackendUrl::Auto);
            return vec![(
                BackendPlan { name: BackendName::from("auto"), url, api_key: None, headers: Vec::new(), concurrency },
                Vec::new(),
            )];
        }
        let mut backends = Vec::new();
        for entry in entries {
            let others = std::mem::take(&mut self.report);
            let backend = self.backend(entry, replaced.as_ref(), concurrency);
            backends.push((backend, std::mem::replace(&mut self.report, others)));
        }
        backends
    }

    fn replaced_url(&mut self) -> Option<BackendUrl> {
        let text = self.overrides.backend.as_ref()?;
        match BaseUrl::from_scalar(&Literal::Text(text.clone())) {
            Ok(url) => Some(address(url)),
            Err(refusal) => {
                let place = Span::of_option(&format!("--backend {text}"), text);
                self.report.push(refusal.report::<BaseUrl>("`--backend`", &place));
                None
            }
        }
    }

    fn backend(
        &mut self,
        entry: &Entry<spec::Backend>,
        replaced: Option<&BackendUrl>,
        general: Concurrency,
    ) -> BackendPlan {
        let name = &entry.name.value;
        let own = entry.value.as_ref().and_then(|backend| backend.limits.as_ref()?.concurrency.as_ref());
        let own = self.optional(&format!("`concurrency` of backend `{name}`"), own).map(concurrency);
        let concurrency = match self.overrides.concurrency {
            Some(_) => general,
            None => own.unwrap_or(general),
        };
        let (mut url, mut api_key, mut headers) = (BackendUrl::Auto, None, Vec::new());
        if let Some(replaced) = replaced {
            // The file's key belongs to the file's server: it does not travel to another one.
            url = replaced.clone();
        } else if let Some(backend) = &entry.value {
            let what = format!("`base_url` of backend `{name}`");
            url = self.optional(&what, backend.base_url.as_ref()).map_or(BackendUrl::Auto, address);
            let key = backend.api_key.as_ref().filter(|key| key.value.contains("${"));
            let key = key.and_then(|key| self.environment(key)).filter(|key| !key.trim().is_empty());
            api_key = key.map(|key| Secret::new(key.trim()));
            headers = self.headers(backend);
        }
        BackendPlan { name: BackendName::from(name.as_str()), url, api_key, headers, concurrency }
    }

    fn actor(&mut self, name: &str, actor: &spec::Actor, backends: &[BackendPlan]) -> Option<Actor> {
        let what = |key: &str| format!("`{key}` of actor `{name}`");
        let temperature = self.optional(&what("temperature"), actor.temperature.as_ref()).map(|value| value.0);
        let top_p = self.optional(&what("top_p"), actor.top_p.as_ref()).map(|value| value.0);
        let max_tokens = self.optional(&what("max_tokens"), actor.max_tokens.as_ref()).map(|value| value.0);
        let stop = actor.stop.iter().flatten().map(|text| text.value.clone()).collect();
        let system = actor.system.as_ref().map(|text| self.template(&what("system"), text, Role::System));
        if let (Some(text), Some(Some(checked))) = (&actor.system, &system) {
            let reads = self.templates.references(checked.id);
            let of_case = reads.iter().find(|read| ["item", "repeat"].contains(&read.0[0].as_str()));
            if let Some(read) = of_case {
                self.of_items.insert(name.to_owned(), super::scope::place_of(text, read));
            }
        }
        let owner = format!("actor `{name}`");
        let own_reasoning = self.reasoning(&owner, actor.reasoning.as_ref());
        let own_extra = self.extra(&owner, actor.extra_body.as_ref());
        let Chosen { backend, model, price, reasoning, mut extra } = self.model_of(name, actor, backends)?;
        let reasoning = own_reasoning.or(reasoning);
        extra.extend(own_extra);
        let system = match system {
            Some(checked) => Some(checked?.id),
            None => None,
        };
        let sampling = Sampling { temperature, top_p, max_tokens, stop, reasoning, extra: Arc::new(extra) };
        Some(Actor { name: ActorName::from(name), backend, model, system, sampling, price })
    }

    fn model_of(&mut self, name: &str, actor: &spec::Actor, backends: &[BackendPlan]) -> Option<Chosen> {
        let spec = self.spec;
        let Some(setting) = &actor.model else {
            if let [_] = backends {
                return Some(Chosen::of(BackendIdx(0), self.choice("auto")));
            }
            let place = spec.actors.as_ref().and_then(|table| table.get(name)).map(|entry| &entry.name.span);
            self.which_backend(&format!("actor `{name}`"), place, backends);
            return None;
        };
        let word = self.setting(&format!("`model` of actor `{name}`"), setting)?;
        let entry = spec.models.as_ref().and_then(|models| models.get(&word.value.0));
        if let Some(entry) = entry {
            let model = entry.value.as_ref()?;
            return self.named_model(&entry.name, model, backends);
        }
        if let [_] = backends {
            self.warn_of_near_name(&word);
            return Some(Chosen::of(BackendIdx(0), self.choice(&word.value.0)));
        }
        let names: Vec<&str> = spec.models.iter().flat_map(Table::names).collect();
        let message = format!("actor `{name}` names a model that does not stand under `models`");
        let help = "with several backends a model needs an entry that says where it is: \
                    `models: { NAME: { backend: …, model: … } }`";
        let diagnostic = Diagnostic::error(code::UNKNOWN_NAME, message).at(&word.span, "unknown model");
        self.report
            .push(if names.is_empty() { diagnostic } else { diagnostic.suggest(&word.value.0, names) }.help(help));
        None
    }

    fn named_model(
        &mut self,
        name: &Spanned<String>,
        model: &spec::Model,
        backends: &[BackendPlan],
    ) -> Option<Chosen> {
        let what = |key: &str| format!("`{key}` of model `{}`", name.value);
        let choice = match (&model.model, &self.overrides.model) {
            (Some(setting), None) => self.setting(&what("model"), setting)?.value.0,
            (_, Some(_)) | (None, None) => "auto".to_owned(),
        };
        let price = model.price.as_ref().and_then(|price| self.price(&name.value, price));
        let backend = match &model.backend {
            Some(setting) => {
                let word = self.setting(&what("backend"), setting)?;
                let place = backends.iter().position(|backend| backend.name.as_str() == word.value.0);
                if place.is_none() {
                    let names = backends.iter().map(|backend| backend.name.as_str());
                    self.report.push(
                        Diagnostic::error(code::UNKNOWN_NAME, format!("there is no backend `{}`", word.value.0))
                            .at(&word.span, "unknown backend")
                            .suggest(&word.value.0, names),
                    );
                }
                place?
            }
            None if backends.len() == 1 => 0,
            None => {
                self.which_backend(&format!("model `{}`", name.value), Some(&name.span), backends);
                return None;
            }
        };
        let owner = format!("model `{}`", name.value);
        let reasoning = self.reasoning(&owner, model.reasoning.as_ref());
        let extra = self.extra(&owner, model.extra_body.as_ref());
        Some(Chosen { backend: BackendIdx(backend), model: self.choice(&choice), price, reasoning, extra })
    }

    /// Another model than the file's, or the same somewhere else, has another price: none that is known.
    fn price(&mut self, model: &str, price: &spec::ModelPrice) -> Option<Price> {
        let what = |key: &str| format!("`{key}` in the price of model `{model}`");
        let input = self.optional(&what("input"), price.input.as_ref());
        let output = self.optional(&what("output"), price.output.as_ref());
        let cached = self.optional(&what("cached"), price.cached.as_ref()).map(|spec::Rate(rate)| rate);
        let (spec::Rate(input), spec::Rate(output)) = (input?, output?);
        let elsewhere = self.overrides.model.is_some() || self.overrides.backend.is_some();
        (!elsewhere).then_some(Price { input, output, cached })
    }

    fn choice(&self, declared: &str) -> ModelChoice {
        match self.overrides.model.as_deref().unwrap_or(declared) {
            "auto" => ModelChoice::Auto,
            name => ModelChoice::Named(Arc::from(name)),
        }
    }

    fn which_backend(&mut self, who: &str, place: Option<&Span>, backends: &[BackendPlan]) {
        let names: Vec<&str> = backends.iter().map(|backend| backend.name.as_str()).collect();
        let diagnostic = Diagnostic::error(code::UNKNOWN_NAME, format!("{who} does not say which backend it is on"));
        let diagnostic = match place {
            Some(place) => diagnostic.at(place, "there are several"),
            None => diagnostic,
        };
        let listed = names.join(", ");
        self.report.push(if who.starts_with("model") {
            diagnostic.help(format!("add `backend: {}`, or another of: {listed}", names[0]))
        } else {
            diagnostic.help(format!("give it a model from `models` that names one of: {listed}"))
        });
    }

    fn warn_of_near_name(&mut self, word: &Spanned<Word>) {
        let names = self.spec.models.iter().flat_map(Table::names);
        if let Some(near) = closest(&word.value.0, names).filter(|_| self.overrides.model.is_none()) {
            self.report.push(
                Diagnostic::warning(
                    code::NEARLY_A_NAME,
                    format!("`{}` is taken for a model of the backend", word.value.0),
                )
                .at(&word.span, "no entry of `models` has this name")
                .help(format!("did you mean `{near}`?")),
            );
        }
    }
}

fn concurrency(slots: Slots) -> Concurrency {
    match slots {
        Slots::Auto => Concurrency::Auto,
        Slots::Fixed(count) => Concurrency::Fixed(count),
    }
}

fn address(url: BaseUrl) -> BackendUrl {
    match url {
        BaseUrl::Auto => BackendUrl::Auto,
        BaseUrl::Embedded => BackendUrl::Embedded,
        BaseUrl::Sim(speed) => BackendUrl::Sim { speed },
        BaseUrl::Url(url) => BackendUrl::Url(url),
    }
}

/// Drops backends that no actor uses, and counts the places of the others anew.
fn only_used(backends: Vec<BackendPlan>, mut actors: Vec<Actor>) -> Cast {
    let mut kept = Vec::new();
    for (position, backend) in backends.into_iter().enumerate() {
        let old = BackendIdx(position);
        if !actors.iter().any(|actor| actor.backend == old) {
            continue;
        }
        let new = BackendIdx(kept.len());
        // Places only shrink, so an actor that has been moved is never taken for a later backend's.
        for actor in actors.iter_mut().filter(|actor| actor.backend == old) {
            actor.backend = new;
        }
        kept.push(backend);
    }
    Cast { backends: kept, actors }
}
