//! Looks for orders that other processes leave for this run, and hands them to its owner.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::conductor::Steer;
use crate::event::{RunTuned, StopCause};
use crate::journal::{Order, Ordered, Spool};
use crate::plan::{BackendIdx, Plan};

/// How often the folder is looked at: at once for a person, and nothing for the disk.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// A plan that asks the same within other limits.
#[derive(Clone, Debug)]
pub struct Retuned {
    /// The plan from here on.
    pub plan: Arc<Plan>,
    /// What is recorded of it.
    pub tuned: RunTuned,
    /// Backends that work on another number of calls at once.
    pub slots: Vec<(BackendIdx, NonZeroU32)>,
}

/// Makes the plan of a live run again, with values replaced by path; else says why not.
pub type Retune = Arc<dyn Fn(&[(String, String)]) -> Result<Retuned, String> + Send + Sync>;

/// Hands orders on until the run is over. A folder that cannot be read is told once and looked at again: a run does
/// not end because nobody can steer it.
///
/// # Cancel safety
/// An order that was taken and not handed on yet is lost when the future is dropped; whoever gave it hears nothing and
/// says so.
pub async fn listen(spool: Spool, steers: mpsc::Sender<Steer>, retune: Retune) {
    let mut is_told = false;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let looking = spool.clone();
        let taken = tokio::task::spawn_blocking(move || looking.take()).await;
        let orders = match taken {
            Ok(Ok(orders)) => orders,
            Ok(Err(error)) => {
                if !is_told {
                    tracing::warn!(%error, "orders from other processes cannot be read");
                    is_told = true;
                }
                continue;
            }
            Err(_) => return,
        };
        for Ordered { name, order } in orders {
            let steer = match order {
                Ok(order) => steer(order, &retune).await,
                Err(why) => Err(why),
            };
            match steer {
                Ok(steer) => {
                    if steers.send(steer).await.is_err() {
                        return;
                    }
                }
                Err(why) => {
                    if let Err(error) = spool.refuse(&name, &why) {
                        tracing::warn!(%error, "an order that is not carried out cannot be answered either");
                    }
                }
            }
        }
    }
}

async fn steer(order: Order, retune: &Retune) -> Result<Steer, String> {
    Ok(match order {
        Order::Pause => Steer::Pause,
        Order::Unpause => Steer::Unpause,
        Order::Slots { backend, slots } => Steer::Slots(backend, slots),
        Order::Tune { sets } => {
            let retune = Arc::clone(retune);
            // A large pipeline is compiled off the threads that calls run on.
            let made = tokio::task::spawn_blocking(move || retune(&sets)).await;
            Steer::Tune(Box::new(made.map_err(|panic| panic.to_string())??))
        }
        Order::Stop => Steer::Stop(StopCause::Command),
        Order::Cancel => Steer::Stop(StopCause::Cancel),
    })
}
