"""Which setting wins, and how a mistake in one is told."""

import json
import os
from pathlib import Path

import pytest

from embedded import configuration, files
from embedded.configuration import Env
from embedded.processes import ProcessMark


@pytest.fixture(autouse=True)
def _no_folder_of_a_running_stack(monkeypatch):
    monkeypatch.delenv("ESCROW_VAR", raising=False)


def write_services(repository: Path, *, supervisor: dict[str, int], **environment: str) -> None:
    file = configuration.services_file(repository / "var")
    files.write_whole(file, json.dumps({"supervisor": supervisor, "environment": environment}))


def own_mark() -> dict[str, int]:
    mark = ProcessMark.of(os.getpid())
    assert mark is not None
    return mark.as_json()


class TestOrder:
    def test_environment_then_env_file_then_running_services(self, tmp_path, monkeypatch):
        write_services(tmp_path, supervisor=own_mark(), THIRD="services", SECOND="services", FIRST="services")
        (tmp_path / ".env").write_text("SECOND=file\nFIRST=file\n")
        monkeypatch.setenv("FIRST", "environment")
        env = configuration.load(tmp_path)
        assert [env.str(name) for name in ("FIRST", "SECOND", "THIRD")] == ["environment", "file", "services"]

    def test_the_file_next_to_the_readme_wins_over_the_one_in_backend(self, tmp_path):
        (tmp_path / "backend").mkdir()
        (tmp_path / "backend" / ".env").write_text("BOTH=backend\nONE=backend\n")
        (tmp_path / ".env").write_text("BOTH=root\n")
        env = configuration.load(tmp_path)
        assert [env.str(name) for name in ("BOTH", "ONE")] == ["root", "backend"]

    def test_services_of_a_dead_supervisor_are_not_believed(self, tmp_path):
        # The number lives (it is ours), the start does not fit: it was given to another process since.
        stale = {**own_mark(), "started": own_mark()["started"] - 1}
        write_services(tmp_path, supervisor=stale, NEVER_SET="http://127.0.0.1:8545")
        assert configuration.load(tmp_path).str("NEVER_SET", default="") == ""

    def test_a_half_written_services_file_is_no_error(self, tmp_path):
        file = configuration.services_file(tmp_path / "var")
        file.parent.mkdir(parents=True)
        file.write_text('{"supervisor": {"pid"')
        assert configuration.running_services(tmp_path / "var") == {}


class TestMistakes:
    @pytest.mark.parametrize(
        ("text", "complaint"),
        [
            ("GOOD=1\nhello there\n", r"\.env, line 2: expected NAME=value$"),
            ('TOKEN="never closed\n', r"\.env, line 1: the quotation mark is not closed$"),
        ],
    )
    def test_a_broken_line_is_named_in_one_line(self, tmp_path, text, complaint):
        (tmp_path / ".env").write_text(text)
        with pytest.raises(SystemExit, match=complaint) as ending:
            configuration.load(tmp_path)
        assert "\n" not in str(ending.value)

    def test_what_stands_in_a_broken_line_is_not_repeated(self, tmp_path):
        (tmp_path / ".env").write_text("SECRET_KEY hunter2\n")
        with pytest.raises(SystemExit) as ending:
            configuration.load(tmp_path)
        assert "hunter2" not in str(ending.value)

    @pytest.mark.parametrize(
        ("name", "value", "read"),
        [
            ("DEBUG", "perhaps", lambda env: env.bool("DEBUG", default=True)),
            ("CHAIN_ID", "mainnet", lambda env: env.int("CHAIN_ID", default=31337)),
            ("DATABASE_URL", "sqlite:///x.db", lambda env: configuration.database(env, debug=True)),
            ("EMAIL_URL", "mailto:bea@example.org", configuration.email),
        ],
    )
    def test_a_bad_value_is_named_in_one_line(self, name, value, read):
        with pytest.raises(SystemExit, match=name) as ending:
            read(Env({name: value}))
        assert "\n" not in str(ending.value)

    @pytest.mark.parametrize("read", [configuration.database, configuration.secret_key])
    def test_outside_development_nothing_is_made_up(self, tmp_path, read):
        more = {"var": tmp_path} if read is configuration.secret_key else {}
        with pytest.raises(SystemExit, match="required when DEBUG is off"):
            read(Env({}), debug=False, **more)
        assert list(tmp_path.iterdir()) == []


class TestReading:
    def test_quotes_comments_and_export(self, tmp_path):
        (tmp_path / ".env").write_text("export A='x # y'  # note\nB=\"l1\\nl2\"\nC=p#q # note\nD=$HOME\nE=\n# F=1\n")
        values = configuration.read_env_file(tmp_path / ".env")
        assert values == {"A": "x # y", "B": "l1\nl2", "C": "p#q", "D": "$HOME", "E": ""}

    def test_the_generated_secret_stays_and_is_private(self, tmp_path):
        first = configuration.secret_key(Env({}), var=tmp_path, debug=True)
        assert configuration.secret_key(Env({}), var=tmp_path, debug=True) == first
        assert (tmp_path / "secret-key").stat().st_mode & 0o077 == 0
