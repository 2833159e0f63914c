//! What every world starts from.

use std::collections::BTreeMap;

use crate::base::Digest;
use crate::engine::Input;
use crate::event::RunStarted;

/// A small generator: `SplitMix64` (Steele, Lea, Flood, 2014).
pub(super) struct Draws(pub(super) u64);

impl Draws {
    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % bound as u64).expect("below a usize")
    }
}

pub(super) fn begun() -> Input {
    Input::Begin(Box::new(RunStarted {
        format: crate::event::FORMAT,
        name: "t".to_owned(),
        plan: Digest::of(b"t"),
        source: Digest::of(b""),
        files: BTreeMap::new(),
        file: "t.yaml".to_owned(),
        overrides: serde_json::Value::Null,
        seed: 0,
        version: "0".to_owned(),
        backends: Vec::new(),
        cases: Some(super::world_for_tests::ITEMS),
        prices: BTreeMap::new(),
        cell_prices: Vec::new(),
        traced: None,
        provenance: None,
        gpu: None,
    }))
}
