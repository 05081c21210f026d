//! Kafka's types as bytes: big-endian numbers, text and lists behind their lengths. Knows no message.

use super::error::ConsumerProtocolError;
use super::{ByTopic, LATEST_VERSION};

/// Reads one field after the other.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    pub(super) fn left(&self) -> usize {
        self.bytes.len() - self.position
    }

    pub(super) fn end(&self) -> Result<(), ConsumerProtocolError> {
        match self.left() {
            0 => Ok(()),
            found => Err(ConsumerProtocolError::Trailing { position: self.position, found }),
        }
    }

    pub(super) fn i16(&mut self, what: &'static str) -> Result<i16, ConsumerProtocolError> {
        Ok(i16::from_be_bytes(self.array(what)?))
    }

    pub(super) fn i32(&mut self, what: &'static str) -> Result<i32, ConsumerProtocolError> {
        Ok(i32::from_be_bytes(self.array(what)?))
    }

    /// The version that a message begins with.
    pub(super) fn version(&mut self) -> Result<i16, ConsumerProtocolError> {
        match self.i16("the version")? {
            found if found < 0 => Err(ConsumerProtocolError::Unsupported { found, supported: LATEST_VERSION }),
            version => Ok(version),
        }
    }

    /// A generation; none if it is -1 or less.
    pub(super) fn generation(&mut self) -> Result<Option<i32>, ConsumerProtocolError> {
        Ok(Some(self.i32("the generation")?).filter(|generation| *generation >= 0))
    }

    pub(super) fn text(&mut self, what: &'static str) -> Result<String, ConsumerProtocolError> {
        let position = self.position;
        let len = self.i16(what)?;
        let len = usize::try_from(len).map_err(|_| ConsumerProtocolError::Negative { what, position, found: len.into() })?;
        self.utf8(what, len)
    }

    pub(super) fn nullable_text(&mut self, what: &'static str) -> Result<Option<String>, ConsumerProtocolError> {
        match self.i16(what)?.try_into() {
            Ok(len) => self.utf8(what, len).map(Some),
            Err(_) => Ok(None),
        }
    }

    pub(super) fn nullable_bytes(&mut self, what: &'static str) -> Result<Option<Vec<u8>>, ConsumerProtocolError> {
        match self.i32(what)?.try_into() {
            Ok(len) => Ok(Some(self.take(what, len)?.to_vec())),
            Err(_) => Ok(None),
        }
    }

    /// A list, whose items are read one by one: a length that the bytes do not bear out takes no memory.
    pub(super) fn list<T>(
        &mut self,
        what: &'static str,
        mut item: impl FnMut(&mut Self) -> Result<T, ConsumerProtocolError>,
    ) -> Result<Vec<T>, ConsumerProtocolError> {
        let count = self.not_negative(what)?;
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// Partitions by topic. A topic that is there twice has the partitions of both.
    pub(super) fn by_topic(&mut self, what: &'static str) -> Result<ByTopic, ConsumerProtocolError> {
        let mut by_topic = ByTopic::new();
        for (topic, numbers) in self.list(what, |reader| {
            Ok((reader.text("the name of a topic")?, reader.list("a list of partitions", |reader| reader.not_negative("the number of a partition"))?))
        })? {
            by_topic.entry(topic).or_default().extend(numbers);
        }
        Ok(by_topic)
    }

    fn not_negative(&mut self, what: &'static str) -> Result<u32, ConsumerProtocolError> {
        let position = self.position;
        let found = self.i32(what)?;
        u32::try_from(found).map_err(|_| ConsumerProtocolError::Negative { what, position, found })
    }

    fn utf8(&mut self, what: &'static str, len: usize) -> Result<String, ConsumerProtocolError> {
        let position = self.position;
        let bytes = self.take(what, len)?.to_vec();
        String::from_utf8(bytes).map_err(|_| ConsumerProtocolError::NotText { what, position })
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], ConsumerProtocolError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(what, N)?);
        Ok(array)
    }

    fn take(&mut self, what: &'static str, len: usize) -> Result<&'a [u8], ConsumerProtocolError> {
        let left = &self.bytes[self.position..];
        let taken = left.get(..len).ok_or(ConsumerProtocolError::Short { what, position: self.position, expected: len, found: left.len() })?;
        self.position += len;
        Ok(taken)
    }
}

/// Writes one field after the other.
#[derive(Default)]
pub(super) struct Writer {
    pub(super) bytes: Vec<u8>,
}

impl Writer {
    /// A message of a version, with nothing in it yet.
    pub(super) fn version(version: i16) -> Result<Self, ConsumerProtocolError> {
        if !(0..=LATEST_VERSION).contains(&version) {
            return Err(ConsumerProtocolError::Unsupported { found: version, supported: LATEST_VERSION });
        }
        let mut writer = Self::default();
        writer.i16(version);
        Ok(writer)
    }

    pub(super) fn generation(&mut self, generation: Option<i32>) {
        self.i32(generation.unwrap_or(NULL.into()));
    }

    fn i16(&mut self, number: i16) {
        self.bytes.extend(number.to_be_bytes());
    }

    fn i32(&mut self, number: i32) {
        self.bytes.extend(number.to_be_bytes());
    }

    pub(super) fn text(&mut self, what: &'static str, text: &str) -> Result<(), ConsumerProtocolError> {
        let len = i16::try_from(text.len()).map_err(|_| too_large(what, text.len(), i16::MAX as usize))?;
        self.i16(len);
        self.bytes.extend(text.as_bytes());
        Ok(())
    }

    pub(super) fn nullable_text(&mut self, what: &'static str, text: Option<&str>) -> Result<(), ConsumerProtocolError> {
        match text {
            Some(text) => self.text(what, text)?,
            None => self.i16(NULL.into()),
        }
        Ok(())
    }

    pub(super) fn nullable_bytes(&mut self, what: &'static str, bytes: Option<&[u8]>) -> Result<(), ConsumerProtocolError> {
        match bytes {
            Some(bytes) => {
                self.len(what, bytes.len())?;
                self.bytes.extend(bytes);
            }
            None => self.i32(NULL.into()),
        }
        Ok(())
    }

    pub(super) fn len(&mut self, what: &'static str, len: usize) -> Result<(), ConsumerProtocolError> {
        let len = i32::try_from(len).map_err(|_| too_large(what, len, i32::MAX as usize))?;
        self.i32(len);
        Ok(())
    }

    pub(super) fn by_topic(&mut self, what: &'static str, by_topic: &ByTopic) -> Result<(), ConsumerProtocolError> {
        self.len(what, by_topic.len())?;
        for (topic, numbers) in by_topic {
            self.text("the name of a topic", topic)?;
            self.len("a list of partitions", numbers.len())?;
            for number in numbers {
                self.len("the number of a partition", *number as usize)?;
            }
        }
        Ok(())
    }
}

fn too_large(what: &'static str, found: usize, limit: usize) -> ConsumerProtocolError {
    ConsumerProtocolError::TooLarge { what, found, limit }
}

const NULL: i8 = -1;
