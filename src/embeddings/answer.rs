//! Takes answers apart into embeddings, and puts others together of them.
//!
//! All of it is cutting and pasting of text: what stands around the embeddings, and between the numbers that change,
//! stays as the provider wrote it.

use std::ops::Range;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::amount::Amount;
use super::place_in;
use crate::json::raw::Members;

/// An answer in which everything is where it belongs: an embedding for each input, and figures that can be shared out.
pub(crate) struct Answer<'t> {
    text: &'t str,
    /// By the numbers of their inputs, wherever they stand in the list.
    elements: Vec<Element>,
    /// From the first of them to the last.
    list: Range<usize>,
    /// What stands between two of them.
    between: &'t str,
    figures: Vec<Figure>,
}

/// Where an embedding stands with all that is said of it, and where in that the number of its input.
struct Element {
    all: Range<usize>,
    index: Range<usize>,
}

/// A number in the usage.
struct Figure {
    /// `prompt_tokens`, `prompt_tokens_details/cached_tokens` …
    name: Box<str>,
    place: Range<usize>,
    amount: Amount,
}

/// One embedding of an answer, with its share of the figures.
pub(crate) struct Piece<'a, 't> {
    answer: &'a Answer<'t>,
    element: usize,
    /// In the order of the answer's own.
    amounts: Vec<Amount>,
}

impl<'t> Answer<'t> {
    /// Finds what is where in the answer to a call with so many inputs. `None` where anything is missing, twice or too much.
    pub(crate) fn read(body: &'t [u8], count: usize) -> Option<Self> {
        let text = std::str::from_utf8(body).ok()?;
        let members = Members::of(body)?;
        let data: Vec<&'t RawValue> = serde_json::from_str(members.get("data")?).ok()?;
        if members.repeated().is_some() || data.len() != count {
            return None;
        }
        let mut elements: Vec<Option<Element>> = Vec::new();
        elements.resize_with(count, || None);
        for element in &data {
            let parts = Members::of(element.get().as_bytes())?;
            let index = parts.get("index")?;
            parts.given("embedding")?;
            let place = elements.get_mut(index.parse::<usize>().ok()?)?;
            let found = Element {
                all: place_in(body, element.get().as_bytes()),
                index: place_in(body, index.as_bytes()),
            };
            if parts.repeated().is_some() || place.replace(found).is_some() {
                return None;
            }
        }
        let (first, last) = (data.first()?, data.last()?);
        let (first, last) = (first.get().as_bytes(), last.get().as_bytes());
        let first = place_in(body, first);
        let between = match data.get(1) {
            Some(second) => &text[first.end..place_in(body, second.get().as_bytes()).start],
            None => ",",
        };
        let mut figures = Vec::new();
        if let Some(usage) = members.given("usage") {
            find_figures(body, usage, "", &mut figures)?;
        }
        Some(Self {
            text,
            elements: elements.into_iter().flatten().collect(),
            list: first.start..place_in(body, last).end,
            between,
            figures,
        })
    }

    /// Its embeddings by their numbers, with shares of the figures by these weights.
    pub(crate) fn pieces(&self, weights: &[u64]) -> Vec<Piece<'_, 't>> {
        let shares: Vec<_> = self
            .figures
            .iter()
            .map(|figure| figure.amount.shared(weights))
            .collect();
        let pieces = (0..self.elements.len()).map(|element| Piece {
            answer: self,
            element,
            amounts: shares
                .iter()
                .filter_map(|shares| shares.get(element).copied())
                .collect(),
        });
        pieces.collect()
    }

    /// The only embedding of an answer that has one, with all of the figures.
    pub(crate) fn only(&self) -> Option<Piece<'_, 't>> {
        self.pieces(&[1]).into_iter().next()
    }
}

fn find_figures(body: &[u8], usage: &str, under: &str, figures: &mut Vec<Figure>) -> Option<()> {
    let Some(members) = Members::of(usage.as_bytes()) else {
        return Some(());
    };
    for (key, value) in members.iter() {
        let name = format!("{under}{key}");
        match value.as_bytes().first()? {
            b'{' if under.is_empty() => find_figures(body, value, &format!("{name}/"), figures)?,
            b'-' | b'0'..=b'9' => figures.push(Figure {
                name: name.into(),
                place: place_in(body, value.as_bytes()),
                amount: Amount::read(value)?,
            }),
            _ => {}
        }
    }
    Some(())
}

/// The answer to a call whose inputs these are the embeddings of, in this order. All that is not theirs is as in `base`.
pub(crate) fn put_together(base: &Answer<'_>, pieces: &[&Piece<'_, '_>]) -> Bytes {
    let elements = pieces.iter().map(|piece| piece.len() + base.between.len());
    let length = base.text.len() - base.list.len() + elements.sum::<usize>();
    let mut out = String::with_capacity(length);
    base.copy(0..base.list.start, pieces, &mut out);
    for (
        at,
        Piece {
            answer, element, ..
        },
    ) in pieces.iter().enumerate()
    {
        if at > 0 {
            out.push_str(base.between);
        }
        if let Some(Element { all, index }) = answer.elements.get(*element) {
            out.push_str(&answer.text[all.start..index.start]);
            out.push_str(&at.to_string());
            out.push_str(&answer.text[index.end..all.end]);
        }
    }
    base.copy(base.list.end..base.text.len(), pieces, &mut out);
    // It may stay for as long as an entry of the cache does.
    out.shrink_to_fit();
    out.into()
}

impl Answer<'_> {
    /// Copies a part of the text; the figures in it become the sums of those of the pieces.
    fn copy(&self, part: Range<usize>, pieces: &[&Piece<'_, '_>], out: &mut String) {
        let mut at = part.start;
        let figures = self.figures.iter();
        for Figure { name, place, .. } in
            figures.filter(|figure| part.contains(&figure.place.start))
        {
            let amounts = pieces.iter().filter_map(|piece| piece.amount(name));
            let sum = amounts.fold(Amount::default(), Amount::plus);
            out.push_str(&self.text[at..place.start]);
            out.push_str(&sum.to_string());
            at = place.end;
        }
        out.push_str(&self.text[at..part.end]);
    }
}

impl Piece<'_, '_> {
    /// How long its embedding is with all that is said of it (bytes).
    fn len(&self) -> usize {
        let element = self.answer.elements.get(self.element);
        element.map_or(0, |element| element.all.len())
    }

    fn amount(&self, name: &str) -> Option<Amount> {
        let figures = &self.answer.figures;
        let at = figures.iter().position(|figure| *figure.name == *name)?;
        self.amounts.get(at).copied()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    const PRETTY: &str = "{\n  \"object\": \"list\",\n  \"usage\": { \"prompt_tokens\": 5, \"cost\": 1.0e-6,\n \"details\": {\"audio\": 0, \"x\": \"y\"} },\n  \
                          \"data\": [\n    {\"index\": 1, \"embedding\": [1.0, -0.10]},\n    {\"embedding\": \"AACAPw==\", \"index\" : 0 , \"more\":[0]}\n  ],\n  \
                          \"model\": \"e\\u002d1\", \"id\": 7\n}\n";

    fn take(answer: &Answer<'_>, weights: &[u64], wanted: &[usize]) -> String {
        let pieces = answer.pieces(weights);
        let wanted: Vec<_> = wanted.iter().map(|at| &pieces[*at]).collect();
        String::from_utf8(put_together(answer, &wanted).to_vec()).unwrap()
    }

    #[test]
    fn what_is_not_changed_stays_as_it_was_written() {
        let answer = Answer::read(PRETTY.as_bytes(), 2).unwrap();
        assert_eq!(
            take(&answer, &[3, 2], &[0]),
            "{\n  \"object\": \"list\",\n  \"usage\": { \"prompt_tokens\": 3, \"cost\": 0.0000006,\n \"details\": {\"audio\": 0, \"x\": \"y\"} },\n  \
             \"data\": [\n    {\"embedding\": \"AACAPw==\", \"index\" : 0 , \"more\":[0]}\n  ],\n  \
             \"model\": \"e\\u002d1\", \"id\": 7\n}\n"
        );
        let both = take(&answer, &[3, 2], &[1, 0]);
        assert!(both.contains("[\n    {\"index\": 0, \"embedding\": [1.0, -0.10]},\n    {\"embedding\": \"AACAPw==\", \"index\" : 1 , \"more\":[0]}\n  ]"), "{both}");
        assert!(
            both.contains("\"prompt_tokens\": 5, \"cost\": 0.0000010"),
            "{both}"
        );
    }

    /// What is put together is kept: no byte more is held than is counted.
    #[test]
    fn what_is_put_together_holds_no_more_than_its_text() {
        let data: Vec<_> = (0..50)
            .map(|index| json!({"index": index, "embedding": vec![0.25; index * 7]}))
            .collect();
        let whole = json!({"data": data, "usage": {"prompt_tokens": 999_983}}).to_string();
        let answer = Answer::read(whole.as_bytes(), data.len()).unwrap();
        let pieces = answer.pieces(&vec![3; data.len()]);
        let pieces: Vec<_> = pieces.iter().collect();
        for taken in [&pieces[..1], &pieces[7..8], &pieces[20..43], &pieces[..]] {
            let text = put_together(&answer, taken);
            let length = text.len();
            assert_eq!(text.try_into_mut().unwrap().capacity(), length);
        }
    }

    #[test]
    fn an_answer_in_which_something_is_wrong_is_none() {
        let element = |index: &str| format!("{{\"index\":{index},\"embedding\":[1]}}");
        let answer =
            |data: &str| format!("{{\"data\":[{data}],\"usage\":{{\"prompt_tokens\":1}}}}");
        let two = answer(&format!("{},{}", element("0"), element("1")));
        assert!(Answer::read(two.as_bytes(), 2).is_some());
        for (text, count) in [
            (two.clone(), 1),
            (two.clone(), 3),
            (answer(&format!("{},{}", element("0"), element("0"))), 2),
            (answer(&format!("{},{}", element("1"), element("2"))), 2),
            (answer(&format!("{},{}", element("0"), element("-1"))), 2),
            (answer(&format!("{},{}", element("0"), element("\"1\""))), 2),
            (answer(&format!("{},{}", element("0"), "{\"index\":1}")), 2),
            (
                answer(&format!(
                    "{},{}",
                    element("0"),
                    "{\"index\":1,\"embedding\":null}"
                )),
                2,
            ),
            (answer(&format!("{},{}", element("0"), "7")), 2),
            (answer(""), 0),
            (two.replace("1}}", "-1}}"), 2),
            (two.replace("\"usage\"", "\"data\""), 2),
            ("{\"error\":{}}".to_owned(), 1),
            ("[]".to_owned(), 1),
        ] {
            assert!(
                Answer::read(text.as_bytes(), count).is_none(),
                "{text} {count}"
            );
        }
        let without = two.replace("\"usage\":{\"prompt_tokens\":1}", "\"usage\":null");
        assert!(Answer::read(without.as_bytes(), 2).is_some());
    }

    proptest! {
        /// Whatever is taken apart and put together is the same again, and what several calls get of an answer adds up to
        /// it.
        #[test]
        fn nothing_is_lost_on_the_way(
            weights in prop::collection::vec(0_u64..50, 1..12), cuts in prop::collection::vec(any::<bool>(), 12),
            tokens in 0_u64..100_000, seed in any::<u64>(),
        ) {
            let count = weights.len();
            let mut random = fastrand::Rng::with_seed(seed);
            let mut order: Vec<_> = (0..count).collect();
            random.shuffle(&mut order);
            let data: Vec<_> = order.iter().map(|at| json!({"index": at, "embedding": [at, seed]})).collect();
            let whole = json!({"data": data, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}).to_string();
            let answer = Answer::read(whole.as_bytes(), count).unwrap();
            let (mut sum, mut seen) = (0, 0);
            let mut rest: Vec<_> = (0..count).collect();
            while !rest.is_empty() {
                let end = (1..rest.len()).find(|at| cuts[*at + seen]).unwrap_or(rest.len());
                let taken: Vec<_> = rest.drain(..end).collect();
                let part: Value = serde_json::from_str(&take(&answer, &weights, &taken)).unwrap();
                sum += part["usage"]["prompt_tokens"].as_u64().unwrap();
                for (index, element) in part["data"].as_array().unwrap().iter().enumerate() {
                    prop_assert_eq!(element, &json!({"index": index, "embedding": [seen, seed]}));
                    seen += 1;
                }
            }
            prop_assert_eq!((sum, seen), (tokens, count));
            let all: Vec<_> = (0..count).collect();
            let again = take(&answer, &weights, &all);
            order.sort_unstable();
            let sorted: Vec<_> = order.iter().map(|at| json!({"index": at, "embedding": [at, seed]})).collect();
            let expected = json!({"data": sorted, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}});
            prop_assert_eq!(again, expected.to_string());
        }
    }
}
