//! The simulated backend in real time.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::{Instant, sleep, sleep_until};

use super::answer::answer;
use crate::backend::port::{Backend, ChatRequest, Completion, Progress, Watch};
use crate::event::{Failure, FailureKind, TimeoutPhase};

/// Answers like [`answer`], after the time that it names.
#[derive(Clone, Copy, Debug)]
pub struct Sim {
    /// How many times faster than life; 0 means at once.
    pub speed: u32,
}

impl Sim {
    async fn ask(self, request: &ChatRequest, watch: Watch<'_>) -> Result<Completion, Failure> {
        let simulated = answer(request);
        let scaled = |time: Duration| time.checked_div(self.speed).unwrap_or_default();
        let (first, total) = (scaled(simulated.first_token), scaled(simulated.total));
        let completion = simulated.completion;
        let started = Instant::now();
        watch(Progress::Sent);
        if !request.stream {
            // Headers come with the whole answer, so the limit for the first token holds for all of it.
            wait(started, total, request.limits.first_token, TimeoutPhase::FirstToken).await?;
            return Ok(completion);
        }
        wait(started, first, request.limits.first_token, TimeoutPhase::FirstToken).await?;
        let mut pieces = completion.text.split_inclusive(' ').peekable();
        let gaps = u32::try_from(completion.text.split_inclusive(' ').count()).unwrap_or(u32::MAX).saturating_sub(1);
        let gap = total.saturating_sub(first).checked_div(gaps).unwrap_or_default();
        let mut spoken = started + first;
        while let Some(piece) = pieces.next() {
            watch(Progress::Text(piece));
            if pieces.peek().is_some() {
                wait(spoken, gap, request.limits.idle, TimeoutPhase::Idle).await?;
                spoken += gap;
            }
        }
        Ok(completion)
    }
}

/// Waits for a time since `start`, or fails when that is longer than a limit.
async fn wait(start: Instant, time: Duration, limit: Duration, phase: TimeoutPhase) -> Result<(), Failure> {
    if time.is_zero() {
        return Ok(());
    }
    if time > limit {
        sleep(limit).await;
        let detail = format!("sim: nothing within {} s", limit.as_secs_f64());
        return Err(Failure::new(FailureKind::TimedOut(phase), detail));
    }
    sleep_until(start + time).await;
    Ok(())
}

impl Backend for Sim {
    fn chat<'a>(&'a self, request: &'a ChatRequest, watch: Watch<'a>) -> BoxFuture<'a, Result<Completion, Failure>> {
        self.ask(request, watch).boxed()
    }
}
