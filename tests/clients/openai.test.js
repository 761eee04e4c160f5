// The OpenAI SDK for Node, unpatched: whatever it does with the API it does through the proxy.
"use strict";

// The SDK's own advice for Node 18, which Debian 12 still has: it uploads files with this class.
globalThis.File ??= require("node:buffer").File;

const assert = require("node:assert/strict");
const { randomUUID } = require("node:crypto");
const { describe, test } = require("node:test");
const OpenAI = require("openai");
const { zodResponseFormat } = require("openai/helpers/zod");
const { z } = require("zod");

const {
  CLIENTS_BASE_URL: baseURL,
  CLIENTS_CONTROL_URL: controlUrl,
  CLIENTS_API_KEY: apiKey,
  CLIENTS_PROMPT: prompt,
} = process.env;
// For what the proxy adds; `run.py --direct` talks to the upstream itself.
const needsProxy = { skip: process.env.CLIENTS_DIRECT ? "needs the proxy" : false };

const ANSWER = "Grüße aus 世界: the quick brown fox jumps over the lazy dog. 🚀";
// What the upstream says before a stream that hangs or breaks stops.
const BEGINNING = "Grüße aus ";
const USAGE = { prompt_tokens: 11, completion_tokens: 13, total_tokens: 24 };
const WEATHER = {
  type: "function",
  function: {
    name: "get_weather",
    description: "The weather in a city",
    parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  },
};
const City = z.object({ name: z.string(), population: z.number() });

// Without retries of its own, which would hide the proxy's.
const client = new OpenAI({ apiKey, baseURL, maxRetries: 0, timeout: 20_000 });
const completions = client.chat.completions;

// A model that no other test uses, so that caches, circuits and counts are its own.
const fresh = (kind = "plain") => `${kind}-${randomUUID()}`;

const chat = (model, more = {}) => ({
  model,
  messages: [{ role: "user", content: prompt }],
  ...more,
});

// The upstream's record of a model, once it has seen that many calls or hang-ups.
async function seen(model, atLeast = {}) {
  const query = new URLSearchParams({ model, ...atLeast });
  return (await fetch(`${controlUrl}?${query}`)).json();
}

async function collect(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

const textOf = (chunks) => chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join("");

describe("answers", () => {
  test("completion", async () => {
    const model = fresh();
    const completion = await completions.create(chat(model));
    assert.equal(completion.choices[0].message.content, ANSWER);
    assert.equal(completion.choices[0].finish_reason, "stop");
    assert.equal(completion.model, model);
    assert.deepEqual(completion.usage, USAGE);
    assert.equal((await seen(model)).calls, 1);
  });

  test("stream", async () => {
    const chunks = await collect(await completions.create(chat(fresh(), { stream: true })));
    assert.equal(textOf(chunks), ANSWER);
    assert.equal(chunks.at(-1).choices[0].finish_reason, "stop");
    // Who did not ask for usage must not meet a chunk without choices.
    assert.ok(chunks.every((chunk) => chunk.choices.length === 1));
  });

  test("stream with usage", async () => {
    const request = chat(fresh(), { stream: true, stream_options: { include_usage: true } });
    const chunks = await collect(await completions.create(request));
    assert.equal(textOf(chunks), ANSWER);
    assert.deepEqual(chunks.at(-1).choices, []);
    assert.deepEqual(chunks.at(-1).usage, USAGE);
  });

  test("stream cut across characters", async () => {
    const request = chat(fresh("split"), { stream: true });
    assert.equal(textOf(await collect(await completions.create(request))), ANSWER);
  });

  test("stream helper", async () => {
    const stream = completions.stream(chat(fresh()));
    let text = "";
    stream.on("content", (delta) => (text += delta));
    const completion = await stream.finalChatCompletion();
    assert.equal(text, ANSWER);
    assert.equal(completion.choices[0].message.content, ANSWER);
    assert.equal(completion.choices[0].finish_reason, "stop");
  });

  test("tool calls", async () => {
    const [choice] = (await completions.create(chat(fresh(), { tools: [WEATHER] }))).choices;
    assert.equal(choice.finish_reason, "tool_calls");
    assert.equal(choice.message.tool_calls[0].function.name, "get_weather");
    assert.deepEqual(JSON.parse(choice.message.tool_calls[0].function.arguments), {
      city: "Paris",
    });
  });

  for (const stream of [false, true]) {
    test(`tool runner, ${stream ? "streaming" : "whole"}`, async () => {
      const asked = [];
      const tool = {
        type: "function",
        function: {
          ...WEATHER.function,
          parse: JSON.parse,
          function: ({ city }) => (asked.push(city), "mild"),
        },
      };
      const runner = completions.runTools(chat(fresh(), { stream, tools: [tool] }));
      assert.equal(await runner.finalContent(), "The tool says: mild");
      assert.deepEqual(asked, ["Paris"]);
    });
  }

  test("parse", async () => {
    const request = chat(fresh(), { response_format: zodResponseFormat(City, "city") });
    const completion = await completions.parse(request);
    const expected = { name: "Paris", population: 2_100_000 };
    assert.deepEqual(completion.choices[0].message.parsed, expected);
  });

  test("models", async () => {
    const models = await collect(client.models.list());
    assert.deepEqual(models.map((model) => model.id), ["gpt-4o"]);
  });

  test("embeddings", async () => {
    const reply = await client.embeddings.create({ model: fresh(), input: "words" });
    assert.deepEqual([...reply.data[0].embedding], [0.25, -0.5, 1.0]);
  });

  test("file upload", async () => {
    const content = Buffer.alloc(16_384, "bytes");
    const file = await OpenAI.toFile(content, "bytes.jsonl");
    const reply = await client.files.create({ file, purpose: "batch" });
    assert.equal(reply.id, "file-1");
    assert.ok(reply.bytes > content.length);
  });
});

describe("errors", () => {
  const failures = [
    ["fail-401", OpenAI.AuthenticationError, 401, "invalid_api_key"],
    ["fail-404", OpenAI.NotFoundError, 404, "model_not_found"],
    ["fail-429", OpenAI.RateLimitError, 429, "rate_limit_exceeded"],
    ["late-429", OpenAI.RateLimitError, 429, "rate_limit_exceeded"],
    ["fail-500", OpenAI.InternalServerError, 500, null],
  ];
  for (const [kind, type, status, code] of failures) {
    test(kind, async () => {
      for (const stream of [false, true]) {
        const model = fresh(kind);
        const error = await completions.create(chat(model, { stream })).catch((error) => error);
        assert.ok(error instanceof type, `${error}`);
        assert.deepEqual([error.status, error.code], [status, code]);
        const { calls } = await seen(model);
        assert.ok(["fail-429", "fail-500"].includes(kind) ? calls <= 3 : calls === 1, `${calls}`);
        const delay = { "fail-429": "0", "late-429": "3600" }[kind] ?? null;
        assert.equal(error.headers.get("retry-after"), delay);
      }
    });
  }

  test("messages missing", async () => {
    const error = await completions.create({ model: fresh() }).catch((error) => error);
    assert.ok(error instanceof OpenAI.BadRequestError, `${error}`);
    assert.match(error.message, /messages/);
    assert.equal(error.type, "invalid_request_error");
  });

  test("a cut stream is an error, and not kept", async () => {
    const model = fresh("cut");
    for (const calls of [1, 2]) {
      await assert.rejects(async () => {
        await collect(await completions.create(chat(model, { stream: true })));
      });
      assert.equal((await seen(model)).calls, calls);
    }
  });
});

describe("whoever leaves stops the upstream's work", () => {
  const leave = {
    "by breaking off the loop": () => true,
    "by aborting": (stream) => void stream.controller.abort(),
  };
  for (const [name, leaving] of Object.entries(leave)) {
    test(`in the middle of a stream ${name}`, async () => {
      const model = fresh("hang");
      const stream = await completions.create(chat(model, { stream: true }));
      let text = "";
      for await (const chunk of stream) {
        text += textOf([chunk]);
        if (text === BEGINNING && leaving(stream)) break;
      }
      assert.equal(text, BEGINNING);
      const { calls, hangups } = await seen(model, { hangups: 1 });
      assert.deepEqual([calls, hangups], [1, 1]);
    });
  }

  for (const stream of [false, true]) {
    test(`before the first byte, ${stream ? "streaming" : "whole"}`, async () => {
      const model = fresh("mute");
      const aborting = new AbortController();
      const { signal } = aborting;
      const call = assert.rejects(
        completions.create(chat(model, { stream }), { signal }),
        OpenAI.APIUserAbortError,
      );
      assert.equal((await seen(model, { calls: 1 })).calls, 1);
      aborting.abort();
      await call;
      const { calls, hangups } = await seen(model, { hangups: 1 });
      assert.deepEqual([calls, hangups], [1, 1]);
    });
  }
});

describe("what the proxy adds", needsProxy, () => {
  const cacheOf = ({ response }) => response.headers.get("x-cache");

  test("a repeat is a hit", async () => {
    const model = fresh();
    const first = await completions.create(chat(model)).withResponse();
    const again = await completions.create(chat(model)).withResponse();
    assert.deepEqual([cacheOf(first), cacheOf(again)], ["MISS", "HIT"]);
    assert.deepEqual(again.data.choices, first.data.choices);
    assert.equal((await seen(model)).calls, 1);
  });

  test("stream after whole", async () => {
    const model = fresh();
    await completions.create(chat(model));
    const options = { stream: true, stream_options: { include_usage: true } };
    const again = await completions.create(chat(model, options)).withResponse();
    const chunks = await collect(again.data);
    assert.equal(cacheOf(again), "HIT");
    assert.equal(textOf(chunks), ANSWER);
    assert.deepEqual(chunks.at(-1).usage, USAGE);
    assert.equal((await seen(model)).calls, 1);
  });

  test("whole after stream", async () => {
    const model = fresh();
    const stream = await completions.create(chat(model, { stream: true }));
    assert.equal(textOf(await collect(stream)), ANSWER);
    const again = await completions.create(chat(model)).withResponse();
    assert.equal(cacheOf(again), "HIT");
    assert.equal(again.data.choices[0].message.content, ANSWER);
    assert.equal((await seen(model)).calls, 1);
  });

  test("headers", async () => {
    const model = fresh();
    const miss = await completions.create(chat(model)).withResponse();
    const hit = await completions.create(chat(model)).withResponse();
    assert.match(miss.response.headers.get("cache-status"), /^pegasus-nest; .*fwd=miss/);
    assert.match(hit.response.headers.get("cache-status"), /^pegasus-nest; hit/);
    assert.equal(miss.response.headers.get("x-upstream-request-id"), "upstream-request");
    assert.ok(miss.request_id);
    assert.ok(hit.request_id);
    assert.notEqual(miss.request_id, hit.request_id);
  });

  test("identical requests are one call", async () => {
    const model = fresh();
    const whole = async () => (await completions.create(chat(model))).choices[0].message.content;
    const streaming = async () =>
      textOf(await collect(await completions.create(chat(model, { stream: true }))));
    const calls = Array.from({ length: 20 }, (_, n) => (n % 2 ? whole() : streaming()));
    assert.deepEqual(new Set(await Promise.all(calls)), new Set([ANSWER]));
    assert.equal((await seen(model)).calls, 1);
  });
});
