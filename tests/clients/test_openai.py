"""The OpenAI SDK for Python, unpatched: whatever it does with the API it does through the proxy."""

import asyncio
import json
import unittest
from concurrent.futures import ThreadPoolExecutor

import openai
from pydantic import BaseModel

from support import ANSWER, BEGINNING, USAGE, chat, fresh, sdk, seen, text_of, usage_of

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}


class City(BaseModel):
    name: str
    population: int


class Answers(unittest.TestCase):
    def setUp(self):
        self.client = sdk()
        self.addCleanup(self.client.close)

    def test_completion(self):
        model = fresh()
        completion = self.client.chat.completions.create(**chat(model))
        choice = completion.choices[0]
        self.assertEqual(choice.message.content, ANSWER)
        self.assertEqual(choice.message.role, "assistant")
        self.assertEqual(choice.finish_reason, "stop")
        self.assertEqual(completion.model, model)
        self.assertEqual(usage_of(completion.usage), USAGE)
        self.assertEqual(seen(model)["calls"], 1)

    def test_compressed_answer(self):
        completion = self.client.chat.completions.create(**chat(fresh("gzip")))
        self.assertEqual(completion.choices[0].message.content, ANSWER)

    def test_stream(self):
        chunks = list(self.client.chat.completions.create(**chat(fresh()), stream=True))
        self.assertEqual(text_of(chunks), ANSWER)
        self.assertEqual(chunks[-1].choices[0].finish_reason, "stop")
        # Who did not ask for usage must not meet a chunk without choices.
        self.assertTrue(all(len(chunk.choices) == 1 for chunk in chunks))
        self.assertGreater(len(chunks), 5)

    def test_stream_with_usage(self):
        request = chat(fresh(), stream=True, stream_options={"include_usage": True})
        chunks = list(self.client.chat.completions.create(**request))
        self.assertEqual(text_of(chunks), ANSWER)
        self.assertEqual(chunks[-1].choices, [])
        self.assertEqual(usage_of(chunks[-1].usage), USAGE)
        self.assertEqual([c.usage for c in chunks[:-1]], [None] * (len(chunks) - 1))

    def test_stream_cut_across_characters(self):
        chunks = self.client.chat.completions.create(**chat(fresh("split")), stream=True)
        self.assertEqual(text_of(chunks), ANSWER)

    def test_stream_helper(self):
        with self.client.chat.completions.stream(**chat(fresh())) as stream:
            deltas = [event.delta for event in stream if event.type == "content.delta"]
            completion = stream.get_final_completion()
        self.assertEqual("".join(deltas), ANSWER)
        self.assertEqual(completion.choices[0].message.content, ANSWER)
        self.assertEqual(completion.choices[0].finish_reason, "stop")

    def test_tool_calls(self):
        request = chat(fresh(), tools=[WEATHER], tool_choice="auto")
        choice = self.client.chat.completions.create(**request).choices[0]
        call = choice.message.tool_calls[0]
        self.assertEqual(choice.finish_reason, "tool_calls")
        self.assertEqual(call.function.name, "get_weather")
        self.assertEqual(json.loads(call.function.arguments), {"city": "Paris"})
        result = {"role": "tool", "tool_call_id": call.id, "content": "mild"}
        request["messages"] += [choice.message, result]
        choice = self.client.chat.completions.create(**request).choices[0]
        self.assertEqual(choice.message.content, "The tool says: mild")

    def test_streamed_tool_calls(self):
        request = chat(fresh(), tools=[WEATHER])
        with self.client.chat.completions.stream(**request) as stream:
            choice = stream.get_final_completion().choices[0]
        function = choice.message.tool_calls[0].function
        self.assertEqual(choice.finish_reason, "tool_calls")
        self.assertEqual(json.loads(function.arguments), {"city": "Paris"})
        self.assertEqual(function.parsed_arguments, {"city": "Paris"})

    def test_parse(self):
        request = chat(fresh(), response_format=City)
        message = self.client.chat.completions.parse(**request).choices[0].message
        self.assertEqual(message.parsed, City(name="Paris", population=2_100_000))

    def test_models(self):
        self.assertEqual([model.id for model in self.client.models.list()], ["gpt-4o"])

    def test_embeddings(self):
        model = fresh()
        reply = self.client.embeddings.create(model=model, input="words")
        self.assertEqual(reply.data[0].embedding, [0.25, -0.5, 1.0])
        self.assertEqual(seen(model)["calls"], 1)

    def test_embeddings_at_once(self):
        model = fresh()

        def ask(text):
            return self.client.embeddings.create(model=model, input=text)

        with ThreadPoolExecutor(20) as pool:
            replies = list(pool.map(ask, [f"{number} words" for number in range(20)]))
        for number, reply in enumerate(replies):
            self.assertEqual(len(reply.data), 1)
            self.assertEqual((reply.data[0].index, reply.data[0].embedding), (0, [number, -0.5, 1.0]))
            self.assertEqual(reply.usage.total_tokens, 2)
        together = ask([f"{number} words" for number in range(21)])
        self.assertEqual([item.embedding[0] for item in together.data], list(range(21)))
        self.assertEqual([item.index for item in together.data], list(range(21)))
        self.assertLessEqual(seen(model)["calls"], 21)

    def test_file_upload(self):
        content = bytes(range(256)) * 64
        reply = self.client.files.create(file=("bytes.jsonl", content), purpose="batch")
        self.assertEqual(reply.id, "file-1")
        self.assertGreater(reply.bytes, len(content))


class Errors(unittest.TestCase):
    def setUp(self):
        self.client = sdk()
        self.addCleanup(self.client.close)

    def fails(self, error, kind, **more):
        model = fresh(kind)
        with self.assertRaises(error) as caught:
            self.client.chat.completions.create(**chat(model, **more))
        return caught.exception, seen(model)["calls"]

    def test_authentication(self):
        for stream in (False, True):
            error, calls = self.fails(openai.AuthenticationError, "fail-401", stream=stream)
            self.assertEqual((error.status_code, error.code, calls), (401, "invalid_api_key", 1))

    def test_not_found(self):
        error, calls = self.fails(openai.NotFoundError, "fail-404")
        self.assertEqual((error.status_code, error.code, calls), (404, "model_not_found", 1))
        self.assertIn("The model does not exist.", error.message)

    def test_rate_limit(self):
        error, _ = self.fails(openai.RateLimitError, "fail-429")
        self.assertEqual((error.status_code, error.code), (429, "rate_limit_exceeded"))
        self.assertEqual(error.response.headers["retry-after"], "0")

    def test_rate_limit_beyond_the_deadline(self):
        error, calls = self.fails(openai.RateLimitError, "late-429")
        self.assertEqual(error.response.headers["retry-after"], "3600")
        self.assertEqual(calls, 1)

    def test_server_error(self):
        for stream in (False, True):
            error, calls = self.fails(openai.InternalServerError, "fail-500", stream=stream)
            self.assertEqual(error.status_code, 500)
            self.assertLessEqual(calls, 3)

    def test_messages_missing(self):
        with self.assertRaises(openai.BadRequestError) as caught:
            self.client.chat.completions.create(model=fresh(), messages=openai.omit)
        self.assertIn("messages", caught.exception.message)
        self.assertEqual(caught.exception.type, "invalid_request_error")

    def test_a_cut_stream_is_an_error(self):
        model = fresh("cut")
        for calls in (1, 2):
            # Whichever way the break reaches the SDK, it must not look like a finished answer,
            # and what came must not be kept for the next one.
            with self.assertRaises(Exception):
                list(self.client.chat.completions.create(**chat(model), stream=True))
            self.assertEqual(seen(model)["calls"], calls)


class Hangups(unittest.TestCase):
    """Whoever leaves stops the upstream's work, and the bill with it."""

    def test_in_the_middle_of_a_stream(self):
        model = fresh("hang")
        with sdk() as client:
            stream = client.chat.completions.create(**chat(model), stream=True)
            text = ""
            while text != BEGINNING:
                text += text_of([next(stream)])
            stream.close()
            record = seen(model, hangups=1)
            self.assertEqual((record["calls"], record["hangups"]), (1, 1))

    def test_leaving_the_stream_helper(self):
        model = fresh("hang")
        with sdk() as client:
            with client.chat.completions.stream(**chat(model)) as stream:
                next(event for event in stream if event.type == "content.delta")
            self.assertEqual(seen(model, hangups=1)["hangups"], 1)


class Async(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        self.client = sdk(openai.AsyncOpenAI)
        self.addAsyncCleanup(self.client.close)

    async def test_completion(self):
        completion = await self.client.chat.completions.create(**chat(fresh()))
        self.assertEqual(completion.choices[0].message.content, ANSWER)

    async def test_stream(self):
        stream = await self.client.chat.completions.create(**chat(fresh()), stream=True)
        self.assertEqual(text_of([chunk async for chunk in stream]), ANSWER)

    async def test_stream_helper(self):
        async with self.client.chat.completions.stream(**chat(fresh())) as stream:
            completion = await stream.get_final_completion()
        self.assertEqual(completion.choices[0].message.content, ANSWER)

    async def test_errors(self):
        with self.assertRaises(openai.AuthenticationError):
            await self.client.chat.completions.create(**chat(fresh("fail-401")))

    async def test_cancelled_before_the_first_byte(self):
        for stream in (False, True):
            model = fresh("mute")
            call = self.client.chat.completions.create(**chat(model), stream=stream)
            task = asyncio.create_task(call)
            self.assertEqual((await asyncio.to_thread(seen, model, calls=1))["hangups"], 0)
            task.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await task
            record = await asyncio.to_thread(seen, model, hangups=1)
            self.assertEqual((record["calls"], record["hangups"]), (1, 1))


if __name__ == "__main__":
    unittest.main(verbosity=2)
