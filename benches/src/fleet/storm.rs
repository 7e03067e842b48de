//! All nodes drop at the same moment and come back.

use super::{FLEET_MAX, Fleet};
use crate::{
    Outcome,
    report::{Figure, quantile, say},
};
use std::time::Duration;
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

/// Time between two looks of somebody at the panel while all nodes come back.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The hub is restarted, so all nodes drop and return with the product's own waits. Meanwhile somebody
/// looks at a list of servers.
pub(super) async fn measure(fleet: &mut Fleet, size: (u32, u16)) -> Outcome<Vec<Figure>> {
    say("the hub is restarted");
    fleet.hub.stop().await?;
    let waited = Instant::now();
    while fleet.nodes.iter().any(|member| member.link.status.borrow().up) {
        if waited.elapsed() > FLEET_MAX {
            return Err("nodes do not notice that the hub is gone".into());
        }
        sleep(Duration::from_millis(20)).await;
    }
    let started = fleet.hub.start().await?;
    let fleet = &*fleet;
    let begun = Instant::now();
    let stop = watch::Sender::new(false);
    let returned = async {
        let returned = fleet.wait("sessions again", |it| it.link.status.borrow().up).await;
        let seconds = begun.elapsed().as_secs_f64();
        stop.send_replace(true);
        returned.map(|()| seconds)
    };
    let (returned, looks) = tokio::join!(returned, look(fleet, stop.subscribe()));
    let (returned, looks) = (returned?, looks?);
    let used = fleet.hub.usage()?;
    let kib = used.resident_kib / f64::from(size.0);
    Ok(vec![
        Figure::new("hub serves after its start", "s", started.as_secs_f64()),
        Figure::new("all nodes are back after the hub's return", "s", returned).at_most(60.0),
        Figure::new("requests that failed meanwhile", "", looks.failed).at_most(0.0),
        Figure::new("list of servers meanwhile, p99", "ms", quantile(&looks.ms, 0.99)),
        Figure::new("hub CPU of start and return", "s of CPU", used.cpu_s),
        Figure::new("hub memory after the return", "MiB", used.resident_kib / 1_024.0),
        Figure::new("all of it, for each node", "KiB", kib),
    ])
}

/// What somebody saw who looked at the panel.
struct Looks {
    ms: Vec<f64>,
    failed: f64,
}

/// Asks for a list of servers again and again until it is told to stop.
async fn look(fleet: &Fleet, stop: watch::Receiver<bool>) -> Outcome<Looks> {
    let mut client = fleet.hub.admin().await?;
    let mut looks = Looks { ms: Vec::new(), failed: 0.0 };
    while !*stop.borrow() {
        let begun = Instant::now();
        match client.raw("GET", "/api/v1/servers?limit=50", None).await {
            Ok((200, _)) => looks.ms.push(begun.elapsed().as_secs_f64() * 1_000.0),
            Ok(_) | Err(_) => looks.failed += 1.0,
        }
        sleep(LOOK_EVERY).await;
    }
    looks.ms.sort_by(f64::total_cmp);
    Ok(looks)
}
