//! Work without a model, off the runtime's threads: a template may take some time.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::task::{JoinError, JoinSet};

use crate::base::{CaseNo, Digest};
use crate::engine::{Evaluate, Observe, Question, TaskKey};
use crate::event::Observation;
use crate::plan::Ground;
use crate::task::{self, Found};
use crate::worker::Station;

/// Evaluations at once: they take processors, not time, and models run beside them.
const AT_ONCE: usize = 4;

/// Evaluations under way and waiting; the engine bounds them by open cases.
pub(super) struct Evaluations {
    station: Arc<Station>,
    waiting: VecDeque<Asked>,
    under_way: JoinSet<Evaluated>,
}

/// What is to be evaluated.
pub(super) enum Asked {
    /// Something about a task.
    Task(Box<Evaluate>),
    /// What there is to see in a case that is over.
    Case(Box<Observe>),
}

/// An evaluation that is over.
pub(super) enum Evaluated {
    /// Something about a task.
    Task { key: TaskKey, found: Found },
    /// What there is to see in a case that is over.
    Case { case: CaseNo, observed: Vec<Option<Observation>> },
}

impl Asked {
    const fn ground(&self) -> &Ground {
        match self {
            Self::Task(evaluate) => &evaluate.ground,
            Self::Case(observe) => &observe.ground,
        }
    }
}

impl Evaluations {
    pub(super) fn new(station: Arc<Station>) -> Self {
        Self { station, waiting: VecDeque::new(), under_way: JoinSet::new() }
    }

    /// Begins one, or queues it.
    pub(super) fn start(&mut self, asked: Asked) {
        self.waiting.push_back(asked);
        self.fill();
    }

    /// Waits for one to end; never ends while there is none.
    ///
    /// # Errors
    /// The message of one that panicked.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub(super) async fn next(&mut self) -> Result<Evaluated, String> {
        match self.under_way.join_next().await {
            None => std::future::pending().await,
            Some(joined) => self.joined(joined),
        }
    }

    /// Returns one that has ended already.
    pub(super) fn ready(&mut self) -> Option<Result<Evaluated, String>> {
        let joined = self.under_way.try_join_next()?;
        Some(self.joined(joined))
    }

    fn joined(&mut self, joined: Result<Evaluated, JoinError>) -> Result<Evaluated, String> {
        self.fill();
        joined.map_err(|error| error.to_string())
    }

    fn fill(&mut self) {
        while self.under_way.len() < AT_ONCE
            && let Some(asked) = self.waiting.pop_front()
        {
            let station = Arc::clone(&self.station);
            self.under_way.spawn_blocking(move || {
                let ground = asked.ground();
                let texts = |digest: &Digest| (station.texts)(ground.case, digest);
                let (plan, models) = (station.plan.cell(ground.cell), &station.models[ground.cell.0]);
                match &asked {
                    Asked::Task(evaluate) => {
                        let found = match evaluate.question {
                            Question::Opening => task::open(plan, ground, models, &texts),
                            Question::Work => task::work(plan, ground, models, &texts),
                        };
                        Evaluated::Task { key: evaluate.key, found }
                    }
                    Asked::Case(observe) => {
                        let observed = task::observe(plan, ground, models, &texts);
                        Evaluated::Case { case: observe.case, observed }
                    }
                }
            });
        }
    }
}
