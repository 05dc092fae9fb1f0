"""One class for each SDK: a neutral `Ask` becomes its call, its answer a `Said`. What an SDK raises passes through, and
`errors` says which class stands for which status."""

import json

from cases import Said
from harness import GATEWAY

KEY = "sk-the-callers-own"
PATIENCE_S = 30


def parts_of(content):
    return [("text", content)] if isinstance(content, str) else content


class OpenAiChat:
    """openai's chat completions, also as litellm gives them back."""

    def __init__(self, base, name="openai"):
        import openai

        self.name = f"{name} at {base}"
        self.client = openai.OpenAI(base_url=f"{GATEWAY}{base}", api_key=KEY, max_retries=0, timeout=PATIENCE_S)
        self.errors = {
            400: openai.BadRequestError,
            404: openai.NotFoundError,
            429: openai.RateLimitError,
            500: openai.InternalServerError,
        }

    def create(self, **request):
        return self.client.chat.completions.create(**request)

    def ask(self, model, ask):
        request = self.request(model, ask)
        if not ask.stream:
            answer = self.create(**request)
            [choice] = answer.choices
            calls = [(c.id, c.function.name, json.loads(c.function.arguments)) for c in choice.message.tool_calls or []]
            tokens = (answer.usage.prompt_tokens, answer.usage.completion_tokens)
            return Said(choice.message.content or "", calls, choice.finish_reason, tokens)
        said, calls = Said(), {}
        for chunk in self.create(**request, stream=True, stream_options={"include_usage": True}):
            if getattr(chunk, "usage", None):
                said.tokens = (chunk.usage.prompt_tokens, chunk.usage.completion_tokens)
            for choice in chunk.choices:
                said.text += choice.delta.content or ""
                said.parts += bool(choice.delta.content)
                said.finish = choice.finish_reason or said.finish
                for part in choice.delta.tool_calls or []:
                    call = calls.setdefault(part.index, ["", "", ""])
                    call[0] += part.id or ""
                    call[1] += part.function.name or ""
                    call[2] += part.function.arguments or ""
        said.calls = [(call[0], call[1], json.loads(call[2])) for _, call in sorted(calls.items())]
        return said

    def request(self, model, ask):
        messages = [{"role": "system", "content": ask.system}] if ask.system else []
        for role, content in ask.turns:
            messages += self.messages(role, content)
        request = {"model": model, "messages": messages} | ask.settings
        if ask.tools:
            functions = [{"name": n, "description": d, "parameters": s} for n, d, s in ask.tools]
            request["tools"] = [{"type": "function", "function": function} for function in functions]
            named = {"type": "function", "function": {"name": ask.choice}}
            words = {"auto": "auto", "none": "none", "any": "required"}
            request["tool_choice"] = words.get(ask.choice, named)
        if ask.schema:
            schema = {"name": "answer", "schema": ask.schema, "strict": True}
            request["response_format"] = {"type": "json_schema", "json_schema": schema}
        return request

    def messages(self, role, content):
        if role == "results":
            return [{"role": "tool", "tool_call_id": call[0], "content": text} for call, text in content]
        if role == "assistant":
            calls = [
                {"id": id, "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
                for id, name, arguments in content.calls
            ]
            message = {"role": "assistant", "content": content.text or None}
            return [message | ({"tool_calls": calls} if calls else {})]
        return [{"role": role, "content": content if isinstance(content, str) else [self.part(p) for p in content]}]

    def part(self, part):
        if part[0] == "text":
            return {"type": "text", "text": part[1]}
        return {"type": "image_url", "image_url": {"url": f"data:{part[1]};base64,{part[2]}"}}


class Responses:
    """openai's responses."""

    def __init__(self, base):
        self.chat = OpenAiChat(base)
        self.name = f"openai responses at {base}"
        self.errors = self.chat.errors

    def ask(self, model, ask):
        request = self.request(model, ask)
        if not ask.stream:
            return self.said(self.chat.client.responses.create(**request))
        text, parts, last = "", 0, None
        for event in self.chat.client.responses.create(**request, stream=True):
            if event.type == "response.output_text.delta":
                text += event.delta
                parts += 1
            if event.type in ("response.completed", "response.incomplete"):
                last = event.response
        said = self.said(last)
        assert said.text == text, (said.text, text)
        said.parts = parts
        return said

    def said(self, response):
        calls = [
            (item.call_id, item.name, json.loads(item.arguments))
            for item in response.output
            if item.type == "function_call"
        ]
        finish = "length" if response.status == "incomplete" else "tool_calls" if calls else "stop"
        tokens = (response.usage.input_tokens, response.usage.output_tokens)
        return Said(response.output_text, calls, finish, tokens)

    def request(self, model, ask):
        items = []
        for role, content in ask.turns:
            items += self.items(role, content)
        request = {"model": model, "input": items} | ask.settings
        request.pop("stop", None)
        if "max_tokens" in request:
            request["max_output_tokens"] = request.pop("max_tokens")
        if ask.system:
            request["instructions"] = ask.system
        if ask.tools:
            request["tools"] = [
                {"type": "function", "name": n, "description": d, "parameters": s, "strict": False}
                for n, d, s in ask.tools
            ]
            words = {"auto": "auto", "none": "none", "any": "required"}
            request["tool_choice"] = words.get(ask.choice, {"type": "function", "name": ask.choice})
        if ask.schema:
            schema = {"type": "json_schema", "name": "answer", "schema": ask.schema, "strict": True}
            request["text"] = {"format": schema}
        return request

    def items(self, role, content):
        if role == "results":
            return [{"type": "function_call_output", "call_id": call[0], "output": text} for call, text in content]
        if role == "assistant":
            said = [{"role": "assistant", "content": content.text}] if content.text else []
            return said + [
                {"type": "function_call", "call_id": id, "name": name, "arguments": json.dumps(arguments)}
                for id, name, arguments in content.calls
            ]
        parts = [
            {"type": "input_text", "text": part[1]}
            if part[0] == "text"
            else {"type": "input_image", "detail": "auto", "image_url": f"data:{part[1]};base64,{part[2]}"}
            for part in parts_of(content)
        ]
        return [{"role": role, "content": parts}]


class Anthropic:
    """anthropic's messages."""

    FINISH = {"end_turn": "stop", "max_tokens": "length", "tool_use": "tool_calls"}
    speaks_anthropic = True

    def __init__(self, base="/anthropic"):
        import anthropic

        self.name = f"anthropic at {base}"
        self.client = anthropic.Anthropic(
            base_url=f"{GATEWAY}{base}", api_key=KEY, max_retries=0, timeout=PATIENCE_S
        )
        self.errors = {
            400: anthropic.BadRequestError,
            404: anthropic.NotFoundError,
            429: anthropic.RateLimitError,
            500: anthropic.InternalServerError,
        }

    def ask(self, model, ask):
        request = self.request(model, ask)
        if not ask.stream:
            return self.said(self.client.messages.create(**request))
        with self.client.messages.stream(**request) as stream:
            parts = list(stream.text_stream)
            said = self.said(stream.get_final_message())
        assert said.text == "".join(parts), (said.text, parts)
        said.parts = len(parts)
        return said

    def said(self, message):
        text = "".join(block.text for block in message.content if block.type == "text")
        calls = [(block.id, block.name, block.input) for block in message.content if block.type == "tool_use"]
        tokens = (message.usage.input_tokens, message.usage.output_tokens)
        return Said(text, calls, self.FINISH[message.stop_reason], tokens)

    def request(self, model, ask):
        request = {"model": model, "max_tokens": 99, "messages": [self.message(*turn) for turn in ask.turns]}
        settings = dict(ask.settings)
        if "stop" in settings:
            settings["stop_sequences"] = settings.pop("stop")
        request |= settings
        # Their latest models take no temperature, so the package has none; the API does.
        if "temperature" in request:
            request["extra_body"] = {"temperature": request.pop("temperature")}
        if ask.system:
            request["system"] = ask.system
        if ask.tools:
            request["tools"] = [{"name": n, "description": d, "input_schema": s} for n, d, s in ask.tools]
            is_word = ask.choice in ("auto", "none", "any")
            request["tool_choice"] = {"type": ask.choice} if is_word else {"type": "tool", "name": ask.choice}
        if ask.schema:
            request["output_config"] = {"format": {"type": "json_schema", "schema": ask.schema}}
        return request

    def message(self, role, content):
        if role == "results":
            blocks = [{"type": "tool_result", "tool_use_id": call[0], "content": text} for call, text in content]
            return {"role": "user", "content": blocks}
        if role == "assistant":
            blocks = [{"type": "text", "text": content.text}] if content.text else []
            blocks += [{"type": "tool_use", "id": id, "name": n, "input": given} for id, n, given in content.calls]
            return {"role": "assistant", "content": blocks}
        return {"role": role, "content": [self.block(part) for part in parts_of(content)]}

    def block(self, part):
        if part[0] == "text":
            return {"type": "text", "text": part[1]}
        return {"type": "image", "source": {"type": "base64", "media_type": part[1], "data": part[2]}}


class Genai:
    """google-genai's generateContent."""

    FINISH = {"STOP": "stop", "MAX_TOKENS": "length"}

    def __init__(self, base="/genai"):
        from google import genai
        from google.genai import errors, types

        self.types = types
        self.name = f"google-genai at {base}"
        options = {"base_url": f"{GATEWAY}{base}", "api_version": "v1beta", "timeout": PATIENCE_S * 1000}
        self.client = genai.Client(api_key=KEY, http_options=options)
        self.errors = {
            400: errors.ClientError,
            404: errors.ClientError,
            429: errors.ClientError,
            500: errors.ServerError,
        }

    def ask(self, model, ask):
        request = {"model": model, "contents": self.contents(ask.turns), "config": self.config(ask)}
        if not ask.stream:
            return self.said([self.client.models.generate_content(**request)])
        return self.said(list(self.client.models.generate_content_stream(**request)))

    def said(self, chunks):
        said = Said()
        contents = []
        for chunk in chunks:
            if chunk.usage_metadata:
                usage = chunk.usage_metadata
                said.tokens = (usage.prompt_token_count, usage.candidates_token_count or 0)
            for candidate in chunk.candidates or []:
                if candidate.finish_reason:
                    said.finish = self.FINISH[candidate.finish_reason.value]
                for part in (candidate.content and candidate.content.parts) or []:
                    contents.append(part)
                    if part.text and not part.thought:
                        said.text += part.text
                        said.parts += 1
                    if part.function_call:
                        call = part.function_call
                        said.calls.append((call.id, call.name, call.args))
        if said.calls and said.finish == "stop":
            said.finish = "tool_calls"
        said.raw = self.types.Content(role="model", parts=contents)
        return said

    def contents(self, turns):
        return [self.content(role, content) for role, content in turns]

    def content(self, role, content):
        types = self.types
        if role == "results":
            answers = [
                types.FunctionResponse(id=call[0], name=call[1], response={"output": text}) for call, text in content
            ]
            return types.Content(role="user", parts=[types.Part(function_response=answer) for answer in answers])
        if role == "assistant":
            return content.raw or types.Content(role="model", parts=[types.Part(text=content.text)])
        parts = [
            types.Part(text=part[1])
            if part[0] == "text"
            else types.Part(inline_data=types.Blob(mime_type=part[1], data=__import__("base64").b64decode(part[2])))
            for part in parts_of(content)
        ]
        return types.Content(role="user", parts=parts)

    def config(self, ask):
        config = {}
        names = {"temperature": "temperature", "max_tokens": "max_output_tokens", "stop": "stop_sequences"}
        for name, value in ask.settings.items():
            config[names[name]] = value
        if ask.system:
            config["system_instruction"] = ask.system
        if ask.tools:
            functions = [
                {"name": n, "description": d, "parameters_json_schema": s} for n, d, s in ask.tools
            ]
            config["tools"] = [{"function_declarations": functions}]
            modes = {"auto": "AUTO", "none": "NONE", "any": "ANY"}
            chosen = {"mode": modes.get(ask.choice, "ANY")}
            if ask.choice not in modes:
                chosen["allowed_function_names"] = [ask.choice]
            config["tool_config"] = {"function_calling_config": chosen}
            config["automatic_function_calling"] = {"disable": True}
        if ask.schema:
            config |= {"response_mime_type": "application/json", "response_json_schema": ask.schema}
        return config


class Cohere:
    """cohere's chat, by its second client."""

    FINISH = {"COMPLETE": "stop", "MAX_TOKENS": "length", "TOOL_CALL": "tool_calls"}

    def __init__(self, base="/cohere"):
        import cohere
        from cohere.core.api_error import ApiError

        self.name = f"cohere at {base}"
        self.client = cohere.ClientV2(api_key=KEY, base_url=f"{GATEWAY}{base}", max_retries=0, timeout=PATIENCE_S)
        self.errors = {
            400: cohere.BadRequestError,
            404: cohere.NotFoundError,
            429: cohere.TooManyRequestsError,
            500: cohere.InternalServerError,
        }
        self.bad_gateway = ApiError

    def ask(self, model, ask):
        request = self.request(model, ask)
        if not ask.stream:
            answer = self.client.chat(**request)
            text = "".join(block.text for block in answer.message.content or [] if block.type == "text")
            calls = [self.call(c.id, c.function.name, c.function.arguments) for c in answer.message.tool_calls or []]
            tokens = (int(answer.usage.tokens.input_tokens), int(answer.usage.tokens.output_tokens))
            return Said(text, calls, self.FINISH[answer.finish_reason], tokens)
        said, open_call = Said(), None
        for event in self.client.chat_stream(**request):
            message = event.delta.message if getattr(event, "delta", None) and event.type != "message-end" else None
            if event.type == "content-delta" and message.content.text:
                said.text += message.content.text
                said.parts += 1
            # Clients keep one call: each must end before the next begins.
            if event.type == "tool-call-start":
                assert open_call is None, open_call
                open_call = [message.tool_calls.id, message.tool_calls.function.name, message.tool_calls.function.arguments]
            if event.type == "tool-call-delta":
                open_call[2] += message.tool_calls.function.arguments
            if event.type == "tool-call-end":
                said.calls.append(self.call(*open_call))
                open_call = None
            if event.type == "message-end":
                said.finish = self.FINISH[event.delta.finish_reason]
                tokens = event.delta.usage.tokens
                said.tokens = (int(tokens.input_tokens), int(tokens.output_tokens))
        return said

    def call(self, id, name, arguments):
        return (id, name, json.loads(arguments))

    def request(self, model, ask):
        messages = [{"role": "system", "content": ask.system}] if ask.system else []
        for role, content in ask.turns:
            messages += self.messages(role, content)
        settings = dict(ask.settings)
        if "stop" in settings:
            settings["stop_sequences"] = settings.pop("stop")
        request = {"model": model, "messages": messages} | settings
        if ask.tools:
            # It has no choice of one tool but to offer no other.
            is_word = ask.choice in ("auto", "none", "any")
            offered = [tool for tool in ask.tools if is_word or tool[0] == ask.choice]
            functions = [{"name": n, "description": d, "parameters": s} for n, d, s in offered]
            request["tools"] = [{"type": "function", "function": function} for function in functions]
            if ask.choice != "auto":
                request["tool_choice"] = "NONE" if ask.choice == "none" else "REQUIRED"
        if ask.schema:
            request["response_format"] = {"type": "json_object", "json_schema": ask.schema}
        return request

    def messages(self, role, content):
        if role == "results":
            return [{"role": "tool", "tool_call_id": call[0], "content": text} for call, text in content]
        if role == "assistant":
            message = {"role": "assistant"} | ({"content": content.text} if content.text else {})
            calls = [
                {"id": id, "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
                for id, name, arguments in content.calls
            ]
            return [message | ({"tool_calls": calls} if calls else {})]
        parts = [
            {"type": "text", "text": part[1]}
            if part[0] == "text"
            else {"type": "image_url", "image_url": {"url": f"data:{part[1]};base64,{part[2]}"}}
            for part in parts_of(content)
        ]
        return [{"role": role, "content": parts}]
