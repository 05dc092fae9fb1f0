"""What stands on the vendors' packages: langchain-openai and litellm, as `adapters.py` has them."""

import gc
import os

from adapters import KEY, PATIENCE_S, OpenAiChat, parts_of
from cases import Said
from harness import GATEWAY

# litellm leaves streams behind after `[DONE]`; collected while httpcore 1.0 holds its pool's lock, one waits for that lock
# on the thread that has it, for ever. These programs are short.
gc.disable()

# Its table of prices would be fetched at import.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"


class LangChain:
    """langchain-openai's ChatOpenAI."""

    def __init__(self, base="/langchain/v1"):
        import langchain_openai
        from langchain_openai.chat_models import base as kinds

        self.name = f"langchain-openai at {base}"
        self.settings = {
            "base_url": f"{GATEWAY}{base}",
            "api_key": KEY,
            "max_retries": 0,
            "timeout": PATIENCE_S,
            "stream_usage": True,
        }
        self.model = langchain_openai.ChatOpenAI
        self.errors = {
            400: kinds.OpenAIInvalidRequestError,
            404: kinds.OpenAIModelNotFoundError,
            429: kinds.OpenAIRateLimitError,
            500: kinds.OpenAIAPIError,
        }

    def ask(self, model, ask):
        settings = dict(ask.settings)
        runnable = chat = self.model(model=model, **self.settings, **settings)
        if ask.tools:
            functions = [
                {"type": "function", "function": {"name": n, "description": d, "parameters": s}}
                for n, d, s in ask.tools
            ]
            runnable = chat.bind_tools(functions, tool_choice=ask.choice)
        if ask.schema:
            schema = {"name": "answer", "schema": ask.schema, "strict": True}
            runnable = chat.bind(response_format={"type": "json_schema", "json_schema": schema})
        messages = self.messages(ask)
        if not ask.stream:
            return self.said(runnable.invoke(messages))
        chunks = list(runnable.stream(messages))
        whole = chunks[0]
        for chunk in chunks[1:]:
            whole += chunk
        said = self.said(whole)
        said.parts = sum(bool(chunk.content) for chunk in chunks)
        return said

    def said(self, message):
        calls = [(call["id"], call["name"], call["args"]) for call in message.tool_calls]
        usage = message.usage_metadata
        tokens = (usage["input_tokens"], usage["output_tokens"])
        return Said(message.content, calls, message.response_metadata["finish_reason"], tokens, raw=message)

    def messages(self, ask):
        from langchain_core import messages as lc

        found = [lc.SystemMessage(ask.system)] if ask.system else []
        for role, content in ask.turns:
            if role == "results":
                found += [lc.ToolMessage(text, tool_call_id=call[0]) for call, text in content]
            elif role == "assistant":
                found.append(content.raw or lc.AIMessage(content.text))
            else:
                found.append(lc.HumanMessage([self.part(part) for part in parts_of(content)]))
        return found

    def part(self, part):
        if part[0] == "text":
            return {"type": "text", "text": part[1]}
        return {"type": "image_url", "image_url": {"url": f"data:{part[1]};base64,{part[2]}"}}


class LiteLlm(OpenAiChat):
    """litellm, told to speak a vendor's API; what it gives back is OpenAI's, whatever it spoke."""

    def __init__(self, speaks, base):
        import litellm

        litellm.suppress_debug_info = True
        litellm.telemetry = False
        self.litellm = litellm
        self.speaks, self.base = speaks, base
        self.name = f"litellm as {speaks} at {base}"
        self.errors = {
            400: litellm.BadRequestError,
            404: litellm.NotFoundError,
            429: litellm.RateLimitError,
            500: litellm.InternalServerError,
        }
        self.bad_gateway = litellm.BadGatewayError
        # Its Gemini words are its own: results as {"content": …}, a schema only for names that it knows, and errors in
        # classes that differ between whole and streamed.
        own = ["tools_in_parallel_and_the_way_back", "structured_output", "errors_by_class", "a_refused_key_is_not_the_callers"]
        self.skips = [f"case_{name}" for name in own] if speaks == "gemini" else []

    def create(self, model, **request):
        settings = {"api_base": f"{GATEWAY}{self.base}", "api_key": KEY, "num_retries": 0, "timeout": PATIENCE_S}
        return self.litellm.completion(
            model=model, custom_llm_provider=self.speaks, drop_params=False, **settings, **request
        )
