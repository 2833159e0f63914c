//! Samples of devices: two tables beside the log, made when there is something to put into them.
//!
//! They become durable with the events that come next, so that no event waits for them.

use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde::de::DeserializeOwned;

use super::{EventSeq, JournalError, Place};
use crate::base::Timestamp;
use crate::event::{GpuDevice, GpuSample, Sampled, Throttle};

/// The layout of the tables.
pub(super) const LAYOUT: &str = include_str!("gpu.sql");
/// What begins the names of both.
pub(super) const PREFIX: &str = "gpu_";

/// Most samples read at once.
const PAGE: usize = 512;

/// Which samples are meant.
#[derive(Clone, Copy, Debug)]
pub struct Samples {
    /// Those that begin at this moment or later.
    pub from: Timestamp,
    /// Those that begin before this moment.
    pub until: Timestamp,
    /// Those that were durable when this event was.
    pub through: EventSeq,
}

impl Samples {
    /// All of them.
    pub const ALL: Self =
        Self { from: Timestamp(i64::MIN), until: Timestamp(i64::MAX), through: EventSeq(u64::MAX >> 1) };
}

/// What is called for each sample read. An error ends the reading and is handed through.
pub type SampleVisit<'a> = dyn FnMut(GpuSample) -> Result<(), JournalError> + 'a;

/// Adds what was sampled to the transaction that is open.
pub(super) fn insert(
    connection: &Connection,
    path: &Path,
    after: EventSeq,
    sampled: &[Sampled],
) -> Result<(), JournalError> {
    let failed = |source| JournalError::store(path, "write", source);
    if !is_there(connection).map_err(failed)? {
        connection.execute_batch(LAYOUT).map_err(failed)?;
    }
    for one in sampled {
        match one {
            Sampled::Device(device) => insert_device(connection, path, device)?,
            Sampled::Sample(sample) => insert_sample(connection, after, sample).map_err(failed)?,
        }
    }
    Ok(())
}

fn insert_device(connection: &Connection, path: &Path, device: &GpuDevice) -> Result<(), JournalError> {
    let statement = "insert into gpu_devices (id, body) values (?1, ?2)
                     on conflict (id) do update set body = excluded.body";
    let done =
        connection.prepare_cached(statement).and_then(|mut write| write.execute(params![&*device.id, json(device)]));
    done.map(drop).map_err(|source| JournalError::store(path, "write", source))
}

fn insert_sample(connection: &Connection, after: EventSeq, sample: &GpuSample) -> rusqlite::Result<()> {
    // One that begins at the moment of another of its device, after a clock stood still, has nothing new to tell.
    let statement = "insert or ignore into gpu_samples
        select ?1, number, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13 from gpu_devices where id = ?2";
    let words: Vec<&str> = sample.throttled.iter().map(|why| why.word()).collect();
    let whole = |number: Option<u64>| number.map(u64::cast_signed);
    connection.prepare_cached(statement)?.execute(params![
        sample.at.0,
        &*sample.device,
        sample.until.0,
        after.0.cast_signed(),
        json(&sample.energy),
        json(&sample.busy),
        sample.power_mw,
        whole(sample.memory),
        sample.celsius,
        (!words.is_empty()).then(|| words.join(",")),
        sample.users.as_ref().map(json),
        sample.holes,
        sample.lost,
    ])?;
    Ok(())
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("plain values are JSON")
}

/// Tells whether anything was ever sampled.
fn is_there(connection: &Connection) -> rusqlite::Result<bool> {
    let found = connection.query_row("select 1 from sqlite_schema where name = 'gpu_samples'", [], |_| Ok(()));
    Ok(found.optional()?.is_some())
}

/// Returns the devices, in the order in which they were first seen.
pub(super) fn devices(connection: &Connection, path: &Path) -> Result<Vec<GpuDevice>, JournalError> {
    let failed = |source| JournalError::store(path, "read", source);
    if !is_there(connection).map_err(failed)? {
        return Ok(Vec::new());
    }
    let mut statement = connection.prepare("select body from gpu_devices order by number").map_err(failed)?;
    let bodies = statement.query_map([], |row| row.get::<_, String>(0)).map_err(failed)?;
    bodies.map(|body| decode(path, &body.map_err(failed)?)).collect()
}

/// Calls `visit` for samples, in the order of time.
pub(super) fn visit(
    connection: &Connection,
    path: &Path,
    wanted: &Samples,
    visit: &mut SampleVisit<'_>,
) -> Result<(), JournalError> {
    let failed = |source| JournalError::store(path, "read", source);
    if !is_there(connection).map_err(failed)? {
        return Ok(());
    }
    let query = format!(
        "select at, device, until, energy, busy, power_mw, memory, celsius, throttled, users, holes, lost, id
         from gpu_samples join gpu_devices on number = device
         where (at, device) > (?1, ?2) and at < ?3 and after_seq <= ?4 order by at, device limit {PAGE}"
    );
    let mut cursor = (wanted.from.0.saturating_sub(1), i64::MAX);
    loop {
        let mut statement = connection.prepare_cached(&query).map_err(failed)?;
        let values = (cursor.0, cursor.1, wanted.until.0, wanted.through.0.cast_signed());
        let rows =
            statement.query_map(values, |row| Ok((row.get(0)?, row.get(1)?, read(row, path)?))).map_err(failed)?;
        let page: Vec<(i64, i64, Result<GpuSample, JournalError>)> =
            rows.collect::<Result<_, _>>().map_err(failed)?;
        let is_last = page.len() < PAGE;
        for (at, device, sample) in page {
            cursor = (at, device);
            visit(sample?)?;
        }
        if is_last {
            return Ok(());
        }
    }
}

fn read(row: &Row<'_>, path: &Path) -> rusqlite::Result<Result<GpuSample, JournalError>> {
    let texts: (String, String, Option<String>, Option<String>) =
        (row.get(3)?, row.get(4)?, row.get(8)?, row.get(9)?);
    let memory: Option<i64> = row.get(6)?;
    let mut sample = GpuSample::empty(Arc::from(row.get::<_, String>(12)?), Timestamp(row.get(0)?));
    sample.until = Timestamp(row.get(2)?);
    sample.power_mw = row.get(5)?;
    sample.memory = memory.map(i64::cast_unsigned);
    sample.celsius = row.get(7)?;
    sample.holes = row.get(10)?;
    sample.lost = row.get(11)?;
    let (energy, busy, throttled, users) = texts;
    let fill = || -> Result<(), JournalError> {
        sample.energy = decode(path, &energy)?;
        sample.busy = decode(path, &busy)?;
        sample.throttled = throttled.iter().flat_map(|words| words.split(',')).filter_map(reason).collect();
        sample.users = users.map(|users| decode(path, &users)).transpose()?;
        Ok(())
    };
    Ok(fill().map(|()| sample))
}

/// A reason that a later version knows is none to this one.
fn reason(word: &str) -> Option<Throttle> {
    let known = [Throttle::Power, Throttle::Heat, Throttle::PowerBrake, Throttle::Hardware, Throttle::SyncBoost];
    known.into_iter().find(|reason| reason.word() == word)
}

fn decode<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, JournalError> {
    serde_json::from_str(text)
        .map_err(|error| JournalError::damaged(path, Place::File, format!("a sample of a graphics device: {error}")))
}
