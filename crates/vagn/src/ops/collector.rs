//! The figures of the process list as metrics. They are read at each scrape, so they need no second count.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeMetric, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use vagn_otp::ProcessInfo;

use super::LateProcesses;

/// Collector of mailboxes, wake-ups, restarts and busy time of every process.
pub(super) struct ProcessCollector {
    processes: LateProcesses,
}

impl ProcessCollector {
    /// Makes a collector that reads this list as soon as the tree has started.
    pub(super) fn new(processes: LateProcesses) -> Self {
        Self { processes }
    }
}

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(processes) = self.processes.get() else { return Ok(()) };
        let list = processes.list();
        let mailboxes: Vec<_> = list.iter().filter(|info| info.mailbox_capacity > 0).collect();
        gauge(&mut encoder, "mailbox_depth", "Messages waiting", &mailboxes, |info| {
            info.mailbox_depth as i64
        })?;
        gauge(&mut encoder, "mailbox_capacity", "Most messages that may wait", &mailboxes, |info| {
            info.mailbox_capacity as i64
        })?;
        gauge(
            &mut encoder,
            "mailbox_oldest_seconds",
            "Age of the oldest message waiting",
            &mailboxes,
            |info| info.mailbox_oldest.as_secs_f64(),
        )?;
        let stalled = "Time since a message was taken while others waited: grows when the actor is stuck";
        gauge(&mut encoder, "mailbox_stalled_seconds", stalled, &mailboxes, |info| {
            info.mailbox_stalled.as_secs_f64()
        })?;
        let all: Vec<_> = list.iter().collect();
        let hung =
            "Time in one message or one wait, since it is longer than hang_limit; 0 when it does not hang";
        gauge(&mut encoder, "actor_hung_seconds", hung, &all, |info| {
            info.hung.unwrap_or_default().as_secs_f64()
        })?;
        counter(&mut encoder, "actor_restarts", "Incarnations after the first", &all, |info| info.restarts)?;
        counter(&mut encoder, "actor_handled", "Messages, jobs or turns handled", &all, |info| info.handled)?;
        counter(&mut encoder, "actor_wakeups", "Times woken from waiting", &all, |info| info.wakeups)?;
        counter(&mut encoder, "actor_busy_seconds", "Time spent handling", &all, |info| {
            info.busy.as_secs_f64()
        })
    }
}

fn gauge<N: EncodeGaugeValue>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    list: &[&ProcessInfo],
    value: impl Fn(&ProcessInfo) -> N,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for info in list {
        let gauge = ConstGauge::new(value(info));
        gauge.encode(family.encode_family(&[("actor", label(info))])?)?;
    }
    Ok(())
}

fn counter<N: EncodeCounterValue>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    list: &[&ProcessInfo],
    value: impl Fn(&ProcessInfo) -> N,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for info in list {
        let labels = [("actor", label(info))];
        family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&value(info), None)?;
    }
    Ok(())
}

/// Returns the path below the root. It is unique, where a name is not.
fn label(info: &ProcessInfo) -> &str {
    info.path.split_once('/').map_or(&info.path, |(_, below)| below)
}

impl fmt::Debug for ProcessCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessCollector").finish_non_exhaustive()
    }
}
