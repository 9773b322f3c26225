//! JSON as people write it by hand: every complaint names line and column and says what belongs
//! there. A value remembers where it stood, so that what reads it can complain as well.

use crate::task::bad;
use std::io;

const MAX_DEPTH: usize = 64;

/// Where a value begins, both from 1.
#[derive(Clone, Copy)]
pub struct At {
    line: usize,
    column: usize,
}

pub struct Value {
    pub at: At,
    pub what: What,
}

pub enum What {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    List(Vec<Value>),
    /// In the order of the text; no name twice.
    Object(Vec<(String, Value)>),
}

impl At {
    /// An error at this place.
    pub fn wrong(self, message: impl std::fmt::Display) -> io::Error {
        bad(format!("line {}, column {}: {}", self.line, self.column, message))
    }
}

pub fn parse(text: &str) -> io::Result<Value> {
    let mut parser = Parser {
        rest: text,
        at: At { line: 1, column: 1 },
    };
    let value = parser.value(0)?;
    parser.blanks();
    if !parser.rest.is_empty() {
        return Err(parser.expected("the end of the file"));
    }
    Ok(value)
}

struct Parser<'a> {
    rest: &'a str,
    at: At,
}

impl<'a> Parser<'a> {
    fn expected(&self, what: &str) -> io::Error {
        match self.rest.chars().next() {
            Some(found) => self.at.wrong(format!("expected {}, found {:?}", what, found)),
            None => self.at.wrong(format!("expected {}, the file ends", what)),
        }
    }

    fn next(&mut self) -> Option<char> {
        let found = self.rest.chars().next()?;
        self.rest = &self.rest[found.len_utf8()..];
        if found == '\n' {
            self.at = At {
                line: self.at.line + 1,
                column: 1,
            };
        } else {
            self.at.column += 1;
        }
        Some(found)
    }

    fn blanks(&mut self) {
        while self.rest.starts_with(&[' ', '\t', '\r', '\n'][..]) {
            self.next();
        }
    }

    /// Whether that comes next, taken.
    fn take(&mut self, what: char) -> bool {
        self.blanks();
        let comes = self.rest.starts_with(what);
        if comes {
            self.next();
        }
        comes
    }

    fn value(&mut self, depth: usize) -> io::Result<Value> {
        self.blanks();
        let at = self.at;
        if depth > MAX_DEPTH {
            return Err(at.wrong(format!("more than {} values inside each other", MAX_DEPTH)));
        }
        let what = match self.rest.chars().next() {
            Some('{') => self.object(depth)?,
            Some('[') => self.list(depth)?,
            Some('"') => What::Text(self.text()?),
            Some(c) if c == '-' || c.is_ascii_digit() => self.number()?,
            Some(c) if c.is_ascii_alphabetic() => self.word()?,
            _ => return Err(self.expected("a value")),
        };
        Ok(Value { at, what })
    }

    fn object(&mut self, depth: usize) -> io::Result<What> {
        self.next();
        let mut fields: Vec<(String, Value)> = Vec::new();
        if self.take('}') {
            return Ok(What::Object(fields));
        }
        loop {
            self.blanks();
            let at = self.at;
            if !self.rest.starts_with('"') {
                return Err(self.expected("a name in quotes"));
            }
            let name = self.text()?;
            if fields.iter().any(|(other, _)| *other == name) {
                return Err(at.wrong(format!("{:?} stands here twice", name)));
            }
            if !self.take(':') {
                return Err(self.expected(&format!("`:` after {:?}", name)));
            }
            let value = self.value(depth + 1)?;
            fields.push((name, value));
            if self.take('}') {
                return Ok(What::Object(fields));
            }
            if !self.take(',') {
                return Err(self.expected("`,` or `}`"));
            }
        }
    }

    fn list(&mut self, depth: usize) -> io::Result<What> {
        self.next();
        let mut items = Vec::new();
        if self.take(']') {
            return Ok(What::List(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            if self.take(']') {
                return Ok(What::List(items));
            }
            if !self.take(',') {
                return Err(self.expected("`,` or `]`"));
            }
        }
    }

    fn text(&mut self) -> io::Result<String> {
        let start = self.at;
        self.next();
        let mut text = String::new();
        loop {
            let at = self.at;
            match self.next() {
                None | Some('\n') => return Err(start.wrong("a text without its closing quote")),
                Some('"') => return Ok(text),
                Some('\\') => text.push(self.escape(at)?),
                Some(other) => text.push(other),
            }
        }
    }

    fn escape(&mut self, at: At) -> io::Result<char> {
        Ok(match self.next() {
            Some('n') => '\n',
            Some('t') => '\t',
            Some('r') => '\r',
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some(same @ '"') | Some(same @ '\\') | Some(same @ '/') => same,
            Some('u') => {
                let digits: String = (0..4).filter_map(|_| self.next()).collect();
                let code = u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32);
                code.ok_or_else(|| at.wrong(format!("\\u{} is no character", digits)))?
            }
            _ => return Err(at.wrong("no such escape; known are \\n \\t \\r \\b \\f \\\" \\\\ \\/ \\u")),
        })
    }

    fn number(&mut self) -> io::Result<What> {
        let at = self.at;
        let is_part = |c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.' | 'e' | 'E');
        let length = self.rest.find(|c| !is_part(c)).unwrap_or(self.rest.len());
        let text = &self.rest[..length];
        for _ in 0..length {
            self.next();
        }
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(What::Number(number)),
            _ => Err(at.wrong(format!("{} is not a number", text))),
        }
    }

    fn word(&mut self) -> io::Result<What> {
        let at = self.at;
        let length = self
            .rest
            .find(|c: char| !c.is_ascii_alphanumeric())
            .unwrap_or(self.rest.len());
        let text = &self.rest[..length];
        for _ in 0..length {
            self.next();
        }
        match text {
            "null" => Ok(What::Null),
            "true" => Ok(What::Bool(true)),
            "false" => Ok(What::Bool(false)),
            _ => Err(at.wrong(format!(
                "expected a value, found {}; a text stands in quotes",
                text
            ))),
        }
    }
}

impl Value {
    fn kind(&self) -> &'static str {
        match self.what {
            What::Null => "null",
            What::Bool(_) => "true or false",
            What::Number(_) => "a number",
            What::Text(_) => "a text",
            What::List(_) => "a list",
            What::Object(_) => "an object",
        }
    }

    /// An error that says what belongs here.
    pub fn expected(&self, what: impl std::fmt::Display) -> io::Error {
        self.at.wrong(format!("expected {}, found {}", what, self.kind()))
    }

    /// The fields of an object, each to be taken once.
    pub fn fields(&self, of: &'static str) -> io::Result<Fields<'_>> {
        match &self.what {
            What::Object(fields) => Ok(Fields {
                of,
                at: self.at,
                left: fields.iter().collect(),
            }),
            _ => Err(self.expected(format!("{}, an object", of))),
        }
    }

    pub fn list(&self, of: &str) -> io::Result<&[Value]> {
        match &self.what {
            What::List(items) => Ok(items),
            _ => Err(self.expected(format!("a list of {}", of))),
        }
    }

    pub fn text(&self) -> io::Result<&str> {
        match &self.what {
            What::Text(text) => Ok(text),
            _ => Err(self.expected("a text in quotes")),
        }
    }

    /// A number between bounds.
    pub fn number(&self, least: f64, most: f64) -> io::Result<f64> {
        match self.what {
            What::Number(number) if number >= least && number <= most => Ok(number),
            What::Number(number) => Err(self
                .at
                .wrong(format!("{} is not between {} and {}", number, least, most))),
            _ => Err(self.expected("a number")),
        }
    }

    /// A whole number between bounds.
    pub fn whole(&self, least: u64, most: u64) -> io::Result<u64> {
        let number = self.number(least as f64, most as f64)?;
        if number.fract() == 0.0 {
            Ok(number as u64)
        } else {
            Err(self.at.wrong(format!("{} is not a whole number", number)))
        }
    }
}

/// The fields of one object that were not taken yet: what is left in the end is unknown.
pub struct Fields<'a> {
    of: &'static str,
    at: At,
    left: Vec<&'a (String, Value)>,
}

impl<'a> Fields<'a> {
    pub fn take(&mut self, name: &str) -> Option<&'a Value> {
        let place = self.left.iter().position(|(known, _)| known == name)?;
        Some(&self.left.remove(place).1)
    }

    pub fn need(&mut self, name: &str) -> io::Result<&'a Value> {
        let missing = self.at.wrong(format!("{} needs {:?}", self.of, name));
        self.take(name).ok_or(missing)
    }

    /// Refuses what nobody asked for.
    pub fn end(self, known: &str) -> io::Result<()> {
        match self.left.first() {
            None => Ok(()),
            Some((name, value)) => Err(value
                .at
                .wrong(format!("{} has no {:?}; it has {}", self.of, name, known))),
        }
    }
}
