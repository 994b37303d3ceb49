//! Instructions of eBPF and the labels that they jump to.
//!
//! Numbers are those of linux/bpf.h and linux/bpf_common.h. Jumps go forward only: a label is
//! jumped to first and placed later. Bytes leave in little endian, as the machines that we run on
//! want them.

/// A register. The kernel keeps 6 to 9 over calls of helpers; 10 is the end of the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Register(pub(super) u8);

/// What an operation or a jump takes beside its register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Immediate(u32),
    Register(Register),
}

/// Classes, `BPF_LDX` and the like.
const LOAD: u8 = 0x01;
const STORE: u8 = 0x03;
const OPERATION_32: u8 = 0x04;
const JUMP: u8 = 0x05;
const JUMP_32: u8 = 0x06;
const OPERATION_64: u8 = 0x07;

/// `BPF_MEM`, for loads and stores.
const MEMORY: u8 = 0x60;
/// `BPF_X`: the source is a register.
const FROM_REGISTER: u8 = 0x08;
/// `BPF_END | BPF_TO_BE`.
const TO_BIG_ENDIAN: u8 = 0xd8;
const CALL: u8 = 0x80;
const EXIT: u8 = 0x90;
/// `BPF_LD | BPF_IMM | BPF_DW`, with `BPF_PSEUDO_MAP_FD` as the register of the source.
const LOAD_MAP: u8 = 0x18;
const PSEUDO_MAP_FD: Register = Register(1);

/// `BPF_ADD` and its like.
pub(super) const ADD: u8 = 0x00;
pub(super) const SUBTRACT: u8 = 0x10;
pub(super) const MULTIPLY: u8 = 0x20;
pub(super) const DIVIDE: u8 = 0x30;
pub(super) const OR: u8 = 0x40;
pub(super) const AND: u8 = 0x50;
pub(super) const SHIFT_LEFT: u8 = 0x60;
pub(super) const SHIFT_RIGHT: u8 = 0x70;
pub(super) const NEGATE: u8 = 0x80;
pub(super) const REMAINDER: u8 = 0x90;
pub(super) const XOR: u8 = 0xa0;
pub(super) const MOVE: u8 = 0xb0;

/// `BPF_JEQ` and its like.
pub(super) const EQUAL: u8 = 0x10;
pub(super) const GREATER: u8 = 0x20;
pub(super) const GREATER_OR_EQUAL: u8 = 0x30;
pub(super) const NOT_EQUAL: u8 = 0x50;
pub(super) const LESS: u8 = 0xa0;
pub(super) const LESS_OR_EQUAL: u8 = 0xb0;

/// `BPF_W` and its like.
pub(super) const FOUR: u8 = 0x00;
pub(super) const TWO: u8 = 0x08;
pub(super) const ONE: u8 = 0x10;

/// Bytes of an instruction.
const INSTRUCTION: usize = 8;

/// A place to jump to: the jumps so far.
#[derive(Debug, Default)]
pub(super) struct Label(Vec<usize>);

/// The instructions so far.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    code: Vec<u8>,
}

impl Assembler {
    /// How many instructions there are.
    pub(super) fn count(&self) -> usize {
        self.code.len() / INSTRUCTION
    }

    /// The instructions as bytes.
    pub(super) fn into_code(self) -> Vec<u8> {
        self.code
    }

    fn push(&mut self, code: u8, target: Register, source: Register, offset: i16, immediate: u32) {
        self.code.push(code);
        self.code.push(target.0 | (source.0 << 4));
        self.code.extend(offset.to_le_bytes());
        self.code.extend(immediate.to_le_bytes());
    }

    fn push_with(&mut self, code: u8, target: Register, source: Source) {
        match source {
            Source::Immediate(value) => self.push(code, target, Register(0), 0, value),
            Source::Register(source) => self.push(code | FROM_REGISTER, target, source, 0, 0),
        }
    }

    /// In the lower 32 bits; the upper ones become zero.
    pub(super) fn operate_32(&mut self, operation: u8, target: Register, source: Source) {
        self.push_with(OPERATION_32 | operation, target, source);
    }

    /// In 64 bits; the sign of an immediate goes on.
    pub(super) fn operate_64(&mut self, operation: u8, target: Register, source: Source) {
        self.push_with(OPERATION_64 | operation, target, source);
    }

    /// `target = *(source + offset)`; `size` is [`ONE`], [`TWO`] or [`FOUR`].
    pub(super) fn load(&mut self, size: u8, target: Register, source: Register, offset: i16) {
        self.push(LOAD | MEMORY | size, target, source, offset, 0);
    }

    /// `*(target + offset) = source`, four bytes.
    pub(super) fn store(&mut self, target: Register, offset: i16, source: Register) {
        self.push(STORE | MEMORY | FOUR, target, source, offset, 0);
    }

    /// Turns the bytes of a number of the network around.
    pub(super) fn swap_network(&mut self, target: Register, bits: u32) {
        self.push(OPERATION_32 | TO_BIG_ENDIAN, target, Register(0), 0, bits);
    }

    /// `target` becomes the map of a descriptor; two instructions.
    pub(super) fn load_map(&mut self, target: Register, descriptor: i32) {
        let bits = u32::from_ne_bytes(descriptor.to_ne_bytes());
        self.push(LOAD_MAP, target, PSEUDO_MAP_FD, 0, bits);
        self.push(0, Register(0), Register(0), 0, 0);
    }

    /// Calls a helper by its number.
    pub(super) fn call(&mut self, helper: u32) {
        self.push(JUMP | CALL, Register(0), Register(0), 0, helper);
    }

    pub(super) fn exit(&mut self) {
        self.push(JUMP | EXIT, Register(0), Register(0), 0, 0);
    }

    /// Jumps when the lower 32 bits compare so, without sign.
    pub(super) fn jump_32(&mut self, how: u8, left: Register, right: Source, label: &mut Label) {
        label.0.push(self.count());
        self.push_with(JUMP_32 | how, left, right);
    }

    /// Jumps when 64 bits compare so; the sign of an immediate goes on.
    pub(super) fn jump_64(&mut self, how: u8, left: Register, right: u32, label: &mut Label) {
        label.0.push(self.count());
        self.push_with(JUMP | how, left, Source::Immediate(right));
    }

    /// Makes the jumps of a label lead to the next instruction. A jump too far for its field is
    /// left wrong: such a program is over the limit that is checked at its end.
    pub(super) fn place(&mut self, label: Label) {
        for jump in label.0 {
            let distance = self.count().saturating_sub(jump).saturating_sub(1);
            let offset = i16::try_from(distance).unwrap_or(i16::MAX);
            let field = jump.saturating_mul(INSTRUCTION).saturating_add(2);
            let bytes = self.code.get_mut(field..).unwrap_or_default();
            if let Some(bytes) = bytes.first_chunk_mut() {
                *bytes = offset.to_le_bytes();
            }
        }
    }
}
