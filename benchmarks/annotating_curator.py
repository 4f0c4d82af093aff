"""Curator's side of `annotating.py`, run in an environment of its own: FOLDER URL _ PROBLEMS CONCURRENCY."""

import json
import os
import resource
import sys
import sysconfig
import time
from pathlib import Path
from typing import Any

work, url, concurrency = Path(sys.argv[1]), sys.argv[2], int(sys.argv[5])
os.environ |= {
    "CURATOR_CACHE_DIR": str(work / "curator"),
    "CURATOR_DISABLE_RICH_DISPLAY": "1",
    "TELEMETRY_ENABLED": "false",
    "OPENAI_API_KEY": "none",
    # Its estimates of tokens need a vocabulary from the network; litellm brings the same one along.
    "TIKTOKEN_CACHE_DIR": f"{sysconfig.get_path('purelib')}/litellm/litellm_core_utils/tokenizers",
}

from bespokelabs import curator  # type: ignore[import-not-found]  # noqa: E402  # it reads settings as it is imported


class Teacher(curator.LLM):  # type: ignore[misc]  # not installed where types are checked
    """Sends a row's messages and keeps the reply."""

    def prompt(self, row: dict[str, Any]) -> list[dict[str, str]]:
        """Return the messages."""
        messages: list[dict[str, str]] = row["messages"]
        return messages

    def parse(self, _: dict[str, Any], response: str) -> dict[str, str]:
        """Keep the reply."""
        return {"text": response}


def main() -> None:
    """Ask everything, measure and leave the figures."""
    prompts = [json.loads(line)["pieces"] for line in (work / "prompts.jsonl").read_text(encoding="utf-8").splitlines()]
    rows = [
        {"messages": [{"role": ("user", "assistant")[place % 2], "content": piece} for place, piece in enumerate(one)]}
        for one in prompts
    ]
    teacher = Teacher(
        model_name="a-teacher",
        backend="openai",
        generation_params={"max_tokens": 256, "temperature": 0.7},
        backend_params={
            "base_url": url,
            "api_key": "none",
            "max_concurrent_requests": concurrency,
            "max_requests_per_minute": 10_000_000,
            "max_tokens_per_minute": 10_000_000_000,
        },
    )
    started = time.perf_counter()
    replies = teacher(rows).dataset
    seconds = time.perf_counter() - started
    assert len(replies) == len(rows), f"{len(replies)} of {len(rows)} replies"
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    figures = {"seconds": seconds, "peak_mib": peak_mib, "cpu_seconds": time.process_time()}
    (work / "figures.json").write_text(json.dumps(figures), encoding="utf-8")


if __name__ == "__main__":
    main()
