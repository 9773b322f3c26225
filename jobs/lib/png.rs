//! Pictures as PNG: 8 bits for each of red, green and blue, each row filtered in the way that
//! leaves the least, then deflate with fixed codes. Several pictures make an animated one.

const MATCH_MOST: usize = 258;
const MATCH_LEAST: usize = 3;
const WINDOW: usize = 32_768;
/// Earlier places with the same beginning that are looked at.
const TRIES: usize = 64;

/// Writes bits, the low ones first.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    pending: u32,
    length: u32,
}

impl Bits {
    fn put(&mut self, value: u32, length: u32) {
        self.pending |= value << self.length;
        self.length += length;
        while self.length >= 8 {
            self.bytes.push(self.pending as u8);
            self.pending >>= 8;
            self.length -= 8;
        }
    }

    /// A code of Huffman's stands with its high bit first.
    fn code(&mut self, code: u32, length: u32) {
        self.put(code.reverse_bits() >> (32 - length), length);
    }

    /// A literal byte, the end (256), or a class of lengths.
    fn symbol(&mut self, symbol: u32) {
        match symbol {
            0..=143 => self.code(0x30 + symbol, 8),
            144..=255 => self.code(0x190 + symbol - 144, 9),
            256..=279 => self.code(symbol - 256, 7),
            _ => self.code(0xc0 + symbol - 280, 8),
        }
    }

    fn repeat(&mut self, length: usize, distance: usize) {
        let (class, extra, bits) = class(length as u32 - 3, 4, length == MATCH_MOST);
        self.symbol(257 + class);
        self.put(extra, bits);
        let (class, extra, bits) = class_of_distance(distance as u32 - 1);
        self.code(class, 5);
        self.put(extra, bits);
    }

    fn end(mut self) -> Vec<u8> {
        if self.length > 0 {
            self.bytes.push(self.pending as u8);
        }
        self.bytes
    }
}

/// Class, what is left, and its bits, where `each` classes have the same number of bits.
fn class(value: u32, each: u32, is_last: bool) -> (u32, u32, u32) {
    if is_last {
        return (28, 0, 0);
    }
    let low = each.trailing_zeros();
    if value < 2 * each {
        return (value, 0, 0);
    }
    let bits = 31 - value.leading_zeros() - low;
    let class = each * bits + (value >> bits);
    (class, value & ((1 << bits) - 1), bits)
}

fn class_of_distance(value: u32) -> (u32, u32, u32) {
    class(value, 2, false)
}

/// Deflate, with zlib's head and check.
fn compress(data: &[u8]) -> Vec<u8> {
    let mut bits = Bits::default();
    bits.put(0x0178, 16);
    bits.put(1, 1);
    bits.put(1, 2);
    let mut heads = vec![usize::MAX; 1 << 15];
    let mut earlier = vec![usize::MAX; WINDOW];
    let hash = |at: usize| {
        let word = u32::from(data[at]) | u32::from(data[at + 1]) << 8 | u32::from(data[at + 2]) << 16;
        (word.wrapping_mul(0x9e37_79b1) >> 17) as usize
    };
    let mut at = 0;
    while at < data.len() {
        let mut best = (0, 0);
        if at + MATCH_LEAST <= data.len() {
            let most = MATCH_MOST.min(data.len() - at);
            let mut other = heads[hash(at)];
            for _ in 0..TRIES {
                if other == usize::MAX || at - other >= WINDOW || best.0 == most {
                    break;
                }
                let same = (0..most).take_while(|n| data[other + n] == data[at + n]).count();
                if same > best.0 {
                    best = (same, at - other);
                }
                other = earlier[other % WINDOW];
            }
        }
        let length = if best.0 >= MATCH_LEAST { best.0 } else { 1 };
        if length > 1 {
            bits.repeat(best.0, best.1);
        } else {
            bits.symbol(u32::from(data[at]));
        }
        for place in at..(at + length).min(data.len().saturating_sub(MATCH_LEAST - 1)) {
            let slot = hash(place);
            earlier[place % WINDOW] = heads[slot];
            heads[slot] = place;
        }
        at += length;
    }
    bits.symbol(256);
    let mut bytes = bits.end();
    bytes.extend_from_slice(&adler32(data).to_be_bytes());
    bytes
}

fn adler32(data: &[u8]) -> u32 {
    let (mut a, mut b) = (1_u32, 0_u32);
    for byte in data {
        a = (a + u32::from(*byte)) % 65_521;
        b = (b + a) % 65_521;
    }
    b << 16 | a
}

fn crc32(data: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in data {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 {
                crc >> 1 ^ 0xedb8_8320
            } else {
                crc >> 1
            };
        }
    }
    !crc
}

/// The rows, each behind the number of its filter.
fn filtered(width: usize, pixels: &[u8]) -> Vec<u8> {
    let row_bytes = 3 * width;
    let mut all = Vec::with_capacity(pixels.len() + pixels.len() / row_bytes.max(1));
    let mut above = vec![0; row_bytes];
    for row in pixels.chunks(row_bytes) {
        let rest = |filter: u8| -> Vec<u8> {
            let each = row.iter().enumerate().map(|(x, value)| {
                let left = if x >= 3 { row[x - 3] } else { 0 };
                let corner = if x >= 3 { above[x - 3] } else { 0 };
                value.wrapping_sub(predicted(filter, left, above[x], corner))
            });
            each.collect()
        };
        let cost = |row: &[u8]| {
            row.iter()
                .map(|b| u64::from((*b as i8).unsigned_abs()))
                .sum::<u64>()
        };
        let candidates = (0..=4).map(|filter| (filter, rest(filter)));
        if let Some((filter, row)) = candidates.min_by_key(|(_, row)| cost(row)) {
            all.push(filter);
            all.extend_from_slice(&row);
        }
        above.copy_from_slice(row);
    }
    all
}

fn predicted(filter: u8, left: u8, above: u8, corner: u8) -> u8 {
    match filter {
        0 => 0,
        1 => left,
        2 => above,
        3 => ((u16::from(left) + u16::from(above)) / 2) as u8,
        _ => {
            let guess = i16::from(left) + i16::from(above) - i16::from(corner);
            let off = |value: u8| (guess - i16::from(value)).abs();
            if off(left) <= off(above) && off(left) <= off(corner) {
                left
            } else if off(above) <= off(corner) {
                above
            } else {
                corner
            }
        }
    }
}

fn chunk(file: &mut Vec<u8>, name: &[u8; 4], data: &[u8]) {
    file.extend_from_slice(&(data.len() as u32).to_be_bytes());
    let start = file.len();
    file.extend_from_slice(name);
    file.extend_from_slice(data);
    let check = crc32(&file[start..]);
    file.extend_from_slice(&check.to_be_bytes());
}

/// A picture, compressed.
pub struct Picture {
    width: u32,
    height: u32,
    data: Vec<u8>,
}

impl Picture {
    /// Of `width * height` pixels, three bytes each.
    pub fn of(width: u32, height: u32, pixels: &[u8]) -> Picture {
        Picture {
            width,
            height,
            data: compress(&filtered(width as usize, pixels)),
        }
    }

    fn head(&self) -> Vec<u8> {
        let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
        let mut head = [self.width.to_be_bytes(), self.height.to_be_bytes()].concat();
        head.extend_from_slice(&[8, 2, 0, 0, 0]);
        chunk(&mut file, b"IHDR", &head);
        chunk(&mut file, b"sRGB", &[0]);
        file
    }

    /// The bytes of a PNG file.
    pub fn file(&self) -> Vec<u8> {
        let mut file = self.head();
        chunk(&mut file, b"IDAT", &self.data);
        chunk(&mut file, b"IEND", &[]);
        file
    }
}

/// The bytes of an animated PNG file that shows the pictures for ever; a program that knows no
/// animation shows the first.
pub fn animation(pictures: &[Picture], frames_per_second: u16) -> Vec<u8> {
    let first = match pictures.first() {
        Some(first) => first,
        None => return Vec::new(),
    };
    let mut file = first.head();
    chunk(
        &mut file,
        b"acTL",
        &[(pictures.len() as u32).to_be_bytes(), [0; 4]].concat(),
    );
    let mut sequence = 0_u32;
    for (number, picture) in pictures.iter().enumerate() {
        let mut control = [sequence.to_be_bytes(), picture.width.to_be_bytes()].concat();
        control.extend_from_slice(&picture.height.to_be_bytes());
        control.extend_from_slice(&[0; 8]);
        control.extend_from_slice(&1_u16.to_be_bytes());
        control.extend_from_slice(&frames_per_second.to_be_bytes());
        control.extend_from_slice(&[0, 0]);
        chunk(&mut file, b"fcTL", &control);
        sequence += 1;
        if number == 0 {
            chunk(&mut file, b"IDAT", &picture.data);
        } else {
            let numbered = [&sequence.to_be_bytes()[..], &picture.data].concat();
            chunk(&mut file, b"fdAT", &numbered);
            sequence += 1;
        }
    }
    chunk(&mut file, b"IEND", &[]);
    file
}
