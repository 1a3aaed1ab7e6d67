//! Metrics: names and units, and the points of gauges and sums.

use super::group::Refs;
use super::resource::{Resource, Scope};
use super::value::{Attrs, text};
use crate::wire::{Fields, Kind};

/// Which of the five data kinds a metric holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// None is set.
    Empty,
    Gauge,
    Sum {
        monotonic: bool,
        cumulative: bool,
    },
    Histogram,
    ExponentialHistogram,
    Summary,
}

/// A `Metric`, borrowed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Metric<'a> {
    pub name: &'a str,
    pub description: &'a str,
    pub unit: &'a str,
    pub kind: MetricKind,
    data: &'a [u8],
    message: &'a [u8],
}

impl<'a> Metric<'a> {
    pub fn decode(message: &'a [u8]) -> Self {
        let mut metric =
            Metric { name: "", description: "", unit: "", kind: MetricKind::Empty, data: &[], message };
        for field in Fields::new(message).map_while(Result::ok) {
            let kind = match field.number {
                1 => {
                    metric.name = text(field.bytes());
                    continue;
                }
                2 => {
                    metric.description = text(field.bytes());
                    continue;
                }
                3 => {
                    metric.unit = text(field.bytes());
                    continue;
                }
                5 => MetricKind::Gauge,
                7 => sum_kind(field.bytes()),
                9 => MetricKind::Histogram,
                10 => MetricKind::ExponentialHistogram,
                11 => MetricKind::Summary,
                _ => continue,
            };
            metric.kind = kind;
            metric.data = field.bytes();
        }
        metric
    }

    /// The encoded message.
    pub fn message(&self) -> &'a [u8] {
        self.message
    }

    /// The points of a gauge or a sum; none for the other kinds.
    pub fn number_points(&self) -> impl Iterator<Item = NumberPoint<'a>> + use<'a> {
        let numbers = matches!(self.kind, MetricKind::Gauge | MetricKind::Sum { .. });
        let data = if numbers { self.data } else { &[] };
        Fields::new(data)
            .map_while(Result::ok)
            .filter(|f| f.number == 1)
            .map(|f| NumberPoint::decode(f.bytes()))
    }
}

impl Metric<'_> {
    /// How many points the metric has, of whatever kind: all five hold them in the same field.
    pub fn point_count(&self) -> usize {
        Fields::new(self.data).map_while(Result::ok).filter(|f| f.number == 1).count()
    }
}

fn sum_kind(message: &[u8]) -> MetricKind {
    let (mut monotonic, mut cumulative) = (false, false);
    for field in Fields::new(message).map_while(Result::ok) {
        match field.number {
            2 => cumulative = field.number_value() == 2,
            3 => monotonic = field.number_value() != 0,
            _ => {}
        }
    }
    MetricKind::Sum { monotonic, cumulative }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum PointValue {
    Int(i64),
    Double(f64),
}

impl PointValue {
    pub fn as_f64(self) -> f64 {
        match self {
            PointValue::Int(n) => n as f64,
            PointValue::Double(x) => x,
        }
    }
}

/// A `NumberDataPoint`, borrowed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NumberPoint<'a> {
    /// Nanoseconds since the Unix epoch; 0 is unknown.
    pub start: u64,
    /// Nanoseconds since the Unix epoch.
    pub time: u64,
    /// `None` where the point says "no recorded value".
    pub value: Option<PointValue>,
    pub attrs: Attrs<'a>,
}

impl<'a> NumberPoint<'a> {
    fn decode(message: &'a [u8]) -> Self {
        let mut point = NumberPoint { start: 0, time: 0, value: None, attrs: Attrs::new(message, 7) };
        for field in Fields::new(message).map_while(Result::ok) {
            match (field.number, field.kind) {
                (2, Kind::Fixed64(n)) => point.start = n,
                (3, Kind::Fixed64(n)) => point.time = n,
                (4, Kind::Fixed64(n)) => point.value = Some(PointValue::Double(f64::from_bits(n))),
                (6, Kind::Fixed64(n)) => point.value = Some(PointValue::Int(n as i64)),
                _ => {}
            }
        }
        point
    }
}

/// A metric with its resource and scope.
#[derive(Debug, Clone, Copy)]
pub struct MetricRef<'a> {
    pub resource: Resource<'a>,
    pub scope: Scope<'a>,
    pub metric: Metric<'a>,
}

/// The metrics of an encoded `ExportMetricsServiceRequest`, in order.
pub fn metric_refs(body: &[u8]) -> impl Iterator<Item = MetricRef<'_>> {
    Refs::new(body).map(|(group, record)| MetricRef {
        resource: group.resource,
        scope: group.scope,
        metric: Metric::decode(record),
    })
}
