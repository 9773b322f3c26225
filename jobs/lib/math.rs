//! Elementary functions out of `+ - * /` and shifts of the exponent, which every machine rounds in
//! the same way. The functions of a C library differ in their last bits from one to the next.
//! Errors are below 1e-15, relative to the result or, near its zeros, absolute.

/// ln 2 in two parts; the first has so few bits that a small whole multiple of it is exact.
const LN2_HIGH: f64 = 0.693_147_180_369_123_8;
const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;
/// π/2 in two parts, likewise.
const HALF_PI_HIGH: f64 = 1.570_796_326_734_125_6;
const HALF_PI_LOW: f64 = 6.077_100_506_506_192e-11;

/// 2 to a whole power between -1022 and 1023.
fn power_of_two(exponent: i64) -> f64 {
    f64::from_bits(((exponent + 1023) as u64) << 52)
}

/// e to the power of `x`; zero and infinity where a double ends.
pub fn exp(x: f64) -> f64 {
    if x > 709.0 {
        return if x.is_nan() { x } else { f64::INFINITY };
    }
    if !(x > -708.0) {
        return if x.is_nan() { x } else { 0.0 };
    }
    let whole = (x * std::f64::consts::LOG2_E + 0.5).floor();
    let rest = (x - whole * LN2_HIGH) - whole * LN2_LOW;
    let mut sum = 1.0;
    for n in (1..=14).rev() {
        sum = 1.0 + sum * rest / f64::from(n);
    }
    sum * power_of_two(whole as i64)
}

/// The natural logarithm of a positive, normal number.
pub fn ln(x: f64) -> f64 {
    let bits = x.to_bits();
    let mut exponent = ((bits >> 52) & 0x7ff) as i64 - 1023;
    let mut mantissa = f64::from_bits((bits & ((1 << 52) - 1)) | (1023 << 52));
    if mantissa > std::f64::consts::SQRT_2 {
        mantissa *= 0.5;
        exponent += 1;
    }
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let square = s * s;
    let mut sum = 0.0;
    for n in (0..=11).rev() {
        sum = sum * square + 1.0 / f64::from(2 * n + 1);
    }
    let exponent = exponent as f64;
    exponent * LN2_HIGH + (2.0 * s * sum + exponent * LN2_LOW)
}

/// `x` to the power of `y`, for `x` that is not negative.
pub fn pow(x: f64, y: f64) -> f64 {
    if x <= 0.0 {
        0.0
    } else {
        exp(y * ln(x))
    }
}

/// Sine and cosine, for angles up to some thousand turns.
pub fn sin_cos(x: f64) -> (f64, f64) {
    let quarter = (x * std::f64::consts::FRAC_2_PI + 0.5).floor();
    let rest = (x - quarter * HALF_PI_HIGH) - quarter * HALF_PI_LOW;
    let square = rest * rest;
    let (mut sine, mut cosine) = (1.0, 1.0);
    for n in (1..=9).rev() {
        let n = f64::from(2 * n);
        sine = 1.0 - sine * square / (n * (n + 1.0));
        cosine = 1.0 - cosine * square / (n * (n - 1.0));
    }
    let sine = sine * rest;
    match quarter as i64 & 3 {
        0 => (sine, cosine),
        1 => (cosine, -sine),
        2 => (-sine, -cosine),
        _ => (-cosine, sine),
    }
}

/// The chance that a standard normal number is below `x`.
pub fn normal_below(x: f64) -> f64 {
    if x < -8.0 {
        return 0.0;
    }
    if x > 8.0 {
        return 1.0;
    }
    // The series x + x^3/3 + x^5/(3*5) + ...: all terms of one sign.
    let (mut term, mut sum, mut n) = (x, x, 1.0);
    while term.abs() > sum.abs() * 1e-17 {
        n += 2.0;
        term *= x * x / n;
        sum += term;
    }
    0.5 + sum * exp(-0.5 * x * x) / (2.0 * std::f64::consts::PI).sqrt()
}
