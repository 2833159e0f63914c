//! What runs, but will not give what the author expects.

use super::Compiler;
use crate::diag::{Diagnostic, Span, code};
use crate::plan::{Actor, ActorIdx, ModelChoice, Plan, StepKind};
use crate::spec;

impl Compiler<'_> {
    pub(super) fn warn(&mut self, plan: &Plan) {
        self.warn_of_own_judges(plan);
        self.warn_of_same_answers(plan);
        self.warn_of_unused_actors();
        self.warn_of_unused_params();
    }

    fn warn_of_own_judges(&mut self, plan: &Plan) {
        for step in &plan.steps {
            let StepKind::Judge(judge) = &step.kind else { continue };
            let contestants: Vec<&Actor> = step
                .reads
                .iter()
                .flat_map(|read| speakers(&plan.step(*read).kind))
                .map(|actor| plan.actor(actor))
                .collect();
            let referees = judge.actors.iter().map(|&actor| plan.actor(actor)).enumerate();
            let own = referees.into_iter().find_map(|(seat, referee)| {
                let own = contestants.iter().find(|actor| same_named_model(referee, actor))?;
                Some((seat, referee, *own))
            });
            let Some((seat, referee, own)) = own else { continue };
            let Some(place) = self.place_of_judge(step.name.as_str(), seat) else { continue };
            let ModelChoice::Named(model) = &own.model else { continue };
            self.report.push(
                Diagnostic::warning(
                    code::OWN_JUDGE,
                    format!("`{}` judges `{}`: both are {model}", referee.name, own.name),
                )
                .at(&place, "models favour their own words")
                .help("give the judge another model"),
            );
        }
    }

    fn warn_of_same_answers(&mut self, plan: &Plan) {
        for step in &plan.steps {
            let StepKind::Judge(judge) = &step.kind else { continue };
            let cold = judge.actors.iter().map(|&actor| plan.actor(actor)).find(|actor| is_cold(actor));
            let Some(cold) = cold.filter(|_| judge.votes.get() > 1) else { continue };
            let votes = self.judge_of(step.name.as_str()).and_then(|judge| judge.votes.as_ref());
            let Some(place) = votes.map(|votes| votes.span().clone()) else { continue };
            let message = format!("{} votes at temperature 0 are one vote", judge.votes);
            self.report.push(
                Diagnostic::warning(code::SAME_ANSWERS, message)
                    .at(&place, "the same answer each time")
                    .help(format!("give `{}` a temperature above 0, or ask once", cold.name)),
            );
        }
        if plan.repeat.get() == 1 || !plan.actors.iter().all(is_cold) {
            return;
        }
        let place = match (self.overrides.repeat, &self.spec.repeat) {
            (Some(repeat), _) => Span::of_option(&format!("--repeat {repeat}"), &repeat.to_string()),
            (None, repeat) => match repeat.as_ref().and_then(spec::Repeat::most) {
                Some(setting) => setting.span().clone(),
                None => return,
            },
        };
        self.report.push(
            Diagnostic::warning(code::SAME_ANSWERS, format!("{} repeats at temperature 0 are one", plan.repeat))
                .at(&place, "the same answers each time: intervals would be false")
                .help("give the actors a temperature above 0"),
        );
    }

    fn warn_of_unused_actors(&mut self) {
        let used = self.used_actors();
        let spec = self.spec;
        for entry in spec.actors.iter().flat_map(|table| &table.entries) {
            let name = &entry.name.value;
            if !used.contains(name.as_str()) {
                self.report.push(
                    Diagnostic::warning(code::UNUSED, format!("actor `{name}` takes part in no step"))
                        .at(&entry.name.span, "never speaks")
                        .help("name it in a step, or remove it"),
                );
            }
        }
    }

    fn warn_of_unused_params(&mut self) {
        // The command line may have replaced the settings that read a param.
        if self.overrides.model.is_some() || self.overrides.backend.is_some() {
            return;
        }
        let spec = self.spec;
        for entry in spec.params.iter().flat_map(|table| &table.entries) {
            let name = &entry.name.value;
            if !self.reads.params.contains(name) {
                self.report.push(
                    Diagnostic::warning(code::UNUSED, format!("nothing reads param `{name}`"))
                        .at(&entry.name.span, "has no effect")
                        .help(format!("read it as {{{{ params.{name} }}}}, or remove it")),
                );
            }
        }
    }

    fn judge_of(&self, step: &str) -> Option<&spec::Judge> {
        self.spec.steps.as_ref()?.get(step)?.value.as_ref()?.judge.as_ref()
    }

    fn place_of_judge(&self, step: &str, seat: usize) -> Option<Span> {
        let judge = self.judge_of(step)?;
        let mut asked = judge.actor.iter().chain(judge.panel.iter().flatten());
        asked.nth(seat).map(|actor| actor.span.clone())
    }
}

fn speakers(kind: &StepKind) -> Vec<ActorIdx> {
    match kind {
        StepKind::Chat(chat) => vec![chat.actor],
        StepKind::Dialogue(dialogue) => dialogue.actors.clone(),
        StepKind::Judge(_) | StepKind::Transform(_) | StepKind::Assert(_) => Vec::new(),
    }
}

fn same_named_model(one: &Actor, other: &Actor) -> bool {
    matches!(one.model, ModelChoice::Named(_)) && one.model == other.model && one.backend == other.backend
}

fn is_cold(actor: &Actor) -> bool {
    actor.sampling.temperature == Some(0.0)
}
