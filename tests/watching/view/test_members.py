"""What is found at an address and in a folder, while processes come and go."""

from __future__ import annotations

import subprocess
import sys

import msgspec
import pytest

from idlescope.capture.server.client import NotStartedError
from idlescope.errors import ConfigError, ServerError
from idlescope.watching import runtime
from idlescope.watching.view.members import (
    ENDED,
    NO_ANSWER,
    NOT_SERVED,
    SHORTEST_NS,
    UNREACHED,
    WATCH_ENDED,
    Span,
    WatchedMember,
)
from idlescope.watching.view.places import Members
from tests.make.servers import FakeServer, serving
from tests.make.watched_states import device, example, page, process, state


@pytest.fixture
def fake(tmp_path):
    with serving(FakeServer(tmp_path)) as server:
        yield server


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "watches"
    path.mkdir()
    return path


@pytest.fixture(scope="module")
def dead():
    """The pid of a process that has ended."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    return ended.pid


def listed(folder, watched):
    (folder / f"{watched.pid}.json").write_bytes(msgspec.json.encode(watched))


def document(members, span=Span.SEEN):
    (member,) = members.members
    return member.document(span)


def test_an_address_of_a_watch_or_of_one_of_its_pages(fake):
    fake.pages["/state"] = page(example(rank=3))
    for address in (fake.url, f"{fake.url}/metrics", f"{fake.url}/state"):
        members = Members([address])
        assert document(members).label == "4242, rank 3"


def test_figures_are_of_the_time_that_was_asked_for(fake):
    states = iter(
        state(
            device(100 * after, after, idle_ms={"host": idle}), after_s=after, url=fake.url
        )
        for after, idle in ((10, 100), (30, 100), (50, 600), (60, 600))
    )
    fake.pages["/state"] = lambda: page(next(states))
    members = Members([fake.url])  # asks twice
    members.read()
    members.read()
    steps = {span: document(members, span).figures[0].steps for span in Span}
    assert steps == {Span.BEGUN: 60, Span.SEEN: 30, Span.LATELY: 10}
    idle = {span: document(members, span).figures[0].idle_ns["host"] for span in Span}
    assert [idle[span] // 1_000_000 for span in Span] == [600, 500, 0]


def test_another_process_at_the_same_address_begins_anew(fake):
    fake.pages["/state"] = page(state(device(9_000, 900), after_s=50, pid=1, url=fake.url))
    members = Members([fake.url])
    fake.pages["/state"] = page(
        state(device(20, 2), after_s=60, pid=2, started=10**18, url=fake.url)
    )
    members.read()
    assert document(members).label == "2"
    assert document(members, Span.BEGUN).figures[0].steps == 2


def test_processes_of_a_folder_come_and_go(fake, folder, dead):
    fake.pages["/state"] = page(example())
    listed(folder, process(fake.url, pid=4242))
    listed(folder, process("http://127.0.0.1:1", pid=dead))
    (folder / "5.json").write_text("no JSON")
    (folder / "6.json").write_text('{"x":' + "[" * 100_000)
    (folder / "notes.json").write_text("{}")
    members = Members([str(folder)])
    assert len(members.members) == 1
    assert members.notes == [f"{dead}.json is of a process that has ended"]
    listed(folder, process("", started=5))
    members.read()
    assert [member.gone for member in members.members] == ["", NOT_SERVED]


@pytest.mark.parametrize("is_dead", [True, False])
def test_one_that_ends_is_said_and_its_figures_are_kept(tmp_path, dead, is_dead):
    pid = dead if is_dead else process().pid
    pages = {"/state": page(example(pid=pid))}
    with serving(FakeServer(tmp_path, pages=pages)) as fake:
        members = Members([fake.url])
    members.read()
    assert document(members).gone == (ENDED if is_dead else WATCH_ENDED)
    assert document(members, Span.BEGUN).figures[0].steps == 1_000


def test_one_that_does_not_answer_for_a_while_is_back(fake):
    fake.pages["/state"] = answer = page(example())
    members = Members([fake.url])
    fake.pages.clear()
    members.read()
    assert document(members).gone == NO_ANSWER
    fake.pages["/state"] = answer
    members.read()
    assert document(members).gone == ""


def test_of_another_machine_it_is_not_known_what_lives_there(monkeypatch):
    def refused():
        raise NotStartedError

    member = WatchedMember(refused, "http://gpu-7:9401", process())
    member.read()
    assert member.gone == UNREACHED
    assert member.label.startswith("gpu-7 ")


def test_a_watch_that_is_not_the_same_as_before_counts_from_its_beginning(fake):
    """Watches are told apart by their place, which changes where one is closed."""
    one, other = device(9_000, 900), device(20, 2)
    states = iter([state(one, after_s=50, url=fake.url)] * 2 + [state(other, url=fake.url)])
    fake.pages["/state"] = lambda: page(next(states))
    members = Members([fake.url])
    members.read()
    assert document(members).figures[0].steps == 2


def test_a_watch_of_another_version_is_said(fake, folder):
    fake.pages["/state"] = page(example()).replace('"busy_ns":', '"bees":')
    with pytest.raises(ServerError, match="another version of idlescope"):
        Members([fake.url])
    newer = msgspec.structs.replace(example(), schema=7)
    fake.pages["/state"] = page(newer)
    with pytest.raises(ServerError, match="schema 7, not 1: use the same on both sides"):
        Members([fake.url])
    listed(folder, process(fake.url))
    assert "schema 7" in document(Members([str(folder)])).gone


def test_a_server_without_a_watch_tells_what_it_exports(fake):
    fake.pages["/metrics"] = "vllm:num_requests_running 3\n"
    members = Members([fake.url])
    members.read()
    told = document(members)
    assert told.label.startswith("vLLM 127.0.0.1:")
    assert told.exported.requests_running == 3
    fake.pages.clear()
    members.read()
    assert document(members).gone == NO_ANSWER


def test_an_address_that_a_file_names_gets_no_key(tmp_path, folder, monkeypatch):
    monkeypatch.setenv("IDLESCOPE_API_KEY", "secret")
    with serving(FakeServer(tmp_path, key="secret")) as fake:
        fake.pages["/state"] = page(example())
        listed(folder, process(fake.url))
        Members([str(folder)])
        assert set(fake.keys) == {None}


def test_a_file_that_names_no_address_is_not_asked(folder):
    listed(folder, process("file:///etc/passwd"))
    assert document(Members([str(folder)])).gone == NOT_SERVED


def test_where_there_is_nothing_to_watch_is_said_in_a_sentence(fake, folder, tmp_path):
    for answer in ('{"status": "ok"}', '{"x":' + "[" * 100_000, "<html>"):
        fake.pages["/state"] = answer
        with pytest.raises(ServerError, match=r"shows no watch \(/state\), nor counters"):
            Members([fake.url])
    with pytest.raises(ConfigError, match=f"no process is watched in {folder}"):
        Members([str(folder)])
    with pytest.raises(ConfigError, match="is no folder, so no process"):
        Members([str(tmp_path / "none")])
    with pytest.raises(ConfigError, match="Then give http://localhost:9401"):
        Members(["localhost:9401"])
    with pytest.raises(ServerError, match="cannot be reached"):
        Members(["http://127.0.0.1:1"])


def test_figures_are_of_no_shorter_time_than_a_watch_needs_to_take_things_in():
    assert SHORTEST_NS > 2 * runtime.FRESH_NS


def test_of_less_than_that_all_time_since_the_beginning_is_told(fake):
    states = iter([state(device(100, 9), after_s=5), state(device(200, 19), after_s=9)] * 2)
    fake.pages["/state"] = lambda: page(next(states))
    assert document(Members([fake.url])).figures[0].steps == 19
