//! The kinds of inputs: how one is read, changed, made smaller and written.

use serde_json::Value;

use super::{
    json, message,
    random::Random,
    tar::{self, Archive},
    text,
};

/// What an input is, and so how it is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// A JSON document: changed by its fields and values.
    Json,
    /// A short text: changed by its words and characters.
    Text,
    /// A tar, as it is or in gzip or zstd: changed by its entries, their headers with the checksum mended, PAX records
    /// and JSON documents in it.
    Tar,
    /// A message of a binary protocol: changed by its bytes, numbers of 16 bits, and pieces of other messages.
    Message,
}

/// One input.
#[derive(Clone)]
pub(super) enum Sample {
    Json(Value),
    Text(String),
    Tar(Archive),
    Message(Vec<u8>),
}

/// What a corpus has: what changes put in.
#[derive(Default)]
pub(super) struct Dictionary {
    pub(super) json: json::Names,
    pub(super) words: Vec<String>,
    pub(super) messages: Vec<Vec<u8>>,
}

impl Input {
    /// How the name of a file with such an input ends.
    pub(super) fn extension(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Text => "txt",
            Self::Tar => "tar",
            Self::Message => "bin",
        }
    }

    /// Takes an input apart; `None` when it has no structure to be changed.
    pub(super) fn read(self, bytes: &[u8]) -> Option<Sample> {
        match self {
            Self::Json => serde_json::from_slice(bytes).ok().map(Sample::Json),
            Self::Text => String::from_utf8(bytes.to_vec()).ok().map(Sample::Text),
            Self::Tar => Archive::read(bytes).map(Sample::Tar),
            Self::Message => Some(Sample::Message(bytes.to_vec())),
        }
    }
}

impl Sample {
    /// The same with something else in one or several places, written down.
    pub(super) fn changed(&self, dictionary: &Dictionary, random: &mut Random) -> Vec<u8> {
        match self {
            Self::Json(value) => json::changed(value, &dictionary.json, random),
            Self::Text(text) => text::changed(text, &dictionary.words, random),
            Self::Tar(archive) => tar::changed(archive, dictionary, random),
            Self::Message(message) => message::changed(message, &dictionary.messages, random),
        }
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Json(value) => serde_json::to_vec(value).expect("a JSON value can be written"),
            Self::Text(text) => text.clone().into_bytes(),
            Self::Tar(archive) => archive.bytes(),
            Self::Message(message) => message.clone(),
        }
    }

    /// The same without the part that is `at` places on; `None` when there is none.
    pub(super) fn without(&self, at: usize) -> Option<Self> {
        match self {
            Self::Json(value) => json::without(value, at).map(Self::Json),
            Self::Text(text) => text::without(text, at).map(Self::Text),
            Self::Tar(archive) => archive.without(at).map(Self::Tar),
            Self::Message(message) => message::without(message, at).map(Self::Message),
        }
    }
}

impl Dictionary {
    pub(super) fn learn(&mut self, sample: &Sample) {
        match sample {
            Sample::Json(value) => self.json.learn(value),
            Sample::Text(text) => self.learn_words(text::words(text)),
            Sample::Tar(archive) => {
                archive.documents().for_each(|document| self.json.learn(&document));
                self.learn_words(archive.names());
            }
            Sample::Message(message) => self.messages.push(message.clone()),
        }
    }

    fn learn_words(&mut self, words: impl IntoIterator<Item = String>) {
        for word in words {
            if !self.words.contains(&word) {
                self.words.push(word);
            }
        }
    }
}
