//! What was admitted, as one hash: tells whether the input is still the same.

use serde_json::{Map, Value};

use crate::base::{Digest, Hasher, ItemId};

/// Returns the hash over admitted items with one more.
#[must_use]
pub fn chained(chain: Digest, item: &ItemId, repeat: u32, matrix: &Map<String, Value>) -> Digest {
    let hasher = Hasher::new("pipe admitted 1")
        .field(chain.as_bytes())
        .field(item.as_str().as_bytes())
        .number(u64::from(repeat));
    // Without a matrix as before there were any: journals of then go on.
    let values = matrix.iter();
    let hasher = values
        .fold(hasher, |hasher, (name, value)| hasher.field(name.as_bytes()).field(value.to_string().as_bytes()));
    hasher.finish()
}
