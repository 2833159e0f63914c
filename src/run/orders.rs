//! Looks for orders that other processes leave for this run, and hands them to its owner.

use std::time::Duration;

use tokio::sync::mpsc;

use super::conductor::Steer;
use crate::event::StopCause;
use crate::journal::{Order, Ordered, Spool};

/// How often the folder is looked at: at once for a person, and nothing for the disk.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Hands orders on until the run is over. A folder that cannot be read is told once and looked at again: a run does
/// not end because nobody can steer it.
///
/// # Cancel safety
/// An order that was taken and not handed on yet is lost when the future is dropped; whoever gave it hears nothing and
/// says so.
pub async fn listen(spool: Spool, steers: mpsc::Sender<Steer>) {
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
            match order {
                Ok(order) => {
                    if steers.send(steer(order)).await.is_err() {
                        return;
                    }
                }
                Err(why) => {
                    if let Err(error) = spool.refuse(&name, &why) {
                        tracing::warn!(%error, "an order that cannot be read cannot be answered either");
                    }
                }
            }
        }
    }
}

fn steer(order: Order) -> Steer {
    match order {
        Order::Pause => Steer::Pause,
        Order::Unpause => Steer::Unpause,
        Order::Slots { backend, slots } => Steer::Slots(backend, slots),
        Order::Stop => Steer::Stop(StopCause::Command),
        Order::Cancel => Steer::Stop(StopCause::Cancel),
    }
}
