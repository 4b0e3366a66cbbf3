//! The MIME tree of a message as a flat list of byte ranges.
//!
//! One pass over the lines with a stack of open containers, no recursion. A container below the nesting limit is not
//! opened, parts over the number limit are left out; either way the pass stays linear in the input.
//!
//! Standards: RFC 2046 §5.1.1 (delimiters), §5.1.5 (digest), §5.2.1 (message/rfc822), RFC 6532 §3.7 (message/global).

use std::ops::Range;

use super::decode::{self, MediaType};
use super::field;
use super::transfer::Encoding;
use super::{Defect, Limits};

/// What a part holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mail) enum Shape {
    /// Content of its own.
    Leaf,
    /// Parts between delimiter lines.
    Multipart,
    /// One message, which is the next part in the list.
    Message,
}

/// One part of a message; the first is the message itself.
#[derive(Debug, Clone)]
pub(in crate::mail) struct Part {
    pub(in crate::mail) header: Range<usize>,
    /// Content as it stands, without the line end in front of the delimiter.
    pub(in crate::mail) body: Range<usize>,
    pub(in crate::mail) shape: Shape,
    pub(in crate::mail) media: MediaType,
    pub(in crate::mail) disposition: Option<MediaType>,
    pub(in crate::mail) content_id: Option<String>,
    pub(in crate::mail) encoding: Encoding,
    /// Index of the part that contains it.
    pub(in crate::mail) parent: Option<usize>,
    /// How many message/rfc822 parts contain it.
    pub(in crate::mail) messages: usize,
}

impl Part {
    /// Its content, still encoded.
    pub(in crate::mail) fn body<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        bytes.get(self.body.clone()).unwrap_or_default()
    }
}

/// All parts in the order in which they stand.
#[derive(Debug, Default)]
pub(in crate::mail) struct Structure {
    pub(in crate::mail) parts: Vec<Part>,
    pub(in crate::mail) defects: Vec<Defect>,
}

impl Structure {
    /// The parts that contain part `index`, innermost first.
    pub(in crate::mail) fn ancestors(&self, index: usize) -> impl Iterator<Item = usize> + '_ {
        std::iter::successors(self.parts.get(index).and_then(|part| part.parent), |parent| {
            self.parts.get(*parent).and_then(|part| part.parent)
        })
    }
}

/// Takes `bytes` apart.
pub(in crate::mail) fn walk(bytes: &[u8], limits: &Limits) -> Structure {
    let mut walker = Walker { bytes, limits, found: Structure::default(), open: Vec::new(), leaf: None };
    let mut next = Some(0);
    while let Some(at) = next {
        next = walker.entity(at);
    }
    walker.finish()
}

/// Octets of a Content-* field that are read. mail-parser compares every parameter with every other.
const PARAMETERS: usize = 4 * 1024;

/// A container that is not closed yet.
struct Open {
    part: usize,
    /// `None` for a message.
    boundary: Option<Vec<u8>>,
    has_child: bool,
}

struct Walker<'a> {
    bytes: &'a [u8],
    limits: &'a Limits,
    found: Structure,
    open: Vec<Open>,
    /// The part whose content the pass is in.
    leaf: Option<usize>,
}

fn bounded(value: &[u8]) -> &[u8] {
    value.get(..PARAMETERS).unwrap_or(value)
}

impl Walker<'_> {
    /// Reads the header at `at` and passes over the content; gives the place of the next header.
    fn entity(&mut self, at: usize) -> Option<usize> {
        if self.found.parts.len() >= self.limits.parts {
            self.found.defects.push(Defect::PartsLimit);
            self.open.clear(); // what is left out cannot be called truncated
            return None;
        }
        let head = field::block(self.bytes, at, self.limits.header_block, |line| self.delimiter(line).is_some());
        if head.is_cut {
            self.found.defects.push(Defect::HeaderTooLarge);
        }
        let index = self.found.parts.len();
        let mut part = self.describe(head.header, head.body);
        let boundary = self.opens(&mut part);
        let shape = part.shape;
        self.found.parts.push(part);
        match shape {
            Shape::Leaf => self.leaf = Some(index),
            Shape::Multipart => self.open.push(Open { part: index, boundary, has_child: false }),
            Shape::Message => {
                self.open.push(Open { part: index, boundary: None, has_child: true });
                return Some(head.body);
            }
        }
        self.pass(head.body)
    }

    /// The part whose header this is, as a leaf.
    fn describe(&mut self, header: Range<usize>, body: usize) -> Part {
        let parent = self.open.last().map(|open| open.part);
        let above = parent.and_then(|parent| self.found.parts.get(parent));
        // RFC 2046 §5.1.5: the parts of a digest are messages unless they say otherwise.
        let is_in_digest = above.is_some_and(|part| part.media.name == "multipart/digest");
        let messages = above.map_or(0, |part| part.messages + usize::from(part.shape == Shape::Message));
        let default = if is_in_digest { "message/rfc822" } else { "text/plain" };
        let mut part = Part {
            header,
            body: body..self.bytes.len().max(body),
            shape: Shape::Leaf,
            media: MediaType { name: default.to_owned(), parameters: Vec::new() },
            disposition: None,
            content_id: None,
            encoding: Encoding::Identity,
            parent,
            messages,
        };
        let (fields, _) = field::fields(self.bytes.get(part.header.clone()).unwrap_or_default());
        let first = |name: &str| fields.iter().find(|field| field.is(name)).map(|field| field.value);
        if let Some(media) = first("content-type").and_then(|value| decode::media_type(bounded(value))) {
            part.media = media;
        }
        part.disposition = first("content-disposition").and_then(|value| decode::media_type(bounded(value)));
        part.encoding = first("content-transfer-encoding").map(Encoding::parse).unwrap_or_default();
        part.content_id = first("content-id").map(|value| {
            let id = decode::unstructured(bounded(value));
            id.trim_matches(['<', '>', ' ']).to_owned()
        });
        part
    }

    /// Makes the part a container if it can be one; gives the boundary of a multipart.
    fn opens(&mut self, part: &mut Part) -> Option<Vec<u8>> {
        let is_multipart = part.media.name.starts_with("multipart/");
        // RFC 2046 §5.2.1: no transfer encoding on a message; one that has it is taken as content.
        let is_message = matches!(part.media.name.as_str(), "message/rfc822" | "message/global")
            && matches!(part.encoding, Encoding::Identity | Encoding::Unknown);
        if !is_multipart && !is_message {
            return None;
        }
        if self.open.len() >= self.limits.nesting {
            self.found.defects.push(Defect::NestingLimit);
            return None;
        }
        if is_message {
            part.shape = Shape::Message;
            return None;
        }
        let boundary = part.media.parameter("boundary").trim_end();
        if boundary.is_empty() {
            self.found.defects.push(Defect::BoundaryMissing);
            part.media.name = "text/plain".to_owned();
            return None;
        }
        part.shape = Shape::Multipart;
        Some(boundary.as_bytes().to_vec())
    }

    /// Passes over lines from `at` on until a delimiter begins a new part; gives the place behind it.
    fn pass(&mut self, at: usize) -> Option<usize> {
        let mut end = at; // where content ends if the next line is a delimiter: in front of the line end
        for line in field::lines(self.bytes, at) {
            if let Some((level, is_last)) = self.delimiter(line.content) {
                self.close_above(level, end);
                if !is_last {
                    if let Some(open) = self.open.get_mut(level) {
                        open.has_child = true;
                    }
                    return Some(line.next);
                }
                self.close(line.next, true);
            }
            end = line.start + line.content.len();
        }
        None
    }

    /// The level of the container whose delimiter this line is, innermost first, and whether it is the last one.
    /// RFC 2046 §5.1.1: nothing but blanks may follow; `--boundaryX` is content.
    fn delimiter(&self, line: &[u8]) -> Option<(usize, bool)> {
        let rest = line.strip_prefix(b"--")?.trim_ascii_end();
        self.open.iter().enumerate().rev().find_map(|(level, open)| {
            match rest.strip_prefix(open.boundary.as_deref()?)? {
                b"" => Some((level, false)),
                b"--" => Some((level, true)),
                _ => None,
            }
        })
    }

    /// Closes the leaf and every container inside the one at `level`; their content ends at `end`.
    fn close_above(&mut self, level: usize, end: usize) {
        self.close_leaf(end);
        while self.open.len() > level + 1 {
            self.close(end, false);
        }
    }

    fn close_leaf(&mut self, end: usize) {
        if let Some(part) = self.leaf.take().and_then(|leaf| self.found.parts.get_mut(leaf)) {
            part.body.end = end.max(part.body.start);
        }
    }

    /// Closes the innermost container.
    fn close(&mut self, end: usize, has_last_delimiter: bool) {
        let Some(open) = self.open.pop() else { return };
        let Some(part) = self.found.parts.get_mut(open.part) else { return };
        part.body.end = end.max(part.body.start);
        if !open.has_child {
            self.found.defects.push(Defect::BoundaryMissing);
            part.shape = Shape::Leaf;
            part.media.name = "text/plain".to_owned();
        } else if open.boundary.is_some() && !has_last_delimiter {
            self.found.defects.push(Defect::Truncated);
        }
    }

    fn finish(mut self) -> Structure {
        let end = self.bytes.len();
        self.close_leaf(end);
        while !self.open.is_empty() {
            self.close(end, false);
        }
        self.found
    }
}
