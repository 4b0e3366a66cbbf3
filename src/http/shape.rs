//! Holds a JSON value against a schema of the OpenAPI document, and names every field that does not fit.
//!
//! The schemas are compiled once from the document that is served, so that what is published and what is enforced are the
//! same thing. Only the part of JSON Schema that the contract's types use is known here; anything else in a schema fails
//! at start, not at a request. The walk follows the schema, not the value: its depth and its work are bounded by both.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::keys::redact;
use crate::service::Fault;

/// A compiled schema.
#[derive(Debug, Clone)]
pub struct Shape {
    nullable: bool,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    Any,
    Text { min: usize, max: usize },
    Word(Vec<String>),
    Whole { min: Option<i64> },
    Number,
    Flag,
    List { items: Box<Shape>, max: usize },
    Tuple(Vec<Shape>),
    Record { fields: BTreeMap<String, Shape>, required: Vec<String> },
    Map(Box<Shape>),
    FreeObject,
}

/// What a walk found.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Findings {
    /// Fields of a wrong type, size or value, and required ones that are missing. At most 20.
    pub faults: Vec<Fault>,
    /// Pointers to fields that the contract does not have. At most 20.
    pub unknown: Vec<String>,
}

/// A schema that uses something this module does not know.
#[derive(Debug, thiserror::Error)]
#[error("schema {name}: {what}")]
pub struct UnknownSchema {
    name: String,
    what: String,
}

impl Shape {
    /// Compiles `components.schemas.<name>` of an OpenAPI 3.1 document.
    ///
    /// # Errors
    /// When the schema is missing, refers to itself, or uses a keyword that is not known here.
    pub fn compile(document: &Value, name: &str) -> Result<Self, UnknownSchema> {
        let unknown = |what: String| UnknownSchema { name: name.to_owned(), what };
        let schemas = document.pointer("/components/schemas").ok_or_else(|| unknown("no components".into()))?;
        let schema = schemas.get(name).ok_or_else(|| unknown("no such schema".into()))?;
        compile(schemas, schema, 0).map_err(unknown)
    }

    /// Walks `value` and says what does not fit.
    #[must_use]
    pub fn check(&self, value: &Value) -> Findings {
        let mut findings = Findings::default();
        self.walk(value, &Place::Root, &mut findings);
        findings
    }

    fn walk(&self, value: &Value, place: &Place<'_>, findings: &mut Findings) {
        if value.is_null() && self.nullable {
            return;
        }
        match (&self.kind, value) {
            (Kind::Any, _)
            | (Kind::Number, Value::Number(_))
            | (Kind::Flag, Value::Bool(_))
            | (Kind::FreeObject, Value::Object(_)) => {}
            (Kind::Text { min, max }, Value::String(text)) => check_length(text, *min, *max, place, findings),
            (Kind::Word(words), Value::String(text)) => {
                if !words.iter().any(|word| word == text) {
                    findings.fault(place, format!("must be one of {}", words.join(", ")));
                }
            }
            (Kind::Whole { min }, Value::Number(number)) => {
                if !number.is_i64() && !number.is_u64() {
                    findings.fault(place, "must be a whole number".into());
                } else if let (Some(min), Some(number)) = (min, number.as_i64())
                    && number < *min
                {
                    findings.fault(place, format!("must not be below {min}"));
                }
            }
            (Kind::List { items, max }, Value::Array(values)) => {
                if values.len() > *max {
                    findings.fault(place, format!("has {} items, more than the {max} allowed", values.len()));
                    return;
                }
                for (index, value) in values.iter().enumerate() {
                    items.walk(value, &Place::Item(place, index), findings);
                }
            }
            (Kind::Tuple(shapes), Value::Array(values)) => {
                if values.len() != shapes.len() {
                    findings.fault(place, format!("must have exactly {} items", shapes.len()));
                    return;
                }
                for (index, (shape, value)) in shapes.iter().zip(values).enumerate() {
                    shape.walk(value, &Place::Item(place, index), findings);
                }
            }
            (Kind::Record { fields, required }, Value::Object(members)) => {
                for (name, value) in members {
                    match fields.get(name) {
                        Some(shape) => shape.walk(value, &Place::Field(place, name), findings),
                        None => findings.unknown(&Place::Field(place, name)),
                    }
                }
                for name in required.iter().filter(|name| !members.contains_key(*name)) {
                    findings.fault(&Place::Field(place, name), "is required".into());
                }
            }
            (Kind::Map(shape), Value::Object(members)) => {
                for (name, value) in members {
                    shape.walk(value, &Place::Field(place, name), findings);
                }
            }
            (kind, other) => findings.fault(place, mismatch(kind, self.nullable, other)),
        }
    }
}

impl Findings {
    fn fault(&mut self, place: &Place<'_>, message: String) {
        if self.faults.len() < MAX_FINDINGS {
            self.faults.push(Fault { pointer: place.pointer(), message });
        }
    }

    fn unknown(&mut self, place: &Place<'_>) {
        if self.unknown.len() < MAX_FINDINGS {
            self.unknown.push(place.pointer());
        }
    }
}

const MAX_FINDINGS: usize = 20;

/// A path into the value, kept on the stack; it becomes a text only where something is wrong.
enum Place<'a> {
    Root,
    Field(&'a Place<'a>, &'a str),
    Item(&'a Place<'a>, usize),
}

impl Place<'_> {
    /// The JSON pointer (RFC 6901 §3: `~` and `/` are escaped); long names are cut, keys in names are hidden.
    fn pointer(&self) -> String {
        let mut pointer = String::new();
        self.write(&mut pointer);
        redact(&pointer).into_owned()
    }

    fn write(&self, pointer: &mut String) {
        match self {
            Self::Root => {}
            Self::Field(parent, name) => {
                parent.write(pointer);
                pointer.push('/');
                for letter in name.chars().take(64) {
                    match letter {
                        '~' => pointer.push_str("~0"),
                        '/' => pointer.push_str("~1"),
                        other => pointer.push(other),
                    }
                }
            }
            Self::Item(parent, index) => {
                parent.write(pointer);
                pointer.push('/');
                pointer.push_str(&index.to_string());
            }
        }
    }
}

/// JSON Schema counts characters, not octets.
fn check_length(text: &str, min: usize, max: usize, place: &Place<'_>, findings: &mut Findings) {
    if min > 0 && text.chars().nth(min - 1).is_none() {
        let message = if min == 1 { "must not be empty".into() } else { format!("is shorter than {min} characters") };
        findings.fault(place, message);
    } else if text.len() > max && text.chars().count() > max {
        findings.fault(place, format!("is longer than {max} characters"));
    }
}

fn mismatch(kind: &Kind, nullable: bool, value: &Value) -> String {
    let wanted = match kind {
        Kind::Any => "a value",
        Kind::Text { .. } | Kind::Word(_) => "a string",
        Kind::Whole { .. } => "a whole number",
        Kind::Number => "a number",
        Kind::Flag => "true or false",
        Kind::List { .. } | Kind::Tuple(_) => "an array",
        Kind::Record { .. } | Kind::Map(_) | Kind::FreeObject => "an object",
    };
    let given = match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    };
    let or_null = if nullable { " or null" } else { "" };
    format!("must be {wanted}{or_null}, not {given}")
}

/// The contract's types do not refer to themselves; a schema this deep does.
const MAX_DEPTH: usize = 24;

fn compile(schemas: &Value, schema: &Value, depth: usize) -> Result<Shape, String> {
    if depth > MAX_DEPTH {
        return Err("refers to itself".into());
    }
    if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
        let name = target.strip_prefix("#/components/schemas/").ok_or_else(|| format!("reference {target}"))?;
        let target = schemas.get(name).ok_or_else(|| format!("no schema {name}"))?;
        return compile(schemas, target, depth + 1);
    }
    if let Some(choices) = schema.get("oneOf").and_then(Value::as_array) {
        return match choices.as_slice() {
            [shape, null] if is_null(null) => Ok(Shape { nullable: true, ..compile(schemas, shape, depth + 1)? }),
            [null, shape] if is_null(null) => Ok(Shape { nullable: true, ..compile(schemas, shape, depth + 1)? }),
            _ => Err("oneOf of something else than a schema and null".into()),
        };
    }
    let (name, nullable) = type_of(schema)?;
    let kind = match name {
        None => Kind::Any,
        Some("string") => compile_text(schema),
        Some("integer") => Kind::Whole { min: schema.get("minimum").and_then(Value::as_i64) },
        Some("number") => Kind::Number,
        Some("boolean") => Kind::Flag,
        Some("array") => compile_array(schemas, schema, depth)?,
        Some("object") => compile_object(schemas, schema, depth)?,
        Some(other) => return Err(format!("type {other}")),
    };
    Ok(Shape { nullable, kind })
}

fn is_null(schema: &Value) -> bool {
    schema.get("type").and_then(Value::as_str) == Some("null")
}

fn type_of(schema: &Value) -> Result<(Option<&str>, bool), String> {
    match schema.get("type") {
        None => Ok((None, true)),
        Some(Value::String(name)) => Ok((Some(name), false)),
        Some(Value::Array(names)) => {
            let nullable = names.iter().any(|name| name == "null");
            let mut others = names.iter().filter_map(Value::as_str).filter(|name| *name != "null");
            match (others.next(), others.next()) {
                (name, None) => Ok((name, nullable)),
                _ => Err("several types".into()),
            }
        }
        Some(other) => Err(format!("type {other}")),
    }
}

fn compile_text(schema: &Value) -> Kind {
    if let Some(words) = schema.get("enum").and_then(Value::as_array) {
        return Kind::Word(words.iter().filter_map(Value::as_str).map(str::to_owned).collect());
    }
    Kind::Text { min: bound(schema, "minLength", 0), max: bound(schema, "maxLength", usize::MAX) }
}

fn compile_array(schemas: &Value, schema: &Value, depth: usize) -> Result<Kind, String> {
    if let Some(places) = schema.get("prefixItems").and_then(Value::as_array) {
        let shapes = places.iter().map(|place| compile(schemas, place, depth + 1)).collect::<Result<_, _>>()?;
        return Ok(Kind::Tuple(shapes));
    }
    let items = schema.get("items").ok_or("array without items")?;
    Ok(Kind::List { items: Box::new(compile(schemas, items, depth + 1)?), max: bound(schema, "maxItems", usize::MAX) })
}

fn compile_object(schemas: &Value, schema: &Value, depth: usize) -> Result<Kind, String> {
    if let Some(fields) = schema.get("properties").and_then(Value::as_object) {
        let fields = fields
            .iter()
            .map(|(name, field)| compile(schemas, field, depth + 1).map(|shape| (name.clone(), shape)))
            .collect::<Result<_, _>>()?;
        let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
        let required = required.filter_map(Value::as_str).map(str::to_owned).collect();
        return Ok(Kind::Record { fields, required });
    }
    match schema.get("additionalProperties") {
        Some(values @ Value::Object(_)) => Ok(Kind::Map(Box::new(compile(schemas, values, depth + 1)?))),
        _ => Ok(Kind::FreeObject),
    }
}

fn bound(schema: &Value, keyword: &str, otherwise: usize) -> usize {
    schema.get(keyword).and_then(Value::as_u64).and_then(|bound| usize::try_from(bound).ok()).unwrap_or(otherwise)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shape() -> Shape {
        let document = json!({"components": {"schemas": {
            "Inner": {"type": "object", "required": ["id"], "properties": {"id": {"type": "string", "minLength": 1, "maxLength": 3}}},
            "Outer": {"type": "object", "properties": {
                "inner": {"oneOf": [{"$ref": "#/components/schemas/Inner"}, {"type": "null"}]},
                "list": {"type": "array", "maxItems": 2, "items": {"$ref": "#/components/schemas/Inner"}},
                "pairs": {"type": "array", "items": {"type": "array", "items": false, "prefixItems": [{"type": "string"}, {"type": "string"}]}},
                "map": {"type": "object", "additionalProperties": {"type": "string"}},
                "size": {"type": ["integer", "null"], "minimum": 0},
                "word": {"type": "string", "enum": ["a", "b"]},
            }},
        }}});
        Shape::compile(&document, "Outer").unwrap()
    }

    fn faults(value: &Value) -> Vec<(String, String)> {
        shape().check(value).faults.into_iter().map(|fault| (fault.pointer, fault.message)).collect()
    }

    #[test]
    fn each_fault_is_named_by_its_pointer() {
        let value = json!({
            "inner": {"id": ""}, "list": [{"id": "abcd"}, {}], "pairs": [["a"], ["a", 1]],
            "map": {"a/b~c": 1}, "size": -1, "word": "c",
        });
        let expected = [
            ("/inner/id", "must not be empty"),
            ("/list/0/id", "is longer than 3 characters"),
            ("/list/1/id", "is required"),
            ("/map/a~1b~0c", "must be a string, not a number"),
            ("/pairs/0", "must have exactly 2 items"),
            ("/pairs/1/1", "must be a string, not a number"),
            ("/size", "must not be below 0"),
            ("/word", "must be one of a, b"),
        ];
        let found = faults(&value);
        assert_eq!(found.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_body_that_is_no_object_is_named_by_the_empty_pointer() {
        assert_eq!(faults(&json!([])), [(String::new(), "must be an object, not an array".to_owned())]);
    }

    #[test]
    fn null_is_allowed_only_where_the_schema_says_so() {
        assert_eq!(faults(&json!({"inner": null, "size": null})), []);
        assert_eq!(faults(&json!({"list": null})).len(), 1);
        assert_eq!(faults(&json!({"size": 1.5})).len(), 1);
    }

    #[test]
    fn lengths_count_characters() {
        assert_eq!(faults(&json!({"inner": {"id": "äöü"}})), []);
        assert_eq!(faults(&json!({"inner": {"id": "äöüß"}})).len(), 1);
    }

    #[test]
    fn unknown_fields_are_listed_bounded_and_without_keys() {
        let findings = shape().check(&json!({"inner": {"id": "a", "x": 1}, "cxk_live_abc": 2}));
        assert_eq!(findings.faults, []);
        assert_eq!(findings.unknown, ["/cxk_…", "/inner/x"]);
        let many: serde_json::Map<_, _> = (0..100).map(|number| (format!("f{number}"), Value::Null)).collect();
        assert_eq!(shape().check(&Value::Object(many)).unknown.len(), MAX_FINDINGS);
    }
}
