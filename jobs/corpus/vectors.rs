//! Vector instructions, with lanes that are not numbers.
//! Compiler flags: -C target-feature=+simd128

use std::arch::wasm32::*;
use std::fmt::Write;

fn bits(vector: v128) -> String {
    format!(
        "{:016x}{:016x}",
        u64x2_extract_lane::<1>(vector),
        u64x2_extract_lane::<0>(vector)
    )
}

fn hide(vector: v128) -> v128 {
    unsafe { std::ptr::read_volatile(&vector) }
}

fn main() {
    let mut text = String::new();
    let odd = f32::from_bits(0x7fc0_0bad);
    let a = hide(f32x4(1.5, odd, f32::INFINITY, -0.0));
    let b = hide(f32x4(-2.0, 1.0, f32::NEG_INFINITY, 0.0));
    let floats = [
        f32x4_add(a, b),
        f32x4_mul(a, b),
        f32x4_div(b, b),
        f32x4_sqrt(b),
        f32x4_min(a, b),
        f32x4_pmax(a, b),
        f64x2_promote_low_f32x4(f32x4_sub(a, a)),
        i32x4_trunc_sat_f32x4(a),
        f64x2_div(f64x2_splat(0.0), hide(f64x2(0.0, -0.0))),
    ];
    for vector in floats {
        writeln!(text, "{}", bits(hide(vector))).unwrap();
    }
    let mut mix = u8x16(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    for turn in 0..10_000_u32 {
        let other = u32x4_splat(turn.wrapping_mul(2_654_435_761));
        mix = i8x16_swizzle(
            i8x16_add_sat(mix, other),
            v128_and(v128_xor(mix, other), u8x16_splat(15)),
        );
        mix = v128_xor(i16x8_mul(mix, other), i8x16_popcnt(mix));
    }
    writeln!(text, "{}", bits(mix)).unwrap();
    std::fs::write("/out/result.txt", text).unwrap();
}
