//! Cutting an input into ranges: a pure function of the spec and the input's bytes, fed in pieces
//! of any size so that an input never has to be in memory.

use crate::id::Hash;
use crate::spec::ChunkBy;
use crate::task::InputRange;

/// The most bytes that one chunk may have, whatever its lines.
pub const MAX_CHUNK_BYTES: u64 = 4 << 30;

/// Cuts one input. Feed all bytes in order, take ranges as they are completed, then finish.
#[derive(Debug)]
pub struct Chunker {
    by: ChunkBy,
    artifact: Hash,
    offset: u64,
    start: u64,
    lines: u64,
    hasher: blake3::Hasher,
    emitted: bool,
}

impl Chunker {
    /// Begins at the input's first byte. A measure of 0 counts as 1.
    #[must_use]
    pub fn new(artifact: Hash, by: ChunkBy) -> Chunker {
        let by = match by {
            ChunkBy::Bytes(n) => ChunkBy::Bytes(n.clamp(1, MAX_CHUNK_BYTES)),
            ChunkBy::Lines(n) => ChunkBy::Lines(n.max(1)),
        };
        Chunker { by, artifact, offset: 0, start: 0, lines: 0, hasher: blake3::Hasher::new(), emitted: false }
    }

    /// Goes on behind `written` ranges that were cut before, at byte `offset` of the input: ranges do
    /// not depend on what came before them.
    #[must_use]
    pub fn resume(self, offset: u64, written: u32) -> Chunker {
        Chunker { offset, start: offset, emitted: written > 0, ..self }
    }

    /// Takes the next bytes of the input; appends completed ranges to `out`.
    pub fn feed(&mut self, mut bytes: &[u8], out: &mut Vec<InputRange>) {
        while !bytes.is_empty() {
            let (taken, complete) = self.take(bytes);
            self.hasher.update(&bytes[..taken]);
            self.offset += taken as u64;
            if complete {
                out.push(self.cut());
            }
            bytes = &bytes[taken..];
        }
    }

    /// The last range, where bytes are left; an empty input is one empty range.
    #[must_use]
    pub fn finish(mut self) -> Option<InputRange> {
        (self.offset > self.start || !self.emitted).then(|| self.cut())
    }

    /// How many of `bytes` belong to the current range, and whether they complete it.
    fn take(&mut self, bytes: &[u8]) -> (usize, bool) {
        let room = match self.by {
            ChunkBy::Bytes(n) => n,
            ChunkBy::Lines(_) => MAX_CHUNK_BYTES,
        } - (self.offset - self.start);
        let most = usize::try_from(room).unwrap_or(usize::MAX).min(bytes.len());
        if let ChunkBy::Lines(n) = self.by {
            for (i, byte) in bytes[..most].iter().enumerate() {
                if *byte == b'\n' {
                    self.lines += 1;
                    if self.lines == n {
                        return (i + 1, true);
                    }
                }
            }
        }
        (most, most as u64 == room)
    }

    fn cut(&mut self) -> InputRange {
        let hash = Hash(*self.hasher.finalize().as_bytes());
        let range = InputRange {
            artifact: self.artifact,
            offset: self.start,
            length: self.offset - self.start,
            hash,
        };
        self.hasher.reset();
        self.start = self.offset;
        self.lines = 0;
        self.emitted = true;
        range
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(input: &[u8], by: ChunkBy, piece: usize) -> Vec<InputRange> {
        let mut chunker = Chunker::new(Hash::of(input), by);
        let mut out = Vec::new();
        for bytes in input.chunks(piece) {
            chunker.feed(bytes, &mut out);
        }
        out.extend(chunker.finish());
        out
    }

    #[test]
    fn ranges_cover_the_input_and_do_not_depend_on_how_it_was_fed() {
        let text = b"one\ntwo\n\nfour\nlast without an end";
        for by in [
            ChunkBy::Lines(1),
            ChunkBy::Lines(2),
            ChunkBy::Lines(99),
            ChunkBy::Bytes(5),
            ChunkBy::Bytes(1000),
        ] {
            let whole = cut(text, by, text.len());
            for piece in 1..7 {
                assert_eq!(cut(text, by, piece), whole, "{by:?} fed {piece} bytes at a time");
            }
            let mut next = 0;
            for range in &whole {
                assert_eq!(range.offset, next);
                next += range.length;
                let bytes = &text[range.offset as usize..next as usize];
                assert_eq!(range.hash, Hash::of(bytes), "{by:?}");
            }
            assert_eq!(next, text.len() as u64);
        }
        let lines: Vec<u64> = cut(text, ChunkBy::Lines(2), 3).iter().map(|r| r.length).collect();
        assert_eq!(lines, [8, 6, 19]);
        assert_eq!(cut(b"ab\n", ChunkBy::Lines(1), 9).len(), 1, "no empty range behind a final newline");
        assert_eq!(cut(b"", ChunkBy::Lines(1), 9).len(), 1, "an empty input is one empty range");
    }

    #[test]
    fn cutting_goes_on_where_it_stopped_and_finds_the_same_ranges() {
        let text = b"one\ntwo\n\nfour\nlast without an end";
        for by in [ChunkBy::Lines(2), ChunkBy::Bytes(5)] {
            let whole = cut(text, by, 4);
            for written in 0..=whole.len() {
                let offset: u64 = whole[..written].iter().map(|r| r.length).sum();
                let mut chunker = Chunker::new(Hash::of(text), by).resume(offset, written as u32);
                let mut out = whole[..written].to_vec();
                chunker.feed(&text[offset as usize..], &mut out);
                out.extend(chunker.finish());
                assert_eq!(out, whole, "{by:?} after {written}");
            }
        }
        assert_eq!(Chunker::new(Hash::of(b""), ChunkBy::Lines(1)).resume(0, 1).finish(), None);
    }
}
