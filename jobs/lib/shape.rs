//! Shapes: where a ray meets one, how it stands there, and how those that glow are asked for light.

use crate::math;
use crate::random::Random;
use crate::vector::{vector, Vector};

/// Nothing is as far away.
pub const FAR: f64 = 1e9;
/// Nearer than that a ray meets nothing: it just left there.
const NEAR: f64 = 1e-7;

#[derive(Clone)]
pub enum Shape {
    Sphere {
        center: Vector,
        radius: f64,
    },
    Plane {
        point: Vector,
        normal: Vector,
    },
    /// Half its size, and cosine and sine of its turn about the upright axis.
    Block {
        center: Vector,
        half: Vector,
        cosine: f64,
        sine: f64,
    },
    Triangle {
        corner: Vector,
        u: Vector,
        v: Vector,
    },
    /// A parallelogram.
    Quad {
        corner: Vector,
        u: Vector,
        v: Vector,
    },
}

impl Shape {
    pub fn shift(&mut self, by: Vector) {
        let place = match self {
            Shape::Sphere { center, .. } | Shape::Block { center, .. } => center,
            Shape::Plane { point, .. } => point,
            Shape::Triangle { corner, .. } | Shape::Quad { corner, .. } => corner,
        };
        *place = *place + by;
    }

    /// At what distance, above `NEAR` and below `most`, a ray meets it first.
    pub fn meets(&self, from: Vector, towards: Vector, most: f64) -> Option<f64> {
        let within = |distance: f64| Some(distance).filter(|d| *d > NEAR && *d < most);
        match self {
            Shape::Sphere { center, radius } => {
                let out = from - *center;
                let half = out.dot(towards);
                let square = half * half - (out.dot(out) - radius * radius);
                if square < 0.0 {
                    return None;
                }
                let root = square.sqrt();
                within(-half - root).or_else(|| within(-half + root))
            }
            Shape::Plane { point, normal } => {
                let slope = normal.dot(towards);
                if slope.abs() < 1e-12 {
                    return None;
                }
                within((*point - from).dot(*normal) / slope)
            }
            Shape::Block {
                center,
                half,
                cosine,
                sine,
            } => {
                let from = turned(from - *center, *cosine, -*sine);
                let towards = turned(towards, *cosine, -*sine);
                let (enter, leave) = slabs(from, towards, *half)?;
                within(enter).or_else(|| within(leave))
            }
            Shape::Triangle { corner, u, v } => {
                let (distance, a, b) = crossing(*corner, *u, *v, from, towards)?;
                within(distance).filter(|_| a >= 0.0 && b >= 0.0 && a + b <= 1.0)
            }
            Shape::Quad { corner, u, v } => {
                let (distance, a, b) = crossing(*corner, *u, *v, from, towards)?;
                within(distance).filter(|_| a >= 0.0 && a <= 1.0 && b >= 0.0 && b <= 1.0)
            }
        }
    }

    /// Outward, of length one, at a point of the surface.
    pub fn normal(&self, point: Vector) -> Vector {
        match self {
            Shape::Sphere { center, radius } => (point - *center) * (1.0 / radius),
            Shape::Plane { normal, .. } => *normal,
            Shape::Block {
                center,
                half,
                cosine,
                sine,
            } => {
                let inside = turned(point - *center, *cosine, -*sine);
                // The side whose slab the point lies on, or is nearest to.
                let off = vector(
                    (inside.x.abs() - half.x).abs(),
                    (inside.y.abs() - half.y).abs(),
                    (inside.z.abs() - half.z).abs(),
                );
                let sign = |value: f64| if value < 0.0 { -1.0 } else { 1.0 };
                let side = if off.x <= off.y && off.x <= off.z {
                    vector(sign(inside.x), 0.0, 0.0)
                } else if off.y <= off.z {
                    vector(0.0, sign(inside.y), 0.0)
                } else {
                    vector(0.0, 0.0, sign(inside.z))
                };
                turned(side, *cosine, *sine)
            }
            Shape::Triangle { u, v, .. } | Shape::Quad { u, v, .. } => u.cross(*v).unit(),
        }
    }
}

/// Turned about the upright axis.
fn turned(v: Vector, cosine: f64, sine: f64) -> Vector {
    vector(v.x * cosine + v.z * sine, v.y, v.z * cosine - v.x * sine)
}

/// Where a ray enters and leaves a block about the origin.
fn slabs(from: Vector, towards: Vector, half: Vector) -> Option<(f64, f64)> {
    let (mut enter, mut leave) = (-FAR, FAR);
    let axes = [
        (from.x, towards.x, half.x),
        (from.y, towards.y, half.y),
        (from.z, towards.z, half.z),
    ];
    for (from, towards, half) in axes.iter().copied() {
        if towards.abs() < 1e-12 {
            if from.abs() > half {
                return None;
            }
            continue;
        }
        let (a, b) = ((-half - from) / towards, (half - from) / towards);
        let (near, far) = if a < b { (a, b) } else { (b, a) };
        enter = if near > enter { near } else { enter };
        leave = if far < leave { far } else { leave };
        if enter > leave {
            return None;
        }
    }
    Some((enter, leave))
}

/// Distance, and how far along both sides, where a ray crosses a plane (Möller and Trumbore).
fn crossing(corner: Vector, u: Vector, v: Vector, from: Vector, towards: Vector) -> Option<(f64, f64, f64)> {
    let p = towards.cross(v);
    let scale = u.dot(p);
    if scale.abs() < 1e-14 {
        return None;
    }
    let out = from - corner;
    let a = out.dot(p) / scale;
    let q = out.cross(u);
    Some((v.dot(q) / scale, a, towards.dot(q) / scale))
}

/// A thing that can be asked for light: one with a known area.
pub struct Lamp {
    pub shape: Shape,
    pub material: usize,
}

impl Lamp {
    /// A direction towards a random place of the lamp, how far that is, and how much of the whole
    /// sphere's light (as a solid angle) such a direction stands for.
    pub fn ask(&self, from: Vector, random: &mut Random) -> Option<(Vector, f64, f64)> {
        match &self.shape {
            Shape::Sphere { center, radius } => {
                let out = *center - from;
                let square = out.dot(out);
                if square <= radius * radius * 1.000_001 {
                    return None;
                }
                // Evenly within the cone in which the ball is seen.
                let edge = (1.0 - radius * radius / square).max(0.0).sqrt();
                let cosine = 1.0 - random.unit() * (1.0 - edge);
                let sine = (1.0 - cosine * cosine).max(0.0).sqrt();
                let (s, c) = math::sin_cos(2.0 * std::f64::consts::PI * random.unit());
                let axis = out * (1.0 / square.sqrt());
                let (u, v) = beside(axis);
                let towards = (axis * cosine + u * (sine * c) + v * (sine * s)).unit();
                let distance = self.shape.meets(from, towards, FAR)?;
                Some((towards, distance, 2.0 * std::f64::consts::PI * (1.0 - edge)))
            }
            Shape::Quad { corner, u, v } => {
                let out = *corner + *u * random.unit() + *v * random.unit() - from;
                let square = out.dot(out);
                let distance = square.sqrt();
                let towards = out * (1.0 / distance);
                let area = u.cross(*v);
                Some((towards, distance, area.dot(towards).abs() / square))
            }
            _ => None,
        }
    }
}

/// Two directions that are square to the given one and to each other.
fn beside(axis: Vector) -> (Vector, Vector) {
    let other = if axis.x.abs() > 0.9 {
        vector(0.0, 1.0, 0.0)
    } else {
        vector(1.0, 0.0, 0.0)
    };
    let u = axis.cross(other).unit();
    (u, axis.cross(u))
}
