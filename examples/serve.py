"""The semantic cache in front of a chat endpoint, on this machine alone: a stand-in endpoint, ``ragkit serve``, the official client.

python examples/serve.py        (needs ragkit-middleware[serve,openai])
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time

import httpx2
import openai

from ragkit.testing.chat_server import Answer, chat_server


def main() -> None:
    asked: list[str] = []

    def answer(messages: object) -> Answer:
        asked.append("once more")
        return Answer(text=f"Answer number {len(asked)}.")

    with chat_server(answer) as endpoint, tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "ragkit", "serve", "--upstream", endpoint.url, "--cache", f"{folder}/cache.lance"]
        port = 18_080
        server = subprocess.Popen([*command, "--policy", "exact", "--port", str(port), "--admin-port", str(port + 1)])
        try:
            while True:
                try:
                    httpx2.get(f"http://127.0.0.1:{port}/readyz", trust_env=False)
                    break
                except httpx2.TransportError:
                    time.sleep(0.1)
            client = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="sk-anything")
            for question in ("What is late chunking?", "What is late chunking?", "What is a landmark?"):
                raw = client.chat.completions.with_raw_response.create(
                    model="stand-in", messages=[{"role": "user", "content": question}]
                )
                print(f"{raw.headers['x-ragkit-cache'].split(';')[0]:4}  {question}  {raw.parse().choices[0].message.content}")
                time.sleep(0.5)
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
