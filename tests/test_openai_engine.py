"""The `openai` engine against our own server: what it sends, what it makes of replies, and where keys appear."""

from pathlib import Path

import pytest
from asking import SAMPLING, ask, ask_all, echo, engine_for, faults, prompts
from scripted_server import Fault, ScriptedServer

from socratic_distill.engines.allowance import Allowance
from socratic_distill.engines.openai import OpenAIEngine
from socratic_distill.errors import UserError
from socratic_distill.recipe import Prices, Server
from socratic_distill.records import Sampling

KEY = "sk-known-0123456789abcdef"


# --- what is sent


def test_a_chats_pieces_are_messages_in_turn() -> None:
    with ScriptedServer(echo) as server, engine_for(server) as engine:
        assert ask(engine, "one", "two", "thr\N{LATIN SMALL LETTER E WITH ACUTE}").text.startswith("I read: thr")
        assert server.bodies == [
            {
                "model": "teacher",
                "messages": [
                    {"role": "user", "content": "one"},
                    {"role": "assistant", "content": "two"},
                    {"role": "user", "content": "thr\N{LATIN SMALL LETTER E WITH ACUTE}"},
                ],
                "temperature": 0.0,
                "top_p": 1.0,
                "max_tokens": 20,
            }
        ]


def test_sampling_a_schema_and_further_fields_are_sent() -> None:
    sampling = Sampling(max_tokens=9, temperature=0.7, top_p=0.9, seed=5, stop=(">>",))
    schema = {"type": "object"}
    body = {"reasoning_effort": "low", "temperature": 1}
    with (
        ScriptedServer(echo) as server,
        engine_for(server, schema=schema, body=body, limit_field="max_completion_tokens") as engine,
    ):
        ask(engine, "one", sampling=sampling)
        [sent] = server.bodies
        held = {"type": "json_schema", "json_schema": {"name": "reply", "strict": True, "schema": schema}}
        assert {key: value for key, value in sent.items() if key not in ("model", "messages")} == {
            "temperature": 1,
            "top_p": 0.9,
            "max_completion_tokens": 9,
            "seed": 5,
            "stop": [">>"],
            "response_format": held,
            "reasoning_effort": "low",
        }


def test_plain_completions_go_on_with_what_is_begun() -> None:
    with ScriptedServer(echo) as server, engine_for(server, api="completions") as engine:
        assert ask(engine, "one", "two", begun="I re").text == "I read: two"
        assert server.bodies[0]["prompt"] == "one\n\ntwo\n\nI re"
        assert "messages" not in server.bodies[0]


def test_plain_completions_take_token_ids() -> None:
    with (
        ScriptedServer(lambda prompt: "yes") as server,
        engine_for(server, api="completions", render=lambda prompt: [len(piece) for piece in prompt.pieces]) as engine,
    ):
        assert ask(engine, "one", "three").text == "yes"
        assert server.bodies[0]["prompt"] == [3, 5]


def test_a_chat_can_not_go_on_with_what_is_begun() -> None:
    with ScriptedServer(echo) as server, engine_for(server) as engine:
        refused = ask(engine, "one", begun="I re")
        assert refused.finish_reason == "failed" and "completions" in refused.detail
        assert server.requests == 0


def test_half_a_character_is_sent_as_a_question_mark() -> None:
    with ScriptedServer(echo) as server, engine_for(server) as engine:
        assert ask(engine, "a \ud83d b").text == "I read: a ? b"


def test_the_environments_proxy_is_used_unless_it_is_excepted(monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptedServer(echo) as server:
        monkeypatch.setenv("http_proxy", server.base_url.removesuffix("/v1"))
        monkeypatch.setenv("no_proxy", "other.invalid")
        with engine_for(server, base_url="http://teacher.invalid/v1") as engine:
            assert ask(engine, "one").text == "I read: one"
        monkeypatch.setenv("no_proxy", "teacher.invalid")
        with engine_for(server, base_url="http://teacher.invalid/v1", tries=1) as engine, pytest.raises(UserError):
            ask(engine, "one")
        assert server.requests == 1


# --- settings that can't be


@pytest.mark.parametrize("field", ["messages", "prompt", "n", "stream", "max_tokens", "max_completion_tokens", "model"])
def test_further_fields_may_not_set_what_the_engine_sets(field: str) -> None:
    with pytest.raises(UserError, match=f"server.body may not set {field}"):
        OpenAIEngine(Server(base_url="http://localhost/v1", body={field: 1}), "teacher", allowance=Allowance())


@pytest.mark.parametrize("base_url", ["localhost:8000/v1", "ftp://host/v1", "http://", "http://host:port/v1", ""])
def test_an_address_that_is_none_is_refused(base_url: str) -> None:
    with pytest.raises(UserError, match="it should look like"):
        OpenAIEngine(Server(base_url=base_url), "teacher", allowance=Allowance())


@pytest.mark.parametrize("variable", [KEY, "gsk_0123456789", "THE_KEY"])
def test_a_key_that_is_not_there_is_an_error_that_never_shows_one(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("THE_KEY", raising=False)
    with pytest.raises(UserError, match="environment variable") as error:
        OpenAIEngine(Server(base_url="http://localhost/v1", key_env=variable), "teacher", allowance=Allowance())
    assert (variable in str(error.value)) == (variable == "THE_KEY")


@pytest.mark.parametrize("key", ["sk-\u0142\u00f3", "sk-1\nX-More: 1"])
def test_a_key_that_no_header_can_hold_is_an_error_that_does_not_show_it(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THE_KEY", key)
    with pytest.raises(UserError, match="characters") as error:
        OpenAIEngine(Server(base_url="http://localhost/v1", key_env="THE_KEY"), "teacher", allowance=Allowance())
    assert key not in str(error.value)


def test_a_password_in_the_address_is_refused_and_not_shown() -> None:
    with pytest.raises(UserError, match="key_env") as error:
        OpenAIEngine(Server(base_url=f"http://me:{KEY}@localhost/v1"), "teacher", allowance=Allowance())
    assert KEY not in str(error.value)


# --- keys


def test_the_key_opens_the_server_and_appears_nowhere_though_every_error_echoes_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("THE_KEY", f" {KEY}\n")  # as a file's last line is
    caplog.set_level(0)
    wrong = [Fault(status=status, message=f"no: Bearer {KEY} {'x' * 300}{KEY}") for status in (400, 404, 500, 500, 500)]
    with (
        ScriptedServer(echo, key=KEY, fault=faults(None, *wrong)) as server,
        Allowance(Prices(input=1, output=1), path=tmp_path / "ledger.jsonl") as allowance,
        engine_for(server, allowance=allowance, key_env="THE_KEY", concurrency=1) as engine,
    ):
        ended = ask_all(engine, prompts(4))
        assert [one.finish_reason for one in ended.values()] == ["end", "failed", "failed", "failed"]
        monkeypatch.setattr(server, "key", "another")
        monkeypatch.setattr(server, "fault", lambda number: Fault(status=401, message=KEY))
        with engine_for(server, key_env="THE_KEY") as refused, pytest.raises(UserError) as error:
            ask(refused, "one")
    assert "[key]" in str(error.value)
    shown = [repr(engine), str(error.value), *map(repr, ended.values())]
    written = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert written
    out, err = capfd.readouterr()
    for text in (*shown, *written, out, err, caplog.text):
        assert KEY[:8] not in text


# --- what comes back


def test_a_text_cut_for_length_and_a_stop_string_are_told_from_an_end() -> None:
    with ScriptedServer(lambda prompt: "one two >>three four five") as server, engine_for(server) as engine:
        assert ask(engine, "q", sampling=Sampling(max_tokens=2)).finish_reason == "length"
        stopped = ask(engine, "q", sampling=Sampling(stop=("~", ">>")))
        assert (stopped.text, stopped.finish_reason) == ("one two >>", "stop_string")
        ended = ask(engine, "q")
        assert (ended.finish_reason, ended.prompt_tokens, ended.tokens) == ("end", 1, 6)


def test_a_stop_string_that_the_server_does_not_name_looks_like_an_end() -> None:
    with ScriptedServer(lambda prompt: "one >> two", names_stop=False) as server, engine_for(server) as engine:
        stopped = ask(engine, "q", sampling=Sampling(stop=(">>",)))
        assert (stopped.text, stopped.finish_reason) == ("one ", "end")


def test_thoughts_are_counted_and_left_out_of_the_text() -> None:
    with ScriptedServer(lambda prompt: "four", reasoning="two and two") as server, engine_for(server) as engine:
        ended = ask(engine, "q")
        assert (ended.text, ended.tokens) == ("four", 5)


def test_every_request_comes_back_once_under_its_own_key_and_few_are_in_flight() -> None:
    with ScriptedServer(echo, latency=0.01) as server, engine_for(server, concurrency=7) as engine:
        ended = ask_all(engine, prompts(100))
        assert {key: one.text for key, one in ended.items()} == {
            key: f"I read: {prompt.pieces[0]}" for key, prompt in prompts(100).items()
        }
        assert server.most_open == 7
        assert engine.poll() == []


def test_a_poll_does_not_wait_for_all() -> None:
    with ScriptedServer(echo, latency=0.2) as server, engine_for(server, concurrency=2) as engine:
        for key, prompt in prompts(4).items():
            engine.submit(key, prompt, SAMPLING)
        assert 1 <= len(engine.poll()) <= 2
