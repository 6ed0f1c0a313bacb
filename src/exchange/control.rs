//! The JSON a client may send, and the exchange's answers to it.

use std::fmt::Write;

use serde_json::{Value, json};

use super::misanswer::Misanswer;

/// A SUBSCRIBE longer than this in bytes is never answered, as measured on the real exchange.
const MUTE_ABOVE: usize = 4_096;
/// More streams than this on one connection are refused.
const MAX_STREAMS: usize = 1_024;

/// In which shape errors are written; the exchange has been seen with both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ErrorShape {
    /// `{"code":2,"msg":"…","id":1}`, as documented.
    #[default]
    Flat,
    /// `{"error":{"code":2,"msg":"…"},"id":1}`, as observed.
    Nested,
}

/// The streams of one connection and the property it can set.
#[derive(Debug, Clone, Default)]
pub(super) struct Subscriptions {
    /// In the order of subscription, each once.
    pub(super) streams: Vec<String>,
    /// Whether frames are wrapped.
    pub(super) combined: bool,
}

/// Why a request is refused.
struct Refusal {
    code: i64,
    msg: String,
}

impl Subscriptions {
    /// Adds streams of the URL.
    pub(super) fn of(streams: &[String], combined: bool) -> Self {
        let mut subscriptions = Self { streams: Vec::new(), combined };
        for stream in streams.iter().take(MAX_STREAMS) {
            subscriptions.add(stream);
        }
        subscriptions
    }

    /// Does what a text asks and gives the answer; `None` where the exchange goes mute.
    pub(super) fn answer(&mut self, text: &[u8], shape: ErrorShape) -> Option<String> {
        if text.len() > MUTE_ABOVE {
            return None;
        }
        let request: Value = match serde_json::from_slice(text) {
            Ok(request) => request,
            Err(error) => return Some(refusal(shape, 3, &format!("Invalid JSON: {error}"), &Value::Null)),
        };
        let id = match &request["id"] {
            id @ Value::Number(number) if number.is_u64() => id,
            Value::Null => &Value::Null,
            _ => {
                let msg = "Invalid request: request ID must be an unsigned integer";
                return Some(refusal(shape, 2, msg, &Value::Null));
            }
        };
        Some(match self.act(&request) {
            Ok(result) => format!("{{\"result\":{result},\"id\":{id}}}"),
            Err(Refusal { code, msg }) => refusal(shape, code, &msg, id),
        })
    }

    /// The same where the script wants something else. What was not to be done is not done; what is not to be said, or
    /// later, is for whoever asks.
    pub(super) fn misanswer(
        &mut self,
        text: &[u8],
        shape: ErrorShape,
        how: Option<&Misanswer>,
    ) -> Option<String> {
        let before = self.streams.clone();
        let answer = self.answer(text, shape)?;
        let request: Value = serde_json::from_slice(text).unwrap_or_default();
        match how {
            None | Some(Misanswer::Late(_)) => {}
            Some(Misanswer::Ignore) => self.streams = before,
            Some(Misanswer::Refuse { code, msg, with_id }) => {
                self.streams = before;
                let id = if *with_id { &request["id"] } else { &Value::Null };
                return Some(refusal(shape, *code, msg, id));
            }
            Some(Misanswer::Forget(n)) => {
                let names = names_of(&request["params"]).unwrap_or_default();
                let forgotten = &names[names.len().saturating_sub(*n)..];
                let is_forgotten = |name: &String| forgotten.contains(&name.as_str());
                self.streams.retain(|name| !is_forgotten(name));
                self.streams.extend(before.into_iter().filter(is_forgotten));
            }
        }
        Some(answer)
    }

    fn act(&mut self, request: &Value) -> Result<Value, Refusal> {
        let invalid = |msg: &str| Refusal { code: 2, msg: format!("Invalid request: {msg}") };
        if !request.is_object() {
            return Err(invalid("expected an object"));
        }
        let Some(method) = request["method"].as_str() else { return Err(invalid("missing field `method`")) };
        match method {
            "SUBSCRIBE" | "UNSUBSCRIBE" => {
                let names = names_of(&request["params"])
                    .ok_or_else(|| invalid("params must be an array of strings"))?;
                if method == "UNSUBSCRIBE" {
                    self.streams.retain(|stream| !names.contains(&stream.as_str()));
                    return Ok(Value::Null);
                }
                if self.streams.len() + names.len() > MAX_STREAMS {
                    return Err(Refusal { code: 4, msg: "Too many subscriptions".into() });
                }
                names.into_iter().for_each(|name| self.add(name));
                Ok(Value::Null)
            }
            "LIST_SUBSCRIPTIONS" => Ok(json!(self.streams)),
            "SET_PROPERTY" | "GET_PROPERTY" => self.property(method, &request["params"]),
            _ => {
                let mut msg = format!("unknown variant `{}`, expected one of ", method.escape_default());
                msg.push_str(
                    "`SUBSCRIBE`, `UNSUBSCRIBE`, `LIST_SUBSCRIPTIONS`, `SET_PROPERTY`, `GET_PROPERTY`",
                );
                write!(msg, " at line 1 column {}", 11 + method.len()).expect("a String takes every write");
                Err(invalid(&msg))
            }
        }
    }

    fn property(&mut self, method: &str, params: &Value) -> Result<Value, Refusal> {
        let Some(name) = params[0].as_str() else {
            return Err(Refusal { code: 2, msg: "Invalid request: property name must be a string".into() });
        };
        if name != "combined" {
            return Err(Refusal { code: 0, msg: "Unknown property".into() });
        }
        if method == "GET_PROPERTY" {
            return Ok(json!(self.combined));
        }
        let wrong = || Refusal { code: 1, msg: "Invalid value type: expected Boolean".into() };
        self.combined = params[1].as_bool().ok_or_else(wrong)?;
        Ok(Value::Null)
    }

    fn add(&mut self, name: &str) {
        if !self.streams.iter().any(|stream| stream == name) {
            self.streams.push(name.to_owned());
        }
    }
}

fn names_of(params: &Value) -> Option<Vec<&str>> {
    params.as_array()?.iter().map(Value::as_str).collect()
}

fn refusal(shape: ErrorShape, code: i64, msg: &str, id: &Value) -> String {
    // By hand, because serde_json would sort the keys.
    let msg = Value::from(msg);
    match shape {
        ErrorShape::Flat => format!("{{\"code\":{code},\"msg\":{msg},\"id\":{id}}}"),
        ErrorShape::Nested => format!("{{\"error\":{{\"code\":{code},\"msg\":{msg}}},\"id\":{id}}}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(subscriptions: &mut Subscriptions, text: &str) -> Value {
        let answer = subscriptions.answer(text.as_bytes(), ErrorShape::Flat).unwrap();
        serde_json::from_str(&answer).unwrap()
    }

    #[test]
    fn subscriptions_are_kept_listed_and_ended() {
        let mut subs = Subscriptions::default();
        let ask = r#"{"method":"SUBSCRIBE","params":["a@aggTrade","B@aggTrade","a@aggTrade"],"id":1}"#;
        assert_eq!(subs.answer(ask.as_bytes(), ErrorShape::Flat).unwrap(), r#"{"result":null,"id":1}"#);
        let list = answer(&mut subs, r#"{"method":"LIST_SUBSCRIPTIONS","id":2}"#);
        assert_eq!(list, json!({"result": ["a@aggTrade", "B@aggTrade"], "id": 2}));
        answer(&mut subs, r#"{"method":"UNSUBSCRIBE","params":["a@aggTrade"],"id":3}"#);
        assert_eq!(subs.streams, ["B@aggTrade"]);
        assert_eq!(
            answer(&mut subs, r#"{"method":"GET_PROPERTY","params":["combined"],"id":4}"#)["result"],
            false
        );
        answer(&mut subs, r#"{"method":"SET_PROPERTY","params":["combined",true],"id":5}"#);
        assert!(subs.combined);
    }

    #[test]
    fn a_bad_request_is_refused_with_the_exchanges_code() {
        for (text, code) in [
            ("not json", 3),
            ("[1]", 2),
            ("{}", 2),
            (r#"{"method":"X","id":1}"#, 2),
            (r#"{"method":"SUBSCRIBE","params":"a","id":1}"#, 2),
            (r#"{"method":"SUBSCRIBE","params":[1],"id":1}"#, 2),
            (r#"{"method":"LIST_SUBSCRIPTIONS","id":"one"}"#, 2),
            (r#"{"method":"LIST_SUBSCRIPTIONS","id":-1}"#, 2),
            (r#"{"method":"SET_PROPERTY","params":["combined","yes"],"id":1}"#, 1),
            (r#"{"method":"SET_PROPERTY","params":["colour",true],"id":1}"#, 0),
        ] {
            assert_eq!(answer(&mut Subscriptions::default(), text)["code"], code, "{text}");
        }
        let nested = Subscriptions::default().answer(b"{", ErrorShape::Nested).unwrap();
        assert!(nested.starts_with(r#"{"error":{"code":3"#), "{nested}");
    }

    #[test]
    fn what_the_script_wants_of_an_answer_is_done_and_nothing_else() {
        let mut subs = Subscriptions::of(&["a".into()], true);
        let ask = br#"{"method":"SUBSCRIBE","params":["b","c"],"id":1}"#;
        let leave = br#"{"method":"UNSUBSCRIBE","params":["b","a"],"id":2}"#;
        let done = Some(r#"{"result":null,"id":1}"#.to_owned());
        let mut meets = |text: &[u8], how: &Misanswer| {
            let answer = subs.misanswer(text, ErrorShape::Flat, Some(how));
            (answer, subs.streams.join(""))
        };
        let refuse = |with_id| Misanswer::Refuse { code: 4, msg: "no".into(), with_id };
        assert_eq!(meets(ask, &Misanswer::Ignore), (done.clone(), "a".into()));
        assert_eq!(meets(ask, &refuse(true)).0.as_deref(), Some(r#"{"code":4,"msg":"no","id":1}"#));
        assert_eq!(meets(ask, &refuse(false)).0.as_deref(), Some(r#"{"code":4,"msg":"no","id":null}"#));
        assert_eq!(meets(ask, &Misanswer::Forget(1)), (done.clone(), "ab".into()));
        assert_eq!(meets(ask, &Misanswer::Late(std::time::Duration::ZERO)), (done, "abc".into()));
        assert_eq!(meets(leave, &Misanswer::Forget(1)).1, "ca");
    }

    #[test]
    fn too_many_streams_are_refused_and_too_long_a_request_is_never_answered() {
        let names: Vec<String> = (0..MAX_STREAMS).map(|n| format!("s{n}@aggTrade")).collect();
        let mut subs = Subscriptions::of(&names, true);
        let more = answer(&mut subs, r#"{"method":"SUBSCRIBE","params":["a@aggTrade"],"id":1}"#);
        assert_eq!(more["code"], 4);
        let long = json!({"method": "SUBSCRIBE", "params": names, "id": 1}).to_string();
        assert_eq!(Subscriptions::default().answer(long.as_bytes(), ErrorShape::Flat), None);
    }
}
