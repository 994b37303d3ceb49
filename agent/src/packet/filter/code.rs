//! Filters as a classifier that the kernel runs.
//!
//! The program reads the packet only by `bpf_skb_load_bytes` and decides nothing: it tail-calls one
//! of two programs, and where that fails it returns TC_ACT_UNSPEC, as if it were not there. It
//! needs Linux 5.1 for jumps that compare 32 bits.
//!
//! Register 6 has the context, 7 the number that was computed last, 8 the slot to call, 9 the
//! buffer for loads. Numbers that wait for their right operand lie on the stack, below the buffer;
//! the parser's bound of depth keeps them to a few hundred bytes.

use std::fmt;

use super::assembler::{self as bpf, Assembler, Label, Register, Source};
use super::ast::{Arithmetic, Condition, Load, Operator, Relation, Size};
use super::Filter;

/// The most instructions of a program.
pub const MAX_INSTRUCTIONS: usize = 4_000;

/// Helpers (linux/bpf.h).
const TAIL_CALL: u32 = 12;
const SKB_LOAD_BYTES: u32 = 26;

/// Where `len` is in `struct __sk_buff`.
const CONTEXT_LENGTH: i16 = 0;
/// TC_ACT_UNSPEC (linux/pkt_cls.h), -1.
const UNSPEC: u32 = u32::MAX;

const RESULT: Register = Register(0);
const FIRST: Register = Register(1);
const SECOND: Register = Register(2);
const THIRD: Register = Register(3);
const FOURTH: Register = Register(4);
const CONTEXT: Register = Register(6);
const NUMBER: Register = Register(7);
const SLOT: Register = Register(8);
const BUFFER: Register = Register(9);
const STACK: Register = Register(10);

/// Bytes of the buffer, and of each number on the stack.
const CELL: i16 = 8;

/// Where the first byte of an IPv4 header is.
const IP_HEADER: u32 = 14;

/// The kernel refuses loads beyond this; further up, offsets would wrap into the packet.
const FURTHEST: u32 = i32::MAX as u32;

/// The filters need more instructions than one program may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong {
    /// How many they need.
    pub instructions: usize,
}

impl fmt::Display for TooLong {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "the packet filters need {} instructions, a program has at most {MAX_INSTRUCTIONS}; \
             shorten them, or divide them among rules",
            self.instructions
        )
    }
}

impl std::error::Error for TooLong {}

/// Makes the instructions of a classifier (BPF_PROG_TYPE_SCHED_CLS), 8 bytes each.
///
/// It tail-calls slot `matched` of the PROG_ARRAY whose descriptor is `programs_map` when some
/// filter matches the packet, and slot `otherwise` when none does. When the slot is empty it
/// returns TC_ACT_UNSPEC (-1).
///
/// # Errors
/// [`TooLong`] when there are more than [`MAX_INSTRUCTIONS`].
pub fn program(
    filters: &[&Filter],
    programs_map: i32,
    matched: u32,
    otherwise: u32,
) -> Result<Vec<u8>, TooLong> {
    let mut compiler = Compiler::default();
    compiler.begin(matched);
    let mut end = Target::default();
    for filter in filters {
        compiler.jump_when(&filter.condition, true, &mut end);
        let next = std::mem::take(&mut compiler.reject);
        compiler.place(next);
    }
    let slot = Source::Immediate(otherwise);
    compiler.assembler.operate_32(bpf::MOVE, SLOT, slot);
    compiler.place(end);
    compiler.finish(programs_map);
    let instructions = compiler.assembler.count();
    if instructions > MAX_INSTRUCTIONS {
        return Err(TooLong { instructions });
    }
    Ok(compiler.assembler.into_code())
}

/// A label that also knows what the register of the number holds for all who jump to it.
#[derive(Debug, Default)]
struct Target<'a> {
    label: Label,
    held: Option<Held<'a>>,
}

/// What the register of the number holds, where that is known.
type Held<'a> = Option<&'a Arithmetic>;

#[derive(Default)]
struct Compiler<'a> {
    assembler: Assembler,
    /// Where a packet goes that the current filter rejects: to the next filter.
    reject: Target<'a>,
    /// Two comparisons in a row often ask the same field: it is loaded once.
    held: Held<'a>,
    /// Numbers that wait on the stack.
    waiting: i16,
}

impl<'a> Compiler<'a> {
    fn begin(&mut self, matched: u32) {
        let assembler = &mut self.assembler;
        assembler.operate_64(bpf::MOVE, CONTEXT, Source::Register(FIRST));
        assembler.operate_64(bpf::MOVE, BUFFER, Source::Register(STACK));
        // The verifier takes additions to the stack alone.
        let below = Source::Immediate((CELL as u32).wrapping_neg());
        assembler.operate_64(bpf::ADD, BUFFER, below);
        assembler.operate_32(bpf::MOVE, SLOT, Source::Immediate(matched));
    }

    fn finish(&mut self, programs_map: i32) {
        let assembler = &mut self.assembler;
        assembler.operate_64(bpf::MOVE, FIRST, Source::Register(CONTEXT));
        assembler.load_map(SECOND, programs_map);
        assembler.operate_64(bpf::MOVE, THIRD, Source::Register(SLOT));
        assembler.call(TAIL_CALL);
        assembler.operate_64(bpf::MOVE, RESULT, Source::Immediate(UNSPEC));
        assembler.exit();
    }

    /// Goes to `target` when the condition is `wanted`, and on with the next instruction else.
    fn jump_when(&mut self, condition: &'a Condition, wanted: bool, target: &mut Target<'a>) {
        match condition {
            Condition::Not(inner) => self.jump_when(inner, !wanted, target),
            Condition::All(all) => self.jump_when_all(all, false, wanted, target),
            Condition::Any(any) => self.jump_when_all(any, true, wanted, target),
            Condition::Compare(left, relation, right) => {
                let relation = match wanted {
                    true => *relation,
                    false => relation.opposite(),
                };
                self.compare(left, relation, right, target);
            }
        }
    }

    /// Conditions in a row, of which the first that is `deciding` makes the whole `deciding`.
    fn jump_when_all(
        &mut self,
        conditions: &'a [Condition],
        deciding: bool,
        wanted: bool,
        target: &mut Target<'a>,
    ) {
        let Some((last, others)) = conditions.split_last() else {
            return;
        };
        let mut decided = Target::default();
        for condition in others {
            let place = if wanted == deciding {
                &mut *target
            } else {
                &mut decided
            };
            self.jump_when(condition, deciding, place);
        }
        self.jump_when(last, wanted, target);
        self.place(decided);
    }

    fn compare(
        &mut self,
        left: &'a Arithmetic,
        relation: Relation,
        right: &'a Arithmetic,
        target: &mut Target<'a>,
    ) {
        if let Arithmetic::Number(right) = right {
            if self.held != Some(left) {
                self.compute(left);
            }
            self.jump(relation, NUMBER, Source::Immediate(*right), target);
            return;
        }
        self.compute(left);
        self.wait();
        self.compute(right);
        self.resume(FIRST);
        self.jump(relation, FIRST, Source::Register(NUMBER), target);
    }

    fn jump(&mut self, relation: Relation, left: Register, right: Source, target: &mut Target<'a>) {
        let how = match relation {
            Relation::Equal => bpf::EQUAL,
            Relation::NotEqual => bpf::NOT_EQUAL,
            Relation::Greater => bpf::GREATER,
            Relation::GreaterOrEqual => bpf::GREATER_OR_EQUAL,
            Relation::Less => bpf::LESS,
            Relation::LessOrEqual => bpf::LESS_OR_EQUAL,
        };
        self.assembler.jump_32(how, left, right, &mut target.label);
        target.held = Some(match target.held {
            Some(known) if known != self.held => None,
            _ => self.held,
        });
    }

    /// The next instruction is the target.
    fn place(&mut self, target: Target<'a>) {
        if let Some(known) = target.held {
            self.held = self.held.filter(|held| Some(*held) == known);
        }
        self.assembler.place(target.label);
    }

    /// Leaves a number in its register.
    fn compute(&mut self, number: &'a Arithmetic) {
        self.held = None;
        match number {
            Arithmetic::Number(value) => self.set(*value),
            Arithmetic::Length => {
                let offset = CONTEXT_LENGTH;
                self.assembler.load(bpf::FOUR, NUMBER, CONTEXT, offset);
            }
            Arithmetic::Negative(inner) => {
                self.compute(inner);
                let nothing = Source::Immediate(0);
                self.assembler.operate_32(bpf::NEGATE, NUMBER, nothing);
            }
            Arithmetic::Load(load) => self.compute_load(load),
            Arithmetic::Binary(left, operator, right) => {
                self.compute_binary(left, *operator, right);
            }
        }
        self.held = Some(number);
    }

    fn set(&mut self, value: u32) {
        let value = Source::Immediate(value);
        self.assembler.operate_32(bpf::MOVE, NUMBER, value);
    }

    fn compute_load(&mut self, load: &'a Load) {
        match (&load.offset, load.behind_ip_header) {
            (Arithmetic::Number(offset), false) => {
                // Further than the furthest is refused by the kernel as well.
                let start = load.base.saturating_add(*offset).min(FURTHEST);
                self.load_bytes(Source::Immediate(start), load.size);
            }
            (offset, behind_ip_header) => {
                self.compute(offset);
                self.held = None;
                if behind_ip_header {
                    self.add_ip_header();
                }
                let base = Source::Immediate(load.base);
                self.assembler.operate_64(bpf::ADD, NUMBER, base);
                self.reject_when(bpf::GREATER, NUMBER, FURTHEST);
                self.load_bytes(Source::Register(NUMBER), load.size);
            }
        }
        let (size, bits) = match load.size {
            Size::One => (bpf::ONE, 8),
            Size::Two => (bpf::TWO, 16),
            Size::Four => (bpf::FOUR, 32),
        };
        self.assembler.load(size, NUMBER, BUFFER, 0);
        if load.size != Size::One {
            self.assembler.swap_network(NUMBER, bits);
        }
    }

    /// Adds the length of the IPv4 header to the number.
    fn add_ip_header(&mut self) {
        self.load_bytes(Source::Immediate(IP_HEADER), Size::One);
        let assembler = &mut self.assembler;
        assembler.load(bpf::ONE, FIRST, BUFFER, 0);
        assembler.operate_32(bpf::AND, FIRST, Source::Immediate(0x0f));
        assembler.operate_32(bpf::SHIFT_LEFT, FIRST, Source::Immediate(2));
        assembler.operate_32(bpf::ADD, NUMBER, Source::Register(FIRST));
    }

    /// Copies bytes of the packet to the buffer, or rejects the packet.
    fn load_bytes(&mut self, start: Source, size: Size) {
        let assembler = &mut self.assembler;
        assembler.operate_64(bpf::MOVE, FIRST, Source::Register(CONTEXT));
        assembler.operate_64(bpf::MOVE, SECOND, start);
        assembler.operate_64(bpf::MOVE, THIRD, Source::Register(BUFFER));
        assembler.operate_64(bpf::MOVE, FOURTH, Source::Immediate(size as u32));
        assembler.call(SKB_LOAD_BYTES);
        self.reject_when(bpf::NOT_EQUAL, RESULT, 0);
    }

    /// Rejects the packet when 64 bits compare so.
    fn reject_when(&mut self, how: u8, left: Register, right: u32) {
        // Whatever comes there holds nothing that is known.
        self.reject.held = Some(None);
        let label = &mut self.reject.label;
        self.assembler.jump_64(how, left, right, label);
    }

    fn compute_binary(&mut self, left: &'a Arithmetic, operator: Operator, right: &'a Arithmetic) {
        self.compute(left);
        if let Arithmetic::Number(value) = right {
            return self.apply_number(operator, *value);
        }
        self.wait();
        self.compute(right);
        self.resume(FIRST);
        match operator {
            Operator::Divide | Operator::Remainder => self.reject_when(bpf::EQUAL, NUMBER, 0),
            Operator::ShiftLeft | Operator::ShiftRight => self.bound_shift(),
            _ => {}
        }
        let assembler = &mut self.assembler;
        assembler.operate_32(operation(operator), FIRST, Source::Register(NUMBER));
        assembler.operate_32(bpf::MOVE, NUMBER, Source::Register(FIRST));
    }

    /// The number, operator, and a right operand that is known.
    fn apply_number(&mut self, operator: Operator, value: u32) {
        let shifts = matches!(operator, Operator::ShiftLeft | Operator::ShiftRight);
        if shifts && value > 31 {
            return self.set(0);
        }
        let value = Source::Immediate(value);
        self.assembler
            .operate_32(operation(operator), NUMBER, value);
    }

    /// A shift by more than 31 bits becomes one of zero by none: the machine would take the lower
    /// five bits.
    fn bound_shift(&mut self) {
        let mut fits = Label::default();
        let assembler = &mut self.assembler;
        assembler.jump_64(bpf::LESS_OR_EQUAL, NUMBER, 31, &mut fits);
        assembler.operate_32(bpf::MOVE, FIRST, Source::Immediate(0));
        assembler.operate_32(bpf::MOVE, NUMBER, Source::Immediate(0));
        assembler.place(fits);
    }

    /// Puts the number on the stack.
    fn wait(&mut self) {
        self.waiting = self.waiting.saturating_add(1);
        let offset = self.cell();
        self.assembler.store(STACK, offset, NUMBER);
    }

    /// Takes the number back that was put on the stack last.
    fn resume(&mut self, target: Register) {
        let offset = self.cell();
        self.waiting = self.waiting.saturating_sub(1);
        self.assembler.load(bpf::FOUR, target, STACK, offset);
    }

    /// Where the last waiting number lies; the buffer is above them all.
    fn cell(&self) -> i16 {
        self.waiting
            .saturating_add(1)
            .saturating_mul(CELL)
            .saturating_neg()
    }
}

fn operation(operator: Operator) -> u8 {
    match operator {
        Operator::Add => bpf::ADD,
        Operator::Subtract => bpf::SUBTRACT,
        Operator::Multiply => bpf::MULTIPLY,
        Operator::Divide => bpf::DIVIDE,
        Operator::Remainder => bpf::REMAINDER,
        Operator::And => bpf::AND,
        Operator::Or => bpf::OR,
        Operator::Xor => bpf::XOR,
        Operator::ShiftLeft => bpf::SHIFT_LEFT,
        Operator::ShiftRight => bpf::SHIFT_RIGHT,
    }
}
