//! Tests of the look: spans, duplicates, cuts, bounds, and serde_json as a second opinion on what JSON is.

use super::*;

const KEYS: [&str; 4] = ["model", "stream", "stream_options", "fallbacks"];

fn look_in_two(body: &[u8], cut: usize) -> Result<Members<4>, Error> {
    let mut look = Look::new(&KEYS);
    look.push(&body[..cut])?;
    look.push(&body[cut..])?;
    look.finish()
}

/// Looks at a body cut at every byte; all cuts must agree.
fn look(body: &str) -> Result<Members<4>, Error> {
    let body = body.as_bytes();
    let whole = look_in_two(body, body.len());
    let facts = |found: &Result<Members<4>, Error>| match found {
        Ok(members) => {
            Ok((members.count(), members.cuts(&[0, 1, 2, 3]), [0, 1, 2, 3].map(|at| members.value(at))))
        }
        Err(error) => Err(error.clone()),
    };
    for cut in 0..body.len() {
        assert_eq!(facts(&look_in_two(body, cut)), facts(&whole), "cut at {cut}: {}", body.escape_ascii());
    }
    whole
}

fn check_values(body: &str, expected: [Option<&str>; 4]) {
    let members = look(body).unwrap();
    let values = [0, 1, 2, 3].map(|index| members.value(index).map(|span| &body[span]));
    assert_eq!(values, expected, "{body}");
}

fn check_fault(body: &str, kind: Kind) {
    assert_eq!(look(body).map(|_| ()).map_err(|error| error.kind), Err(kind), "{body}");
}

#[test]
fn values_have_exact_spans() {
    check_values(r#"{}"#, [None; 4]);
    check_values(r#"{"model":"a/b"}"#, [Some(r#""a/b""#), None, None, None]);
    check_values(
        " { \"stream\" : true , \"x\":{\"model\":1,\"y\":[\"model\"]},\n\"model\": \"a\\\"}\" ,\t\"fallbacks\":[ \"a\",{} ] } \r\n",
        [Some(r#""a\"}""#), Some("true"), None, Some(r#"[ "a",{} ]"#)],
    );
    check_values(
        r#"{"stream_options":{},"stream":-1.5e+3,"model":null}"#,
        [Some("null"), Some("-1.5e+3"), Some("{}"), None],
    );
    check_values(r#"{"stream":0}"#, [None, Some("0"), None, None]);
}

#[test]
fn keys_are_compared_with_escapes_undone() {
    check_values(r#"{"mod\u0065l":1,"\u0073tre\u0061m":2}"#, [Some("1"), Some("2"), None, None]);
    check_values(r#"{"model\u0000":1,"Model":2,"mode":3,"models":4,"mod\u00e9l":5,"\/model":6}"#, [None; 4]);
    check_values(&format!(r#"{{"{}model":1}}"#, "x".repeat(40)), [None; 4]);
    check_values(r#"{"\u0141model":1,"m\uffffodel":1}"#, [None; 4]);
}

#[test]
fn a_wanted_key_stands_once() {
    for body in [
        r#"{"model":1,"model":1}"#,
        r#"{"model":1,"x":2,"mod\u0065l":3}"#,
        r#"{"\u006d\u006F\u0064\u0065\u006c":1,"model":3}"#,
    ] {
        check_fault(body, Kind::DuplicateField);
    }
    assert_eq!(look(r#"{"stream":1,"stream":2}"#).unwrap_err().param.as_deref(), Some("stream"));
    check_values(r#"{"x":1,"x":2,"y":{"model":1,"model":2}}"#, [None; 4]);
}

#[test]
fn members_are_cut_out_with_one_comma_each() {
    let bodies = [
        r#"{"model":1}"#,
        r#"{"model":1,"stream":2}"#,
        r#"{"model":1,"stream":2,"x":3}"#,
        r#"{"x":0,"model":1,"stream":2}"#,
        r#"{"model":1,"x":0,"stream":2,"stream_options":{"a":[]},"y":0,"fallbacks":[]}"#,
        " { \"model\" : 1 , \"stream\" : 2 , \"x\" : 3 , \"fallbacks\" : [ ] } ",
    ];
    for body in bodies {
        let members = look(body).unwrap();
        for choice in 0..16_usize {
            let indices: Vec<usize> = (0..4).rev().filter(|index| choice >> index & 1 == 1).collect();
            let mut left = body.to_owned();
            for cut in members.cuts(&indices).into_iter().rev() {
                left.replace_range(cut, "");
            }
            let mut expected: serde_json::Map<_, _> = serde_json::from_str(body).unwrap();
            expected.retain(|key, _| !indices.iter().any(|index| KEYS[*index] == key));
            let found: serde_json::Map<_, _> = serde_json::from_str(&left).expect(&left);
            assert_eq!(found, expected, "{body} without {indices:?}");
        }
    }
    let members = look(r#"{"x":0, "model" : "a"}"#).unwrap();
    assert_eq!((members.member(0), members.count()), (Some(8..21), 2));
}

#[test]
fn bounds_hold_at_the_limit_and_one_past() {
    let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
    assert!(look(&nested(128)).is_ok());
    check_fault(&nested(129), Kind::JsonTooComplex);
    let objects = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
    assert!(look(&objects(128)).is_ok());
    check_fault(&objects(129), Kind::JsonTooComplex);

    let values = |count: usize| format!("{{\"a\":[{}1]}}", "1,".repeat(count - 3));
    let whole = |body: String| look_in_two(body.as_bytes(), 7).map(|_| ()).map_err(|error| error.kind);
    assert_eq!(whole(values(1_000_000)), Ok(()));
    assert_eq!(whole(values(1_000_001)), Err(Kind::JsonTooComplex));
}

#[test]
fn deep_nesting_remembers_each_kind() {
    let open: String = (0..60).map(|_| "{\"a\":[").collect();
    let close: String = (0..60).map(|_| "]}").collect();
    assert!(look(&format!("{open}{close}")).is_ok());
    check_fault(&format!("{open}}}{}", &close[1..]), Kind::InvalidRequest);
}

#[test]
fn errors_name_the_place() {
    let error = look(r#"{"a":tru}"#).unwrap_err();
    assert_eq!(error.message, "the body is not a JSON object: unexpected byte at 8");
}

/// Bodies on which serde_json and the look must agree.
const CORPUS: &[&str] = &[
    "",
    " ",
    "{",
    "}",
    "{}",
    "{ }",
    "[]",
    "1",
    "\"a\"",
    "null",
    "{}{}",
    "{} x",
    "{},",
    "{}\n",
    "\u{feff}{}",
    "{}\0",
    "\u{c}{}",
    r#"{"a"}"#,
    r#"{"a":}"#,
    r#"{"a":1"#,
    r#"{"a":1,}"#,
    r#"{,"a":1}"#,
    r#"{"a" 1}"#,
    r#"{"a"::1}"#,
    r#"{a:1}"#,
    r#"{'a':1}"#,
    r#"{"a":1 "b":2}"#,
    r#"{"a":1,,"b":2}"#,
    r#"{"a":1;"b":2}"#,
    r#"{1:2}"#,
    r#"{"a":1]"#,
    r#"{"a":[1}"#,
    r#"{"a":[1}]"#,
    r#"{"a":[]}"#,
    r#"{"a":[,]}"#,
    r#"{"a":[1,]}"#,
    r#"{"a":[1 2]}"#,
    r#"{"a":[1,2]}"#,
    r#"{"a":[[],{}]}"#,
    r#"{"a":[}"#,
    r#"{"a":{]}"#,
    r#"{"a":{}}"#,
    r#"{"a":{}"#,
    r#"{"a":{},"b":[{"c":[{}]}]}"#,
    r#"{"a":[:]}"#,
    r#"{"a":["b":1]}"#,
    r#"{:1}"#,
    r#"{"a":0}"#,
    r#"{"a":-0}"#,
    r#"{"a":-}"#,
    r#"{"a":+1}"#,
    r#"{"a":01}"#,
    r#"{"a":-01}"#,
    r#"{"a":1.}"#,
    r#"{"a":.5}"#,
    r#"{"a":1.5}"#,
    r#"{"a":1.5.5}"#,
    r#"{"a":1e5}"#,
    r#"{"a":1E-5}"#,
    r#"{"a":1e}"#,
    r#"{"a":1e+}"#,
    r#"{"a":1e5.5}"#,
    r#"{"a":0e0}"#,
    r#"{"a":0x1}"#,
    r#"{"a":1a}"#,
    r#"{"a":--1}"#,
    r#"{"a":NaN}"#,
    r#"{"a":Infinity}"#,
    r#"{"a":1_0}"#,
    r#"{"a":12345678901234567890123}"#,
    r#"{"a":1 }"#,
    r#"{"a":true}"#,
    r#"{"a":tru}"#,
    r#"{"a":truee}"#,
    r#"{"a":True}"#,
    r#"{"a":false}"#,
    r#"{"a":fals}"#,
    r#"{"a":null}"#,
    r#"{"a":nul}"#,
    r#"{"a":nulll}"#,
    r#"{"a":t}"#,
    r#"{"a":true false}"#,
    r#"{"a":""}"#,
    r#"{"a":"b}"#,
    r#"{"a":"b"c"}"#,
    r#"{"a":"\n\t\"\\\/\b\f\r"}"#,
    r#"{"a":"\x"}"#,
    r#"{"a":"\"}"#,
    r#"{"a":"\u"}"#,
    r#"{"a":"\u00"}"#,
    r#"{"a":"\u00e4"}"#,
    r#"{"a":"\u00G4"}"#,
    r#"{"a":"\ud83d\ude00"}"#,
    r#"{"\u0061":1}"#,
    r#"{"\a":1}"#,
    "{\"a\":\"\n\"}",
    "{\"a\":\"\t\"}",
    "{\"a\":\"\u{0}\"}",
    "{\"a\":\"\u{1f}\"}",
    "{\"a\":\"\u{7f}\"}",
    "{\"a\":\"\u{e4}\u{1f600}\"}",
    "{\"a\n\":1}",
    "{\"a\":1\u{b}}",
    "{\"a\":1\u{a0}}",
    "{\r\n\t\"a\" :\t1 ,\n\"b\":[ 1 , 2 ]\r}",
    "{\"a\":1}/*x*/",
    "{//x\n}",
    r#"{"a":"this is a longer text without anything in it that would need escaping","b":"and \n one that does"}"#,
    r#"{"a":"a control byte far in, behind what is read in blocks of bytes: 	"}"#,
    r#"{"":1}"#,
    r#"{"a":1,"a":2}"#,
];

/// Bodies that serde_json refuses and the look passes on, each for a reason.
const PASSED_ON: &[(&str, &str)] = &[
    (r#"{"a":"\ud83d"}"#, "half a pair: grammatical; checked where a string is read"),
    (r#"{"a":"\ude00\ud83d"}"#, "the same"),
    (r#"{"a":1e999}"#, "grammatical; serde_json has no f64 for it"),
];

#[test]
fn serde_json_agrees_on_what_json_is() {
    for body in CORPUS {
        let expected = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(body).is_ok();
        assert_eq!(look(body).is_ok(), expected, "{body:?}");
    }
    for (body, reason) in PASSED_ON {
        assert!(serde_json::from_str::<serde_json::Value>(body).is_err(), "{body}: {reason}");
        assert!(look(body).is_ok(), "{body}: {reason}");
    }
    // UTF-8 is the reader's to check; no byte over 0x7f means anything to the structure.
    let mut look = Look::new(&KEYS);
    look.push(b"{\"a\":\"\xff\"}").unwrap();
    assert!(look.finish().is_ok());
}

/// One body, every single byte of it replaced by every byte that means something: serde_json decides.
#[test]
fn serde_json_agrees_on_each_mutation() {
    let body = r#"{"a":[1,-2.5e+3,"x\u0041\n",true],"b":{"c":null,"d":""} ,"model":"m"}"#;
    for place in 0..body.len() {
        for byte in " \n\"\\/{}[]:,-+.019eEtrufalsnxA\u{1}".bytes() {
            let mut mutant = body.as_bytes().to_vec();
            mutant[place] = byte;
            let mut look = Look::new(&["zzz"]);
            let passed = look.push(&mutant).is_ok() && look.finish().is_ok();
            let expected =
                serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&mutant).is_ok();
            assert_eq!(passed, expected, "{}", mutant.escape_ascii());
        }
    }
}
