//! Arithmetic modulo an odd number below 2^128, by Montgomery's way, and what proofs of primality
//! need of it.

/// An odd modulus. Numbers are in Montgomery's form, `x * 2^128 mod n`, where it says so.
pub struct Modulus {
    n: u128,
    /// -1/n mod 2^128.
    inverse: u128,
    /// 2^128 mod n: one in Montgomery's form.
    one: u128,
    /// 2^256 mod n.
    square: u128,
}

/// The product in two halves, high and low.
fn wide(a: u128, b: u128) -> (u128, u128) {
    const LOW: u128 = u64::MAX as u128;
    let (a1, a0, b1, b0) = (a >> 64, a & LOW, b >> 64, b & LOW);
    let low = a0 * b0;
    let middle = a1 * b0 + (low >> 64);
    let cross = a0 * b1 + (middle & LOW);
    (
        a1 * b1 + (middle >> 64) + (cross >> 64),
        (cross << 64) | (low & LOW),
    )
}

impl Modulus {
    pub fn of(n: u128) -> Modulus {
        debug_assert!(n % 2 == 1);
        let mut inverse = n;
        for _ in 0..6 {
            inverse = inverse.wrapping_mul(2_u128.wrapping_sub(n.wrapping_mul(inverse)));
        }
        let one = (u128::MAX % n + 1) % n;
        let mut modulus = Modulus {
            n,
            inverse: inverse.wrapping_neg(),
            one,
            square: one,
        };
        for _ in 0..128 {
            modulus.square = modulus.add(modulus.square, modulus.square);
        }
        modulus
    }

    /// One in Montgomery's form.
    pub fn one(&self) -> u128 {
        self.one
    }

    pub fn add(&self, a: u128, b: u128) -> u128 {
        let (sum, carried) = a.overflowing_add(b);
        if carried || sum >= self.n {
            sum.wrapping_sub(self.n)
        } else {
            sum
        }
    }

    /// The product of two numbers in Montgomery's form, in that form.
    pub fn times(&self, a: u128, b: u128) -> u128 {
        let (high, low) = wide(a, b);
        let (rest, _) = wide(low.wrapping_mul(self.inverse), self.n);
        self.add(self.add(high, rest), u128::from(low != 0))
    }

    fn power(&self, base: u128, mut exponent: u128) -> u128 {
        let (mut square, mut result) = (base, self.one);
        while exponent > 0 {
            if exponent & 1 == 1 {
                result = self.times(result, square);
            }
            square = self.times(square, square);
            exponent >>= 1;
        }
        result
    }

    fn form_of(&self, number: u128) -> u128 {
        self.times(number % self.n, self.square)
    }

    /// Whether the base shows that the modulus is composite (Miller and Rabin).
    pub fn is_witness(&self, base: u128) -> bool {
        let twos = (self.n - 1).trailing_zeros();
        let minus_one = self.n - self.one;
        let mut x = self.power(self.form_of(base), (self.n - 1) >> twos);
        if x == self.one || x == minus_one || base % self.n == 0 {
            return false;
        }
        for _ in 1..twos {
            x = self.times(x, x);
            if x == minus_one {
                return false;
            }
        }
        true
    }

    /// Whether `a^(n-1) = 1` and `a^((n-1)/q) - 1` is prime to the modulus.
    pub fn shows(&self, a: u128, q: u128) -> bool {
        let part = self.power(self.form_of(a), (self.n - 1) / q);
        if self.power(part, q) != self.one {
            return false;
        }
        gcd(self.add(part, self.n - self.one), self.n) == 1
    }
}

pub fn gcd(mut a: u128, mut b: u128) -> u128 {
    while b != 0 {
        let rest = a % b;
        a = b;
        b = rest;
    }
    a
}

/// The whole part of the square root.
pub fn root(n: u128) -> u128 {
    let mut low = 0_u128;
    for bit in (0..64).rev() {
        let more = low | (1 << bit);
        if more * more <= n {
            low = more;
        }
    }
    low
}
