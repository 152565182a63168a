//! Presentation time, frame numbers and half-open spans.

use serde::{Deserialize, Serialize};

/// A presentation timestamp in the ticks of its stream's [`TimeBase`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pts(pub i64);

/// A frame's number in presentation order, from 0, counted over decoded frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FrameIndex(pub u32);

/// Seconds per tick as a fraction `num / den`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeBase {
    /// Numerator, above zero.
    pub num: i32,
    /// Denominator, above zero.
    pub den: i32,
}

impl TimeBase {
    /// A time base; parts that are not positive become 1, as libav reads them.
    pub fn new(num: i32, den: i32) -> Self {
        Self {
            num: num.max(1),
            den: den.max(1),
        }
    }
    /// A timestamp in seconds.
    pub fn secs(self, pts: Pts) -> f64 {
        self.secs_of(pts.0)
    }
    /// A number of ticks in seconds.
    pub fn secs_of(self, ticks: i64) -> f64 {
        ticks as f64 * f64::from(self.num) / f64::from(self.den)
    }
    /// Seconds in ticks, rounded to the nearest.
    pub fn ticks(self, secs: f64) -> i64 {
        (secs * f64::from(self.den) / f64::from(self.num)).round() as i64
    }
}

/// Half-open `[start, start + len)`; it cannot be reversed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Span<T> {
    start: T,
    len: u64,
}

/// A point that spans can be made of.
pub trait Point: Copy + Ord {
    /// Its number.
    fn number(self) -> i64;
    /// The point of that number.
    fn at(number: i64) -> Self;
}

impl Point for Pts {
    fn number(self) -> i64 {
        self.0
    }
    fn at(number: i64) -> Self {
        Self(number)
    }
}

impl Point for FrameIndex {
    fn number(self) -> i64 {
        i64::from(self.0)
    }
    fn at(number: i64) -> Self {
        Self(number as u32)
    }
}

impl<T: Point> Span<T> {
    /// The span from `start` with `len` ticks or frames.
    pub fn new(start: T, len: u64) -> Self {
        Self { start, len }
    }
    /// From the earlier of the two points to the later, which stays outside.
    pub fn between(a: T, b: T) -> Self {
        let (low, high) = if a <= b { (a, b) } else { (b, a) };
        Self {
            start: low,
            len: (high.number() - low.number()) as u64,
        }
    }
    /// First point inside.
    pub fn start(&self) -> T {
        self.start
    }
    /// First point after.
    pub fn end(&self) -> T {
        T::at(self.start.number() + self.len as i64)
    }
    /// Ticks or frames inside.
    pub fn len(&self) -> u64 {
        self.len
    }
    /// Whether nothing is inside.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
    /// Whether `point` is inside.
    pub fn contains(&self, point: T) -> bool {
        self.start <= point && point < self.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn span_ends_are_exclusive() {
        let span = Span::between(FrameIndex(3), FrameIndex(7));
        assert_eq!((span.len(), span.end()), (4, FrameIndex(7)));
        assert!(span.contains(FrameIndex(6)) && !span.contains(FrameIndex(7)));
    }

    #[test]
    fn seconds_and_ticks_agree() {
        let base = TimeBase::new(1001, 30000);
        assert_eq!(base.ticks(base.secs(Pts(12345))), 12345);
    }
}
