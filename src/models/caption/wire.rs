//! Requests and answers of the chat-completions protocol, as pure functions.

use std::io::Cursor;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder, RgbImage};
use serde_json::{Value, json};

use crate::core::{ErrorKind, ItemError, Rgb8, SizeRule};
use crate::models::caption::EndpointOptions;
use crate::models::{Answer, Prompt};

/// Longest part of a server's words in an error, in characters.
const QUOTE_CHARS: usize = 300;

/// The body of a request.
pub(super) fn request(
    options: &EndpointOptions,
    prompt: &Prompt,
    images: &[Rgb8],
) -> Result<Value, ItemError> {
    let mut content = Vec::with_capacity(images.len() + 1);
    for image in images {
        let url = data_url(image, options.image_max_side_px, options.image_jpeg_quality)?;
        content.push(json!({"type": "image_url", "image_url": {"url": url}}));
    }
    content.push(json!({"type": "text", "text": prompt.text}));
    let mut messages = Vec::new();
    if !prompt.system.is_empty() {
        messages.push(json!({"role": "system", "content": prompt.system}));
    }
    messages.push(json!({"role": "user", "content": content}));
    let mut body = json!({
        "model": options.model,
        "messages": messages,
        "max_tokens": options.max_answer_tokens,
        "temperature": 0,
        "seed": options.seed,
    });
    if let Some(schema) = &prompt.answer_schema {
        body["response_format"] = json!({
            "type": "json_schema",
            "json_schema": {"name": "answer", "strict": true, "schema": schema},
        });
    }
    Ok(body)
}

/// A picture as a data URL: JPEG, or PNG at quality 100, scaled to the longest side.
fn data_url(image: &Rgb8, max_side_px: u32, jpeg_quality: u8) -> Result<String, ItemError> {
    let bug =
        |error: String| ItemError::new(ErrorKind::Bug, format!("encoding {image:?}: {error}"));
    let (width, height) =
        SizeRule::MaxSide(max_side_px.max(1)).apply(image.width(), image.height());
    let mut pixels = RgbImage::from_raw(image.width(), image.height(), image.data().to_vec())
        .ok_or_else(|| bug("wrong length".to_owned()))?;
    if (width, height) != (image.width(), image.height()) {
        let filter = image::imageops::FilterType::CatmullRom;
        pixels = image::imageops::resize(&pixels, width, height, filter);
    }
    let mut bytes = Cursor::new(Vec::new());
    let kind = if jpeg_quality >= 100 {
        let encoder = image::codecs::png::PngEncoder::new(&mut bytes);
        encoder
            .write_image(&pixels, width, height, ExtendedColorType::Rgb8)
            .map_err(|error| bug(error.to_string()))?;
        "png"
    } else {
        let encoder = JpegEncoder::new_with_quality(&mut bytes, jpeg_quality.max(1));
        encoder
            .write_image(&pixels, width, height, ExtendedColorType::Rgb8)
            .map_err(|error| bug(error.to_string()))?;
        "jpeg"
    };
    Ok(format!(
        "data:image/{kind};base64,{}",
        STANDARD.encode(bytes.into_inner())
    ))
}

/// What a successful reply says. Refusals are answers too.
pub(super) fn answer(body: &str, wants_json: bool) -> Result<Answer, ItemError> {
    let model = |what: String| ItemError::new(ErrorKind::Model, what);
    let reply: Value = serde_json::from_str(body)
        .map_err(|error| model(format!("the reply is no json ({error}): {}", quote(body))))?;
    let choice = &reply["choices"][0];
    let message = &choice["message"];
    let tokens = |name: &str| reply["usage"][name].as_u64().unwrap_or(0);
    let mut answer = Answer {
        text: String::new(),
        refusal: None,
        prompt_tokens: tokens("prompt_tokens"),
        answer_tokens: tokens("completion_tokens"),
    };
    let finish = choice["finish_reason"].as_str().unwrap_or("");
    let words = message["refusal"]
        .as_str()
        .filter(|words| !words.is_empty());
    if words.is_some() || finish == "content_filter" {
        answer.refusal = Some(words.unwrap_or("content filter").to_owned());
        return Ok(answer);
    }
    let text = message["content"]
        .as_str()
        .map(str::trim)
        .filter(|text| !text.is_empty())
        .ok_or_else(|| model(format!("the reply holds no answer: {}", quote(body))))?;
    let text = if wants_json { json_part(text) } else { text };
    text.clone_into(&mut answer.text);
    if wants_json && serde_json::from_str::<Value>(&answer.text).is_err() {
        let why = if finish == "length" {
            "cut off; raise max_answer_tokens"
        } else {
            "no json"
        };
        return Err(model(format!("the answer is {why}: {}", quote(text))));
    }
    Ok(answer)
}

/// From the first brace to the last: some servers wrap their json in a code block.
fn json_part(text: &str) -> &str {
    match (text.find('{'), text.rfind('}')) {
        (Some(from), Some(to)) if from < to => &text[from..=to],
        _ => text,
    }
}

/// The server's own words about a failure, else the body's beginning.
pub(super) fn failure_words(body: &str) -> String {
    let parsed: Option<Value> = serde_json::from_str(body).ok();
    let words = parsed.as_ref().and_then(|reply| {
        let error = &reply["error"];
        error["message"]
            .as_str()
            .or_else(|| error.as_str())
            .or_else(|| reply["message"].as_str())
    });
    quote(words.unwrap_or(body))
}

fn quote(text: &str) -> String {
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.is_empty() {
        return "no words".to_owned();
    }
    line.chars().take(QUOTE_CHARS).collect()
}
