//! Google's `Schema`, a part of OpenAPI's (<https://ai.google.dev/api/caching#Schema>), to JSON schema: types in lower case,
//! `nullable` as a type, counts as numbers, properties in the order that `propertyOrdering` tells, else in their own. Other
//! keys stay as they are.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};

use super::camel;
use crate::chat::Raw;
use crate::dialect::json::{Array, Object, Span, Text};
use crate::error::Error;

/// The JSON text of the schema at `path`.
pub(super) fn translated(value: Span<'_>, path: &str) -> Result<String, Error> {
    let schema: Schema<'_> = value.parse(&path)?;
    let mut out = Vec::with_capacity(value.raw().0.len() + 64);
    schema.write(&mut out);
    // What was read as text and written by our writers is text.
    Ok(String::from_utf8(out).unwrap_or_default())
}

/// A schema's keys in their order. Nesting is bounded by serde_json's 128 levels.
struct Schema<'a>(Vec<(Cow<'a, str>, Value<'a>)>);

enum Value<'a> {
    Plain(Span<'a>),
    /// In a schema's place.
    Flag(bool),
    Schema(Schema<'a>),
    List(Vec<Schema<'a>>),
    Properties(Properties<'a>),
}

struct Properties<'a>(Vec<(Cow<'a, str>, Schema<'a>)>);

impl<'de: 'a, 'a> Deserialize<'de> for Schema<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(SchemaVisitor)
    }
}

struct SchemaVisitor;

impl<'de> Visitor<'de> for SchemaVisitor {
    type Value = Schema<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a schema, which is an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut keys = Vec::new();
        while let Some(Text(name)) = map.next_key()? {
            let own: Cow<'de, str> = Cow::Owned(camel(&name).into_owned());
            let value = match &*own {
                "items" => Value::Schema(map.next_value()?),
                "additionalProperties" => map.next_value::<Nested<'de>>()?.0,
                "anyOf" | "prefixItems" => Value::List(map.next_value()?),
                "properties" => Value::Properties(map.next_value()?),
                _ => Value::Plain(map.next_value()?),
            };
            keys.push((own, value));
        }
        Ok(Schema(keys))
    }
}

/// A schema, or `true` or `false` in its place.
struct Nested<'a>(Value<'a>);

impl<'de: 'a, 'a> Deserialize<'de> for Nested<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NestedVisitor)
    }
}

struct NestedVisitor;

impl<'de> Visitor<'de> for NestedVisitor {
    type Value = Nested<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a schema, or true or false")
    }

    fn visit_bool<E: de::Error>(self, flag: bool) -> Result<Self::Value, E> {
        Ok(Nested(Value::Flag(flag)))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        SchemaVisitor.visit_map(map).map(|schema| Nested(Value::Schema(schema)))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Properties<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PropertiesVisitor)
    }
}

struct PropertiesVisitor;

impl<'de> Visitor<'de> for PropertiesVisitor {
    type Value = Properties<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of schemas")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut properties = Vec::new();
        while let Some((Text(name), schema)) = map.next_entry()? {
            properties.push((name, schema));
        }
        Ok(Properties(properties))
    }
}

impl Schema<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        let is_nullable = self.plain("nullable").is_some_and(|value| value.raw().0 == "true");
        let mut object = Object::begin(out);
        for (name, value) in &self.0 {
            match (&**name, value) {
                ("nullable" | "propertyOrdering", _) => {}
                // Google's own mark beside `enum`.
                ("format", Value::Plain(value)) if value.raw().0 == r#""enum""# => {}
                (name, Value::Plain(value)) => write_plain(&mut object, name, *value, is_nullable),
                (name, Value::Flag(flag)) => {
                    object.key(name).extend_from_slice(if *flag { b"true" } else { b"false" });
                }
                (name, Value::Schema(schema)) => schema.write(object.key(name)),
                (name, Value::List(list)) => {
                    write_list(object.key(name), list, is_nullable && name == "anyOf")
                }
                (name, Value::Properties(properties)) => {
                    self.write_properties(object.key(name), properties);
                }
            }
        }
        object.end();
    }

    fn plain(&self, name: &str) -> Option<Span<'_>> {
        self.0.iter().find_map(|(one, value)| match value {
            Value::Plain(value) if one == name => Some(*value),
            _ => None,
        })
    }

    fn write_properties(&self, out: &mut Vec<u8>, Properties(properties): &Properties<'_>) {
        let ordering = self.plain("propertyOrdering");
        let ordering = ordering.and_then(|value| value.parse::<Vec<Text<'_>>>(&"").ok()).unwrap_or_default();
        // A map, so that a long list is not searched for each property.
        let places: HashMap<&str, usize> =
            ordering.iter().zip(0..).map(|(name, at)| (&*name.0, at)).collect();
        let mut sorted: Vec<_> = properties.iter().collect();
        sorted.sort_by_key(|(name, _)| places.get(&**name).copied().unwrap_or(usize::MAX));
        let mut object = Object::begin(out);
        for (name, schema) in sorted {
            schema.write(object.key(name));
        }
        object.end();
    }
}

fn write_plain(object: &mut Object<'_>, name: &str, value: Span<'_>, is_nullable: bool) {
    let raw = value.raw().0;
    match name {
        "type" if value.first() == b'"' => {
            // One of a few words, which have no escapes.
            let word = raw.to_ascii_lowercase();
            match is_nullable {
                _ if word == r#""type_unspecified""# => {}
                true if word != r#""null""# => object.raw(name, Raw(&format!(r#"[{word},"null"]"#))),
                _ => object.raw(name, Raw(&word)),
            }
        }
        "enum" if is_nullable && value.first() == b'[' => {
            let inside = raw.strip_suffix(']').unwrap_or(raw).trim_end();
            let comma = if inside.ends_with('[') { "" } else { "," };
            object.raw(name, Raw(&format!("{inside}{comma}null]")));
        }
        // Google's JSON has 64-bit numbers in quotes.
        "minItems" | "maxItems" | "minLength" | "maxLength" | "minProperties" | "maxProperties" => {
            let digits = raw.trim_matches('"');
            let is_number = !digits.is_empty() && digits.bytes().all(|one| one.is_ascii_digit());
            object.raw(name, Raw(if is_number { digits } else { raw }));
        }
        _ => object.key(name).extend_from_slice(raw.as_bytes()),
    }
}

fn write_list(out: &mut Vec<u8>, list: &[Schema<'_>], has_null: bool) {
    let mut array = Array::begin(out);
    for schema in list {
        schema.write(array.item());
    }
    if has_null {
        array.item().extend_from_slice(br#"{"type":"null"}"#);
    }
    array.end();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(schema: &str, expected: &str) {
        let span: Span<'_> = serde_json::from_str(schema).unwrap();
        assert_eq!(translated(span, "s").unwrap(), expected, "{schema}");
    }

    #[test]
    fn googles_words_become_json_schemas() {
        check(
            r#"{"type":"OBJECT","properties":{"z":{"type":"STRING","nullable":true},"type":{"type":"array","items":{"type":"INTEGER","format":"int64"},"min_items":"1","maxItems":9}},"required":["z"]}"#,
            r#"{"type":"object","properties":{"z":{"type":["string","null"]},"type":{"type":"array","items":{"type":"integer","format":"int64"},"minItems":1,"maxItems":9}},"required":["z"]}"#,
        );
        check(
            r#"{"type":"STRING","format":"enum","enum":["a","b"],"nullable":true}"#,
            r#"{"type":["string","null"],"enum":["a","b",null]}"#,
        );
        check(
            r#"{"any_of":[{"type":"NUMBER","minimum":0.10},{"type":"TYPE_UNSPECIFIED"}],"nullable":true,"description":"d\"q"}"#,
            r#"{"anyOf":[{"type":"number","minimum":0.10},{},{"type":"null"}],"description":"d\"q"}"#,
        );
        check(
            r#"{"type":"OBJECT","additionalProperties":false,"x":{"type":"KEPT"}}"#,
            r#"{"type":"object","additionalProperties":false,"x":{"type":"KEPT"}}"#,
        );
        check(
            r#"{"additional_properties":{"type":"NULL","nullable":true}}"#,
            r#"{"additionalProperties":{"type":"null"}}"#,
        );
        check("{}", "{}");
    }

    #[test]
    fn properties_stand_in_the_order_that_is_told() {
        check(
            r#"{"properties":{"a_b":{},"b":{},"c":{}},"propertyOrdering":["c","a_b"]}"#,
            r#"{"properties":{"c":{},"a_b":{},"b":{}}}"#,
        );
        check(r#"{"properties":{"b":{},"a":{}}}"#, r#"{"properties":{"b":{},"a":{}}}"#);
    }

    #[test]
    fn what_is_no_schema_is_refused_and_depth_is_bounded() {
        let deep = format!("{}{{}}{}", r#"{"items":"#.repeat(400), "}".repeat(400));
        for schema in ["[]", r#"{"properties":{"a":1}}"#, r#"{"items":[]}"#, r#"{"anyOf":{}}"#, &deep] {
            let span: Span<'_> = serde_json::from_str(schema).unwrap();
            assert_eq!(translated(span, "s").unwrap_err().param.as_deref(), Some("s"));
        }
    }
}
