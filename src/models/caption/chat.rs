//! Instructions and judgements from a captioner that answers in JSON.
//!
//! Procedure: describe each frame, list the differences, then one imperative sentence; a refusal is
//! a verdict, not an error (`InstructMove`, arXiv 2412.12087, keeps it as a filter).

use serde::Deserialize;
use serde_json::{Value, json};

use super::prompts::PromptText;
use crate::core::{ErrorKind, Instruction, ItemError, Judgement, Rgb8};
use crate::models::{
    Captioner, InstructionJudge, InstructionWriter, JUDGE_AXES, Judged, Prompt, Written,
};

/// Longest instruction that is kept, characters; longer ones describe more than an edit.
const MAX_INSTRUCTION_CHARS: usize = 400;

/// Writes instructions by asking a captioner about both frames.
pub struct ChatWriter {
    captioner: Box<dyn Captioner>,
    prompt: PromptText,
}

impl ChatWriter {
    /// A writer that asks with that prompt.
    pub fn new(captioner: Box<dyn Captioner>, prompt: PromptText) -> Self {
        Self { captioner, prompt }
    }
}

#[derive(Deserialize)]
struct WriterAnswer {
    before: String,
    after: String,
    clear: bool,
    #[serde(default)]
    instruction: String,
    #[serde(default)]
    reason: String,
}

fn writer_schema() -> Value {
    let text = json!({ "type": "string" });
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["before", "after", "differences", "clear", "instruction", "reason"],
        "properties": {
            "before": text, "after": text, "clear": { "type": "boolean" },
            "instruction": text, "reason": text,
            "differences": { "type": "array", "items": {
                "type": "object", "additionalProperties": false, "required": ["kind", "what"],
                "properties": { "kind": text, "what": text },
            }},
        },
    })
}

impl InstructionWriter for ChatWriter {
    fn label(&self) -> String {
        self.captioner.label()
    }

    fn write(&mut self, from: &Rgb8, to: &Rgb8) -> Result<Written, ItemError> {
        let prompt = Prompt {
            system: String::new(),
            text: self.prompt.text.to_owned(),
            answer_schema: Some(writer_schema()),
        };
        let answer = self
            .captioner
            .answer(&prompt, &[from.clone(), to.clone()])?;
        if let Some(words) = answer.refusal {
            return Ok(Written::Refused(words));
        }
        let parsed: WriterAnswer = parse(&answer.text)?;
        let text = one_line(&parsed.instruction);
        if !parsed.clear || text.is_empty() {
            return Ok(Written::NoClearEdit(one_line(&parsed.reason)));
        }
        if text.chars().count() > MAX_INSTRUCTION_CHARS {
            return Ok(Written::NoClearEdit(
                "the instruction is too long for one edit".into(),
            ));
        }
        Ok(Written::Instruction(Instruction {
            text,
            writer: self.captioner.label(),
            from_caption: Some(one_line(&parsed.before)).filter(|caption| !caption.is_empty()),
            to_caption: Some(one_line(&parsed.after)).filter(|caption| !caption.is_empty()),
            changes: Vec::new(),
            prompt: Some(self.prompt.label()),
        }))
    }
}

/// Judges by asking a captioner for rubric points.
pub struct ChatJudge {
    captioner: Box<dyn Captioner>,
    prompt: PromptText,
}

impl ChatJudge {
    /// A judge that asks with that prompt.
    pub fn new(captioner: Box<dyn Captioner>, prompt: PromptText) -> Self {
        Self { captioner, prompt }
    }
}

fn judge_schema() -> Value {
    let mut properties = serde_json::Map::new();
    for axis in JUDGE_AXES {
        properties.insert(
            (*axis).to_owned(),
            json!({ "type": "integer", "minimum": 0, "maximum": 5 }),
        );
    }
    properties.insert("reason".into(), json!({ "type": "string" }));
    let required: Vec<&str> = JUDGE_AXES.iter().copied().chain(["reason"]).collect();
    json!({
        "type": "object", "additionalProperties": false,
        "required": required, "properties": properties,
    })
}

impl InstructionJudge for ChatJudge {
    fn label(&self) -> String {
        self.captioner.label()
    }

    fn judge(&mut self, from: &Rgb8, to: &Rgb8, instruction: &str) -> Result<Judged, ItemError> {
        let prompt = Prompt {
            system: String::new(),
            // The instruction is data, quoted as JSON, so that it cannot give orders.
            text: format!("{}\nInstruction: {}", self.prompt.text, json!(instruction)),
            answer_schema: Some(judge_schema()),
        };
        let answer = self
            .captioner
            .answer(&prompt, &[from.clone(), to.clone()])?;
        if let Some(words) = answer.refusal {
            return Ok(Judged::Refused(words));
        }
        let parsed: Value = parse(&answer.text)?;
        let points = JUDGE_AXES
            .iter()
            .map(|axis| {
                let points = parsed[*axis]
                    .as_f64()
                    .filter(|points| (0.0..=5.0).contains(points));
                let points = points.ok_or_else(|| {
                    let got = &parsed[*axis];
                    let what = format!("judge gave `{got}` for {axis}, expected 0 to 5");
                    ItemError::new(ErrorKind::Model, what)
                })?;
                Ok(((*axis).to_owned(), points as f32))
            })
            .collect::<Result<_, ItemError>>()?;
        Ok(Judged::Points(Judgement {
            points,
            reason: one_line(parsed["reason"].as_str().unwrap_or_default()),
            judge: self.captioner.label(),
            prompt: Some(self.prompt.label()),
        }))
    }
}

/// JSON from an answer; models without schema support wrap it in a code fence or words.
fn parse<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, ItemError> {
    let (start, end) = (text.find('{'), text.rfind('}'));
    let json = match (start, end) {
        (Some(start), Some(end)) if start < end => &text[start..=end],
        _ => text,
    };
    serde_json::from_str(json).map_err(|error| {
        // The words about a wrong type quote all of it.
        let error: String = error.to_string().chars().take(200).collect();
        let begin: String = text.chars().take(80).collect();
        ItemError::new(
            ErrorKind::Model,
            format!("answer is not the JSON asked for: {error}: {begin}"),
        )
    })
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::Answer;

    struct Fixed(Answer);
    impl Captioner for Fixed {
        fn label(&self) -> String {
            "endpoint:test".into()
        }
        fn answer(&mut self, prompt: &Prompt, images: &[Rgb8]) -> Result<Answer, ItemError> {
            assert!(prompt.answer_schema.is_some());
            assert_eq!(images.len(), 2);
            Ok(self.0.clone())
        }
    }

    fn written(text: &str) -> Result<Written, ItemError> {
        let captioner = Fixed(Answer {
            text: text.into(),
            ..Answer::default()
        });
        let pixel = Rgb8::from_fn(1, 1, |_, _| [0; 3]);
        let prompt = PromptText::find("edit_instruction_v1").unwrap();
        ChatWriter::new(Box::new(captioner), prompt).write(&pixel, &pixel)
    }

    #[test]
    fn a_fenced_answer_becomes_an_instruction() {
        let text = "```json\n{\"before\":\"a cup\",\"after\":\"no cup\",\"differences\":[],\
                    \"clear\":true,\"instruction\":\"Remove\\n the cup.\",\"reason\":\"\"}\n```";
        let Written::Instruction(instruction) = written(text).unwrap() else {
            panic!()
        };
        assert_eq!(instruction.text, "Remove the cup.");
        assert_eq!(instruction.writer, "endpoint:test");
        assert!(
            instruction
                .prompt
                .unwrap()
                .starts_with("edit_instruction_v1@")
        );
    }

    #[test]
    fn an_unclear_edit_is_a_verdict() {
        let text = r#"{"before":"","after":"","differences":[],"clear":false,"reason":"camera"}"#;
        assert_eq!(
            written(text).unwrap(),
            Written::NoClearEdit("camera".into())
        );
    }

    #[test]
    fn garbage_is_a_model_error() {
        assert_eq!(written("I think so.").unwrap_err().kind, ErrorKind::Model);
    }

    #[test]
    fn points_out_of_bounds_are_not_taken() {
        let text = r#"{"faithful":7,"complete":5,"only_this_change":5,"reason":""}"#;
        let captioner = Fixed(Answer {
            text: text.into(),
            ..Answer::default()
        });
        let pixel = Rgb8::from_fn(1, 1, |_, _| [0; 3]);
        let prompt = PromptText::find("edit_judge_v1").unwrap();
        let judged = ChatJudge::new(Box::new(captioner), prompt).judge(&pixel, &pixel, "Go.");
        assert_eq!(judged.unwrap_err().kind, ErrorKind::Model);
    }

    mod prop {
        use proptest::prelude::*;

        use super::*;
        use crate::core::testing::damaged_text;
        use crate::models::caption::wire;

        const INSTRUCTION: &str = "Here it is:\n```json\n{\"before\":\"a cup\",\"after\":\"no cup\",\
            \"differences\":[{\"kind\":\"removed\",\"what\":\"cup\"}],\"clear\":true,\
            \"instruction\":\"Remove the cup.\",\"reason\":\"\"}\n```";
        const POINTS: &str =
            r#"{"faithful":4,"complete":5,"only_this_change":3.5,"reason":"fine"}"#;

        proptest! {
            #[test]
            fn any_answer_is_an_instruction_a_verdict_or_an_error(text in damaged_text(INSTRUCTION)) {
                match written(&text) {
                    Ok(Written::Instruction(instruction)) => {
                        prop_assert!(!instruction.text.is_empty());
                        prop_assert!(!instruction.text.contains(['\n', '\r']));
                        prop_assert!(instruction.text.chars().count() <= MAX_INSTRUCTION_CHARS);
                    }
                    Ok(_) => {}
                    Err(error) => {
                        prop_assert_eq!(error.kind, ErrorKind::Model);
                        prop_assert!(error.what.chars().count() < 1000, "{}", error.what);
                    }
                }
            }

            #[test]
            fn any_points_are_within_bounds_or_an_error(text in damaged_text(POINTS)) {
                let captioner = Fixed(Answer { text, ..Answer::default() });
                let pixel = Rgb8::from_fn(1, 1, |_, _| [0; 3]);
                let prompt = PromptText::find("edit_judge_v1").unwrap();
                match ChatJudge::new(Box::new(captioner), prompt).judge(&pixel, &pixel, "Go.") {
                    Ok(Judged::Points(judgement)) => {
                        for (_, points) in &judgement.points {
                            prop_assert!((0.0..=5.0).contains(points));
                        }
                    }
                    Ok(Judged::Refused(_)) => {}
                    Err(error) => prop_assert_eq!(error.kind, ErrorKind::Model),
                }
            }

            #[test]
            fn any_reply_is_an_answer_or_an_error(
                body in damaged_text(&json!({
                    "choices": [{
                        "message": { "content": INSTRUCTION, "refusal": null },
                        "finish_reason": "stop",
                    }],
                    "usage": { "prompt_tokens": 7, "completion_tokens": 9 },
                }).to_string()),
                wants_json in any::<bool>(),
            ) {
                match wire::answer(&body, wants_json) {
                    Ok(answer) => prop_assert!(answer.refusal.is_some() || !answer.text.is_empty()),
                    Err(error) => prop_assert_eq!(error.kind, ErrorKind::Model),
                }
                prop_assert!(wire::failure_words(&body).chars().count() <= 300);
            }
        }
    }

    #[test]
    fn deep_nesting_is_an_error() {
        for open in ["[", "{\"a\":"] {
            let deep = format!("{{\"before\":{}", open.repeat(100_000));
            assert_eq!(
                written(&format!("{deep}}}")).unwrap_err().kind,
                ErrorKind::Model
            );
        }
    }
}
