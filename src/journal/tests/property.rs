//! Whatever is written is read back.

use proptest::prelude::*;

use super::{batch, events_of, given};
use crate::base::{CaseNo, Timestamp};
use crate::event::{CaseStatus, Event, Failure, FailureKind, Recorded, SourceEnded, TimeoutPhase};
use crate::journal::{Batch, Durability, EventLog, EventSeq, Memory, Sqlite, Text};

fn any_event() -> impl Strategy<Value = Recorded> {
    let case = prop_oneof![0..5_u64, Just(u64::from(u32::MAX)), Just(i64::MAX as u64)];
    let about_case = (case, any::<String>(), 0..6).prop_map(|(case, words, kind)| match kind {
        0 => given::admitted(case),
        1 => given::attempt_started(given::attempt(case, &words, 1)),
        2 => given::failed(
            given::attempt(case, "say", 2),
            Failure::new(FailureKind::TimedOut(TimeoutPhase::Idle), words),
        ),
        3 => given::task_settled(case, &words),
        4 => given::answered(given::attempt(case, &words, 1), "prompt", "answer").events[0].clone(),
        _ => given::case_settled(case, CaseStatus::Unscored),
    });
    let started = (any::<f64>(), any::<u64>(), any::<String>()).prop_map(|(number, seed, words)| {
        let Recorded { at, event: Event::RunStarted(mut started) } = super::started() else { unreachable!() };
        started.overrides = serde_json::json!({ words: number });
        started.seed = seed;
        Recorded { at, event: Event::RunStarted(started) }
    });
    let ended = any::<u64>().prop_map(|cases| SourceEnded { cases }).prop_map(Event::SourceEnded);
    let event =
        prop_oneof![8 => about_case, 1 => started, 1 => ended.prop_map(|event| Recorded { at: Timestamp(0), event })];
    (event, any::<i64>()).prop_map(|(recorded, at)| Recorded { at: Timestamp(at), ..recorded })
}

fn any_batch() -> impl Strategy<Value = Batch> {
    let events = prop::collection::vec(any_event(), 0..6);
    let texts = prop::collection::vec(any::<String>().prop_map(Text::of), 0..4);
    (events, texts, prop::option::of(0..9_u64)).prop_map(|(events, texts, checkpoint)| Batch {
        texts,
        checkpoint: checkpoint.map(super::snapshot),
        ..batch(events)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_batches_read_back_equal(transactions in prop::collection::vec(prop::collection::vec(any_batch(), 0..4), 0..6)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.db");
        let (mut file, mut memory) = (Sqlite::create(&path, Durability::Process).unwrap(), Memory::new());
        for batches in &transactions {
            prop_assert_eq!(file.append(batches).unwrap(), memory.append(batches).unwrap());
        }
        file.finish().unwrap();
        drop(file);
        let file = Sqlite::open(&path, Durability::Power).unwrap();

        let batches: Vec<&Batch> = transactions.iter().flatten().collect();
        let written: Vec<Recorded> = batches.iter().flat_map(|batch| batch.events.to_vec()).collect();
        prop_assert_eq!(&events_of(&file, EventSeq(0)), &written);
        prop_assert_eq!(&events_of(&memory, EventSeq(0)), &written);
        prop_assert_eq!(file.latest_checkpoint().unwrap(), memory.latest_checkpoint().unwrap());
        for text in batches.iter().flat_map(|batch| &batch.texts) {
            prop_assert_eq!(file.text(None, &text.digest).unwrap(), Some(text.body.clone()));
            prop_assert_eq!(memory.text(None, &text.digest).unwrap(), Some(text.body.clone()));
        }
    }
}

#[test]
fn the_largest_numbers_survive() {
    let mut file =
        Sqlite::create(&tempfile::tempdir().unwrap().keep().join("journal.db"), Durability::Process).unwrap();
    let events =
        [given::case_settled(u64::MAX, CaseStatus::Ok), Recorded { at: Timestamp(i64::MIN), ..given::admitted(7) }];
    file.append(&[batch(events.clone())]).unwrap();
    assert_eq!(events_of(&file, EventSeq(0)), events);
    assert_eq!(events[0].event.case(), Some(CaseNo(u64::MAX)));
}
