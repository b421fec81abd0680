//! The pages of a dump, cut apart without being read.
//!
//! MediaWiki escapes every `<` of a page's text, so `</page>` is the end of one. Cutting there is a search for a few bytes;
//! all that takes time is done with the pages, side by side.

use std::collections::VecDeque;
use std::ops::Range;
use std::path::{Path, PathBuf};

use memchr::memmem;

use super::header::read_header;
use super::page::{Fault, Page};
use super::source::{Place, Source};
use crate::data::EncodingErrors;
use crate::data::wiki::site::Site;
use crate::{Error, Result};

/// Longest page. MediaWiki allows texts of 2 MiB; every byte of them may be escaped.
const LONGEST_PAGE: usize = 16 << 20;

/// What stands before the first page is shorter.
const LONGEST_HEADER: usize = 1 << 20;

/// XML per thread that is worked on at once, and bounds of that for all threads.
const BYTES_PER_THREAD: usize = 2 << 20;
const BATCH_BYTES: (usize, usize) = (2 << 20, 16 << 20);

/// Some pages of a dump.
#[derive(Debug, Default)]
pub struct Batch {
    text: Vec<u8>,
    /// Bytes of the XML before that.
    xml: u64,
    pages: Vec<Range<usize>>,
    /// Where the last page ends.
    last: usize,
    /// Pages that were longer than any is, and are left out.
    pub too_large: u64,
    /// Where the next page begins.
    pub end: Place,
    /// Bytes of the file before that, or a little more.
    pub position: u64,
}

impl Batch {
    /// Whether the dump has come to its end.
    pub fn is_empty(&self) -> bool {
        self.pages.is_empty() && self.too_large == 0
    }

    /// The pages as they stand in the XML.
    pub fn pages(&self) -> &[Range<usize>] {
        &self.pages
    }

    /// Reads a page and does something with it.
    ///
    /// # Errors
    /// [`Error::Dump`] for a page that is no page.
    pub fn with_page<T>(
        &self,
        path: &Path,
        page: &Range<usize>,
        encoding_errors: EncodingErrors,
        work: impl FnOnce(Page) -> T,
    ) -> Result<T> {
        let bytes = &self.text[page.clone()];
        let start = self.xml + page.start as u64;
        let fault = |Fault { at, reason }: Fault| Error::dump(path, start + at, true, reason);
        let replaced;
        let text = match str::from_utf8(bytes) {
            Ok(text) => text,
            Err(_) if encoding_errors == EncodingErrors::Replace => {
                replaced = String::from_utf8_lossy(bytes);
                &*replaced
            }
            Err(error) => {
                let at = error.valid_up_to() as u64;
                return Err(fault(Fault { at, reason: "the text is not UTF-8".to_string() }));
            }
        };
        Page::parse(text).map(work).map_err(fault)
    }
}

/// Where a dump is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Between pages.
    Between,
    /// In a page that begins at this byte of `open`.
    Page(usize),
    /// In a page that is longer than any is.
    LongPage,
    /// Behind the last page.
    End,
}

const PAGE: &[u8] = b"<page>";
const END_OF_PAGE: &[u8] = b"</page>";
const END: &[u8] = b"</mediawiki>";

/// A dump under way.
pub struct Dump {
    path: PathBuf,
    source: Source,
    site: Site,
    state: State,
    /// XML that is no part of an earlier batch.
    open: Vec<u8>,
    /// Bytes of the XML before that.
    xml: u64,
    /// How much of `open` has been looked at.
    looked: usize,
    /// Where the pieces that `open` is made of begin in the file.
    places: VecDeque<Place>,
    is_at_end: bool,
    batch_bytes: usize,
}

impl Dump {
    /// Opens a dump and reads what stands before its first page; then goes on at `place`, which is that of a page, if it is
    /// given.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Dump`] for a file that is no dump.
    pub fn open(path: &Path, place: Option<Place>) -> Result<Self> {
        let (least, most) = BATCH_BYTES;
        let mut dump = Self {
            path: path.to_path_buf(),
            source: Source::open(path, Place::default())?,
            site: Site::default(),
            state: State::Between,
            open: Vec::new(),
            xml: 0,
            looked: 0,
            places: VecDeque::new(),
            is_at_end: false,
            batch_bytes: (BYTES_PER_THREAD * rayon::current_num_threads()).clamp(least, most),
        };
        dump.read_header()?;
        if let Some(place) = place {
            dump.go_to(place)?;
        }
        Ok(dump)
    }

    /// What the dump says of its wiki.
    pub fn site(&self) -> &Site {
        &self.site
    }

    fn read_header(&mut self) -> Result<()> {
        let is_page =
            |at: &usize, open: &[u8]| open[*at..].starts_with(PAGE) || open[*at..].starts_with(END);
        loop {
            let found = memchr::memchr_iter(b'<', &self.open).find(|at| is_page(at, &self.open));
            let length = found.unwrap_or(self.open.len());
            if found.is_some() || self.open.len() > LONGEST_HEADER || !self.read_on()? {
                self.site = read_header(&self.path, &self.open[..length])?;
                return match found {
                    Some(length) => {
                        self.forget(length);
                        Ok(())
                    }
                    None if self.is_at_end => Err(self.cut_off()),
                    None => Err(self.fault(0, "there is no <page> at the beginning of the XML")),
                };
            }
        }
    }

    fn go_to(&mut self, place: Place) -> Result<()> {
        let start = place.xml.checked_sub(place.skip);
        let (Some(start), Ok(skip)) = (start, usize::try_from(place.skip)) else {
            return Err(self.fault(0, "the place to go on at is none"));
        };
        self.source = Source::open(&self.path, place)?;
        self.open.clear();
        self.places.clear();
        (self.xml, self.looked, self.is_at_end) = (start, 0, false);
        while self.open.len() < skip {
            if !self.read_on()? {
                return Err(self.cut_off());
            }
        }
        self.forget(skip);
        Ok(())
    }

    /// The next pages; an empty batch at the end of the dump.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Dump`] for a dump that is damaged, cut off, or none.
    pub fn next(&mut self) -> Result<Batch> {
        let mut batch = Batch { xml: self.xml, ..Batch::default() };
        while self.state != State::Between || self.looked < self.batch_bytes {
            if self.step(&mut batch)? {
                continue;
            }
            // What comes before a page that is too long is done before that is read on.
            if matches!(self.state, State::LongPage) && !batch.pages.is_empty() {
                break;
            }
            if !self.read_on()? {
                match self.state {
                    State::End => break,
                    _ => return Err(self.cut_off()),
                }
            }
        }
        batch.end = self.place(batch.last);
        batch.position = self.source.position();
        let rest = self.open.split_off(batch.last);
        batch.text = std::mem::replace(&mut self.open, rest);
        self.moved(batch.last);
        Ok(batch)
    }

    /// Looks at what has been read; says whether to look again before more is.
    fn step(&mut self, batch: &mut Batch) -> Result<bool> {
        let rest = &self.open[self.looked..];
        match self.state {
            State::Between => {
                self.looked += rest.len() - rest.trim_ascii_start().len();
                let rest = &self.open[self.looked..];
                if rest.starts_with(PAGE) {
                    self.state = State::Page(self.looked);
                    self.looked += PAGE.len();
                } else if rest.starts_with(END) {
                    self.state = State::End;
                    self.looked += END.len();
                } else if PAGE.starts_with(rest) || END.starts_with(rest) {
                    return Ok(false);
                } else {
                    return Err(self.fault(
                        self.looked,
                        "something else stands here, expected <page> or </mediawiki>",
                    ));
                }
            }
            State::Page(start) => match memmem::find(rest, END_OF_PAGE) {
                Some(length) => {
                    self.looked += length + END_OF_PAGE.len();
                    batch.pages.push(start..self.looked);
                    batch.last = self.looked;
                    self.state = State::Between;
                }
                None => {
                    self.looked =
                        self.looked.max((self.open.len() + 1).saturating_sub(END_OF_PAGE.len()));
                    if self.open.len() - start > LONGEST_PAGE {
                        self.state = State::LongPage;
                    }
                    return Ok(false);
                }
            },
            State::LongPage => match memmem::find(rest, END_OF_PAGE) {
                Some(length) => {
                    self.looked += length + END_OF_PAGE.len();
                    batch.too_large += 1;
                    batch.last = self.looked;
                    self.state = State::Between;
                }
                None => {
                    self.forget((self.open.len() + 1).saturating_sub(END_OF_PAGE.len()));
                    (batch.xml, batch.last) = (self.xml, 0);
                    return Ok(false);
                }
            },
            State::End => {
                if let Some(at) = rest.iter().position(|byte| !byte.is_ascii_whitespace()) {
                    return Err(self.fault(
                        self.looked + at,
                        "something follows </mediawiki>, expected the end",
                    ));
                }
                self.looked = self.open.len();
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Reads some more; says whether there was any.
    fn read_on(&mut self) -> Result<bool> {
        let Some(mut piece) = self.source.next(&self.path)? else {
            self.is_at_end = true;
            return Ok(false);
        };
        piece.place.xml = self.xml + self.open.len() as u64;
        self.places.push_back(piece.place);
        self.open.append(&mut piece.text);
        Ok(true)
    }

    /// Drops the beginning of what has been read.
    fn forget(&mut self, length: usize) {
        self.open.drain(..length);
        self.moved(length);
    }

    /// Notes that the beginning of what has been read is gone.
    fn moved(&mut self, length: usize) {
        self.xml += length as u64;
        self.looked = self.looked.saturating_sub(length);
        while self.places.get(1).is_some_and(|next| next.xml <= self.xml) {
            self.places.pop_front();
        }
    }

    /// Where a byte of `open` is in the file.
    fn place(&self, at: usize) -> Place {
        let xml = self.xml + at as u64;
        let piece = self.places.iter().rev().find(|piece| piece.xml <= xml);
        let piece = piece.copied().unwrap_or_default();
        Place { skip: piece.skip + (xml - piece.xml), xml, ..piece }
    }

    fn cut_off(&self) -> Error {
        self.fault(self.open.len(), "the XML ends here without </mediawiki>: it is cut off")
    }

    fn fault(&self, at: usize, reason: &str) -> Error {
        Error::dump(&self.path, self.xml + at as u64, true, reason)
    }
}
