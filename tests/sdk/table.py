"""The Python SDKs of the table: `table.py GATEWAY MOCK SPEAKS SDK`. SPEAKS are the dialects that are served."""

import sys

import cases
from harness import CLAUDE, COMMAND, GEMINI, GPT, ON_BEDROCK, SPEAKS

SDK = sys.argv[4]


def adapters():
    import adapters as of

    if SDK == "openai":
        return [of.OpenAiChat(base) for base in ("/v1", "/openai/v1")]
    if SDK == "responses":
        return [of.Responses(base) for base in ("/v1", "/openai/v1")]
    if SDK == "anthropic":
        return [of.Anthropic()]
    if SDK == "genai":
        return [of.Genai()]
    if SDK == "cohere":
        return [of.Cohere(base) for base in ("/cohere", "/litellm/cohere")]
    if SDK == "boto3":
        import bedrock

        return [bedrock.Converse(signed) for signed in (False, True)] + [bedrock.Invoke()]
    import libraries

    if SDK == "langchain":
        return [libraries.LangChain()]
    found = [libraries.LiteLlm("openai", "/litellm/v1"), libraries.LiteLlm("anthropic", "/litellm/anthropic")]
    return found + ([libraries.LiteLlm("gemini", "/litellm/genai/v1beta")] if "gemini" in SPEAKS else [])


models = [GPT, CLAUDE] + ([GEMINI] if "gemini" in SPEAKS else [])
# litellm speaks Cohere's own API for a name that begins so, whatever it is told to speak.
models += [COMMAND] if "cohere" in SPEAKS and SDK != "litellm" else []
models += [ON_BEDROCK] if "bedrock" in SPEAKS else []
sys.exit(1 if cases.run(adapters(), models) else 0)
