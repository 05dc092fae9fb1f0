// The table of cases.py for the npm packages: each case, through each SDK, of each provider.
// `table.cjs GATEWAY MOCK SPEAKS`; SPEAKS are the dialects that are served.

'use strict';

const assert = require('node:assert/strict');
const { adapters } = require('./adapters.cjs');

const SPEAKS = process.argv[4].split(',');
const GPT = 'openai/gpt-4o-mini';
const CLAUDE = 'anthropic/claude-sonnet-4-20250514';
const NEWER_CLAUDE = 'anthropic/claude-sonnet-4-5';
const GEMINI = 'gemini/gemini-2.5-flash';
const ON_BEDROCK = 'bedrock/anthropic.claude-sonnet-4-20250514-v1:0';
const HELLO = 'Hello from the mock provider.';
const PIXEL = 'R0lGODlhAQABAAAAACw=';
const WEATHER = {
  type: 'object',
  properties: { city: { type: 'string' }, days: { type: 'integer' } },
  required: ['city'],
};
const TIME = { type: 'object', properties: { zone: { type: 'string' } } };
const tools = [
  ['weather', WEATHER],
  ['time', TIME],
];
const CITY = {
  type: 'object',
  properties: { name: { type: 'string' }, people: { type: 'integer' } },
  required: ['name', 'people'],
  additionalProperties: false,
};

const user = (content, more = {}) => ({ turns: [['user', content]], ...more });

async function both(adapter, model, ask, check) {
  for (const stream of [false, true]) {
    const said = await adapter.ask(model, { ...ask, stream });
    await check(said, stream);
  }
}

const cases = {
  'a text': (adapter, model) =>
    both(adapter, model, user('one two three'), (said, stream) => {
      assert.deepEqual([said.text, said.calls, said.finish, said.tokens], [HELLO, [], 'stop', [3, 5]]);
      assert.ok(!stream || said.parts > 1, `${said.parts} parts`);
    }),

  'a long stream': (adapter, model) =>
    both(adapter, model, user('mock: chunks=40'), (said, stream) => {
      assert.equal(said.text, 'word '.repeat(40));
      assert.deepEqual(said.tokens, [2, 40]);
      assert.ok(!stream || said.parts === 40, `${said.parts} parts`);
    }),

  'turns and system': (adapter, model) => {
    const turns = [['user', 'one'], ['assistant', { text: 'two', calls: [] }], ['user', 'three four']];
    return both(adapter, model, { turns, system: 'be kind' }, (said) => {
      assert.deepEqual([said.text, said.tokens], [HELLO, [6, 5]]);
    });
  },

  'cut by the limit': (adapter, model) =>
    both(adapter, model, user('mock: finish=length'), (said) => assert.equal(said.finish, 'length')),

  'an image': (adapter, model) =>
    both(adapter, model, user('what is this', { image: ['image/gif', PIXEL] }), (said) => {
      assert.equal(said.text, HELLO);
    }),

  'tools in parallel and the way back': (adapter, model) =>
    both(adapter, model, user('weather and time', { tools }), async (said) => {
      const found = said.calls.map(([, name, given]) => [name, given]);
      assert.deepEqual(found, [['weather', { city: 'mock', days: 1 }], ['time', { zone: 'mock' }]]);
      assert.deepEqual([said.text, said.finish], ['', 'tool_calls']);
      const results = said.calls.map((call, index) => [call, ['sunny', 'late'][index]]);
      const turns = [['user', 'weather and time'], ['assistant', said], ['results', results]];
      await both(adapter, model, { turns, tools }, (last) => {
        if (adapter.wrapsResults) {
          // The package's own words for a result: { name, content }.
          assert.match(last.text, /^The tools said: .*sunny.* \| .*late/);
        } else {
          assert.equal(last.text, 'The tools said: sunny | late');
        }
        assert.equal(last.finish, 'stop');
      });
    }),

  async 'the choice of a tool'(adapter, model) {
    for (const [choice, names] of [['time', ['time']], ['any', ['weather', 'time']]]) {
      await both(adapter, model, user('a', { tools, choice }), (said) => {
        assert.deepEqual(said.calls.map(([, name]) => name), names);
      });
    }
  },

  async 'structured output'(adapter, model) {
    // What passes through to a model is asked in the caller's own words, which an older one may not know.
    const passes = model === CLAUDE && adapter.speaksAnthropic;
    for (const one of [...(passes ? [] : [model]), ...(model === CLAUDE ? [NEWER_CLAUDE] : [])]) {
      await both(adapter, one, user('a city', { schema: CITY }), (said) => {
        assert.deepEqual(JSON.parse(said.text), { name: 'mock', people: 1 });
        assert.deepEqual([said.calls, said.finish], [[], 'stop']);
      });
    }
  },

  async 'errors by class'(adapter, model) {
    for (const status of [400, 404, 429, 500]) {
      for (const stream of [false, true]) {
        await expect(adapter, model, user(`mock: status=${status}`, { stream }), status, `told to answer ${status}`);
      }
    }
    await expect(adapter, model, user('mock: status=401'), 502, 'told to answer 401');
    await expect(adapter, `${model.split('/')[0]}/no-such-model`, user('a'), 400, 'no-such-model');
  },
};

async function expect(adapter, model, ask, status, words) {
  const error = await adapter.ask(model, ask).then(
    (said) => assert.fail(`nothing raised but ${JSON.stringify(said)}, expected ${status}`),
    (failure) => failure,
  );
  const kind = adapter.errors[status] ?? adapter.errors[500];
  assert.equal(error.constructor, kind, `${error.stack}`);
  assert.equal(error.status ?? error.statusCode, status, `${error}`);
  assert.ok(error.message.includes(words), `${words} is not in ${error.message}`);
}

const operations = {
  async 'embeddings by openai'() {
    const { openai } = require('./adapters.cjs');
    const input = ['ab', 'c'];
    for (const more of [{}, { encoding_format: 'float' }]) {
      const answer = await openai('/v1').embeddings.create({ model: 'openai/text-embedding-3-small', input, ...more });
      assert.deepEqual(answer.data.map((item) => item.embedding), [[0.25, 0.125, 0, -0.125], [0.125, 0, -0.125, -0.25]]);
      assert.equal(answer.usage.prompt_tokens, 2);
    }
  },

  async 'embeddings by the AI SDK'() {
    const { vercel } = require('./adapters.cjs');
    const { embedMany } = require('ai');
    const model = vercel.openai('/v1').embeddingModel('openai/text-embedding-3-small');
    const { embeddings } = await embedMany({ model, values: ['ab', 'c'], maxRetries: 0 });
    assert.deepEqual(embeddings, [[0.25, 0.125, 0, -0.125], [0.125, 0, -0.125, -0.25]]);
  },

  async 'moderations, one model and a count of tokens'() {
    const { openai, anthropic } = require('./adapters.cjs');
    const client = openai('/openai/v1');
    const verdict = await client.moderations.create({ model: 'openai/omni-moderation-latest', input: ['a', 'bad'] });
    assert.deepEqual(verdict.results.map((result) => result.flagged), [false, true]);
    assert.equal((await client.models.retrieve(GPT)).id, GPT);
    const messages = [{ role: 'user', content: 'one two' }];
    const count = await anthropic('/anthropic').messages.countTokens({ model: CLAUDE, messages });
    assert.equal(count.input_tokens, 2);
    assert.equal((await anthropic('/anthropic').models.retrieve(CLAUDE)).id, CLAUDE);
  },
};

async function main() {
  const models = [GPT, CLAUDE, ...(SPEAKS.includes('gemini') ? [GEMINI] : []), ...(SPEAKS.includes('bedrock') ? [ON_BEDROCK] : [])];
  const cells = Object.entries(operations);
  for (const adapter of adapters(SPEAKS)) {
    for (const model of models) {
      for (const [name, test] of Object.entries(cases)) {
        cells.push([`${adapter.name}, ${model}, ${name}`, () => test(adapter, model)]);
      }
    }
  }
  const failed = [];
  for (const [name, test] of cells) {
    await test().catch((error) => {
      failed.push(name);
      console.error(`--- ${name}\n${error.stack}`);
    });
  }
  console.error(`${cells.length - failed.length} of ${cells.length} passed; failed: ${failed.join('; ')}`);
  process.exitCode = failed.length > 0 ? 1 : 0;
}

main();
