// The openai npm package against corelane: chat, streams, tools, models, errors; both providers behind one API.

'use strict';

const assert = require('node:assert/strict');
const OpenAI = require('openai');

const [gateway] = process.argv.slice(2);
const HELLO = 'Hello from the mock provider.';
const CLAUDE = 'anthropic/claude-sonnet-4-20250514';
const settings = { apiKey: 'sk-the-callers-own', maxRetries: 0, timeout: 30_000 };
const native = new OpenAI({ baseURL: `${gateway}/v1`, ...settings });
const dropIn = new OpenAI({ baseURL: `${gateway}/openai/v1`, ...settings });
const ways = [
  [native, 'openai/gpt-4o-mini'],
  [native, CLAUDE],
  [dropIn, 'gpt-4o-mini'],
  [dropIn, CLAUDE],
];

const WEATHER = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] };
const TIME = { type: 'object', properties: { zone: { type: 'string' } } };
const tools = [
  { type: 'function', function: { name: 'weather', parameters: WEATHER } },
  { type: 'function', function: { name: 'time', parameters: TIME } },
];

const user = (content) => [{ role: 'user', content }];
const counts = (usage) => [usage.prompt_tokens, usage.completion_tokens, usage.total_tokens];

const tests = {
  async 'a whole answer'() {
    for (const [client, model] of ways) {
      const answer = await client.chat.completions.create({ model, messages: user('one two three') });
      assert.equal(answer.choices[0].message.content, HELLO);
      assert.equal(answer.choices[0].finish_reason, 'stop');
      assert.deepEqual(counts(answer.usage), [3, 5, 8]);
    }
  },

  async 'a stream adds up to the whole'() {
    for (const [client, model] of ways) {
      const request = { model, messages: user('mock: chunks=40') };
      const whole = await client.chat.completions.create(request);
      const options = { stream: true, stream_options: { include_usage: true } };
      let text = '';
      let usage = null;
      for await (const chunk of await client.chat.completions.create({ ...request, ...options })) {
        text += chunk.choices[0]?.delta.content ?? '';
        usage = chunk.usage ?? usage;
      }
      assert.equal(text, whole.choices[0].message.content);
      assert.deepEqual(counts(usage), [2, 40, 42]);
    }
  },

  async 'the stream helper'() {
    for (const [client, model] of ways) {
      const stream = client.chat.completions.stream({ model, messages: user('a') });
      let text = '';
      stream.on('content', (part) => (text += part));
      assert.equal(await stream.finalContent(), HELLO);
      assert.equal(text, HELLO);
    }
  },

  async 'tools and the way back'() {
    for (const [client, model] of ways) {
      const messages = user('weather and time');
      const answer = await client.chat.completions.create({ model, messages, tools });
      const [{ message, finish_reason: finish }] = answer.choices;
      assert.equal(finish, 'tool_calls');
      checkCalls(message.tool_calls);
      messages.push(message);
      ['sunny', 'late'].forEach((content, index) => {
        messages.push({ role: 'tool', tool_call_id: message.tool_calls[index].id, content });
      });
      const last = await client.chat.completions.create({ model, messages, tools });
      assert.equal(last.choices[0].message.content, 'The tools said: sunny | late');
    }
  },

  async 'tools streamed'() {
    for (const [client, model] of ways) {
      const stream = client.chat.completions.stream({ model, messages: user('a'), tools });
      const completion = await stream.finalChatCompletion();
      checkCalls(completion.choices[0].message.tool_calls);
      assert.equal(completion.choices[0].finish_reason, 'tool_calls');
    }
  },

  async 'a stream that is left is no fault of the next'() {
    for (const [client, model] of ways) {
      const messages = user('mock: chunks=200 chunk_delay_ms=20');
      const stream = await client.chat.completions.create({ model, messages, stream: true });
      for await (const chunk of stream) {
        if (chunk.choices[0]?.delta.content) break;
      }
      const answer = await client.chat.completions.create({ model, messages: user('a') });
      assert.equal(answer.choices[0].message.content, HELLO);
    }
  },

  async 'many at once'() {
    const one = async (number) => {
      const [client, model] = ways[number % ways.length];
      const content = `mock: echo delay_ms=20 bytes=${number}`;
      const answer = await client.chat.completions.create({ model, messages: user(content) });
      assert.equal(answer.choices[0].message.content, content);
    };
    await Promise.all(Array.from({ length: 40 }, (_, number) => one(number)));
  },

  async 'models'() {
    for (const client of [native, dropIn]) {
      const ids = [];
      for await (const model of client.models.list()) ids.push(model.id);
      assert.equal(ids.length, 4);
      assert.ok(ids.includes('openai/gpt-4o-mini') && ids.includes(CLAUDE), ids.join());
    }
  },

  async 'errors by class'() {
    const asked = (client, model, content) =>
      client.chat.completions.create({ model, messages: user(content) });
    const unknown = await raised(OpenAI.BadRequestError, asked(native, 'no-such-model', 'a'));
    assert.equal(unknown.code, 'model_not_found');
    await raised(OpenAI.NotFoundError, native.fineTuning.jobs.list());
    for (const [client, model] of ways) {
      const limited = await raised(OpenAI.RateLimitError, asked(client, model, 'mock: status=429'));
      assert.equal(limited.type, 'rate_limit_error');
      const refused = await raised(OpenAI.InternalServerError, asked(client, model, 'mock: status=401'));
      assert.equal(refused.code, 'provider_credentials_exhausted');
      await raised(OpenAI.InternalServerError, asked(client, model, 'mock: status=500'));
    }
  },
};

function checkCalls(calls) {
  const found = calls.map((call) => [call.function.name, JSON.parse(call.function.arguments)]);
  assert.deepEqual(found, [['weather', { city: 'mock' }], ['time', { zone: 'mock' }]]);
}

async function raised(kind, promise) {
  const error = await promise.then(
    () => assert.fail(`nothing raised, expected ${kind.name}`),
    (failure) => failure,
  );
  assert.equal(error.constructor, kind, `${error}`);
  return error;
}

async function main() {
  const failed = [];
  for (const [name, test] of Object.entries(tests)) {
    await test().catch((error) => {
      failed.push(name);
      console.error(`--- ${name}\n${error.stack}`);
    });
  }
  console.error(`${Object.keys(tests).length - failed.length} passed; failed: ${failed.join(', ')}`);
  process.exitCode = failed.length > 0 ? 1 : 0;
}

main();
