//! Three numbers: a place, a direction, a colour.

use std::ops::{Add, Mul, Sub};

#[derive(Clone, Copy, PartialEq)]
pub struct Vector {
    pub x: f64,
    pub y: f64,
    pub z: f64,
}

pub const fn vector(x: f64, y: f64, z: f64) -> Vector {
    Vector { x, y, z }
}

impl Vector {
    pub const ZERO: Vector = vector(0.0, 0.0, 0.0);

    pub fn dot(self, other: Vector) -> f64 {
        self.x * other.x + self.y * other.y + self.z * other.z
    }

    pub fn cross(self, other: Vector) -> Vector {
        vector(
            self.y * other.z - self.z * other.y,
            self.z * other.x - self.x * other.z,
            self.x * other.y - self.y * other.x,
        )
    }

    pub fn length(self) -> f64 {
        self.dot(self).sqrt()
    }

    /// In the same direction, of length one.
    pub fn unit(self) -> Vector {
        self * (1.0 / self.length())
    }

    /// Each part by its like: a colour through a filter.
    pub fn times(self, other: Vector) -> Vector {
        vector(self.x * other.x, self.y * other.y, self.z * other.z)
    }

    pub fn reflected(self, normal: Vector) -> Vector {
        self - normal * (2.0 * self.dot(normal))
    }

    pub fn largest(self) -> f64 {
        self.x.max(self.y).max(self.z)
    }

    pub fn at_most(self, most: f64) -> Vector {
        vector(self.x.min(most), self.y.min(most), self.z.min(most))
    }

    pub fn towards(self, other: Vector, part: f64) -> Vector {
        self + (other - self) * part
    }
}

impl Add for Vector {
    type Output = Vector;
    fn add(self, other: Vector) -> Vector {
        vector(self.x + other.x, self.y + other.y, self.z + other.z)
    }
}

impl Sub for Vector {
    type Output = Vector;
    fn sub(self, other: Vector) -> Vector {
        vector(self.x - other.x, self.y - other.y, self.z - other.z)
    }
}

impl Mul<f64> for Vector {
    type Output = Vector;
    fn mul(self, factor: f64) -> Vector {
        vector(self.x * factor, self.y * factor, self.z * factor)
    }
}
