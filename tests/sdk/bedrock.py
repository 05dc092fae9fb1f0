"""boto3's bedrock-runtime as classes of the table: Converse, whole and as a stream, and InvokeModel of Anthropic's bodies. It
signs as for AWS, or not at all; the gateway does not look. (With a key of Bedrock's own botocore wants HTTPS.)"""

import base64
import json

from adapters import PATIENCE_S, Anthropic, parts_of
from cases import Said
from harness import GATEWAY


def client(base, signed):
    import boto3
    from botocore import UNSIGNED
    from botocore.config import Config

    config = {} if signed else {"signature_version": UNSIGNED}
    config = Config(**config, retries={"total_max_attempts": 1}, read_timeout=PATIENCE_S, connect_timeout=PATIENCE_S)
    session = boto3.Session(aws_access_key_id="AKIDEXAMPLE", aws_secret_access_key="a-secret", region_name="eu-west-1")
    return session.client("bedrock-runtime", endpoint_url=f"{GATEWAY}{base}", config=config)


def errors_of(client):
    kinds = client.exceptions
    return {
        400: kinds.ValidationException,
        404: kinds.ResourceNotFoundException,
        429: kinds.ThrottlingException,
        500: kinds.InternalServerException,
    }


class Converse:
    FINISH = {"end_turn": "stop", "max_tokens": "length", "tool_use": "tool_calls"}

    def __init__(self, signed, base="/bedrock"):
        self.name = f"boto3 converse at {base}, {'signed' if signed else 'unsigned'}"
        self.client = client(base, signed)
        self.errors = errors_of(self.client)

    def ask(self, model, ask):
        request = self.request(model, ask)
        if not ask.stream:
            answer = self.client.converse(**request)
            assert answer["metrics"]["latencyMs"] >= 0
            return self.said(answer["output"]["message"]["content"], answer["stopReason"], answer["usage"])
        blocks, open_blocks, stop, usage, parts = {}, set(), None, None, 0
        for event in self.client.converse_stream(**request)["stream"]:
            [(kind, event)] = event.items()
            index = event.get("contentBlockIndex")
            if kind == "contentBlockStart":
                open_blocks.add(index)
                blocks[index] = {"toolUse": event["start"]["toolUse"] | {"input": ""}}
            elif kind == "contentBlockDelta" and "text" in event["delta"]:
                open_blocks.add(index)
                blocks.setdefault(index, {"text": ""})["text"] += event["delta"]["text"]
                parts += 1
            elif kind == "contentBlockDelta" and "reasoningContent" in event["delta"]:
                open_blocks.add(index)
                thought = event["delta"]["reasoningContent"]
                if "redactedContent" in thought:
                    blocks[index] = event["delta"]
                    continue
                told = blocks.setdefault(index, {"reasoningContent": {"reasoningText": {"text": ""}}})
                for key, piece in thought.items():
                    whole = told["reasoningContent"]["reasoningText"]
                    whole[key] = whole.get(key, "") + piece
            elif kind == "contentBlockDelta":
                assert index in open_blocks, event
                blocks[index]["toolUse"]["input"] += event["delta"]["toolUse"]["input"]
            elif kind == "contentBlockStop":
                open_blocks.remove(index)
            elif kind == "messageStop":
                stop = event["stopReason"]
            elif kind == "metadata":
                usage = event["usage"]
        assert not open_blocks, open_blocks
        for block in blocks.values():
            if "toolUse" in block:
                block["toolUse"]["input"] = json.loads(block["toolUse"]["input"])
        said = self.said([block for _, block in sorted(blocks.items())], stop, usage)
        said.parts = parts
        return said

    def said(self, content, stop, usage):
        text = "".join(block["text"] for block in content if "text" in block)
        calls = [block["toolUse"] for block in content if "toolUse" in block]
        calls = [(call["toolUseId"], call["name"], call["input"]) for call in calls]
        assert usage["totalTokens"] == usage["inputTokens"] + usage["outputTokens"], usage
        return Said(text, calls, self.FINISH[stop], (usage["inputTokens"], usage["outputTokens"]), raw=content)

    def request(self, model, ask):
        request = {"modelId": model, "messages": [self.message(*turn) for turn in ask.turns]}
        names = {"temperature": "temperature", "max_tokens": "maxTokens", "stop": "stopSequences"}
        if ask.settings:
            request["inferenceConfig"] = {names[name]: value for name, value in ask.settings.items()}
        if ask.system:
            request["system"] = [{"text": ask.system}]
        if ask.tools and ask.choice != "none":
            specs = [{"name": n, "description": d, "inputSchema": {"json": s}} for n, d, s in ask.tools]
            choice = {ask.choice: {}} if ask.choice in ("auto", "any") else {"tool": {"name": ask.choice}}
            request["toolConfig"] = {"tools": [{"toolSpec": spec} for spec in specs], "toolChoice": choice}
        if ask.schema:
            schema = {"schema": json.dumps(ask.schema), "name": "answer"}
            request["outputConfig"] = {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": schema}}}
        return request

    def message(self, role, content):
        if role == "results":
            results = [{"toolUseId": call[0], "content": [{"text": text}]} for call, text in content]
            return {"role": "user", "content": [{"toolResult": result} for result in results]}
        if role == "assistant":
            if content.raw:
                return {"role": role, "content": content.raw}
            blocks = [{"text": content.text}] if content.text else []
            calls = [{"toolUseId": id, "name": name, "input": given} for id, name, given in content.calls]
            return {"role": "assistant", "content": blocks + [{"toolUse": call} for call in calls]}
        return {"role": role, "content": [self.block(part) for part in parts_of(content)]}

    def block(self, part):
        if part[0] == "text":
            return {"text": part[1]}
        source = {"bytes": base64.b64decode(part[2])}
        return {"image": {"format": part[1].removeprefix("image/"), "source": source}}


class Invoke:
    """The body, and what comes back, is Anthropic's."""

    speaks_anthropic = True

    def __init__(self, base="/bedrock"):
        self.name = f"boto3 invoke_model at {base}"
        self.client = client(base, False)
        self.errors = errors_of(self.client)
        self.words = Anthropic.__new__(Anthropic)

    def ask(self, model, ask):
        body = self.words.request(model, ask)
        body |= body.pop("extra_body", {})
        del body["model"]
        body = json.dumps(body | {"anthropic_version": "bedrock-2023-05-31", "anthropic_beta": ["a-beta-of-ours"]})
        if not ask.stream:
            answer = self.client.invoke_model(modelId=model, body=body)
            assert answer["contentType"] == "application/json", answer
            return self.said(json.load(answer["body"]))
        answer = self.client.invoke_model_with_response_stream(modelId=model, body=body)
        message, parts = None, 0
        for event in answer["body"]:
            event = json.loads(event["chunk"]["bytes"])
            kind = event["type"]
            if kind == "message_start":
                message = event["message"]
            elif kind == "content_block_start":
                message["content"].append(event["content_block"] | {"json": ""})
            elif kind == "content_block_delta":
                block, delta = message["content"][event["index"]], event["delta"]
                block["text"] = block.get("text", "") + delta.get("text", "")
                block["json"] += delta.get("partial_json", "")
                parts += "text" in delta
            elif kind == "content_block_stop" and message["content"][event["index"]]["json"]:
                block = message["content"][event["index"]]
                block["input"] = json.loads(block["json"])
            elif kind == "message_delta":
                message |= event["delta"]
                message["usage"] |= event["usage"]
        said = self.said(message)
        said.parts = parts
        return said

    def said(self, message):
        text = "".join(block["text"] for block in message["content"] if block["type"] == "text")
        calls = [block for block in message["content"] if block["type"] == "tool_use"]
        calls = [(block["id"], block["name"], block["input"]) for block in calls]
        tokens = (message["usage"]["input_tokens"], message["usage"]["output_tokens"])
        return Said(text, calls, Anthropic.FINISH[message["stop_reason"]], tokens)
