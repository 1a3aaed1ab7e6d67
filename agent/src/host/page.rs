//! The points of one sample, written as OTLP.

use weir_model::otlp::{BodyWriter, MetricWriter, PointValue};

const SCOPE: &str = "weir.agent.host";

/// A value with the attributes that tell it from its neighbours.
pub(super) type Point<'a, const N: usize> = ([(&'a str, &'a str); N], PointValue);

pub(super) fn int(value: u64) -> PointValue {
    PointValue::Int(i64::try_from(value).unwrap_or(i64::MAX))
}

/// Writes metrics whose points all have the same time.
pub(super) struct Page<'b> {
    body: &'b mut BodyWriter,
    time: u64,
    start: u64,
}

impl<'b> Page<'b> {
    /// `time` of all points and `start` of all sums, in nanoseconds since the Unix epoch.
    pub(super) fn new(body: &'b mut BodyWriter, time: u64, start: u64) -> Self {
        Self { body, time, start }
    }

    /// Begins a resource; a process has its id as a number beside the other attributes.
    pub(super) fn resource(&mut self, attributes: &[(&str, &str)], pid: Option<u32>) {
        self.body.resource(|attrs| {
            attributes.iter().for_each(|(key, value)| attrs.str(key, value));
            if let Some(pid) = pid {
                attrs.int("process.pid", pid.into());
            }
        });
        self.body.scope(SCOPE, env!("CARGO_PKG_VERSION"));
    }

    pub(super) fn gauge<'a, const N: usize>(
        &mut self,
        name: &str,
        unit: &str,
        points: impl IntoIterator<Item = Point<'a, N>>,
    ) {
        let time = self.time;
        self.body.record(|out| {
            MetricWriter::new(out, name, unit).gauge(|to| {
                for (attributes, value) in points {
                    to.point(0, time, value, |attrs| attributes.iter().for_each(|(k, v)| attrs.str(k, v)));
                }
            });
        });
    }

    /// A sum that only rises.
    pub(super) fn sum<'a, const N: usize>(
        &mut self,
        name: &str,
        unit: &str,
        points: impl IntoIterator<Item = Point<'a, N>>,
    ) {
        let (start, time) = (self.start, self.time);
        self.body.record(|out| {
            MetricWriter::new(out, name, unit).sum(true, |to| {
                for (attributes, value) in points {
                    to.point(start, time, value, |attrs| {
                        attributes.iter().for_each(|(k, v)| attrs.str(k, v))
                    });
                }
            });
        });
    }
}
