"""What the proxy adds, as the OpenAI SDK for Python sees it: the cache, its headers, its scope."""

import asyncio
import os
import unittest

import openai

from support import ANSWER, API_KEY, USAGE, chat, fresh, needs_proxy, sdk, seen, text_of, usage_of


@needs_proxy
class Cache(unittest.TestCase):
    def setUp(self):
        self.client = sdk()
        self.addCleanup(self.client.close)
        self.raw = self.client.chat.completions.with_raw_response

    def test_a_repeat_is_a_hit(self):
        model = fresh()
        first = self.raw.create(**chat(model))
        again = self.raw.create(**chat(model))
        self.assertEqual(first.headers["x-cache"], "MISS")
        self.assertEqual(again.headers["x-cache"], "HIT")
        self.assertEqual(again.parse().choices, first.parse().choices)
        self.assertEqual(usage_of(again.parse().usage), USAGE)
        self.assertEqual(seen(model)["calls"], 1)

    def test_stream_after_whole(self):
        model = fresh()
        self.raw.create(**chat(model))
        again = self.raw.create(**chat(model), stream=True)
        chunks = list(again.parse())
        self.assertEqual(again.headers["x-cache"], "HIT")
        self.assertTrue(again.headers["content-type"].startswith("text/event-stream"))
        self.assertEqual(text_of(chunks), ANSWER)
        self.assertEqual(chunks[-1].choices[0].finish_reason, "stop")
        self.assertEqual(chunks[0].choices[0].delta.role, "assistant")

        options = {"include_usage": True}
        chunks = list(self.raw.create(**chat(model), stream=True, stream_options=options).parse())
        self.assertEqual(text_of(chunks), ANSWER)
        self.assertEqual(usage_of(chunks[-1].usage), USAGE)
        self.assertEqual(seen(model)["calls"], 1)

    def test_whole_after_stream(self):
        model = fresh()
        first = self.raw.create(**chat(model), stream=True)
        self.assertEqual(text_of(first.parse()), ANSWER)
        again = self.raw.create(**chat(model))
        completion = again.parse()
        self.assertEqual(first.headers["x-cache"], "MISS")
        self.assertEqual(again.headers["x-cache"], "HIT")
        self.assertEqual(completion.object, "chat.completion")
        self.assertEqual(completion.choices[0].message.content, ANSWER)
        self.assertEqual(completion.choices[0].finish_reason, "stop")
        self.assertEqual(seen(model)["calls"], 1)

    def test_another_key_shares_nothing(self):
        model = fresh()
        with sdk(api_key=f"{API_KEY}-other") as other:
            self.raw.create(**chat(model))
            theirs = other.chat.completions.with_raw_response.create(**chat(model))
        self.assertEqual(theirs.headers["x-cache"], "MISS")
        self.assertEqual(seen(model)["calls"], 2)

    def test_another_question_is_another_entry(self):
        model = fresh()
        for question in (chat(model), chat(model, temperature=0.1), chat(model, "other")):
            self.assertEqual(self.raw.create(**question).headers["x-cache"], "MISS")
        self.assertEqual(seen(model)["calls"], 3)

    def test_errors_are_not_kept(self):
        model = fresh("fail-404")
        for _ in range(2):
            with self.assertRaises(openai.NotFoundError):
                self.raw.create(**chat(model))
        self.assertEqual(seen(model)["calls"], 2)

    def test_no_cache_goes_upstream(self):
        model = fresh()
        self.raw.create(**chat(model))
        again = self.raw.create(**chat(model), extra_headers={"Cache-Control": "no-cache"})
        self.assertNotEqual(again.headers["x-cache"], "HIT")
        self.assertEqual(seen(model)["calls"], 2)

    def test_only_if_cached_never_goes_upstream(self):
        model = fresh()
        with self.assertRaises(openai.InternalServerError) as caught:
            self.raw.create(**chat(model), extra_headers={"Cache-Control": "only-if-cached"})
        self.assertEqual(caught.exception.status_code, 504)
        self.assertEqual(seen(model)["calls"], 0)


@needs_proxy
class Headers(unittest.TestCase):
    def setUp(self):
        self.client = sdk()
        self.addCleanup(self.client.close)
        self.raw = self.client.chat.completions.with_raw_response

    def test_of_a_miss_and_a_hit(self):
        model = fresh()
        miss = self.raw.create(**chat(model)).headers
        hit = self.raw.create(**chat(model)).headers
        self.assertRegex(miss["cache-status"], r"^pegasus-nest; .*fwd=miss")
        self.assertRegex(hit["cache-status"], r"^pegasus-nest; hit")
        self.assertRegex(hit["age"], r"^\d+$")
        for headers in (miss, hit):
            self.assertRegex(headers["server-timing"], r"\btotal;dur=")
            self.assertRegex(headers["x-pegasus-tokens-saved"], r"^\d+$")
            self.assertTrue(headers["x-request-id"])
        self.assertNotEqual(miss["x-request-id"], hit["x-request-id"])

    def test_the_upstreams_own(self):
        model = fresh()
        miss = self.raw.create(**chat(model)).headers
        hit = self.raw.create(**chat(model)).headers
        self.assertEqual(miss["x-upstream-request-id"], "upstream-request")
        self.assertEqual(miss["x-ratelimit-remaining-requests"], "41")
        self.assertNotIn("x-ratelimit-remaining-requests", hit)
        for headers in (miss, hit):
            self.assertNotIn("set-cookie", headers)

    def test_a_given_request_id_comes_back(self):
        given = {"X-Request-Id": "request-of-the-client"}
        reply = self.client.chat.completions.create(**chat(fresh()), extra_headers=given)
        self.assertEqual(reply._request_id, "request-of-the-client")
        with self.assertRaises(openai.NotFoundError) as caught:
            self.client.chat.completions.create(**chat(fresh("fail-404")), extra_headers=given)
        self.assertEqual(caught.exception.request_id, "request-of-the-client")

    def test_what_the_upstream_gets(self):
        model = fresh()
        private = {"Cookie": "session=client", "X-Forwarded-For": "192.0.2.1", "X-Private": "1"}
        self.raw.create(**chat(model), extra_headers=private)
        headers = seen(model)["headers"]
        self.assertEqual(headers["authorization"], f"Bearer {API_KEY}")
        self.assertIn("x-stainless-lang", headers)
        for name in private:
            self.assertNotIn(name.lower(), headers)


@needs_proxy
class Dedup(unittest.IsolatedAsyncioTestCase):
    async def test_identical_requests_are_one_call(self):
        model = fresh()
        async with sdk(openai.AsyncOpenAI) as client:

            async def whole():
                reply = await client.chat.completions.create(**chat(model))
                return reply.choices[0].message.content

            async def streaming():
                stream = await client.chat.completions.create(**chat(model), stream=True)
                return text_of([chunk async for chunk in stream])

            calls = [call() for call in (whole, streaming) for _ in range(10)]
            self.assertEqual(await asyncio.gather(*calls), [ANSWER] * 20)
        self.assertEqual(seen(model)["calls"], 1)


@needs_proxy
class Budgets(unittest.TestCase):
    def test_what_is_spent_is_an_error_that_nobody_tries_again(self):
        tries = []
        client = openai.OpenAI(
            api_key=os.environ["CLIENTS_POOR_TOKEN"],
            base_url=os.environ["CLIENTS_POOR_URL"],
            max_retries=2,
            timeout=20,
            http_client=openai.DefaultHttpxClient(event_hooks={"request": [tries.append]}),
        )
        self.addCleanup(client.close)
        model = fresh()
        with self.assertRaises(openai.APIStatusError) as caught:
            client.chat.completions.create(**chat(model))
        error = caught.exception
        self.assertEqual(
            (error.status_code, error.code, error.type),
            (402, "budget_exceeded", "insufficient_quota"),
        )
        self.assertRegex(error.message, r"poor has spent its budget of \$0 a month")
        self.assertRegex(error.response.headers["retry-after"], r"^\d+$")
        self.assertRegex(error.response.headers["x-pegasus-budget"], r"^month; spent=0; limit=0; reset=\d")
        self.assertEqual(len(tries), 1)
        self.assertEqual(seen(model)["calls"], 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
