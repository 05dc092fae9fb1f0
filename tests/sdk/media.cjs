// Sound, images, files and batches by the openai npm package, whose forms have their parts in the order of the caller's keys.
// `media.cjs GATEWAY`.

'use strict';

const assert = require('node:assert/strict');
const OpenAI = require('openai');

const [gateway] = process.argv.slice(2);
const settings = { apiKey: 'sk-the-callers-own', maxRetries: 0, timeout: 30_000 };
const native = new OpenAI({ baseURL: `${gateway}/v1`, ...settings });
const dropIn = new OpenAI({ baseURL: `${gateway}/openai/v1`, ...settings });
const file = (count, name) => OpenAI.toFile(Buffer.alloc(count, 'mock '), name);

const tests = {
  async sound() {
    for (const client of [native, dropIn]) {
      const answer = await client.audio.speech.create({ model: 'openai/tts-1', voice: 'alloy', input: 'hi' });
      assert.equal(answer.headers.get('content-type'), 'audio/mpeg');
      assert.equal(Buffer.from(await answer.arrayBuffer()).subarray(0, 3).toString(), 'ID3');
    }
  },

  async 'a model behind its file'() {
    for (const client of [native, dropIn]) {
      for (const count of [10, 1_500_000]) {
        const first = await client.audio.transcriptions.create({
          file: await file(count, 'a.wav'),
          model: 'openai/whisper-1',
        });
        assert.equal(first.text, `heard ${count} bytes`);
        const events = await client.audio.transcriptions.create({
          file: await file(count, 'a.wav'),
          model: 'openai/whisper-1',
          stream: true,
        });
        const types = [];
        for await (const event of events) types.push(event.type);
        assert.deepEqual(types, ['transcript.text.delta', 'transcript.text.done']);
      }
    }
  },

  async images() {
    const image = await file(400_000, 'a.png');
    const edited = await native.images.edit({ image, prompt: 'b', model: 'openai/gpt-image-1' });
    assert.equal(edited.data[0].b64_json, 'R0lGODlhAQABAAAAACw=');
  },

  async 'files and batches'() {
    const left = Buffer.alloc(700_000, '{}\n');
    const made = await dropIn.files.create({ file: await OpenAI.toFile(left, 'in.jsonl'), purpose: 'batch' });
    assert.ok(left.equals(Buffer.from(await (await dropIn.files.content(made.id)).arrayBuffer())));
    const batch = await dropIn.batches.create({
      input_file_id: made.id,
      endpoint: '/v1/chat/completions',
      completion_window: '24h',
    });
    assert.equal((await native.batches.retrieve(batch.id)).input_file_id, made.id);
    assert.equal((await native.batches.cancel(batch.id)).status, 'cancelling');
    assert.equal((await native.files.delete(made.id)).deleted, true);
    await assert.rejects(native.files.retrieve(made.id), OpenAI.NotFoundError);
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
