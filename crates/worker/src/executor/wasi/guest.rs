//! One call of the guest: its linear memory beside the host's state, and checked access to both.
//! A pointer outside the memory answers `EFAULT`; nothing here can panic on what a guest passes.

use super::Host;
use super::abi::Errno;
use super::fault::Stop;
use std::ops::Range;

const MAX_PATH_BYTES: u32 = 4096;
const MAX_BUFFERS: u32 = 1024;

/// What a call may touch.
#[derive(Debug)]
pub(crate) struct Guest<'a> {
    pub(crate) memory: &'a mut [u8],
    pub(crate) host: &'a mut Host,
}

/// Where `length` bytes at `pointer` lie in a memory of `size` bytes.
fn range(size: usize, pointer: u32, length: usize) -> Result<Range<usize>, Stop> {
    let start = pointer as usize;
    let end = start.checked_add(length).filter(|end| *end <= size).ok_or(Errno::Fault)?;
    Ok(start..end)
}

impl Guest<'_> {
    pub(crate) fn bytes(&self, pointer: u32, length: usize) -> Result<&[u8], Stop> {
        Ok(&self.memory[range(self.memory.len(), pointer, length)?])
    }

    pub(crate) fn bytes_mut(&mut self, pointer: u32, length: usize) -> Result<&mut [u8], Stop> {
        let range = range(self.memory.len(), pointer, length)?;
        Ok(&mut self.memory[range])
    }

    fn array<const N: usize>(&self, pointer: u32) -> Result<[u8; N], Stop> {
        let mut array = [0; N];
        array.copy_from_slice(self.bytes(pointer, N)?);
        Ok(array)
    }

    pub(crate) fn u8(&self, pointer: u32) -> Result<u8, Stop> {
        Ok(self.array::<1>(pointer)?[0])
    }

    pub(crate) fn u16(&self, pointer: u32) -> Result<u16, Stop> {
        Ok(u16::from_le_bytes(self.array(pointer)?))
    }

    pub(crate) fn u32(&self, pointer: u32) -> Result<u32, Stop> {
        Ok(u32::from_le_bytes(self.array(pointer)?))
    }

    pub(crate) fn u64(&self, pointer: u32) -> Result<u64, Stop> {
        Ok(u64::from_le_bytes(self.array(pointer)?))
    }

    pub(crate) fn put(&mut self, pointer: u32, bytes: &[u8]) -> Result<(), Stop> {
        self.bytes_mut(pointer, bytes.len())?.copy_from_slice(bytes);
        Ok(())
    }

    pub(crate) fn put_u32(&mut self, pointer: u32, value: u32) -> Result<(), Stop> {
        self.put(pointer, &value.to_le_bytes())
    }

    pub(crate) fn put_u64(&mut self, pointer: u32, value: u64) -> Result<(), Stop> {
        self.put(pointer, &value.to_le_bytes())
    }

    /// A path: UTF-8 without NUL, at most 4,096 bytes.
    pub(crate) fn path(&self, pointer: u32, length: u32) -> Result<String, Stop> {
        if length > MAX_PATH_BYTES {
            return Err(Errno::Nametoolong.into());
        }
        let bytes = self.bytes(pointer, length as usize)?;
        let text = std::str::from_utf8(bytes).map_err(|_| Errno::Ilseq)?;
        if text.contains('\0') {
            return Err(Errno::Inval.into());
        }
        Ok(text.to_owned())
    }

    /// The buffers of a vectored call, each checked to lie in the memory.
    pub(crate) fn buffers(&self, pointer: u32, count: u32) -> Result<Vec<Range<usize>>, Stop> {
        if count > MAX_BUFFERS {
            return Err(Errno::Inval.into());
        }
        let mut total = 0_u32;
        let mut buffers = Vec::with_capacity(count as usize);
        for index in 0..count {
            let at = pointer.checked_add(index * 8).ok_or(Errno::Fault)?;
            let length = self.u32(at.checked_add(4).ok_or(Errno::Fault)?)?;
            total = total.checked_add(length).ok_or(Errno::Inval)?;
            buffers.push(range(self.memory.len(), self.u32(at)?, length as usize)?);
        }
        Ok(buffers)
    }
}
