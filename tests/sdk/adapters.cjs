// One adapter for each npm SDK: a neutral request becomes its call, its answer { text, calls, finish, tokens, parts }.
// What an SDK raises passes through; `errors` says which class stands for which status.

'use strict';

const OpenAI = require('openai');
const Anthropic = require('@anthropic-ai/sdk').default;
const ai = require('ai');
const { createOpenAI } = require('@ai-sdk/openai');
const { createAnthropic } = require('@ai-sdk/anthropic');
const { createGoogleGenerativeAI } = require('@ai-sdk/google');

const [gateway] = process.argv.slice(2);
const settings = { apiKey: 'sk-the-callers-own', maxRetries: 0, timeout: 30_000 };

const openai = (base) => new OpenAI({ baseURL: gateway + base, ...settings });
const anthropic = (base) => new Anthropic({ baseURL: gateway + base, ...settings });
const apiKey = settings.apiKey;
const vercel = {
  openai: (base) => createOpenAI({ baseURL: gateway + base, apiKey }),
  anthropic: (base) => createAnthropic({ baseURL: gateway + base, apiKey }),
  google: (base) => createGoogleGenerativeAI({ baseURL: gateway + base, apiKey }),
};

function classesOf(sdk) {
  return {
    400: sdk.BadRequestError,
    404: sdk.NotFoundError,
    429: sdk.RateLimitError,
    500: sdk.InternalServerError,
  };
}

function openAiChat(base) {
  const client = openai(base);
  const messages = ([role, content], image) => {
    if (role === 'results') {
      return content.map(([call, text]) => ({ role: 'tool', tool_call_id: call[0], content: text }));
    }
    if (role === 'assistant') {
      const calls = content.calls.map(([id, name, given]) => ({
        id,
        type: 'function',
        function: { name, arguments: JSON.stringify(given) },
      }));
      return [{ role, content: content.text || null, ...(calls.length ? { tool_calls: calls } : {}) }];
    }
    const url = image && `data:${image[0]};base64,${image[1]}`;
    const parts = [{ type: 'text', text: content }, ...(image ? [{ type: 'image_url', image_url: { url } }] : [])];
    return [{ role, content: parts }];
  };
  const said = (completion, parts) => {
    const [{ message, finish_reason: finish }] = completion.choices;
    const calls = (message.tool_calls ?? []).map((call) => [
      call.id,
      call.function.name,
      JSON.parse(call.function.arguments),
    ]);
    const tokens = [completion.usage.prompt_tokens, completion.usage.completion_tokens];
    return { text: message.content ?? '', calls, finish, tokens, parts };
  };
  return {
    name: `openai at ${base}`,
    errors: classesOf(OpenAI),
    async ask(model, ask) {
      const system = ask.system ? [{ role: 'system', content: ask.system }] : [];
      const request = { model, messages: [...system, ...ask.turns.flatMap((turn) => messages(turn, ask.image))] };
      if (ask.tools) {
        request.tools = ask.tools.map(([name, parameters]) => ({ type: 'function', function: { name, parameters } }));
        const named = ask.choice && { type: 'function', function: { name: ask.choice } };
        request.tool_choice = ask.choice === 'any' ? 'required' : named ?? 'auto';
      }
      if (ask.schema) {
        const schema = { name: 'answer', schema: ask.schema, strict: true };
        request.response_format = { type: 'json_schema', json_schema: schema };
      }
      if (!ask.stream) return said(await client.chat.completions.create(request), 1);
      const stream = client.chat.completions.stream({ ...request, stream_options: { include_usage: true } });
      let parts = 0;
      stream.on('content', () => (parts += 1));
      return said(await stream.finalChatCompletion(), parts);
    },
  };
}

function anthropicMessages(base) {
  const client = anthropic(base);
  const FINISH = { end_turn: 'stop', max_tokens: 'length', tool_use: 'tool_calls' };
  const message = ([role, content], image) => {
    if (role === 'results') {
      const block = ([call, text]) => ({ type: 'tool_result', tool_use_id: call[0], content: text });
      return { role: 'user', content: content.map(block) };
    }
    if (role === 'assistant') {
      const text = content.text ? [{ type: 'text', text: content.text }] : [];
      const uses = content.calls.map(([id, name, input]) => ({ type: 'tool_use', id, name, input }));
      return { role, content: [...text, ...uses] };
    }
    const source = image && { type: 'base64', media_type: image[0], data: image[1] };
    return { role, content: [{ type: 'text', text: content }, ...(image ? [{ type: 'image', source }] : [])] };
  };
  const said = (answer, parts) => {
    const texts = answer.content.filter((block) => block.type === 'text').map((block) => block.text);
    const uses = answer.content.filter((block) => block.type === 'tool_use');
    const calls = uses.map((use) => [use.id, use.name, use.input]);
    const tokens = [answer.usage.input_tokens, answer.usage.output_tokens];
    return { text: texts.join(''), calls, finish: FINISH[answer.stop_reason], tokens, parts };
  };
  return {
    name: `anthropic at ${base}`,
    speaksAnthropic: true,
    errors: classesOf(Anthropic),
    async ask(model, ask) {
      const request = { model, max_tokens: 99, messages: ask.turns.map((turn) => message(turn, ask.image)) };
      if (ask.system) request.system = ask.system;
      if (ask.tools) {
        request.tools = ask.tools.map(([name, schema]) => ({ name, input_schema: schema }));
        const named = ask.choice && { type: 'tool', name: ask.choice };
        request.tool_choice = ask.choice === 'any' ? { type: 'any' } : named ?? { type: 'auto' };
      }
      if (ask.schema) request.output_config = { format: { type: 'json_schema', schema: ask.schema } };
      if (!ask.stream) return said(await client.messages.create(request), 1);
      const stream = client.messages.stream(request);
      let parts = 0;
      stream.on('text', () => (parts += 1));
      return said(await stream.finalMessage(), parts);
    },
  };
}

/// The Vercel AI SDK; `of` names a model, `more` are further settings of each call.
function vercelAi(name, of, more = {}) {
  const FINISH = { stop: 'stop', length: 'length', 'tool-calls': 'tool_calls' };
  const message = ([role, content], image) => {
    if (role === 'results') {
      const part = ([[toolCallId, toolName], value]) => ({
        type: 'tool-result',
        toolCallId,
        toolName,
        output: { type: 'text', value },
      });
      return { role: 'tool', content: content.map(part) };
    }
    if (role === 'assistant') {
      if (content.raw) return content.raw;
      return { role, content: [{ type: 'text', text: content.text }] };
    }
    const parts = image ? [{ type: 'image', image: image[1], mediaType: image[0] }] : [];
    return { role, content: [{ type: 'text', text: content }, ...parts] };
  };
  const said = (answer, response, parts) => ({
    text: answer.text,
    calls: answer.toolCalls.map((call) => [call.toolCallId, call.toolName, call.input]),
    finish: FINISH[answer.finishReason],
    tokens: [answer.usage.inputTokens, answer.usage.outputTokens],
    parts,
    raw: response.messages.find((one) => one.role === 'assistant'),
  });
  return {
    name,
    errors: { 400: ai.APICallError, 404: ai.APICallError, 429: ai.APICallError, 500: ai.APICallError },
    async ask(model, ask) {
      const request = {
        ...more,
        model: of(model),
        maxRetries: 0,
        messages: ask.turns.flatMap((turn) => message(turn, ask.image)),
        ...(ask.system ? { system: ask.system } : {}),
      };
      if (ask.tools) {
        const entry = ([tool, schema]) => [tool, ai.tool({ inputSchema: ai.jsonSchema(schema) })];
        request.tools = Object.fromEntries(ask.tools.map(entry));
        const named = ask.choice && { type: 'tool', toolName: ask.choice };
        request.toolChoice = ask.choice === 'any' ? 'required' : named ?? 'auto';
      }
      if (ask.schema) request.output = ai.Output.object({ schema: ai.jsonSchema(ask.schema) });
      if (!ask.stream) {
        const answer = await ai.generateText(request);
        return said(answer, answer.response, 1);
      }
      let failure = null;
      const stream = ai.streamText({ ...request, onError: ({ error }) => (failure = error) });
      let parts = 0;
      for await (const part of stream.fullStream) parts += part.type === 'text-delta' && part.text ? 1 : 0;
      if (failure) throw failure;
      const names = ['text', 'toolCalls', 'finishReason', 'usage'];
      const values = await Promise.all(names.map((key) => stream[key]));
      const whole = Object.fromEntries(names.map((key, index) => [key, values[index]]));
      return said(whole, await stream.response, parts);
    },
  };
}

function adapters(speaks) {
  const found = [
    openAiChat('/v1'),
    openAiChat('/openai/v1'),
    anthropicMessages('/anthropic'),
    vercelAi('AI SDK, openai at /v1', (model) => vercel.openai('/v1').chat(model)),
    vercelAi('AI SDK, anthropic at /anthropic/v1', (model) => vercel.anthropic('/anthropic/v1')(model)),
  ];
  if (speaks.includes('responses')) {
    // Else it sends thoughts back as references into OpenAI's store, which other providers do not have.
    const more = { providerOptions: { openai: { store: false } } };
    found.push(vercelAi('AI SDK, responses at /v1', (model) => vercel.openai('/v1').responses(model), more));
  }
  if (speaks.includes('gemini')) {
    // A name with a slash is a path to this SDK.
    const google = (model) => vercel.google('/genai/v1beta')(`models/${model}`);
    found.push({ ...vercelAi('AI SDK, google at /genai/v1beta', google), wrapsResults: true });
  }
  return found;
}

module.exports = { adapters, anthropic, openai, vercel };
