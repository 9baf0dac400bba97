//! One question in, one answer out: the part of RFC 1035 that this resolver needs, read strictly.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::name::Name;

/// The longest question that is read: the longest name, an OPT record, and room.
pub const LONGEST_QUERY: usize = 512;

const HEADER: usize = 12;

const RESPONSE: u16 = 1 << 15;
const AUTHORITATIVE: u16 = 1 << 10;
const RECURSION_DESIRED: u16 = 1 << 8;
const OPCODE: u16 = 0b1111 << 11;
const CLASS_IN: u16 = 1;
const CLASS_ANY: u16 = 255;
const TYPE_OPT: u16 = 41;
/// A pointer to the question's name, which is always at the same place.
const NAME_OF_QUESTION: [u8; 2] = [0xc0, HEADER as u8];
/// How long an answer may be kept, in seconds: somebody who is out must not keep a name.
const TTL: u32 = 5;

/// Why something is no question. Nothing is answered: there is nobody to be helped by it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum MessageError {
    /// Shorter than what it announces.
    #[error("the message ends too early")]
    Truncated,
    /// An answer, which we never asked for.
    #[error("the message is an answer, not a question")]
    Answer,
    /// A name that is too long, or that points elsewhere.
    #[error("the name in the question is malformed")]
    Name,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RecordType {
    /// An IPv4 address.
    A,
    /// An IPv6 address.
    Aaaa,
    /// The name of an address.
    Ptr,
    /// Who is in charge of the zone.
    Soa,
    /// Everything.
    Any,
    /// Anything else; nobody here has it.
    Other(u16),
}

impl From<u16> for RecordType {
    fn from(number: u16) -> Self {
        match number {
            1 => Self::A,
            6 => Self::Soa,
            12 => Self::Ptr,
            28 => Self::Aaaa,
            255 => Self::Any,
            other => Self::Other(other),
        }
    }
}

/// A question.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Query {
    id: u16,
    flags: u16,
    /// The question as it came, so that the answer spells the name in the same way.
    question: Vec<u8>,
    /// Which name.
    pub name: Name,
    /// What about it.
    pub record: RecordType,
    internet: bool,
    edns: bool,
}

/// How a question is answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Code {
    /// The name is there.
    Done = 0,
    /// The question has a form that we do not read.
    Format = 1,
    /// There is no such name.
    NoSuchName = 3,
    /// A kind of request that we do not know.
    NotImplemented = 4,
    /// Not ours to answer.
    Refused = 5,
}

/// What a name has.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Data {
    /// An IPv4 address.
    A(Ipv4Addr),
    /// An IPv6 address.
    Aaaa(Ipv6Addr),
    /// The name of an address.
    Ptr(Name),
}

/// An answer before it is written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Answer {
    /// How it went.
    pub code: Code,
    /// What there is, all about the name that was asked for.
    pub data: Vec<Data>,
    /// The zone that says so, where it is one of ours.
    pub zone: Option<Name>,
    /// Whether the zone's own record was asked for.
    pub start: bool,
}

impl Answer {
    /// An answer without data.
    #[must_use]
    pub fn bare(code: Code, zone: Option<Name>) -> Self {
        Self {
            code,
            data: Vec::new(),
            zone,
            start: false,
        }
    }
}

impl Query {
    /// Reads a question.
    ///
    /// # Errors
    /// When it is none, so that no answer is due.
    pub fn parse(bytes: &[u8]) -> Result<Self, MessageError> {
        let flags = short(bytes, 2)?;
        let counts = [short(bytes, 4)?, short(bytes, 6)?, short(bytes, 8)?];
        let extra = short(bytes, 10)?;
        if flags & RESPONSE != 0 {
            return Err(MessageError::Answer);
        }
        let mut query = Self {
            id: short(bytes, 0)?,
            flags,
            question: Vec::new(),
            name: Name::default(),
            record: RecordType::Other(0),
            internet: false,
            edns: false,
        };
        if counts != [1, 0, 0] || extra > 1 {
            // Answered with a format error, and without the question.
            return Ok(query);
        }
        let (name, end) = Name::read(bytes, HEADER)?;
        let class = short(bytes, end + 2)?;
        let question = bytes.get(HEADER..end + 4).ok_or(MessageError::Truncated)?;
        query.question = question.to_vec();
        query.name = name;
        query.record = short(bytes, end)?.into();
        query.internet = class == CLASS_IN || class == CLASS_ANY;
        query.edns = extra == 1 && is_opt(bytes, end + 4);
        Ok(query)
    }

    /// The code to answer with where this is no standard question about the Internet's names.
    #[must_use]
    pub fn refusal(&self) -> Option<Code> {
        if self.flags & OPCODE != 0 {
            Some(Code::NotImplemented)
        } else if self.question.is_empty() {
            Some(Code::Format)
        } else if self.internet {
            None
        } else {
            Some(Code::Refused)
        }
    }

    /// Writes the answer.
    #[must_use]
    pub fn answered(&self, answer: &Answer) -> Vec<u8> {
        let start = answer.zone.as_ref().filter(|_| answer.start);
        let told = answer.data.len() + usize::from(start.is_some());
        let absent = answer.zone.as_ref().filter(|_| told == 0);
        let mut out = Vec::with_capacity(LONGEST_QUERY);
        let authoritative = answer.zone.as_ref().map_or(0, |_| AUTHORITATIVE);
        for field in [
            self.id,
            RESPONSE
                | authoritative
                | self.flags & (OPCODE | RECURSION_DESIRED)
                | answer.code as u16,
            u16::from(!self.question.is_empty()),
            told as u16, // a few
            u16::from(absent.is_some()),
            u16::from(self.edns),
        ] {
            out.extend(field.to_be_bytes());
        }
        out.extend_from_slice(&self.question);
        for data in &answer.data {
            write_record(&mut out, data);
        }
        if let Some(zone) = start.or(absent) {
            write_start(&mut out, zone);
        }
        if self.edns {
            write_opt(&mut out);
        }
        out
    }
}

fn write_record(out: &mut Vec<u8>, data: &Data) {
    let (kind, bytes): (u16, Vec<u8>) = match data {
        Data::A(address) => (1, address.octets().to_vec()),
        Data::Aaaa(address) => (28, address.octets().to_vec()),
        Data::Ptr(name) => {
            let mut bytes = Vec::new();
            name.write(&mut bytes);
            (12, bytes)
        }
    };
    out.extend(NAME_OF_QUESTION);
    write_tail(out, kind, &bytes);
}

/// The zone's own record, which also says for how long "no such name" holds.
fn write_start(out: &mut Vec<u8>, zone: &Name) {
    zone.write(out);
    let mut bytes = Vec::new();
    zone.write(&mut bytes); // where it is answered
    zone.write(&mut bytes); // whom to write to: nobody
    for number in [1, 3600, 600, 86_400, TTL] {
        bytes.extend(number.to_be_bytes());
    }
    write_tail(out, 6, &bytes);
}

fn write_tail(out: &mut Vec<u8>, kind: u16, bytes: &[u8]) {
    out.extend(kind.to_be_bytes());
    out.extend(CLASS_IN.to_be_bytes());
    out.extend(TTL.to_be_bytes());
    out.extend((bytes.len() as u16).to_be_bytes()); // two names at most
    out.extend_from_slice(bytes);
}

/// Root name, OPT, the size that we read, no flags, no options.
fn write_opt(out: &mut Vec<u8>) {
    out.push(0);
    out.extend(TYPE_OPT.to_be_bytes());
    out.extend((LONGEST_QUERY as u16).to_be_bytes());
    out.extend([0; 6]);
}

fn short(bytes: &[u8], at: usize) -> Result<u16, MessageError> {
    let pair = bytes.get(at..at + 2).and_then(|pair| pair.first_chunk());
    Ok(u16::from_be_bytes(*pair.ok_or(MessageError::Truncated)?))
}

fn is_opt(bytes: &[u8], at: usize) -> bool {
    bytes.get(at) == Some(&0) && short(bytes, at + 1) == Ok(TYPE_OPT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(name: &str, kind: u16) -> Vec<u8> {
        let mut bytes = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        Name::new(name).unwrap().write(&mut bytes);
        bytes.extend(kind.to_be_bytes());
        bytes.extend([0, 1]);
        bytes
    }

    #[test]
    fn a_question_is_read_and_its_spelling_kept() {
        let mut bytes = question("db.demo.internal", 1);
        bytes[13] = b'D';
        let query = Query::parse(&bytes).unwrap();
        assert_eq!(query.name, Name::new("db.demo.internal").unwrap());
        assert_eq!((query.record, query.refusal()), (RecordType::A, None));
        let answer = Answer {
            code: Code::Done,
            data: vec![Data::A(Ipv4Addr::new(100, 64, 0, 5))],
            zone: Name::new("demo.internal"),
            start: false,
        };
        let wire = query.answered(&answer);
        assert_eq!(wire[..4], [0x12, 0x34, 0x85, 0]);
        assert_eq!(wire[13], b'D');
        assert!(wire.ends_with(&[0, 4, 100, 64, 0, 5]));
    }

    #[test]
    fn an_absent_name_comes_with_the_zones_record() {
        let query = Query::parse(&question("no.demo.internal", 28)).unwrap();
        let zone = Name::new("demo.internal");
        let wire = query.answered(&Answer::bare(Code::NoSuchName, zone));
        assert_eq!(wire[3] & 15, 3);
        assert_eq!(wire[4..12], [0, 1, 0, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn what_is_no_question_gets_no_answer() {
        let good = question("db.demo.internal", 1);
        for end in 0..good.len() {
            let cut = Query::parse(&good[..end]);
            assert_eq!(cut, Err(MessageError::Truncated), "{end}");
        }
        let mut answer = good.clone();
        answer[2] |= 0x80;
        assert_eq!(Query::parse(&answer), Err(MessageError::Answer));
        let mut pointer = good.clone();
        pointer[12] = 0xc0;
        assert_eq!(Query::parse(&pointer), Err(MessageError::Name));
        let mut endless = good[..12].to_vec();
        endless.extend([1, b'a'].repeat(300));
        assert_eq!(Query::parse(&endless), Err(MessageError::Name));
    }

    #[test]
    fn what_is_not_understood_is_said_so() {
        let refusal = |bytes: &[u8]| Query::parse(bytes).unwrap().refusal();
        let mut two = question("db.demo.internal", 1);
        two[5] = 2;
        assert_eq!(refusal(&two), Some(Code::Format));
        let mut update = question("db.demo.internal", 1);
        update[2] |= 5 << 3;
        assert_eq!(refusal(&update), Some(Code::NotImplemented));
        let mut chaos = question("version.bind", 16);
        *chaos.last_mut().unwrap() = 3;
        assert_eq!(refusal(&chaos), Some(Code::Refused));
    }

    #[test]
    fn an_asker_with_edns_is_told_our_size() {
        let mut bytes = question("db.demo.internal", 1);
        bytes[11] = 1;
        bytes.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
        let query = Query::parse(&bytes).unwrap();
        let wire = query.answered(&Answer::bare(Code::Refused, None));
        assert!(wire.ends_with(&[0, 0, 41, 2, 0, 0, 0, 0, 0, 0, 0]));
        assert_eq!(wire[11], 1);
    }
}
