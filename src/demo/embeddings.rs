//! The simulated model's embeddings: unit vectors that depend on nothing but model and input.

use axum::{Json, body::Bytes};
use serde_json::{Map, Value, json};

use super::{DEFAULT_MODEL, answer::count_tokens, hash, mix, refusal::Refusal};

const DEFAULT_DIMENSIONS: u64 = 64;
const MAX_DIMENSIONS: u64 = 4096;
const MAX_INPUTS: usize = 2048;

/// `POST /v1/embeddings`.
pub(super) async fn embed(body: Bytes) -> Result<Json<Value>, Refusal> {
    let body: Map<String, Value> =
        serde_json::from_slice(&body).map_err(|error| Refusal::not_json(&error.to_string()))?;
    let field = |name: &str| body.get(name).filter(|value| !value.is_null());
    let model = field("model")
        .and_then(Value::as_str)
        .unwrap_or(DEFAULT_MODEL);
    let inputs = inputs(field("input"))?;
    let dimensions = field("dimensions").map_or(Some(DEFAULT_DIMENSIONS), Value::as_u64);
    let dimensions = dimensions
        .filter(|dimensions| (1..=MAX_DIMENSIONS).contains(dimensions))
        .and_then(|dimensions| usize::try_from(dimensions).ok())
        .ok_or_else(|| {
            let message = format!("'dimensions' is a whole number from 1 to {MAX_DIMENSIONS}.");
            Refusal::invalid("dimensions", message)
        })?;
    // OpenAI's clients ask for base64 unless told otherwise, and decode nothing else then.
    let base64 = match field("encoding_format").map(Value::as_str) {
        None | Some(Some("float")) => false,
        Some(Some("base64")) => true,
        Some(_) => {
            let message = "'encoding_format' is 'float' or 'base64'.";
            return Err(Refusal::invalid("encoding_format", message));
        }
    };

    let one = |(index, input): (usize, &Input)| {
        let vector = vector(hash([model.as_bytes(), input.text.as_bytes()]), dimensions);
        let embedding = if base64 {
            Value::from(in_base64(&vector))
        } else {
            Value::from(vector)
        };
        json!({"object": "embedding", "index": index, "embedding": embedding})
    };
    let data: Vec<Value> = inputs.iter().enumerate().map(one).collect();
    let tokens: usize = inputs.iter().map(|input| input.tokens).sum();
    Ok(Json(json!({
        "object": "list",
        "data": data,
        "model": model,
        "simulated": true,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    })))
}

/// One text to embed; a list of token numbers stands for itself, as JSON.
struct Input {
    text: String,
    tokens: usize,
}

impl Input {
    fn new(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) => Some(Self {
                text: text.clone(),
                tokens: count_tokens(text),
            }),
            Value::Array(numbers) if is_tokens(numbers) => Some(Self {
                text: value.to_string(),
                tokens: numbers.len(),
            }),
            _ => None,
        }
    }
}

fn is_tokens(list: &[Value]) -> bool {
    !list.is_empty() && list.iter().all(Value::is_u64)
}

fn inputs(input: Option<&Value>) -> Result<Vec<Input>, Refusal> {
    let inputs = match input {
        Some(Value::Array(list)) if !is_tokens(list) => list.iter().map(Input::new).collect(),
        Some(one) => Input::new(one).map(|input| vec![input]),
        None => None,
    };
    inputs
        .filter(|inputs| (1..=MAX_INPUTS).contains(&inputs.len()))
        .ok_or_else(|| {
            let message = format!(
                "'input' is a text, a list of token numbers, or 1 to {MAX_INPUTS} of them."
            );
            Refusal::invalid("input", message)
        })
}

/// A pseudo-random vector of length 1.
fn vector(seed: u64, dimensions: usize) -> Vec<f32> {
    // The half keeps every component, and so the length, away from zero.
    let component = |bytes: &[u8]| f32::from(i16::from_le_bytes([bytes[0], bytes[1]])) + 0.5;
    let mut vector: Vec<f32> = (1_u64..)
        .map(|turn| mix(seed.wrapping_add(turn.wrapping_mul(0x9e37_79b9_7f4a_7c15))))
        .flat_map(|number| {
            number
                .to_le_bytes()
                .chunks_exact(2)
                .map(component)
                .collect::<Vec<_>>()
        })
        .take(dimensions)
        .collect();
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    for x in &mut vector {
        *x /= length;
    }
    vector
}

/// The vector's little-endian 32-bit floats in base64.
fn in_base64(vector: &[f32]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |at: usize| usize::from(group.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let index = bits >> (18 - 6 * digit) & 63;
            text.push(if digit <= group.len() {
                char::from(DIGITS[index])
            } else {
                '='
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_is_of_length_one_and_follows_its_seed() {
        for dimensions in [1, 3, 64, 4096] {
            let made = vector(7, dimensions);
            assert_eq!(made.len(), dimensions);
            assert!((made.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-3);
            assert_eq!(made, vector(7, dimensions));
        }
        assert_ne!(vector(7, 64), vector(8, 64));
    }

    #[test]
    fn base64_pads_as_rfc_4648_says() {
        // 1.0 is 00 00 80 3F.
        assert_eq!(in_base64(&[1.0]), "AACAPw==");
        assert_eq!(in_base64(&[1.0, 1.0]), "AACAPwAAgD8=");
        assert_eq!(in_base64(&[1.0, 1.0, 1.0]), "AACAPwAAgD8AAIA/");
    }

    #[tokio::test]
    async fn embeddings_follow_their_input() {
        let embed = async |body: Value| {
            embed(Bytes::from(body.to_string()))
                .await
                .map(|Json(made)| made)
        };
        let one = embed(json!({"model": "e", "input": "a b"})).await.unwrap();
        assert_eq!(
            (&one["model"], &one["simulated"]),
            (&json!("e"), &json!(true))
        );
        assert_eq!(one["usage"], json!({"prompt_tokens": 2, "total_tokens": 2}));
        assert_eq!(one["data"][0]["embedding"].as_array().unwrap().len(), 64);
        let list = embed(json!({"model": "e", "input": ["c", "a b", [1, 2]]}))
            .await
            .unwrap();
        assert_eq!(list["data"][1]["embedding"], one["data"][0]["embedding"]);
        assert_ne!(list["data"][0]["embedding"], one["data"][0]["embedding"]);
        assert_eq!(list["data"][2]["index"], 2);
        let packed = embed(json!({"input": [1, 2], "encoding_format": "base64", "dimensions": 3}))
            .await
            .unwrap();
        assert_eq!(packed["data"][0]["embedding"].as_str().unwrap().len(), 16);
        for wrong in [
            json!({}),
            json!({"input": []}),
            json!({"input": [1.5]}),
            json!({"input": "a", "dimensions": 0}),
            json!({"input": "a", "encoding_format": "int8"}),
        ] {
            assert!(embed(wrong.clone()).await.is_err(), "{wrong}");
        }
    }
}
