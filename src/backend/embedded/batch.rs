//! The one thread that talks to llama.cpp: several answers, one step at a time.
//! Reads: [`Ask`]s from a bounded channel. Gives: answers to their askers. Never: `async`.
//! Start at [`serve`].

use llama_cpp_2::DecodeError;
use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::llama_batch::LlamaBatch;
use tokio::sync::mpsc;

use super::model::LoadedModel;
use super::sequence::{Ask, Sequence};
use crate::event::{Failure, FailureKind, FinishReason};

/// How many tokens of a prompt are read between two steps of the other answers: some tenths of a second for the demo
/// model. A constant, so that a prompt is always cut at the same places and its answer does not depend on the others.
pub(super) const PROMPT_PIECE: u32 = 128;

/// Serves requests until the channel closes; blocks the thread.
pub(super) fn serve(
    loaded: &LoadedModel,
    context: LlamaContext<'_>,
    slots: u32,
    context_per_slot: u32,
    asks: mpsc::Receiver<Ask>,
) {
    let slots = i32::try_from(slots).expect("llama.cpp made a context for that many sequences, at most 256");
    let batch = LlamaBatch::new(PROMPT_PIECE.max(slots.unsigned_abs()) as usize, 1);
    let free = (0..slots).rev().collect();
    Server { loaded, context, context_per_slot, asks, batch, free, active: Vec::new() }.run();
}

struct Server<'a> {
    loaded: &'a LoadedModel,
    context: LlamaContext<'a>,
    context_per_slot: u32,
    asks: mpsc::Receiver<Ask>,
    batch: LlamaBatch<'static>,
    free: Vec<i32>,
    /// In order of arrival.
    active: Vec<Sequence>,
}

impl Server<'_> {
    fn run(mut self) {
        while self.admit() {
            self.drop_abandoned();
            self.read_prompt();
            self.step_all();
        }
    }

    /// Gives free slots to waiting requests; waits for one when there is nothing else to do.
    /// Returns false when no more will come.
    fn admit(&mut self) -> bool {
        while let Some(&slot) = self.free.last() {
            let ask = if self.active.is_empty() { self.asks.blocking_recv() } else { self.asks.try_recv().ok() };
            let Some(ask) = ask else { break };
            if let Some(sequence) = Sequence::begin(self.loaded, ask, slot, self.context_per_slot) {
                self.free.pop();
                self.active.push(sequence);
            }
        }
        !self.active.is_empty()
    }

    fn drop_abandoned(&mut self) {
        let abandoned: Vec<Sequence> = self.active.extract_if(.., |sequence| sequence.is_abandoned()).collect();
        for sequence in abandoned {
            self.free_slot(sequence.slot);
        }
    }

    /// Reads one piece of the oldest unread prompt, in a batch of its own.
    fn read_prompt(&mut self) {
        let Some(index) = self.active.iter().position(Sequence::has_prompt_left) else { return };
        let sequence = &mut self.active[index];
        let slot = sequence.slot;
        let Some(piece) = sequence.next_piece(PROMPT_PIECE as usize) else { return };
        let is_last = piece.is_last;
        let length = piece.tokens.len();
        self.batch.clear();
        for ((token, place), number) in piece.tokens.iter().zip(piece.from..).zip(1..) {
            let wants_logits = is_last && number == length;
            self.batch.add(*token, place, &[slot], wants_logits).expect("the batch holds a whole piece");
        }
        if let Err(error) = self.context.decode(&mut self.batch) {
            self.fail(&[slot], &error);
        } else if is_last {
            self.choose_tokens(&[(slot, self.batch.n_tokens() - 1)]);
        }
    }

    /// Moves every answer on by one token, all in one batch.
    fn step_all(&mut self) {
        self.batch.clear();
        let mut rows = Vec::with_capacity(self.active.len());
        for sequence in &self.active {
            let Some((token, place)) = sequence.next_token() else { continue };
            rows.push((sequence.slot, self.batch.n_tokens()));
            self.batch.add(token, place, &[sequence.slot], true).expect("the batch holds a token of each sequence");
        }
        if rows.is_empty() {
            return;
        }
        if let Err(error) = self.context.decode(&mut self.batch) {
            let slots: Vec<i32> = rows.iter().map(|&(slot, _)| slot).collect();
            self.fail(&slots, &error);
        } else {
            self.choose_tokens(&rows);
        }
    }

    /// Samples the next token of each slot from its row of the batch just decoded; ends what is over.
    fn choose_tokens(&mut self, rows: &[(i32, i32)]) {
        let mut over = Vec::new();
        for &(slot, row) in rows {
            let Some(sequence) = self.active.iter_mut().find(|sequence| sequence.slot == slot) else { continue };
            let token = sequence.sampler.sample(&self.context, row);
            if let Some(finish) = sequence.take(self.loaded, token) {
                over.push((slot, finish));
            }
        }
        for (slot, finish) in over {
            self.finish(slot, finish);
        }
    }

    fn finish(&mut self, slot: i32, finish: FinishReason) {
        if let Some(sequence) = self.remove(slot) {
            sequence.finish(finish, &self.loaded.name);
        }
    }

    fn fail(&mut self, slots: &[i32], error: &DecodeError) {
        for &slot in slots {
            if let Some(sequence) = self.remove(slot) {
                sequence.fail(Failure::new(FailureKind::Overloaded, format!("llama.cpp could not go on: {error}")));
            }
        }
    }

    fn remove(&mut self, slot: i32) -> Option<Sequence> {
        let index = self.active.iter().position(|sequence| sequence.slot == slot)?;
        self.free_slot(slot);
        Some(self.active.remove(index))
    }

    fn free_slot(&mut self, slot: i32) {
        let is_cleared = self.context.clear_kv_cache_seq(Some(slot.unsigned_abs()), None, None);
        debug_assert!(matches!(is_cleared, Ok(true)), "a whole sequence can always be removed");
        self.free.push(slot);
    }
}
