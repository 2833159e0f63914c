//! What needs no model: asked for as an effect, because it needs texts; and what follows from the answer.

use std::sync::Arc;

use super::call::{Effect, Evaluate, Question, Step, TaskKey};
use super::fan;
use super::frontier::{self, Calls};
use super::step::Engine;
use crate::event::{
    Because, Element, ElementSettled, Evaluated, Evaluation, Event, Failure, FailureKind, TaskOutput, TaskSettled,
    TaskStatus,
};
use crate::plan::Ground;

impl Engine {
    /// Asks for an evaluation, unless it is under way or the run is stopping.
    pub(super) fn evaluate(&mut self, step: &mut Step, key: TaskKey, question: Question) {
        let over = self.flow.stopping.is_some() || self.state.prefix.met().is_some();
        if over || !self.flow.evaluating.insert(key) {
            return;
        }
        let ground = self.ground(key);
        step.effects.push(Effect::Evaluate(Box::new(Evaluate { key, question, ground })));
    }

    /// Takes what was found out in; a report for what is not being evaluated is counted and dropped.
    pub(super) fn evaluated(&mut self, step: &mut Step, key: TaskKey, evaluation: Evaluation) {
        if !self.flow.evaluating.remove(&key) {
            self.flow.late += 1;
            return;
        }
        let plan = Arc::clone(&self.plan);
        let cell = self.state.open.get(&key.case).map(|case| case.cell).unwrap_or_default();
        let of = plan.cell(cell).step(key.step);
        let over = |status, output, failure: Option<&Failure>| {
            frontier::settled(key.case, of, status, output, failure, &Calls::new())
        };
        match evaluation {
            Evaluation::Opened { holds: false, .. } => {
                let record = fan::skipped(key.case, of, Some(Because::When));
                self.record(step, Event::TaskSettled(record));
            }
            Evaluation::Opened { holds: true, each } => {
                let opened = Evaluated { case: key.case, step: of.name.clone(), each };
                self.record(step, Event::Evaluated(opened));
            }
            Evaluation::Done(output) => self.settle(step, key, over(TaskStatus::Ok, Some(output), None)),
            Evaluation::Failed(failure) => {
                let passed =
                    (failure.kind == FailureKind::Assertion).then_some(TaskOutput::Assertion { passed: false });
                let record = frontier::eased(of, over(TaskStatus::Failed, passed, Some(&failure)));
                self.settle(step, key, record);
            }
        }
        self.advance(step, key.case);
    }

    /// Records that a task is over.
    pub(super) fn settle(&mut self, step: &mut Step, key: TaskKey, task: TaskSettled) {
        let element = key.element.and_then(|element| self.state.open.get(&key.case)?.element(key.step, element));
        let event = match element {
            Some(element) => Event::ElementSettled(ElementSettled { each: element.key.clone(), task }),
            None => Event::TaskSettled(task),
        };
        self.record(step, event);
    }

    /// Returns what templates and expressions of a task are made from.
    pub(super) fn ground(&self, key: TaskKey) -> Ground {
        let case = &self.state.open[&key.case];
        let step = self.plan.cell(case.cell).step(key.step);
        let element = key.element.and_then(|element| case.element(key.step, element));
        Ground {
            case: key.case,
            repeat: case.repeat,
            cell: case.cell,
            row: case.row,
            step: key.step,
            each: element.map(|element| Element { key: element.key.clone(), value: element.value }),
            inputs: step.reads.iter().filter_map(|&read| Some((read, Arc::clone(case.settled(read)?)))).collect(),
        }
    }
}
