"""Traces behind URLs: fetched, read, never written to; what lets one in is shown nowhere."""

import http.server
import threading
from functools import partial
from pathlib import Path

import pytest

import idlescope
from idlescope.analysis.ranks import side_by_side
from idlescope.analysis.ranks.asked import RankOptions
from idlescope.analysis.ranks.folder import analyze_folder
from idlescope.errors import ConfigError, TraceError
from idlescope.trace import remote
from tests.conftest import FIXTURES
from tests.make.ranks import Job, job, write

SECRET = "AKIAEXAMPLESECRET"  # noqa: S105 - of no one


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    return write(tmp_path_factory.mktemp("ranks"), job(Job(2, late_ns=(300_000, 0))).events)


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def served(ranks):
    """A folder of ranks, served on loopback."""
    handler = partial(Quiet, directory=str(ranks))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_path_of_this_machine_is_no_url():
    for path in ("/data/s3/x.json", "ranks/", "C:/traces/x.json", "a:b", "", "x.json"):
        assert remote.url_of(path) is None
        assert remote.shown(path) == path


def test_a_url_is_known_though_a_path_was_made_of_it():
    assert remote.url_of("s3:/bucket/x.json") == "s3://bucket/x.json"
    for text in ("file:///data/x.json", "file:/data/x.json"):
        assert remote.url_of(text) == remote.shown(text) == "file:///data/x.json"
    assert remote.url_of("HTTPS://host/x.json?a=b") == "https://host/x.json?a=b"


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        (
            f"https://me:{SECRET}@host:8/x.json?X-Amz-Signature={SECRET}",
            "https://host:8/x.json",
        ),
        (f"s3://{SECRET}:x@bucket/ranks/*.json", "s3://bucket/ranks/*.json"),
        (f"https://host/x.json#{SECRET}", "https://host/x.json"),
    ],
)
def test_what_lets_one_in_is_not_shown(url, seen):
    assert remote.shown(url) == seen


def test_an_unknown_kind_of_url_is_said():
    pytest.importorskip("fsspec")
    with pytest.raises(ConfigError, match="fsspec does not know"):
        idlescope.open("nosuch://place/x.json")


def test_files_folders_and_patterns_of_any_file_system(ranks):
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    memory.put(str(ranks), "/job/ranks", recursive=True)
    try:
        together = idlescope.analyze(idlescope.open(ranks)).to_json()
        for url in (
            "memory://job/ranks",
            "memory://job/ranks/",
            "memory://job/ranks/*.json",
        ):
            trace = idlescope.open(url)
            assert trace.meta.path == url
            assert idlescope.analyze(trace).to_json()["ranks"] == together["ranks"]
        one = idlescope.open("memory://job/ranks/rank1.json")
        assert len(one.devices) == 1
        before = sorted(memory.find("/job"))
        with pytest.raises(TraceError, match="memory://job/none"):
            idlescope.open("memory://job/none.json")
        assert sorted(memory.find("/job")) == before
    finally:
        memory.rm("/job", recursive=True)


def test_a_file_on_a_web_server_is_read_and_its_signature_not_shown(served, capsys):
    pytest.importorskip("aiohttp")
    trace = idlescope.open(f"{served}/rank0.json?signature={SECRET}")
    assert trace.meta.path == f"{served}/rank0.json"
    analysis = idlescope.analyze(trace)
    assert SECRET not in str(analysis.to_json())
    with pytest.raises(TraceError) as refused:
        idlescope.open(f"{served}/none.json?signature={SECRET}")
    assert SECRET not in str(refused.value)


def test_a_folder_of_a_web_server_is_read_and_its_faults_are_its_own(served, ranks):
    pytest.importorskip("aiohttp")
    assert len(idlescope.open(served).devices) == 2
    (ranks / "broken.json").write_text("<html>")
    try:
        with pytest.raises(TraceError, match=r"^http.*broken\.json is not JSON"):
            idlescope.open(f"{served}/broken.json")
    finally:
        (ranks / "broken.json").unlink()


class Together(Quiet):
    """Answers for a trace once two of them are asked for at the same time."""

    both_asked = threading.Barrier(2)

    def do_GET(self):
        if "rank" in self.path:
            self.both_asked.wait(60)
        super().do_GET()


def test_files_of_a_folder_are_fetched_and_read_side_by_side(ranks, monkeypatch):
    pytest.importorskip("aiohttp")
    monkeypatch.setenv("IDLESCOPE_JOBS", "2")
    monkeypatch.setenv("IDLESCOPE_CACHE", "off")
    together = idlescope.analyze(idlescope.open(ranks)).to_json()
    handler = partial(Together, directory=str(ranks))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/"
        found = remote.files(url, [".json"])
        assert [file.url for file in found] == [f"{url}rank0.json", f"{url}rank1.json"]
        paths = [Path(file.url) for file in found]
        assert side_by_side.is_worth_it(paths)  # their sizes are not said
        analysis = analyze_folder(
            Path(url), paths, RankOptions("first-last", 0, frames=True)
        )
        server.shutdown()
    assert analysis.to_json()["ranks"] == together["ranks"]
    assert f"{analysis.source['path']}/" == url


def test_what_is_wrong_with_one_of_them_shows_no_signature(served, ranks, monkeypatch):
    pytest.importorskip("aiohttp")
    monkeypatch.setenv("IDLESCOPE_CACHE", "off")
    paths = [
        Path(f"{served}/{name}.json?signature={SECRET}")
        for name in ("rank0", "rank1", "none")
    ]
    analysis = analyze_folder(
        Path(served), paths, RankOptions("first-last", 0, frames=True)
    )
    assert len(analysis.group.ranks) == 2
    (left_out,) = [text for text in analysis.warnings if "was left out" in text]
    assert left_out.startswith("none.json was left out: does not exist")
    assert SECRET not in str(analysis.to_json())


@pytest.mark.parametrize("scheme", ["memory:/", "file://"])
def test_files_of_a_folder_or_pattern_have_urls_of_their_own(ranks, scheme):
    fsspec = pytest.importorskip("fsspec")
    folder = str(ranks)
    memory = fsspec.filesystem("memory")
    memory.put(str(ranks), folder, recursive=True)
    try:
        for end in ("", "/", "/*.json"):
            found = remote.files(f"{scheme}{folder}{end}", [".json"])
            assert [file.size for file in found] == [
                (ranks / f"rank{rank}.json").stat().st_size for rank in range(2)
            ]
            for file in found:
                assert len(idlescope.open(file.url).devices) == 1
        assert remote.files(f"{scheme}{folder}/rank0.json", [".json"]) == []
    finally:
        memory.rm(folder, recursive=True)


def test_a_folder_in_s3_is_read(ranks, monkeypatch):
    pytest.importorskip("s3fs")
    server_of = pytest.importorskip("moto.server").ThreadedMotoServer
    boto3 = pytest.importorskip("boto3")
    server = server_of(port=0, verbose=False)
    server.start()
    try:
        _, port = server.get_host_and_port()
        endpoint = f"http://127.0.0.1:{port}"
        for name, value in {
            "AWS_ACCESS_KEY_ID": SECRET,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_DEFAULT_REGION": "us-east-1",
        }.items():
            monkeypatch.setenv(name, value)
        client = boto3.client("s3", endpoint_url=endpoint)
        client.create_bucket(Bucket="traces")
        for path in ranks.iterdir():
            client.upload_file(str(path), "traces", f"job/{path.name}")
        trace = idlescope.open("s3://traces/job")
        assert len(trace.devices) == 2
        files = remote.files("s3://traces/job", [".json"])
        assert [file.url for file in files] == [
            f"s3://traces/job/rank{rank}.json" for rank in range(2)
        ]
        assert SECRET not in str(idlescope.analyze(trace).to_json())
        with pytest.raises(TraceError, match="s3://traces/none"):
            idlescope.open("s3://traces/none.json")
    finally:
        server.stop()


def test_a_pattern_of_this_machine_stands_for_its_files(ranks):
    trace = idlescope.open(f"{ranks}/rank*.json")
    assert len(trace.devices) == 2
    with pytest.raises(TraceError, match="no file matches"):
        idlescope.open(f"{ranks}/none*.json")
    assert len(idlescope.open(FIXTURES / "loop_sync.json.gz").devices) == 1
