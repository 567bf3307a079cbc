"""The event stream: its order, its awkward habits and its headers."""

from __future__ import annotations

import httpx
import pytest


def test_an_answer_streams_from_created_to_completed(client):
    events = client.events("explain this")
    assert [events[0]["type"], events[1]["type"]] == ["response.created", "response.in_progress"]
    assert events[-1]["type"] == "response.completed"
    assert [event["sequence_number"] for event in events] == list(range(len(events)))


def test_the_answer_says_that_it_is_scripted(client):
    assert "local service" in client.text("hello")


def test_the_done_item_is_all_deltas_together(client):
    events = client.events("explain this")
    deltas = "".join(e["delta"] for e in events if e["type"] == "response.output_text.delta")
    [done] = [e["item"] for e in events if e["type"] == "response.output_item.done"]
    assert done["content"][0]["text"] == deltas


def test_the_codex_stream_has_no_content_type_and_an_empty_final_output(client):
    response = client.post("hello")
    assert "content-type" not in response.headers
    assert b'"output":[]' in response.content.split(b"event: response.completed")[1]


def test_keepalives_padding_and_unknown_events_are_sprinkled_in(client):
    events = client.events("explain this")
    kinds = {event["type"] for event in events}
    assert "keepalive" in kinds
    assert any("unannounced" in kind for kind in kinds)
    lengths = {len(e["obfuscation"]) for e in events if e["type"] == "response.output_text.delta"}
    assert len(lengths) > 3


@pytest.mark.parametrize("window", ["primary", "secondary"])
def test_both_limit_windows_are_in_the_headers(client, window):
    headers = client.post("hello").headers
    assert 0 < float(headers[f"x-codex-{window}-used-percent"]) < 100
    assert int(headers[f"x-codex-{window}-window-minutes"]) > 0
    assert int(headers[f"x-codex-{window}-reset-at"]) > 0


def test_the_turn_state_of_the_client_comes_back(client):
    first = client.post("hello").headers["x-codex-turn-state"]
    assert client.post("hello", headers={"x-codex-turn-state": first}).headers["x-codex-turn-state"] == first
    assert client.post("hello").headers["x-codex-turn-state"] != first


def test_the_models_etag_is_that_of_the_catalog(client):
    url = client.service.base_url + "/models"
    catalog = client.http.get(url, headers=client.headers)
    assert client.post("hello").headers["x-models-etag"] == catalog.headers["etag"]


def test_tokens_are_cached_only_when_the_session_id_repeats(client):
    def cached(session_id):
        stream = client.events("hello", headers={"session-id": session_id})
        return stream[-1]["response"]["usage"]["input_tokens_details"]["cached_tokens"]

    assert [cached("one") > 0, cached("two") > 0, cached("one") > 0] == [False, False, True]


def test_pieces_of_64_kb_carry_the_same_events(client):
    one_by_one = client.text("repeat 40000", headers={"x-local-pace": "max"})
    in_pieces = client.text("repeat 40000", headers={"x-local-pace": "chunks chars=20"})
    assert one_by_one == in_pieces
    assert len(in_pieces) == 40_000


def test_a_pace_in_the_prompt_sets_the_size_of_the_deltas(client):
    events = client.events("pace: max chars=20\nrepeat 1000")
    assert sum(event["type"] == "response.output_text.delta" for event in events) == 50


def test_closing_ends_open_streams_at_once(client):
    client.service.faults.next("idle")
    url = client.service.base_url + "/responses"
    with client.http.stream("POST", url, json=client.body(), headers=client.headers) as response:
        pieces = response.iter_raw()
        next(pieces)
        client.service.close()
        with pytest.raises(httpx.RemoteProtocolError):
            list(pieces)
