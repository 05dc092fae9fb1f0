// Azure's deployments by AzureOpenAI of the openai npm package: whole, streamed, forms, stored responses, files, errors by
// class, of Azure itself and across. `clouds.cjs GATEWAY`.

'use strict';

const assert = require('node:assert/strict');
const { AzureOpenAI, ...OpenAI } = require('openai');

const [gateway] = process.argv.slice(2);
const client = (more = {}) =>
  new AzureOpenAI({
    endpoint: gateway,
    apiKey: 'the-callers-own',
    apiVersion: '2024-10-21',
    maxRetries: 0,
    timeout: 30_000,
    ...more,
  });
const HELLO = 'Hello from the mock provider.';
const hi = (content = 'one two three') => [{ role: 'user', content }];
const models = ['gpt-4o-mini', 'azure/claude-sonnet-4-5', 'vertex/gemini-2.5-flash', 'openai/gpt-4o-mini'];
const file = (count, name) => OpenAI.toFile(Buffer.alloc(count, 'mock '), name);

const tests = {
  async conversations() {
    for (const one of [client(), client({ deployment: 'gpt-4o-mini' })]) {
      for (const model of models) {
        const answer = await one.chat.completions.create({ model, messages: hi() });
        assert.equal(answer.choices[0].message.content, HELLO);
        const stream = await one.chat.completions.create({ model, messages: hi(), stream: true });
        let text = '';
        for await (const chunk of stream) text += chunk.choices[0]?.delta?.content ?? '';
        assert.equal(text, HELLO);
      }
    }
  },

  async 'errors by class'() {
    const classes = {
      400: OpenAI.BadRequestError,
      404: OpenAI.NotFoundError,
      429: OpenAI.RateLimitError,
      500: OpenAI.InternalServerError,
    };
    for (const [status, kind] of Object.entries(classes)) {
      for (const model of models) {
        const ask = { model, messages: hi(`mock: status=${status}`) };
        await assert.rejects(client().chat.completions.create(ask), kind);
        await assert.rejects(client().chat.completions.create({ ...ask, stream: true }), kind);
      }
    }
    await assert.rejects(client().chat.completions.create({ model: 'none', messages: hi() }), OpenAI.BadRequestError);
  },

  async 'responses, stored'() {
    const made = await client().responses.create({ model: 'gpt-4o-mini', input: 'one' });
    assert.equal(made.output_text, HELLO);
    assert.equal((await client().responses.retrieve(made.id)).id, made.id);
    await client().responses.delete(made.id);
    await assert.rejects(client().responses.retrieve(made.id), OpenAI.NotFoundError);
  },

  async 'sound and images'() {
    for (const count of [10, 1_500_000]) {
      const heard = await client().audio.transcriptions.create({ file: await file(count, 'a.wav'), model: 'whisper' });
      assert.equal(heard.text, `heard ${count} bytes`);
    }
    const image = await file(9, 'a.png');
    const edited = await client().images.edit({ image, prompt: 'b', model: 'gpt-image-1' });
    assert.ok(edited.data[0].b64_json);
    const said = await client().audio.speech.create({ model: 'tts', voice: 'alloy', input: 'hi' });
    assert.equal(Buffer.from(await said.arrayBuffer()).subarray(0, 3).toString(), 'ID3');
  },

  async 'files and batches'() {
    const left = Buffer.alloc(700_000, '{}\n');
    const made = await client().files.create({ file: await OpenAI.toFile(left, 'in.jsonl'), purpose: 'batch' });
    assert.ok(left.equals(Buffer.from(await (await client().files.content(made.id)).arrayBuffer())));
    const batch = await client().batches.create({
      input_file_id: made.id,
      endpoint: '/v1/chat/completions',
      completion_window: '24h',
    });
    assert.equal((await client().batches.retrieve(batch.id)).input_file_id, made.id);
    assert.equal((await client().files.delete(made.id)).deleted, true);
  },
};

(async () => {
  for (const [name, test] of Object.entries(tests)) {
    try {
      await test();
    } catch (error) {
      console.error(`${name}: ${error.stack}`);
      process.exitCode = 1;
    }
  }
})();
